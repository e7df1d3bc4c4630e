//! Grouping, repetition and inhibition for receivers that have no Alertmanager in front of them: a pure decision over
//! the alerts that are known, what the receiver was told of them, and the time.
//!
//! Kept as small as it can be and still not flood people. Alerts with equal values of some labels are one group. Its
//! first message waits for more alerts; a message with something new in it keeps a distance to the one before; a group
//! of which nothing is new is told again after a long time. An alert that fires can keep others back from their first
//! message; of one that was told the end is told too. All else (routes, silences, times of the day) is Alertmanager's.

use super::Notice;
use super::queue::{Entry, Queue};
use crate::config::{GroupingConfig, InhibitConfig};
use std::collections::{BTreeMap, BTreeSet};
use tsdb_core::{Labels, Timestamp};

/// Names and values of the labels that the alerts of a group share.
pub(super) type GroupKey = Vec<(String, String)>;

/// A message that is due: the alerts of one group.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) key: GroupKey,
    pub(super) members: Vec<Member>,
}

/// An alert in a message.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) entry: Entry,
    pub(super) firing: bool,
}

/// What is to be done now, and when to look again.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) due: Vec<Batch>,
    /// Alerts that are over and were never told of, or whose end is not told.
    pub(super) forgotten: Vec<Entry>,
    pub(super) next: Option<Timestamp>,
}

/// The rules of one receiver.
#[derive(Debug)]
pub(super) struct Grouping {
    pub(super) config: GroupingConfig,
    pub(super) inhibit: Vec<InhibitConfig>,
    /// When this server began to listen to its rules, ms: before, no alert could be renewed.
    pub(super) listening_since: Timestamp,
}

impl Grouping {
    /// What is to be done at `now` about the alerts in `queue`.
    pub(super) fn plan(&self, queue: &Queue, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let mut wake = |at: Timestamp| plan.next = Some(plan.next.map_or(at, |next| next.min(at)));
        let inhibiting = self.inhibiting(queue, now);
        let mut groups: BTreeMap<GroupKey, Vec<Member>> = BTreeMap::new();
        let mut forgotten = Vec::new();
        for entry in queue.iter() {
            let firing = self.fires(&entry.notice, now);
            let was_told = entry.told.is_some_and(|told| told.firing);
            if firing {
                wake(self.end(&entry.notice));
            }
            match (firing, was_told) {
                (false, false) => forgotten.push(entry.clone()),
                (false, true) if !self.config.send_resolved => forgotten.push(entry.clone()),
                (true, _) if self.is_inhibited(&entry.notice.labels, &inhibiting) => {}
                _ => groups
                    .entry(self.key(&entry.notice.labels))
                    .or_default()
                    .push(Member { entry: entry.clone(), firing }),
            }
        }
        let mut due = Vec::new();
        for (key, members) in groups {
            match self.due_at(&members) {
                at if at <= now => due.push(Batch { key, members }),
                at => wake(at),
            }
        }
        (plan.due, plan.forgotten) = (due, forgotten);
        plan
    }

    /// When the next message of a group with these members is due.
    fn due_at(&self, members: &[Member]) -> Timestamp {
        let is_told = |member: &Member| member.entry.told.is_some_and(|told| told.firing);
        let last = members.iter().filter_map(|member| member.entry.told.map(|told| told.at)).max();
        let is_new = members.iter().any(|member| member.firing != is_told(member));
        let Some(last) = last else {
            let first = members.iter().map(|member| member.entry.arrived).min().unwrap_or_default();
            return first.saturating_add(self.config.wait.as_signed_ms());
        };
        let distance = if is_new { self.config.interval } else { self.config.repeat };
        last.saturating_add(distance.as_signed_ms())
    }

    fn fires(&self, notice: &Notice, now: Timestamp) -> bool {
        !notice.resolved && now < self.end(notice)
    }

    /// Until when an alert is believed to fire. While this server was away nobody could renew it.
    fn end(&self, notice: &Notice) -> Timestamp {
        notice.ends_at.max(self.listening_since.saturating_add(notice.validity_ms()))
    }

    fn key(&self, labels: &Labels) -> GroupKey {
        if self.config.by == ["..."] {
            return labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        }
        let names: BTreeSet<&str> = self.config.by.iter().map(String::as_str).collect();
        let present =
            names.into_iter().filter_map(|name| Some((name.to_owned(), labels.get(name)?.to_owned())));
        present.collect()
    }

    /// By place of the rule, the values of its common labels in the alerts that fire and keep others back.
    fn inhibiting(&self, queue: &Queue, now: Timestamp) -> BTreeSet<(usize, Vec<String>)> {
        let mut found = BTreeSet::new();
        for (place, rule) in self.inhibit.iter().enumerate() {
            let sources = queue.iter().filter(|entry| {
                has_all(&entry.notice.labels, &rule.source) && self.fires(&entry.notice, now)
            });
            found.extend(sources.map(|entry| (place, values(&entry.notice.labels, &rule.equal))));
        }
        found
    }

    fn is_inhibited(&self, labels: &Labels, inhibiting: &BTreeSet<(usize, Vec<String>)>) -> bool {
        self.inhibit.iter().enumerate().any(|(place, rule)| {
            // What keeps others back by a rule is not kept back by it.
            has_all(labels, &rule.target)
                && !has_all(labels, &rule.source)
                && inhibiting.contains(&(place, values(labels, &rule.equal)))
        })
    }
}

fn has_all(labels: &Labels, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(name, value)| labels.get(name).unwrap_or_default() == value)
}

