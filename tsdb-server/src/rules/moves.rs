//! What becomes of the state of rules when groups are replaced by others: a rule that stays keeps it, one that is in
//! another group now takes it along, and of one that is no more the alerts that fire are over.
//!
//! That they are over is told at once. Prometheus says nothing of such alerts, so that receivers believe for minutes in
//! what nobody looks at any more. An alert that another rule makes too goes on.

use super::alert::{Alert, AlertState};
use super::entry::{Entry, Key};
use super::group::Group;
use super::running::Running;
use std::collections::{BTreeMap, VecDeque};
use tsdb_core::{TenantId, Timestamp};

/// What a rule keeps its state by: see [`Rule::identity`](super::rule::Rule::identity).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity(Option<i64>, bool, String, Vec<(String, String)>);

impl Identity {
    pub(super) fn of(running: &Running) -> Self {
        let (number, recording, name, labels) = running.rule().identity();
        Self(number, recording, name.to_owned(), labels.to_vec())
    }
}

/// A rule that is no more.
#[derive(Debug, Clone)]
pub(crate) struct Departed {
    /// Its number, if it came from the metadata store.
    pub(crate) number: Option<i64>,
    /// Its expression.
    #[cfg_attr(not(feature = "alert-delivery"), expect(dead_code, reason = "told to receivers"))]
    pub(crate) expr: String,
    /// The alerts that are over with it.
    #[cfg_attr(not(any(feature = "alert-delivery", test)), expect(dead_code, reason = "told to receivers"))]
    pub(crate) alerts: Vec<Alert>,
}

impl Departed {
    /// What is told of `running`, which is no more since `at`, while those of `others` go on.
    pub(super) fn of<'a>(
        running: &Running,
        at: Timestamp,
        others: impl Iterator<Item = &'a Group> + Clone,
    ) -> Self {
        let fires = |alert: &&Alert| alert.state == AlertState::Firing;
        let goes_on = |alert: &Alert| {
            let mut rules = others.clone().flat_map(Group::rules);
            rules.any(|rule| rule.alerts().of(&alert.labels).as_ref().is_some_and(fires))
        };
        let ending = running.alerts().iter().filter(|alert| fires(alert) && !goes_on(alert));
        let over = |alert: &Alert| Alert {
            state: AlertState::Inactive,
            resolved_at: Some(at),
            kept_since: None,
            ..alert.clone()
        };
        Self {
            number: running.rule().text().number,
            expr: running.rule().expr().to_string(),
            alerts: ending.map(over).collect(),
        }
    }
}

/// The rules that go from one group to another.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// Rules that have left their groups, with their groups.
    leaving: BTreeMap<(TenantId, Identity), VecDeque<(Key, Running)>>,
    /// What went from a group to others.
    went: BTreeMap<Key, Vec<Identity>>,
}

impl Moves {
    /// The group `key`, which is `before`, becomes `fresh`. Had it no turn yet, the state of its rules is sought where they go.
    pub(super) fn leave(&mut self, key: &Key, before: &Entry, fresh: Option<&Group>) {
        let rules = before.known().rules();
        for position in beyond(rules, fresh.map_or(&[], Group::rules)) {
            let Some(mut running) = rules.get(position).cloned() else { continue };
            if !before.restored {
                running.seek();
            }
            let of_rule = self.leaving.entry((key.0.clone(), Identity::of(&running))).or_default();
            of_rule.push_back((key.clone(), running));
        }
    }

    /// Rules of the group `key`, which was `before` and is `fresh`, that left another group bring their state.
    pub(super) fn arrive(&mut self, key: &Key, before: Option<&Group>, fresh: &mut Group) {
        if self.leaving.is_empty() {
            return;
        }
        for position in beyond(fresh.rules(), before.map_or(&[], Group::rules)) {
            let Some(running) = fresh.rules_mut().get_mut(position) else { continue };
            let identity = Identity::of(running);
            let left = self.leaving.get_mut(&(key.0.clone(), identity.clone()));
            if let Some((from, state)) = left.and_then(VecDeque::pop_front) {
                running.arrive(state);
                self.went.entry(from).or_default().push(identity);
            }
        }
    }

    /// What went from the group `key` to others.
    pub(super) fn went_from(&mut self, key: &Key) -> Vec<Identity> {
        self.went.remove(key).unwrap_or_default()
    }
}

/// Takes from `rules` those that are `went` to other groups.
pub(super) fn give_away(rules: &mut Vec<Running>, went: &[Identity]) {
    for identity in went {
        // Of several rules with one identity the first ones stayed.
        if let Some(position) = rules.iter().rposition(|rule| Identity::of(rule) == *identity) {
            rules.remove(position);
        }
    }
}

/// The positions of those of `rules` that have no counterpart among `others`. Of several rules with one identity the first
/// follows the first.
fn beyond(rules: &[Running], others: &[Running]) -> Vec<usize> {
    let mut counts: BTreeMap<Identity, usize> = BTreeMap::new();
    for other in others {
        let count = counts.entry(Identity::of(other)).or_default();
        *count = count.saturating_add(1);
    }
    let mut has_none = |running: &Running| match counts.get_mut(&Identity::of(running)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    rules.iter().enumerate().filter(|(_, running)| has_none(running)).map(|(position, _)| position).collect()
}
