//! A group in its turn: with its state as it is evaluated next, as readers are told of it, and its place in time.

use super::group::Group;
use super::moves::{Identity, give_away};
use super::pace::{Pace, Terms};
use super::running::{Mode, Running};
use super::watermark::Moment;
use std::sync::Arc;
use std::time::Duration;
use tsdb_core::{Labels, METRIC_NAME, TenantId, Timestamp};

/// A group as it was after its last evaluation, or after its rules were changed since.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    /// Whose rules they are.
    pub(crate) tenant: TenantId,
    pub(crate) group: Group,
    /// Time between two evaluations, ms.
    pub(crate) interval_ms: i64,
    /// What time the last evaluation was made for, ms; `None` before the first.
    pub(crate) evaluated_at: Option<Timestamp>,
    /// How long it took.
    pub(crate) took: Duration,
    /// How the last evaluation stood to the data.
    pub(crate) mode: Mode,
}

/// What holds for all groups, unless they say otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    /// Time between two evaluations, ms.
    pub(crate) interval_ms: i64,
    /// Expressions are asked about so much earlier, ms.
    pub(crate) query_offset_ms: i64,
    /// How long an evaluation waits for samples, ms.
    pub(crate) max_wait_ms: i64,
    /// How far back evaluations are made up for, ms.
    pub(crate) catch_up_ms: i64,
    /// The most series or alerts of a rule; 0 for any number.
    pub(crate) limit: usize,
    /// Evaluations of each rule that are remembered.
    pub(crate) history: usize,
}

/// Tenant, file and name.
pub(super) type Key = (TenantId, String, String);

/// A group in its turn.
pub(super) struct Entry {
    /// Away while it is evaluated.
    pub(super) group: Option<Group>,
    pub(super) published: Arc<Published>,
    pub(super) pace: Pace,
    pub(super) restored: bool,
    /// When its turn under way began, by the clock that is never set, ms.
    pub(super) began_ms: i64,
    /// What to become when the evaluation under way is over.
    pub(super) replacement: Option<Replacement>,
    /// States of its rules that are known since the evaluation under way began.
    pub(super) came: Vec<Running>,
}

/// What a group becomes.
pub(super) struct Replacement {
    /// `None` to go.
    pub(super) by: Option<Group>,
    /// Rules that went to other groups.
    pub(super) went: Vec<Identity>,
}

impl Replacement {
    pub(super) const fn new(by: Option<Group>, went: Vec<Identity>) -> Self {
        Self { by, went }
    }

    /// Is there nothing left to do for `group` but to go?
    pub(super) fn ends(&self, group: &Group) -> bool {
        self.by.is_none() && group.rules().is_empty()
    }

    /// What becomes of `before`, and its rules that are no more.
    fn replace(&self, mut before: Group) -> (Group, Vec<Running>) {
        before.give_away(&self.went);
        // A group without rules gives its series stale markers at its last turn, and goes.
        let nothing = || Group::new(before.settings().clone(), Vec::new());
        let mut group = self.by.clone().unwrap_or_else(nothing);
        let departed = group.take_over(before);
        (group, departed)
    }
}

impl Entry {
    pub(super) fn new(key: &Key, group: Group, defaults: Defaults, moment: Moment) -> Self {
        let terms = terms(key, &group, defaults);
        let published = Arc::new(Published {
            tenant: key.0.clone(),
            group: group.clone(),
            interval_ms: terms.interval_ms,
            evaluated_at: None,
            took: Duration::ZERO,
            mode: Mode::Current,
        });
        let pace = Pace::begin(terms, moment);
        Self {
            group: Some(group),
            published,
            pace,
            restored: false,
            began_ms: 0,
            replacement: None,
            came: Vec::new(),
        }
    }

    /// As it is known best.
    pub(super) fn known(&self) -> &Group {
        self.group.as_ref().unwrap_or(&self.published.group)
    }

