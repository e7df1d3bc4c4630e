//! The state of alerts of rules of the metadata store, on its way there and back.
//!
//! After each evaluation what changed is noted in memory, which waits for nothing; a thread writes what was noted, in
//! batches. While the store is away notes are kept, the newest of each alert. That an alert goes on as it was is noted
//! once in a while only.
//!
//! At a start the series of the rules say how their alerts stood at the last evaluation; the store adds what they do not
//! tell (since when an alert fires, what it is kept by, that it is over) and stands in for them where they are gone.

use crate::metadata::{AlertKey, AlertRecord, EvaluationState, MetadataError, MetadataStore, RuleId};
use crate::rules::{Alert, AlertState, Group, Health, RuleState, Running};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use tsdb_core::{Labels, TenantId, Timestamp};

/// That nothing changed is noted after so long, ms.
const REPEAT_MS: i64 = 60_000;
/// Alerts that are written at once.
const BATCH: usize = 1_000;
/// How long ago a pending alert may have been seen to be taken up again, ms.
const PENDING_MS: i64 = 3_600_000;
/// How long ago an alert may have ended to be taken up again, ms.
const RESOLVED_MS: i64 = 900_000;

/// What is known of the alerts of all tenants.
#[derive(Debug, Default)]
pub(super) struct States {
    tenants: Mutex<BTreeMap<TenantId, OfTenant>>,
}

#[derive(Debug, Default)]
struct OfTenant {
    known: BTreeMap<RuleId, BTreeMap<Labels, AlertRecord>>,
    /// What the store does not have as it is known, or has though it is gone.
    unwritten: BTreeSet<AlertKey>,
}

/// Alerts of a tenant to be written.
struct Batch {
    tenant: TenantId,
    changed: Vec<AlertRecord>,
    gone: Vec<AlertKey>,
}

impl States {
    /// Takes over what the store has of the alerts of `tenant`; what is known already is newer.
    pub(super) fn take_over(&self, tenant: &TenantId, records: Vec<AlertRecord>) {
        let mut tenants = self.tenants.lock();
        let of_tenant = tenants.entry(tenant.clone()).or_default();
        for record in records {
            if !of_tenant.unwritten.contains(&record.key) {
                let of_rule = of_tenant.known.entry(record.key.rule).or_default();
                of_rule.entry(record.key.series.clone()).or_insert(record);
            }
        }
    }

    /// Forgets the alerts of all rules of `tenant` but those that are `evaluated`.
    pub(super) fn retain(&self, tenant: &TenantId, evaluated: &BTreeSet<RuleId>) {
        self.retain_rules(tenant, |rule| evaluated.contains(&rule));
    }

    /// Forgets the alerts of `rules`.
    pub(super) fn forget(&self, tenant: &TenantId, rules: &BTreeSet<RuleId>) {
        self.retain_rules(tenant, |rule| !rules.contains(&rule));
    }

    fn retain_rules(&self, tenant: &TenantId, is_kept: impl Fn(RuleId) -> bool) {
        let mut tenants = self.tenants.lock();
        let Some(OfTenant { known, unwritten }) = tenants.get_mut(tenant) else { return };
        known.retain(|rule, alerts| {
            let stays = is_kept(*rule);
            if !stays {
                let keys = alerts.keys().map(|series| AlertKey { rule: *rule, series: series.clone() });
                unwritten.extend(keys);
            }
            stays
        });
    }

    /// Notes how the rules of `group` stand.
    pub(super) fn note(&self, tenant: &TenantId, group: &Group) {
        let stored =
            group.rules().iter().filter_map(|running| Some((RuleId(running.rule().text().number?), running)));
        let mut stored = stored.peekable();
        if stored.peek().is_none() {
            return;
        }
        let mut tenants = self.tenants.lock();
        let of_tenant = tenants.entry(tenant.clone()).or_default();
        stored.for_each(|(rule, running)| of_tenant.note(rule, running));
    }

