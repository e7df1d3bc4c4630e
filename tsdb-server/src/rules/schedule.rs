//! When groups are evaluated: threads of their own, an interval for each group, and a place in the interval that
//! depends on its name, so that groups do not start all at once and start at the same places after a restart.
//!
//! [Pace](super::pace) decides what is due; here are the threads and the state that they share. Whoever asks for the state
//! of rules gets what was published after the last evaluation and waits for none. An evaluation that fails inside costs
//! its group that evaluation: the group goes on as it was published last.

use super::counts::{Counts, Done};
use super::entry::{Defaults, Entry, Key, Published, Replacement, interval_ms, key, terms};
use super::group::{Evaluation, Group, Pass, World};
use super::moves::{Departed, Identity, Moves};
use super::pace::{Data, Pace};
use super::restore::restore;
use super::running::{Mode, Running};
use super::watermark::{Moment, Progress, Standard};
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tsdb_core::read::Queryable;
use tsdb_core::{TenantId, Timestamp};

/// What the groups share.
pub(crate) trait Surroundings: Send + Sync {
    /// Runs `work` with the world that the rules of `tenant` see and the store that they write.
    ///
    /// # Errors
    /// There is no such world at the moment; the reason is a sentence.
    fn with_world(
        &self,
        tenant: &TenantId,
        work: &mut dyn FnMut(&dyn World, &dyn Queryable),
    ) -> Result<(), String>;

    /// Has the data of `tenant` come up to `until`?
    fn progress(&self, tenant: &TenantId, until: Timestamp, standard: Standard) -> Progress;

    /// Do those who send the data of `tenant` think that the clock is right?
    fn agrees(&self, tenant: &TenantId) -> bool;

    /// Takes up what is known of the alerts of `group` from before the start, besides its series.
    fn recall(&self, tenant: &TenantId, group: &mut Group);

    /// Takes note of the state of `group` after an evaluation; never waits.
    fn remember(&self, tenant: &TenantId, group: &Group);

    /// Takes the alerts of `group` to their receivers; never waits. See [`AlertSink`](super::AlertSink).
    fn deliver(&self, tenant: &TenantId, group: &Group, at: Timestamp, interval_ms: i64);

    /// Rules of `tenant` are no more: takes the end of their alerts to their receivers; never waits.
    fn departed(&self, tenant: &TenantId, rules: &[Departed], at: Timestamp);

    /// What time it is.
    fn moment(&self) -> Moment;
}

/// The groups and when they are due.
pub(crate) struct Schedule {
    defaults: Defaults,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    groups: BTreeMap<Key, Entry>,
    counts: Counts,
    stopping: bool,
}

/// A turn that takes so long hangs, ms.
const HANGS_MS: i64 = 500;
/// A group that has been due for so long is late for want of threads, ms.
const LATE_MS: i64 = 200;

/// A group that is looked at.
struct Taken {
    key: Key,
    group: Group,
    pace: Pace,
    restored: bool,
}

