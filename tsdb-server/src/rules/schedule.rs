//! When groups are evaluated: threads of their own, an interval for each group, and a place in the interval that
//! depends on its name, so that groups do not start all at once and start at the same places after a restart.
//!
//! Times of evaluation lie an interval apart and never go back, whatever the clock does: while the clock is behind the
//! last evaluation, the next follows an interval later by a timer. Evaluations that could not be made in time are left
//! out and counted. Whoever asks for the state of rules gets what was published after the last evaluation and waits for
//! none.

use super::group::{Evaluation, Group, World};
use super::restore::restore;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tsdb_core::time::Clock;
use tsdb_core::{Labels, METRIC_NAME, Timestamp};

/// A group as it was after its last evaluation.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) group: Group,
    /// Time between two evaluations, ms.
    pub(crate) interval_ms: i64,
    /// When the last evaluation was made, ms; `None` before the first.
    pub(crate) evaluated_at: Option<Timestamp>,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Evaluations of groups.
    pub(crate) iterations: u64,
    /// Evaluations that were left out because the one before took too long.
    pub(crate) missed: u64,
    /// Evaluations of rules.
    pub(crate) evaluations: u64,
    /// Evaluations of rules that failed.
    pub(crate) failures: u64,
    /// Samples stored.
    pub(crate) samples: u64,
}

/// What the groups share.
pub(crate) trait Surroundings: Send + Sync {
    /// Runs `work` with the world that the rules see and the store that they write.
    ///
    /// # Errors
    /// There is no such world at the moment; the reason is a sentence.
    fn with_world(
        &self,
        work: &mut dyn FnMut(&dyn World, &dyn tsdb_core::read::Queryable),
    ) -> Result<(), String>;

    /// What time it is.
    fn clock(&self) -> &dyn Clock;

    /// Told after each turn of a group at the time `at`, also of one that could not be evaluated and keeps its alerts:
    /// what of them is due is sent to receivers. Waits for none of them.
    fn evaluated(&self, group: &Group, at: Timestamp, interval_ms: i64);
}

/// Defaults for groups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    /// Time between two evaluations, ms.
    pub(crate) interval_ms: i64,
    /// Expressions are asked about so much earlier, ms.
    pub(crate) query_offset_ms: i64,
}

/// The groups and when they are due.
pub(crate) struct Schedule {
    defaults: Defaults,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By file and name.
    groups: BTreeMap<Key, Entry>,
    counts: Counts,
    stopping: bool,
}

type Key = (String, String);

/// A group in its turn.
struct Entry {
    /// Away while it is evaluated.
    group: Option<Group>,
    published: Arc<Published>,
    /// By the timer.
    due: Instant,
    /// The time that the next evaluation is for, ms.
    next: Timestamp,
    restored: bool,
    /// What to become when the evaluation under way is over.
    replacement: Option<Replacement>,
}

enum Replacement {
    By(Group),
    ByNothing,
}

