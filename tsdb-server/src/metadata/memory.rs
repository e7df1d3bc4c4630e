//! A metadata store in memory: for embedding a server that keeps none, and the plain twin of the stores in databases.

use super::{
    AlertKey, AlertRecord, AlertRule, AlertRuleSpec, AuditAction, AuditEntry, AuditQuery, Changes,
    Declaration, MetadataError, MetadataStore, MetricDefinition, MetricQuery, ObservedMetric, Overrides,
    Revision, RuleId, RuleList, RuleStatus, Signature, Subject, TenantBudget,
};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use tsdb_core::{TenantId, Timestamp};

/// A metadata store that ends with its process.
#[derive(Debug, Default)]
pub struct MemoryMetadata {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    revision: u64,
    /// When budgets of a tenant changed last.
    budgets_changed: BTreeMap<TenantId, u64>,
    /// When rules of a tenant changed last.
    rules_changed: BTreeMap<TenantId, u64>,
    budgets: BTreeMap<TenantId, TenantBudget>,
    metrics: BTreeMap<(TenantId, String), MetricDefinition>,
    rules: BTreeMap<RuleId, AlertRule>,
    last_rule: i64,
    alerts: BTreeMap<AlertKey, AlertRecord>,
    audit: Vec<AuditEntry>,
}

impl State {
    fn next_revision(&mut self) -> u64 {
        self.revision = self.revision.saturating_add(1);
        self.revision
    }

    fn log<T: Serialize>(
        &mut self,
        subject: &Subject,
        before: Option<&T>,
        after: Option<&T>,
        by: &Signature,
    ) -> Result<(), MetadataError> {
        let (kind, name) = subject.audited();
        self.audit.push(AuditEntry {
            id: self.audit.len() as u64 + 1,
            at: by.at,
            who: by.who.clone(),
            action: AuditAction::between(before, after),
            tenant: subject.tenant().clone(),
            kind,
            name,
            before: before.map(told).transpose()?,
            after: after.map(told).transpose()?,
        });
        Ok(())
    }

    fn own_rule(&self, tenant: &TenantId, id: RuleId) -> Result<AlertRule, MetadataError> {
        let found = self.rules.get(&id).filter(|rule| rule.tenant == *tenant);
        found.cloned().ok_or_else(|| MetadataError::NotFound { what: rule_subject(tenant, id) })
    }
}

fn told<T: Serialize>(value: &T) -> Result<Value, MetadataError> {
    serde_json::to_value(value).map_err(|error| MetadataError::damaged("an entry of the audit log", error))
}

fn rule_subject(tenant: &TenantId, id: RuleId) -> Subject {
    Subject::Rule { tenant: tenant.clone(), id: Some(id) }
}

impl MetadataStore for MemoryMetadata {
    fn changes(&self, since: Revision) -> Result<Changes, MetadataError> {
        let state = self.state.lock();
        let all = since == Revision::START || since.0 > state.revision;
        let changed = |when: &BTreeMap<TenantId, u64>, is_there: &dyn Fn(&TenantId) -> bool| {
            let wanted =
                |(tenant, at): &(&TenantId, &u64)| if all { is_there(tenant) } else { **at > since.0 };
            when.iter().filter(wanted).map(|(tenant, _)| tenant.clone()).collect()
        };
        let has_rules = |tenant: &TenantId| state.rules.values().any(|rule| rule.tenant == *tenant);
        Ok(Changes {
            revision: Revision(state.revision),
            all,
            budgets: changed(&state.budgets_changed, &|tenant| state.budgets.contains_key(tenant)),
            rules: changed(&state.rules_changed, &has_rules),
            unreadable: Vec::new(),
        })
    }

    fn budgets(&self) -> Result<Vec<TenantBudget>, MetadataError> {
        Ok(self.state.lock().budgets.values().cloned().collect())
    }

    fn budget(&self, tenant: &TenantId) -> Result<Option<TenantBudget>, MetadataError> {
        Ok(self.state.lock().budgets.get(tenant).cloned())
    }