impl Schedule {
    pub(crate) fn new(defaults: Defaults) -> Self {
        Self { defaults, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Every group as it was after its last evaluation, by tenant, file and name; all of what [`replace`](Self::replace) did
    /// last or nothing of it.
    pub(crate) fn published(&self) -> Vec<Arc<Published>> {
        let state = self.state.lock();
        let staying = state.groups.values().filter(|entry| !entry.goes());
        staying.map(|entry| Arc::clone(&entry.published)).collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state.lock().counts.clone()
    }

    /// Is it to end?
    pub(crate) fn is_stopping(&self) -> bool {
        self.state.lock().stopping
    }

    /// Ends all [`run`](Self::run)s.
    pub(crate) fn stop(&self) {
        self.state.lock().stopping = true;
        self.changed.notify_all();
    }

    /// From now on `groups` are the groups of those for which `replaces` holds; those that were there before keep their
    /// state and their place in time, and rules that go from one to another their state.
    pub(crate) fn replace(
        &self,
        groups: Vec<(TenantId, Group)>,
        replaces: impl Fn(&TenantId, &Group) -> bool,
        surroundings: &dyn Surroundings,
    ) {
        let moment = surroundings.moment();
        let mut state = self.state.lock();
        let groups = groups.into_iter().map(|(tenant, group)| (key(&tenant, &group), group));
        let mut groups: BTreeMap<Key, Group> = groups.collect();
        let old = state.groups.iter().filter(|(_, entry)| {
            let published = &entry.published;
            replaces(&published.tenant, &published.group)
        });
        let names: Vec<_> = old.map(|(name, _)| name.clone()).collect();
        let mut moves = Moves::default();
        let old = names.iter().filter_map(|name| state.groups.get_key_value(name));
        // A group in its first turn knows the state of its rules after that.
        for (name, entry) in old.filter(|(_, entry)| entry.restored || entry.group.is_some()) {
            moves.leave(name, entry, groups.get(name));
        }
        for (name, group) in &mut groups {
            moves.arrive(name, state.groups.get(name).map(Entry::known), group);
        }
        let numbers = |group: &Group| -> Vec<i64> {
            group.rules().iter().filter_map(|running| running.rule().text().number).collect()
        };
        let stay: BTreeSet<(TenantId, i64)> = groups
            .iter()
            .flat_map(|(name, group)| numbers(group).into_iter().map(|number| (name.0.clone(), number)))
            .collect();
        let mut departed: BTreeMap<TenantId, Vec<Running>> = BTreeMap::new();
        for name in names {
            let fresh = groups.remove(&name);
            if let Some(entry) = state.groups.get_mut(&name) {
                let replacement = Replacement::new(fresh, moves.went_from(&name));
                let mut gone = entry.become_group(replacement, self.defaults);
                // One that goes elsewhere before it was restored is restored there, by its number.
                let number = |rule: &Running| rule.rule().text().number;
                gone.retain(|rule| {
                    number(rule).is_none_or(|number| !stay.contains(&(name.0.clone(), number)))
                });
                departed.entry(name.0).or_default().extend(gone);
            }
        }
        for (name, group) in groups {
            let entry = Entry::new(&name, group, self.defaults, moment);
            state.groups.insert(name, entry);
        }
        departed.retain(|_, rules| !rules.is_empty());
        let told = |(tenant, rules): (TenantId, Vec<Running>)| {
            let rules = state.departed(&tenant, &rules, moment.now);
            (tenant, rules)
        };
        let told: Vec<_> = departed.into_iter().map(told).collect();
        drop(state);
        self.changed.notify_all();
        told.iter().for_each(|(tenant, rules)| surroundings.departed(tenant, rules, moment.now));
    }

    /// Evaluates groups as they are due until [`stop`](Self::stop). Several threads may do so.
    pub(crate) fn run(&self, surroundings: &dyn Surroundings) {
        while let Some(taken) = self.take_due(surroundings) {
            self.turn(surroundings, taken);
        }
    }

    /// Must another thread help? So it is if a group has been due for a while and of `threads` threads not all are at work,
    /// apart from those that hang in a group.
    pub(crate) fn needs_help(&self, threads: usize, moment: Moment) -> bool {
        let state = self.state.lock();
        let since = |ms: i64| moment.monotonic_ms.saturating_sub(ms);
        let (waiting, under_way): (Vec<_>, Vec<_>) =
            state.groups.values().partition(|entry| entry.group.is_some());
        let at_work = under_way.iter().filter(|entry| since(entry.began_ms) < HANGS_MS).count();
        let is_late = waiting.iter().any(|entry| since(entry.pace.look_ms()) >= LATE_MS);
        is_late && at_work < threads && !state.stopping
    }

    /// Evaluates what is due at this moment and waits for nothing.
    pub(crate) fn run_due(&self, surroundings: &dyn Surroundings) {
        loop {
            let mut state = self.state.lock();
            if state.stopping {
                return;
            }
            let taken = state.take_due(surroundings.moment());
            drop(state);
            match taken {
                Ok(taken) => self.turn(surroundings, taken),
                Err(_) => return,
            }
        }
    }

    /// Waits for a group that is due and takes it; `None` when all is over.
    fn take_due(&self, surroundings: &dyn Surroundings) -> Option<Taken> {
        let mut state = self.state.lock();
        loop {
            if state.stopping {
                return None;
            }
            match state.take_due(surroundings.moment()) {
                Ok(taken) => return Some(taken),
                Err(Some(wait)) => {
                    self.changed.wait_for(&mut state, wait);
                }
                Err(None) => self.changed.wait(&mut state),
            }
        }
    }

    /// Does with a group what is to be done, and puts it back.
    fn turn(&self, surroundings: &dyn Surroundings, mut taken: Taken) {
        let started = Instant::now();
        let backup = taken.group.clone();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.evaluate(surroundings, &mut taken)));
        let mut done = outcome.unwrap_or_else(|_| {
            log::error!("group {}: the evaluation failed inside", taken.key.2);
            taken.group = backup;
            Some(Done { mode: Mode::Current, at: surroundings.moment().now, ..Done::default() })
        });
        let moment = surroundings.moment();
        let took = started.elapsed();
        let is_followed = done.as_ref().is_some_and(|done| done.mode == Mode::CatchUp);
        if taken.restored && !is_followed {
            let interval_ms = interval_ms(&taken.group, self.defaults);
            surroundings.deliver(&taken.key.0, &taken.group, moment.now, interval_ms);
        }
        if let Some(done) = &mut done {
            done.took = took;
            let took_ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
            let terms = terms(&taken.key, &taken.group, self.defaults);
            let (missed, unknown_ms) = taken.pace.done(took_ms, terms, moment);
            taken.group.miss(unknown_ms);
            done.missed = missed;
            surroundings.remember(&taken.key.0, &taken.group);
        }
        let tenant = taken.key.0.clone();
        let departed = self.put_back(taken, done, moment.now);
        self.changed.notify_all();
        if !departed.is_empty() {
            surroundings.departed(&tenant, &departed, moment.now);
        }
    }