fn values(labels: &Labels, names: &[String]) -> Vec<String> {
    names.iter().map(|name| labels.get(name).unwrap_or_default().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::notice::tests::notice;
    use super::super::queue::{Bounds, Told};
    use super::*;
    use crate::Period;

    fn grouping() -> Grouping {
        let config = GroupingConfig {
            by: vec!["severity".to_owned()],
            wait: Period::from_secs(30),
            interval: Period::from_secs(300),
            repeat: Period::from_secs(3_600),
            send_resolved: true,
        };
        Grouping { config, inhibit: Vec::new(), listening_since: 0 }
    }

    fn queue(alerts: &[(&str, bool, Timestamp)]) -> Queue {
        let mut queue = Queue::new(Bounds { alerts: 100, bytes: 1 << 20 });
        for (name, resolved, at) in alerts {
            queue.push(notice(name, *resolved, *at), *at);
        }
        queue
    }

    fn tell_all(queue: &mut Queue, at: Timestamp) {
        let ids: Vec<_> = queue.iter().map(|entry| (entry.id, !entry.notice.resolved)).collect();
        ids.into_iter().for_each(|(id, firing)| queue.tell(id, Told { at, firing }));
    }

    fn told(plan: &Plan) -> Vec<Vec<(&str, bool)>> {
        let member = |m: &Member| (m.entry.notice.labels.get("alertname").unwrap().to_owned(), m.firing);
        let batches = plan.due.iter().map(|batch| batch.members.iter().map(member).collect::<Vec<_>>());
        let names = |(name, firing): (String, bool)| (&*name.leak(), firing);
        batches.map(|batch| batch.into_iter().map(names).collect()).collect()
    }

    #[test]
    fn the_first_message_of_a_group_waits_for_more_alerts() {
        let queue = queue(&[("a", false, 1_000), ("b", false, 9_000)]);
        let early = grouping().plan(&queue, 30_999);
        assert!(early.due.is_empty());
        assert_eq!(early.next, Some(31_000));
        assert_eq!(told(&grouping().plan(&queue, 31_000)), [[("a", true), ("b", true)]]);
    }

    #[test]
    fn a_message_with_something_new_keeps_its_distance_to_the_last() {
        let mut queue = queue(&[("a", false, 0)]);
        tell_all(&mut queue, 30_000);
        queue.push(notice("a", false, 200_000), 200_000);
        queue.push(notice("b", false, 200_000), 200_000);
        assert_eq!(grouping().plan(&queue, 200_000).next, Some(330_000));
        assert_eq!(told(&grouping().plan(&queue, 330_000)), [[("a", true), ("b", true)]]);
    }

    #[test]
    fn a_group_of_which_nothing_is_new_is_told_again_after_long() {
        let mut queue = queue(&[("a", false, 0)]);
        tell_all(&mut queue, 30_000);
        queue.push(notice("a", false, 3_600_000), 3_600_000);
        assert!(grouping().plan(&queue, 3_629_999).due.is_empty());
        assert_eq!(told(&grouping().plan(&queue, 3_630_000)), [[("a", true)]]);
    }

    #[test]
    fn the_end_is_told_of_an_alert_that_was_told_and_of_no_other() {
        let mut queue = queue(&[("a", false, 0)]);
        tell_all(&mut queue, 30_000);
        queue.push(notice("a", true, 400_000), 400_000);
        queue.push(notice("b", true, 400_000), 400_000);
        let plan = grouping().plan(&queue, 400_000);
        assert_eq!(told(&plan), [[("a", false)]]);
        assert_eq!(plan.forgotten.len(), 1);
        let mut silent = grouping();
        silent.config.send_resolved = false;
        let plan = silent.plan(&queue, 400_000);
        assert_eq!((plan.due.len(), plan.forgotten.len()), (0, 2));
    }

    #[test]
    fn an_alert_of_which_nothing_more_is_heard_is_over_but_not_for_our_own_absence() {
        let mut queue = queue(&[("a", false, 0)]);
        tell_all(&mut queue, 30_000);
        assert_eq!(told(&grouping().plan(&queue, 500_000)), [[("a", false)]]);
        let mut restarted = grouping();
        restarted.listening_since = 490_000;
        assert!(restarted.plan(&queue, 500_000).due.is_empty());
        assert_eq!(restarted.plan(&queue, 500_000).next, Some(490_000 + 240_000));
    }

    #[test]
    fn alerts_with_other_values_are_other_groups() {
        let mut apart = grouping();
        apart.config.by = vec!["alertname".to_owned(), "nothing".to_owned()];
        let queue = queue(&[("a", false, 0), ("b", false, 0)]);
        assert_eq!(told(&apart.plan(&queue, 30_000)).len(), 2);
        apart.config.by = vec!["...".to_owned()];
        assert_eq!(told(&apart.plan(&queue, 30_000)).len(), 2);
    }

    #[test]
    fn an_alert_that_fires_keeps_others_back_while_it_does() {
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let mut rule = grouping();
        rule.inhibit = vec![InhibitConfig {
            source: labels(&[("alertname", "a")]),
            target: labels(&[("severity", "page")]),
            equal: vec!["cluster".to_owned()],
        }];
        let mut queue = queue(&[("a", false, 0), ("b", false, 0)]);
        assert_eq!(told(&rule.plan(&queue, 30_000)), [[("a", true)]]);
        queue.push(notice("a", true, 31_000), 31_000);
        assert_eq!(told(&rule.plan(&queue, 31_000)), [[("b", true)]]);
    }
}