    /// Gives the rules of `group` whose state is sought back what is known of their alerts. Series told already what they
    /// tell.
    pub(super) fn give_back(&self, tenant: &TenantId, group: &mut Group, now: Timestamp) {
        let tenants = self.tenants.lock();
        let Some(of_tenant) = tenants.get(tenant) else { return };
        for running in group.rules_mut().iter_mut().filter(|running| running.is_sought()) {
            let Some(number) = running.rule().text().number else { continue };
            if let Some(records) = of_tenant.known.get(&RuleId(number)) {
                give_back(running, records, now);
            }
        }
    }

    /// Writes what is noted and not written.
    ///
    /// # Errors
    /// The store does not answer: what it did not take is written the next time.
    pub(super) fn write(&self, store: &dyn MetadataStore) -> Result<(), MetadataError> {
        while let Some(Batch { tenant, changed, gone }) = self.batch() {
            if let Err(error) = store.save_alerts(&tenant, &changed, &gone) {
                let keys = changed.into_iter().map(|record| record.key).chain(gone);
                self.tenants.lock().entry(tenant).or_default().unwritten.extend(keys);
                return Err(error);
            }
        }
        Ok(())
    }

    /// How many alerts are noted and not written.
    pub(super) fn unwritten(&self) -> usize {
        self.tenants.lock().values().map(|of_tenant| of_tenant.unwritten.len()).sum()
    }

    /// The next alerts to write.
    fn batch(&self) -> Option<Batch> {
        let mut tenants = self.tenants.lock();
        let (tenant, of_tenant) =
            tenants.iter_mut().find(|(_, of_tenant)| !of_tenant.unwritten.is_empty())?;
        let mut keys = std::mem::take(&mut of_tenant.unwritten);
        if let Some(first_left) = keys.iter().nth(BATCH).cloned() {
            of_tenant.unwritten = keys.split_off(&first_left);
        }
        let mut batch = Batch { tenant: tenant.clone(), changed: Vec::new(), gone: Vec::new() };
        for key in keys {
            match of_tenant.known.get(&key.rule).and_then(|of_rule| of_rule.get(&key.series)) {
                Some(record) => batch.changed.push(record.clone()),
                None => batch.gone.push(key),
            }
        }
        Some(batch)
    }
}

impl OfTenant {
    fn note(&mut self, rule: RuleId, running: &Running) {
        let Some(at) = running.last_at() else { return };
        let known = self.known.entry(rule).or_default();
        let mut fresh: BTreeMap<Labels, AlertRecord> =
            running.alerts().iter().map(|alert| (alert.labels.clone(), of_alert(rule, alert, at))).collect();
        fresh.insert(Labels::empty(), of_rule(rule, running, at));
        let key = |series: &Labels| AlertKey { rule, series: series.clone() };
        known.retain(|series, _| {
            let stays = fresh.contains_key(series);
            if !stays {
                self.unwritten.insert(key(series));
            }
            stays
        });
        for (series, record) in fresh {
            let is_news = known.get(&series).is_none_or(|before| is_news(before, &record));
            if is_news {
                self.unwritten.insert(key(&series));
                known.insert(series, record);
            }
        }
    }
}

/// Is it worth noting that an alert stands like `record` now?
fn is_news(before: &AlertRecord, record: &AlertRecord) -> bool {
    let story = |record: &AlertRecord| {
        let times = (record.first_triggered_at, record.fired_at, record.kept_since, record.resolved_at);
        (record.state, times, record.last_error.clone())
    };
    let passed = record.last_evaluated_at.saturating_sub(before.last_evaluated_at);
    !(0..REPEAT_MS).contains(&passed) || story(before) != story(record)
}

fn of_alert(rule: RuleId, alert: &Alert, at: Timestamp) -> AlertRecord {
    AlertRecord {
        key: AlertKey { rule, series: alert.labels.clone() },
        state: match alert.state {
            AlertState::Inactive => EvaluationState::Ok,
            AlertState::Pending => EvaluationState::Pending,
            AlertState::Firing => EvaluationState::Firing,
        },
        first_triggered_at: Some(alert.active_at),
        fired_at: alert.fired_at,
        kept_since: alert.kept_since,
        resolved_at: alert.resolved_at,
        last_evaluated_at: at,
        last_value: Some(alert.value),
        last_error: None,
    }
}