    /// `None` if it is not time yet or there is nothing to evaluate with.
    fn evaluate(&self, surroundings: &dyn Surroundings, taken: &mut Taken) -> Option<Done> {
        if !taken.restored {
            taken.group.seek();
        }
        if !taken.restored || taken.group.is_seeking() {
            if !self.restore(surroundings, taken) {
                taken.pace.put_off(surroundings.moment());
                return None;
            }
            taken.restored = true;
            taken.group.settle();
        }
        let moment = surroundings.moment();
        let (tenant, group) = (&taken.key.0, &mut taken.group);
        let of_group = OfGroup { surroundings, tenant, offset: group.offset(self.defaults.query_offset_ms) };
        let late_ms = taken.pace.overdue_ms(moment);
        let turn = taken.pace.turn(terms(&taken.key, group, self.defaults), moment, &of_group);
        if turn.moved_back_ms != 0 {
            group.move_back(turn.moved_back_ms);
        }
        group.miss(turn.unknown_ms);
        let (at, mode) = turn.evaluate?;
        let mut evaluation = Evaluation::default();
        let pass = Pass {
            at,
            default_offset: self.defaults.query_offset_ms,
            limit: self.defaults.limit,
            history: self.defaults.history,
            mode,
        };
        let outcome =
            surroundings.with_world(tenant, &mut |world, _| evaluation = group.evaluate(pass, world));
        let failed = outcome.is_err();
        if let Err(reason) = outcome {
            log::warn!("group {} was not evaluated: {reason}", taken.key.2);
        }
        Some(Done { at, mode, evaluation, late_ms, failed, ..Done::default() })
    }

    /// Takes up what is known from before the start. `false` to try again, since what is there cannot all be read yet.
    fn restore(&self, surroundings: &dyn Surroundings, taken: &mut Taken) -> bool {
        let moment = surroundings.moment();
        let group = &mut taken.group;
        let (now, catch_up_ms) = (moment.now, self.defaults.catch_up_ms);
        let mut restored = Ok(None);
        let outcome = surroundings
            .with_world(&taken.key.0, &mut |_, store| restored = restore(group, store, now, catch_up_ms));
        let outcome = outcome.and_then(|()| restored.map_err(|error| error.to_string()));
        surroundings.recall(&taken.key.0, &mut taken.group);
        match outcome {
            Ok(last) => {
                let terms = terms(&taken.key, &taken.group, self.defaults);
                let last = last.into_iter().chain(taken.group.last_evaluation()).max();
                if let Some(last) = last {
                    taken.pace.take_up(last, terms, moment);
                }
                true
            }
            Err(reason) => {
                let gives_up = taken.pace.overdue_ms(moment) >= self.defaults.max_wait_ms;
                if gives_up {
                    log::warn!("group {}: not all alerts from before can be read: {reason}", taken.key.2);
                }
                gives_up
            }
        }
    }