impl Schedule {
    pub(crate) fn new(defaults: Defaults) -> Self {
        Self { defaults, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Every group as it was after its last evaluation, by file and name.
    pub(crate) fn published(&self) -> Vec<Arc<Published>> {
        self.state.lock().groups.values().map(|entry| Arc::clone(&entry.published)).collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state.lock().counts
    }

    /// Ends all [`run`](Self::run)s.
    pub(crate) fn stop(&self) {
        self.state.lock().stopping = true;
        self.changed.notify_all();
    }

    /// From now on these are the groups; those that were there before keep their state and their place in time.
    pub(crate) fn replace(&self, groups: Vec<Group>, now: Timestamp) {
        let mut state = self.state.lock();
        let mut groups: BTreeMap<Key, Group> = groups.into_iter().map(|group| (key(&group), group)).collect();
        let names: Vec<_> = state.groups.keys().cloned().collect();
        for name in names {
            let fresh = groups.remove(&name);
            let Some(entry) = state.groups.get_mut(&name) else { continue };
            // A group without rules gives its series stale markers at its last turn, and goes.
            let (group, replacement) = match fresh {
                Some(fresh) => (fresh.clone(), Replacement::By(fresh)),
                None => {
                    (Group::new(entry.published.group.settings().clone(), Vec::new()), Replacement::ByNothing)
                }
            };
            match entry.group.take() {
                Some(before) => {
                    let mut group = group;
                    group.take_over(before);
                    entry.group = Some(group);
                    entry.replacement = matches!(replacement, Replacement::ByNothing).then_some(replacement);
                }
                None => entry.replacement = Some(replacement),
            }
        }
        for (name, group) in groups {
            let interval_ms = self.interval_ms(&group);
            let next = slot_behind(now, interval_ms, offset_of(&name, interval_ms));
            let due = Instant::now() + milliseconds(next - now);
            let published = Arc::new(Published {
                group: group.clone(),
                interval_ms,
                evaluated_at: None,
                took: Duration::ZERO,
            });
            let entry =
                Entry { group: Some(group), published, due, next, restored: false, replacement: None };
            state.groups.insert(name, entry);
        }
        drop(state);
        self.changed.notify_all();
    }

    fn interval_ms(&self, group: &Group) -> i64 {
        group.settings().interval.map_or(self.defaults.interval_ms, |interval| interval.as_signed_ms()).max(1)
    }

    /// Evaluates groups as they are due until [`stop`](Self::stop). Several threads may do so.
    pub(crate) fn run(&self, surroundings: &dyn Surroundings) {
        while let Some((name, group, at, restored)) = self.take_due() {
            self.turn(surroundings, name, group, at, restored);
        }
    }

    /// Waits for a group that is due and takes it; `None` when all is over.
    fn take_due(&self) -> Option<(Key, Group, Timestamp, bool)> {
        let mut state = self.state.lock();
        loop {
            if state.stopping {
                return None;
            }
            let waiting = state.groups.iter().filter(|(_, entry)| entry.group.is_some());
            let first =
                waiting.min_by_key(|(_, entry)| entry.due).map(|(name, entry)| (name.clone(), entry.due));
            let Some((name, due)) = first else {
                self.changed.wait(&mut state);
                continue;
            };
            if due > Instant::now() {
                self.changed.wait_until(&mut state, due);
                continue;
            }
            let entry = state.groups.get_mut(&name)?;
            let group = entry.group.take()?;
            return Some((name, group, entry.next, entry.restored));
        }
    }

    /// Evaluates `group` for the time `at` and puts it back.
    fn turn(
        &self,
        surroundings: &dyn Surroundings,
        name: Key,
        mut group: Group,
        at: Timestamp,
        restored: bool,
    ) {
        let started = Instant::now();
        let mut done = None;
        let outcome = surroundings.with_world(&mut |world, store| {
            if !restored && let Err(error) = restore(&mut group, store, at) {
                log::warn!("group {}: alerts from before cannot be read: {error}", name.1);
            }
            done = Some(group.evaluate(at, self.defaults.query_offset_ms, world));
        });
        if let Err(reason) = &outcome {
            log::warn!("group {} was not evaluated: {reason}", name.1);
        }
        surroundings.evaluated(&group, at, self.interval_ms(&group));
        let took = started.elapsed();
        self.put_back(name, group, at, took, done, surroundings.clock().now());
        self.changed.notify_all();
    }

    fn put_back(
        &self,
        name: Key,
        mut group: Group,
        at: Timestamp,
        took: Duration,
        done: Option<Evaluation>,
        now: Timestamp,
    ) {
        let mut state = self.state.lock();
        let state = &mut *state;
        state.counts.iterations += 1;
        if let Some(done) = &done {
            state.counts.evaluations += group.rules().len() as u64;
            state.counts.failures += done.failed as u64;
            state.counts.samples += done.samples as u64;
        }
        let Some(entry) = state.groups.get_mut(&name) else { return };
        match entry.replacement.take() {
            Some(Replacement::By(mut fresh)) => {
                fresh.take_over(group);
                group = fresh;
            }
            Some(Replacement::ByNothing) if group.rules().is_empty() => {
                state.groups.remove(&name);
                return;
            }
            Some(Replacement::ByNothing) => {
                let mut fresh = Group::new(group.settings().clone(), Vec::new());
                fresh.take_over(group);
                group = fresh;
                entry.replacement = Some(Replacement::ByNothing);
            }
            None => {}
        }
        let interval_ms = self.interval_ms(&group);
        let (next, wait, missed) = following(at, now, interval_ms, offset_of(&name, interval_ms));
        state.counts.missed += missed;
        (entry.next, entry.due) = (next, Instant::now() + wait);
        entry.restored |= done.is_some();
        let evaluated_at = if done.is_some() { Some(at) } else { entry.published.evaluated_at };
        entry.published = Arc::new(Published { group: group.clone(), interval_ms, evaluated_at, took });
        entry.group = Some(group);
    }
}

fn key(group: &Group) -> Key {
    (group.settings().file.clone(), group.settings().name.clone())
}

/// Where in its interval a group is evaluated, ms: the same after every restart.
fn offset_of((file, name): &Key, interval_ms: i64) -> i64 {
    let identity = Labels::from_pairs([(METRIC_NAME, name.as_str()), ("file", file.as_str())]);
    let hash = identity.map_or(0, |labels| labels.stable_hash());
    i64::try_from(hash % interval_ms.unsigned_abs()).unwrap_or(0)
}

/// The first slot behind `time`.
fn slot_behind(time: Timestamp, interval_ms: i64, offset: i64) -> Timestamp {
    let past = (time - offset).rem_euclid(interval_ms);
    time - past + interval_ms
}

/// The time of the evaluation that follows the one for `at`, how long to wait for it, and how many were missed.
fn following(at: Timestamp, now: Timestamp, interval_ms: i64, offset: i64) -> (Timestamp, Duration, u64) {
    let next = slot_behind(at, interval_ms, offset);
    if next > now {
        // Not longer than the interval, even if the clock went back.
        return (next, milliseconds((next - now).min(interval_ms)), 0);
    }
    let latest = slot_behind(now, interval_ms, offset) - interval_ms;
    (latest, Duration::ZERO, u64::try_from((latest - next) / interval_ms).unwrap_or(0))
}

fn milliseconds(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluations_lie_an_interval_apart_at_a_place_of_the_group() {
        let (interval, offset) = (15_000, 4_000);
        assert_eq!(slot_behind(0, interval, offset), 4_000);
        assert_eq!(slot_behind(4_000, interval, offset), 19_000);
        assert_eq!(following(4_000, 4_500, interval, offset), (19_000, milliseconds(14_500), 0));
    }

    #[test]
    fn what_cannot_be_made_in_time_is_left_out_and_counted() {
        assert_eq!(
            following(4_000, 19_001, 15_000, 4_000),
            (19_000, Duration::ZERO, 0),
            "late, but not too late"
        );
        assert_eq!(following(4_000, 70_000, 15_000, 4_000), (64_000, Duration::ZERO, 3));
    }

    #[test]
    fn a_clock_that_goes_back_repeats_nothing() {
        let (next, wait, missed) = following(1_000_000_000, 5_000, 15_000, 0);
        assert!(next > 1_000_000_000 && wait == milliseconds(15_000) && missed == 0);
    }
}