    fn put_budget(
        &self,
        tenant: &TenantId,
        overrides: &Overrides,
        expected: Option<u64>,
        by: &Signature,
    ) -> Result<TenantBudget, MetadataError> {
        let mut state = self.state.lock();
        let subject = Subject::Limits { tenant: tenant.clone() };
        let before = state.budgets.get(tenant).cloned();
        subject.check_version(before.as_ref().map_or(0, |budget| budget.version), expected)?;
        let version = state.next_revision();
        let budget = TenantBudget {
            tenant: tenant.clone(),
            overrides: overrides.clone(),
            version,
            updated_by: by.who.clone(),
            updated_at: by.at,
        };
        state.log(&subject, before.as_ref().map(|budget| &budget.overrides), Some(overrides), by)?;
        state.budgets.insert(tenant.clone(), budget.clone());
        state.budgets_changed.insert(tenant.clone(), version);
        Ok(budget)
    }

    fn delete_budget(
        &self,
        tenant: &TenantId,
        expected: Option<u64>,
        by: &Signature,
    ) -> Result<(), MetadataError> {
        let mut state = self.state.lock();
        let subject = Subject::Limits { tenant: tenant.clone() };
        let before = state.budgets.get(tenant).cloned();
        let before = before.ok_or_else(|| MetadataError::NotFound { what: subject.clone() })?;
        subject.check_version(before.version, expected)?;
        state.log(&subject, Some(&before.overrides), None, by)?;
        let revision = state.next_revision();
        state.budgets.remove(tenant);
        state.budgets_changed.insert(tenant.clone(), revision);
        Ok(())
    }

    fn metrics(
        &self,
        tenant: &TenantId,
        query: &MetricQuery,
    ) -> Result<Vec<MetricDefinition>, MetadataError> {
        let state = self.state.lock();
        let of_tenant = state.metrics.values().filter(|metric| metric.tenant == *tenant);
        let after = |name: &str| query.after.as_deref().is_none_or(|after| name > after);
        let wanted = of_tenant.filter(|m| m.name.starts_with(&query.prefix) && after(&m.name));
        Ok(wanted.take(query.limit).cloned().collect())
    }

    fn metric(&self, tenant: &TenantId, name: &str) -> Result<Option<MetricDefinition>, MetadataError> {
        Ok(self.state.lock().metrics.get(&(tenant.clone(), name.to_owned())).cloned())
    }

    fn declare_metric(
        &self,
        tenant: &TenantId,
        name: &str,
        declaration: &Declaration,
        expected: Option<u64>,
        by: &Signature,
    ) -> Result<MetricDefinition, MetadataError> {
        declaration.check(name)?;
        let mut state = self.state.lock();
        let subject = Subject::Metric { tenant: tenant.clone(), name: name.to_owned() };
        let key = (tenant.clone(), name.to_owned());
        let known = state.metrics.get(&key).cloned();
        let version = known.as_ref().map_or(0, |metric| metric.version);
        subject.check_version(version, expected)?;
        let before = known.as_ref().filter(|metric| metric.version > 0).map(|metric| &metric.declared);
        state.log(&subject, before, Some(declaration), by)?;
        let mut metric = known.unwrap_or_else(|| MetricDefinition::unknown(tenant, name, by.at));
        metric.declare(declaration.clone());
        metric.version = version.saturating_add(1);
        metric.updated_at = by.at;
        state.metrics.insert(key, metric.clone());
        Ok(metric)
    }

    fn observe_metrics(
        &self,
        tenant: &TenantId,
        metrics: &[ObservedMetric],
        at: Timestamp,
    ) -> Result<(), MetadataError> {
        let mut state = self.state.lock();
        for observed in metrics.iter().filter_map(ObservedMetric::storable) {
            let key = (tenant.clone(), observed.name.clone());
            let fresh = || MetricDefinition::unknown(tenant, &observed.name, at);
            let metric = state.metrics.entry(key).or_insert_with(fresh);
            metric.observe(&observed);
            metric.updated_at = at;
        }
        Ok(())
    }