    /// Has it a rule that is `identity`?
    pub(super) fn has(&self, identity: &Identity) -> bool {
        self.known().rules().iter().any(|rule| Identity::of(rule) == *identity)
    }

    /// Is the state of its rule `identity` from before not known?
    pub(super) fn awaits(&self, identity: &Identity) -> bool {
        self.known().rules().iter().any(|rule| !rule.is_settled() && Identity::of(rule) == *identity)
    }

    /// The state of a rule that was another group's until it became one of this.
    pub(super) fn receive(&mut self, state: Running) {
        Arc::make_mut(&mut self.published).group.receive(state.clone());
        match &mut self.group {
            Some(group) => {
                group.receive(state);
            }
            None => self.came.push(state),
        }
    }

    /// Does it go after its last turn?
    pub(super) fn goes(&self) -> bool {
        self.replacement.as_ref().is_some_and(|replacement| replacement.by.is_none())
    }

    /// Becomes another group, or goes. Answers the rules that are no more; those of a group that is evaluated are known after
    /// that.
    pub(super) fn become_group(&mut self, mut replacement: Replacement, defaults: Defaults) -> Vec<Running> {
        let Some(before) = self.group.take() else {
            let (shown, _) = replacement.replace(self.published.group.clone());
            self.publish(&shown, defaults);
            if let Some(Replacement { by, went }) = self.replacement.take() {
                // What came with it from other groups has its state from nowhere else.
                self.came.extend(by.iter().flat_map(Group::rules).filter(|rule| rule.has_past()).cloned());
                give_away(&mut self.came, &replacement.went);
                replacement.went.splice(..0, went);
            }
            self.replacement = Some(replacement);
            return Vec::new();
        };
        let (group, departed) = replacement.replace(before);
        self.publish(&group, defaults);
        self.group = Some(group);
        self.replacement = replacement.by.is_none().then(|| Replacement::new(None, Vec::new()));
        departed
    }

    /// `group` is what the evaluation under way left of it. Answers the rules that are no more since it began.
    pub(super) fn evaluated(&mut self, group: Group, defaults: Defaults) -> Vec<Running> {
        self.group = Some(group);
        let replacement = self.replacement.take();
        let mut departed =
            replacement.map(|replacement| self.become_group(replacement, defaults)).unwrap_or_default();
        let came = std::mem::take(&mut self.came);
        departed.extend(came.into_iter().filter_map(|rule| self.group.as_mut()?.receive(rule)));
        departed
    }

    /// Readers are told of `group` from now on.
    pub(super) fn publish(&mut self, group: &Group, defaults: Defaults) {
        let published = Arc::make_mut(&mut self.published);
        (published.group, published.interval_ms) = (group.clone(), interval_ms(group, defaults));
    }
}

pub(super) fn key(tenant: &TenantId, group: &Group) -> Key {
    (tenant.clone(), group.settings().file.clone(), group.settings().name.clone())
}

pub(super) fn interval_ms(group: &Group, defaults: Defaults) -> i64 {
    group.settings().interval.map_or(defaults.interval_ms, |interval| interval.as_signed_ms()).max(1)
}

pub(super) fn terms(key: &Key, group: &Group, defaults: Defaults) -> Terms {
    let interval_ms = interval_ms(group, defaults);
    Terms {
        interval_ms,
        place_ms: place_of(key, interval_ms),
        max_wait_ms: defaults.max_wait_ms,
        catch_up_ms: defaults.catch_up_ms,
    }
}

/// Where in its interval a group is evaluated, ms: the same after every restart.
fn place_of((_, file, name): &Key, interval_ms: i64) -> i64 {
    let identity = Labels::from_pairs([(METRIC_NAME, name.as_str()), ("file", file.as_str())]);
    let hash = identity.map_or(0, |labels| labels.stable_hash());
    i64::try_from(hash % interval_ms.unsigned_abs()).unwrap_or(0)
}