    /// Answers the rules that went while it was evaluated.
    fn put_back(&self, taken: Taken, done: Option<Done>, now: Timestamp) -> Vec<Departed> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Taken { key, group, pace, restored } = taken;
        if let Some(done) = &done {
            state.counts.add(done, group.rules().len());
        }
        let Some(entry) = state.groups.get_mut(&key) else { return Vec::new() };
        if entry.replacement.as_ref().is_some_and(|to| to.ends(&group)) && entry.came.is_empty() {
            state.groups.remove(&key);
            return Vec::new();
        }
        let mut departed = entry.evaluated(group, self.defaults);
        let mut group = entry.group.take().unwrap_or_else(|| entry.published.group.clone());
        state.hand_over(&key, &mut group, &mut departed);
        let Some(entry) = state.groups.get_mut(&key) else { return Vec::new() };
        (entry.pace, entry.restored) = (pace, restored);
        entry.publish(&group, self.defaults);
        if let Some(done) = done {
            let published = Arc::make_mut(&mut entry.published);
            (published.evaluated_at, published.took, published.mode) = (Some(done.at), done.took, done.mode);
        }
        entry.group = Some(group);
        if departed.is_empty() { Vec::new() } else { state.departed(&key.0, &departed, now) }
    }
}

impl State {
    /// The first group that is due; otherwise how long to wait for one, if there is one.
    fn take_due(&mut self, moment: Moment) -> Result<Taken, Option<Duration>> {
        let waiting = self.groups.iter_mut().filter(|(_, entry)| entry.group.is_some());
        let (key, entry) = waiting.min_by_key(|(_, entry)| entry.pace.look_ms()).ok_or(None)?;
        let wait = entry.pace.look_ms().saturating_sub(moment.monotonic_ms);
        if wait > 0 {
            return Err(Some(Duration::from_millis(wait.unsigned_abs())));
        }
        entry.began_ms = moment.monotonic_ms;
        let group = entry.group.take().ok_or(None)?;
        Ok(Taken { key: key.clone(), group, pace: entry.pace, restored: entry.restored })
    }

    /// Of `departed`, rules that left the group `key` while it was evaluated, those that are in other groups now take their
    /// state along, if it is not there yet. Their state was not known when they left if that was the first turn of the group.
    fn hand_over(&mut self, key: &Key, group: &mut Group, departed: &mut Vec<Running>) {
        departed.retain(|rule| {
            let identity = Identity::of(rule);
            let others = self.groups.iter_mut().filter(|(name, _)| name.0 == key.0 && *name != key);
            let mut heirs = others.map(|(_, entry)| entry).filter(|entry| entry.has(&identity)).peekable();
            let departs = heirs.peek().is_none();
            if !departs {
                group.disown(rule);
            }
            if rule.is_settled()
                && let Some(heir) = heirs.find(|entry| entry.awaits(&identity))
            {
                heir.receive(rule.clone());
            }
            departs
        });
    }

    /// What is told of `rules` of `tenant`, which are no more.
    fn departed(&self, tenant: &TenantId, rules: &[Running], now: Timestamp) -> Vec<Departed> {
        let of_tenant = self.groups.iter().filter(|((of, _, _), _)| of == tenant);
        let groups = of_tenant.map(|(_, entry)| entry.known());
        rules.iter().map(|running| Departed::of(running, now, groups.clone())).collect()
    }
}

/// The data that the rules of a group ask about.
struct OfGroup<'a> {
    surroundings: &'a dyn Surroundings,
    tenant: &'a TenantId,
    offset: i64,
}

impl Data for OfGroup<'_> {
    fn progress(&self, at: Timestamp, standard: Standard) -> Progress {
        self.surroundings.progress(self.tenant, at.saturating_sub(self.offset), standard)
    }

    fn agrees(&self) -> bool {
        self.surroundings.agrees(self.tenant)
    }
}