    fn rules(&self, tenant: &TenantId, status: Option<RuleStatus>) -> Result<RuleList, MetadataError> {
        let state = self.state.lock();
        let wanted = |rule: &&AlertRule| {
            rule.tenant == *tenant && status.is_none_or(|status| rule.spec.status == status)
        };
        let mut rules: Vec<AlertRule> = state.rules.values().filter(wanted).cloned().collect();
        rules.sort_by(|a, b| (&a.spec.group, &a.spec.name, a.id).cmp(&(&b.spec.group, &b.spec.name, b.id)));
        Ok(RuleList { rules, unreadable: Vec::new() })
    }

    fn rule(&self, tenant: &TenantId, id: RuleId) -> Result<Option<AlertRule>, MetadataError> {
        Ok(self.state.lock().own_rule(tenant, id).ok())
    }

    fn create_rule(
        &self,
        tenant: &TenantId,
        spec: &AlertRuleSpec,
        by: &Signature,
    ) -> Result<AlertRule, MetadataError> {
        spec.check()?;
        let mut state = self.state.lock();
        state.last_rule = state.last_rule.saturating_add(1);
        let id = RuleId(state.last_rule);
        let rule = AlertRule {
            id,
            tenant: tenant.clone(),
            spec: spec.clone(),
            version: 1,
            created_at: by.at,
            updated_at: by.at,
        };
        state.log(&rule_subject(tenant, id), None, Some(spec), by)?;
        state.rules.insert(id, rule.clone());
        let revision = state.next_revision();
        state.rules_changed.insert(tenant.clone(), revision);
        Ok(rule)
    }

    fn update_rule(
        &self,
        tenant: &TenantId,
        id: RuleId,
        spec: &AlertRuleSpec,
        expected: Option<u64>,
        by: &Signature,
    ) -> Result<AlertRule, MetadataError> {
        spec.check()?;
        let mut state = self.state.lock();
        let before = state.own_rule(tenant, id)?;
        rule_subject(tenant, id).check_version(before.version, expected)?;
        state.log(&rule_subject(tenant, id), Some(&before.spec), Some(spec), by)?;
        let rule = AlertRule {
            spec: spec.clone(),
            version: before.version.saturating_add(1),
            updated_at: by.at,
            ..before
        };
        state.rules.insert(id, rule.clone());
        let revision = state.next_revision();
        state.rules_changed.insert(tenant.clone(), revision);
        Ok(rule)
    }

    fn delete_rule(
        &self,
        tenant: &TenantId,
        id: RuleId,
        expected: Option<u64>,
        by: &Signature,
    ) -> Result<(), MetadataError> {
        let mut state = self.state.lock();
        let before = state.own_rule(tenant, id)?;
        rule_subject(tenant, id).check_version(before.version, expected)?;
        state.log(&rule_subject(tenant, id), Some(&before.spec), None, by)?;
        state.rules.remove(&id);
        state.alerts.retain(|key, _| key.rule != id);
        let revision = state.next_revision();
        state.rules_changed.insert(tenant.clone(), revision);
        Ok(())
    }

    fn alerts(&self, tenant: &TenantId) -> Result<Vec<AlertRecord>, MetadataError> {
        let state = self.state.lock();
        let own = |key: &AlertKey| state.own_rule(tenant, key.rule).is_ok();
        Ok(state.alerts.values().filter(|alert| own(&alert.key)).cloned().collect())
    }

    fn save_alerts(
        &self,
        tenant: &TenantId,
        changed: &[AlertRecord],
        gone: &[AlertKey],
    ) -> Result<(), MetadataError> {
        let mut state = self.state.lock();
        for alert in changed {
            if state.own_rule(tenant, alert.key.rule).is_ok() {
                state.alerts.insert(alert.key.clone(), alert.storable());
            }
        }
        for key in gone {
            if state.own_rule(tenant, key.rule).is_ok() {
                state.alerts.remove(key);
            }
        }
        Ok(())
    }

    fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, MetadataError> {
        let state = self.state.lock();
        let wanted = |entry: &&AuditEntry| {
            query.tenant.as_ref().is_none_or(|tenant| entry.tenant == *tenant)
                && query.before.is_none_or(|before| entry.id < before)
        };
        Ok(state.audit.iter().rev().filter(wanted).take(query.limit).cloned().collect())
    }
}