fn of_rule(rule: RuleId, running: &Running, at: Timestamp) -> AlertRecord {
    AlertRecord {
        key: AlertKey { rule, series: Labels::empty() },
        state: match running.state() {
            RuleState::Ok => EvaluationState::Ok,
            RuleState::Pending => EvaluationState::Pending,
            RuleState::Firing => EvaluationState::Firing,
            RuleState::NoData => EvaluationState::NoData,
            RuleState::Error => EvaluationState::Error,
        },
        first_triggered_at: None,
        fired_at: None,
        kept_since: None,
        resolved_at: None,
        last_evaluated_at: at,
        last_value: None,
        last_error: match running.health() {
            Health::Bad(reason) => Some(reason.clone()),
            Health::Good | Health::Unknown => None,
        },
    }
}

fn give_back(running: &mut Running, records: &BTreeMap<Labels, AlertRecord>, now: Timestamp) {
    let from_series = running.last_at();
    for (series, record) in records {
        if from_series.is_none() {
            running.was_evaluated(record.last_evaluated_at);
        }
        if series.is_empty() {
            continue;
        }
        let told = running.alerts().iter().find(|alert| alert.labels == *series).cloned();
        match told {
            Some(told) => running.alerts_mut().insert(completed(told, record)),
            None if is_current(record, now) => running.alerts_mut().insert(alert(series, record)),
            None => {}
        }
    }
}

/// `told` by series, with what they do not tell if `record` is of the same alert.
fn completed(told: Alert, record: &AlertRecord) -> Alert {
    let Some(active_at) = record.first_triggered_at else { return told };
    // Series have whole seconds.
    let is_same = active_at.div_euclid(1_000) == told.active_at.div_euclid(1_000);
    if !is_same || record.state == EvaluationState::Ok {
        return told;
    }
    let fires = told.state == AlertState::Firing;
    Alert {
        active_at,
        fired_at: record.fired_at.filter(|_| fires).or(told.fired_at),
        kept_since: record.kept_since.filter(|_| fires),
        value: record.last_value.unwrap_or(told.value),
        ..told
    }
}

/// Does an alert of which no series tells matter still?
fn is_current(record: &AlertRecord, now: Timestamp) -> bool {
    match record.state {
        EvaluationState::Firing => true,
        EvaluationState::Pending => now.saturating_sub(record.last_evaluated_at) <= PENDING_MS,
        // Receivers may not have been told.
        _ => record.resolved_at.is_some_and(|resolved| now.saturating_sub(resolved) <= RESOLVED_MS),
    }
}

fn alert(series: &Labels, record: &AlertRecord) -> Alert {
    Alert {
        labels: series.clone(),
        annotations: Vec::new(),
        state: match record.state {
            EvaluationState::Firing => AlertState::Firing,
            EvaluationState::Pending => AlertState::Pending,
            _ => AlertState::Inactive,
        },
        value: record.last_value.unwrap_or(f64::NAN),
        active_at: record.first_triggered_at.unwrap_or(record.last_evaluated_at),
        fired_at: record.fired_at,
        resolved_at: record.resolved_at,
        kept_since: record.kept_since,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RuleLimits;
    use crate::metadata::{AlertRuleSpec, MemoryMetadata, Signature};
    use crate::ruler::stored;
    use tsdb_promql::ParseOptions;

    const NOW: Timestamp = 1_700_000_000_123;

    fn tenant() -> TenantId {
        TenantId::new("acme").unwrap()
    }

    /// A store with a rule, and the group of that rule.
    fn begun() -> (MemoryMetadata, Group) {
        let store = MemoryMetadata::default();
        let by = Signature { who: "ann".to_owned(), at: 1 };
        store.create_rule(&tenant(), &AlertRuleSpec::new("Above", "m > 0"), &by).unwrap();
        let group = group(&store);
        (store, group)
    }

    fn group(store: &MemoryMetadata) -> Group {
        let rules = store.rules(&tenant(), None).unwrap().rules;
        let (mut groups, unusable) = stored::groups(&rules, &RuleLimits::default(), &ParseOptions::default());
        assert_eq!((groups.len(), unusable), (1, 0));
        groups.pop().unwrap()
    }

    fn known(name: &str, state: AlertState) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", "Above"), ("n", name)]).unwrap(),
            annotations: Vec::new(),
            state,
            value: 7.5,
            active_at: NOW - 400_321,
            fired_at: (state != AlertState::Pending).then_some(NOW - 100_321),
            resolved_at: (state == AlertState::Inactive).then_some(NOW - 321),
            kept_since: (state == AlertState::Firing).then_some(NOW - 54_321),
        }
    }

    fn put(group: &mut Group, alerts: &[Alert]) {
        let running = &mut group.rules_mut()[0];
        running.was_evaluated(NOW);
        alerts.iter().for_each(|alert| running.alerts_mut().insert(alert.clone()));
    }

    fn alerts(group: &Group) -> Vec<Alert> {
        group.rules()[0].alerts().iter().cloned().collect()
    }

    #[test]
    fn alerts_come_back_as_they_were_though_no_series_tells_of_them() {
        let (store, mut before) = begun();
        let all = [AlertState::Inactive, AlertState::Pending, AlertState::Firing];
        let all: Vec<Alert> = all.into_iter().zip(["a", "b", "c"]).map(|(s, n)| known(n, s)).collect();
        put(&mut before, &all);
        let states = States::default();
        states.note(&tenant(), &before);
        assert_eq!(states.unwritten(), 4, "the alerts and the rule");
        states.write(&store).unwrap();
        assert_eq!(states.unwritten(), 0);
        states.note(&tenant(), &before);
        assert_eq!(states.unwritten(), 0, "that nothing changed is no news");

        let after = States::default();
        after.take_over(&tenant(), store.alerts(&tenant()).unwrap());
        let mut fresh = group(&store);
        fresh.seek();
        after.give_back(&tenant(), &mut fresh, NOW + 60_000);
        assert_eq!((alerts(&fresh), fresh.last_evaluation()), (all.clone(), Some(NOW)));
        let mut late = group(&store);
        late.seek();
        after.give_back(&tenant(), &mut late, NOW + 7_200_000);
        assert_eq!(alerts(&late), all[2..], "of what was long ago only what fires matters");
    }

    #[test]
    fn what_series_tell_is_completed_if_it_is_of_the_same_alert() {
        let (store, mut before) = begun();
        put(&mut before, &[known("a", AlertState::Firing), known("b", AlertState::Firing)]);
        let states = States::default();
        states.note(&tenant(), &before);
        let told = |name, active_at| Alert {
            active_at,
            fired_at: Some(NOW),
            kept_since: None,
            value: 0.0,
            ..known(name, AlertState::Firing)
        };
        let mut fresh = group(&store);
        let of_another = told("b", NOW - 50_000);
        put(&mut fresh, &[told("a", (NOW - 400_321) / 1_000 * 1_000), of_another.clone()]);
        fresh.seek();
        states.give_back(&tenant(), &mut fresh, NOW);
        assert_eq!(alerts(&fresh), [known("a", AlertState::Firing), of_another]);
    }

    #[test]
    fn alerts_that_are_gone_leave_the_store_and_those_of_paused_rules_too() {
        let (store, mut before) = begun();
        put(&mut before, &[known("a", AlertState::Firing)]);
        let states = States::default();
        states.note(&tenant(), &before);
        states.write(&store).unwrap();
        let mut gone = group(&store);
        put(&mut gone, &[]);
        states.note(&tenant(), &gone);
        states.write(&store).unwrap();
        assert_eq!(store.alerts(&tenant()).unwrap().len(), 1, "the rule itself");
        states.retain(&tenant(), &BTreeSet::new());
        states.write(&store).unwrap();
        assert!(store.alerts(&tenant()).unwrap().is_empty());
    }
}
