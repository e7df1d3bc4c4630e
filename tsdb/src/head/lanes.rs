//! Samples of the log into pages, on all cores.
//!
//! Whoever reads the log collects samples in batches. Each batch goes to every lane, and a lane takes the samples of
//! its pages alone: those of one series are taken by one thread, in the order of the log. A lane locks one page at a
//! time and nothing else, and keeps none between batches, so it never waits for a query that waits for it.
//!
//! A small log is taken by the thread that reads it: the others are started when there is something to do for them.
//!
//! The labels of new series go into the index beside that: see [`indexer`](super::indexer).

use super::held::Held;
use super::indexer::Indexer;
use super::late::{Generation, LateSample};
use super::mixed::Value;
use super::pages::{PAGE, page_number, slot};
use super::sealed::Sealer;
use super::{Duplicates, Head, Memory};
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::MutexGuard;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, Scope, available_parallelism};
use tsdb_core::{Labels, NO_START, SeriesRef, Timestamp};

/// Samples after which a batch is handed over.
pub(super) const BATCH_SAMPLES: usize = 1 << 12;
/// Samples after which the threads are started.
const LANES_FROM: usize = BATCH_SAMPLES;
/// Batches that may wait for a lane.
pub(super) const BATCHES_WAITING: usize = 16;
/// More threads would mostly look at samples of others.
const MAX_LANES: usize = 8;

/// Samples that are taken in the same way.
#[derive(Debug, Default)]
pub(super) struct Batch {
    runs: Vec<Run>,
    /// The values of all runs, one behind the other.
    values: Vec<f64>,
    pub(super) others: Vec<Other>,
    /// The oldest time that is taken; `None` if no sample is.
    pub(super) from: Option<Timestamp>,
    /// The generation, if they are late ones.
    pub(super) late: Option<Generation>,
}

/// Numbers without start timestamps, of one time and of neighbouring series.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: SeriesRef,
    timestamp: Timestamp,
    count: u32,
}

/// A number without a start timestamp.
type Number = (SeriesRef, Timestamp, f64);
/// A sample of any kind, and when its counting began.
pub(super) type Other = (SeriesRef, Timestamp, Value, Timestamp);

/// All threads that take samples.
pub(super) struct Lanes<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    /// Takes the samples as long as there are no threads.
    own: Lane<'env>,
    threads: Vec<Sender<Job>>,
    /// Samples so far.
    taken: usize,
    is_started: bool,
    /// Batches that were taken, to be filled again: memory that goes back and forth between threads is expensive.
    spare: Receiver<Batch>,
    spent: Sender<Batch>,
    /// May samples be on their way?
    is_busy: bool,
    indexer: Indexer<'env>,
}

enum Job {
    Take(Arc<Batch>),
    /// Is answered when the lane has come to it.
    Answer(Sender<()>),
}

/// One thread's work.
struct Lane<'env> {
    memory: &'env Memory,
    keeps_first: bool,
    /// The lane takes the pages whose number leaves this remainder when divided by `lanes`.
    number: usize,
    lanes: usize,
    sealer: Sealer,
    /// Samples of series that nobody knows.
    homeless: Arc<AtomicU64>,
}

impl<'scope, 'env> Lanes<'scope, 'env> {
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>, head: &'env Head) -> Self {
        let own = Lane {
            memory: &head.memory,
            keeps_first: head.settings.duplicates == Duplicates::KeepFirst,
            number: 0,
            lanes: 1,
            sealer: Sealer::default(),
            homeless: Arc::default(),
        };
        let (spent, spare) = bounded(BATCHES_WAITING);
        Self {
            scope,
            own,
            threads: Vec::new(),
            taken: 0,
            is_started: false,
            spare,
            spent,
            is_busy: false,
            indexer: Indexer::new(&head.memory),
        }
    }

    /// A batch without samples.
    pub(super) fn batch(&self, late: Option<Generation>, from: Option<Timestamp>) -> Batch {
        Batch { late, from, ..self.spare.try_recv().unwrap_or_default() }
    }

    /// Takes the samples of `batch` behind those of earlier ones. They need not be in memory yet when this returns.
    pub(super) fn take(&mut self, batch: Batch) {
        let samples = batch.len();
        if samples == 0 {
            return batch.reuse(&self.spent);
        }
        self.taken = self.taken.saturating_add(samples);
        if self.taken >= LANES_FROM && !self.is_started {
            self.start();
        }
        if self.threads.is_empty() {
            self.own.take(&batch);
            return batch.reuse(&self.spent);
        }
        self.is_busy = true;
        let batch = Arc::new(batch);
        // One that is gone has panicked: see `settle`.
        self.threads.iter().for_each(|lane| drop(lane.send(Job::Take(Arc::clone(&batch)))));
    }

    /// Takes a sample of a batch that names its series: it may be anywhere in time. All others must have been
    /// [settled](Self::settle). Says which generation it counts to, if it is a late one.
    pub(super) fn take_named(&mut self, sample: &Other, from: Timestamp) -> Option<Generation> {
        self.own.take_named(sample, from, self.own.keeps_first)
    }

    /// Takes one likewise, but none at whose time the series has a sample.
    pub(super) fn take_named_first(&mut self, sample: &Other, from: Timestamp) -> Option<Generation> {
        self.own.take_named(sample, from, true)
    }

    /// Has a series, which is registered, put into the index. It need not be there yet when this returns.
    pub(super) fn index(&mut self, series: SeriesRef, labels: Labels) {
        self.indexer.take(series, labels, self.scope);
    }

    /// Returns when all series are in the index.
    pub(super) fn settle_index(&mut self) {
        self.indexer.settle();
    }

    /// Returns when all samples are in memory, and all series in the index.
    pub(super) fn settle(&mut self) {
        self.settle_index();
        if !std::mem::take(&mut self.is_busy) {
            return;
        }
        let (answer, answers) = bounded(self.threads.len());
        self.threads.iter().for_each(|lane| drop(lane.send(Job::Answer(answer.clone()))));
        drop(answer);
        if answers.iter().count() < self.threads.len() {
            // What a lane that panicked had still to do is missing: nobody may believe that memory is whole.
            resume_unwind(Box::new("a thread that takes samples of the log panicked"));
        }
    }

    /// How many samples so far were of series that nobody knows. All must have been [settled](Self::settle).
    pub(super) fn homeless(&self) -> u64 {
        self.own.homeless.load(Ordering::Relaxed)
    }

    /// Starts a thread for each core, or goes on without.
    fn start(&mut self) {
        self.is_started = true;
        let lanes = available_parallelism().map_or(1, NonZero::get).min(MAX_LANES);
        let senders = (0..lanes).map(|number| {
            let (sender, jobs) = bounded(BATCHES_WAITING);
            let (sealer, homeless) = (Sealer::default(), Arc::clone(&self.own.homeless));
            let lane = Lane { number, lanes, sealer, homeless, ..self.own };
            let spent = self.spent.clone();
            let thread = Builder::new().name(format!("tsdb-replay-{number}"));
            thread.spawn_scoped(self.scope, move || lane.run(&jobs, &spent)).map(|_| sender)
        });
        // Every lane is needed: nobody else would take its pages.
        self.threads = senders.collect::<Result<_, _>>().unwrap_or_default();
    }
}

impl Batch {
    /// Number of samples.
    fn len(&self) -> usize {
        self.values.len().saturating_add(self.others.len())
    }

    /// Adds numbers of one time, the first of series `first`, each of the others of the series behind the one before.
    pub(super) fn push_run(&mut self, first: SeriesRef, timestamp: Timestamp, values: &[[u8; 8]]) {
        let Ok(count) = u32::try_from(values.len()) else { return };
        self.values.extend(values.iter().map(|value| f64::from_bits(u64::from_le_bytes(*value))));
        self.runs.push(Run { first, timestamp, count });
    }

    /// Must it be handed over before it takes a sample of a kind of which `others` has some?
    pub(super) fn is_full_for(&self, is_other: bool) -> bool {
        let has_wrong_kind = if is_other { !self.values.is_empty() } else { !self.others.is_empty() };
        has_wrong_kind || self.len() >= BATCH_SAMPLES
    }

    fn reuse(mut self, spent: &Sender<Self>) {
        self.runs.clear();
        self.values.clear();
        self.others.clear();
        // With enough of them this one is dropped.
        drop(spent.try_send(self));
    }
}

impl Lane<'_> {
    fn run(mut self, jobs: &Receiver<Job>, spent: &Sender<Batch>) {
        for job in jobs {
            match job {
                Job::Take(batch) => {
                    self.take(&batch);
                    Arc::into_inner(batch).into_iter().for_each(|batch| batch.reuse(spent));
                }
                Job::Answer(answer) => drop(answer.send(())),
            }
        }
    }

    fn take(&mut self, batch: &Batch) {
        let Some(from) = batch.from else { return };
        let mut page = LockedPage::none(self.memory);
        let (number, lanes) = (self.number, self.lanes);
        let is_mine = |series: SeriesRef| page_number(series) % lanes == number;
        let mut times = Times::NONE;
        let mut rest = batch.values.as_slice();
        for run in &batch.runs {
            let (values, later) = rest.split_at_checked(run.count as usize).unwrap_or((rest, &[]));
            rest = later;
            if run.timestamp >= from {
                for (first, values) in run.by_page(values).filter(|(first, _)| is_mine(*first)) {
                    self.take_run(page.of(first), (first, run.timestamp, values), batch.late, &mut times);
                }
            }
        }
        for sample in batch.others.iter().filter(|sample| is_mine(sample.0) && sample.1 >= from) {
            match page.of(sample.0) {
                Some(held) => self.take_other(held, sample, (batch.late, self.keeps_first), &mut times),
                None => self.lose(),
            }
        }
        times.tell(self.memory);
    }

    /// Takes numbers of one time and of neighbouring series of one page.
    fn take_run(
        &mut self,
        page: Option<&mut Held>,
        (first, timestamp, values): (SeriesRef, Timestamp, &[f64]),
        late: Option<Generation>,
        times: &mut Times,
    ) {
        let samples = (first.0..).map(SeriesRef).zip(values);
        match (page, late) {
            (Some(held), None) => {
                samples
                    .for_each(|(series, value)| self.take_number(held, (series, timestamp, *value), times));
            }
            (Some(held), Some(_)) => {
                for (series, value) in samples {
                    let sample = (series, timestamp, Value::Float(*value), NO_START);
                    self.take_other(held, &sample, (late, self.keeps_first), times);
                }
            }
            (None, _) => values.iter().for_each(|_| self.lose()),
        }
    }

    #[inline]
    fn take_number(&mut self, held: &mut Held, sample: Number, times: &mut Times) {
        let (series, timestamp, value) = sample;
        let plain = held.plain_mut(slot(series));
        match plain.is_some_and(|plain| plain.append(timestamp, value, NO_START, &mut self.sealer)) {
            true => times.note(timestamp),
            false => {
                let sample = (series, timestamp, Value::Float(value), NO_START);
                self.take_other(held, &sample, (None, self.keeps_first), times);
            }
        }
    }

    /// Takes a sample: as a late one of a generation or in order, where one at its time may stay.
    #[cold]
    fn take_other(
        &mut self,
        held: &mut Held,
        sample: &Other,
        (late, keeps_first): (Option<Generation>, bool),
        times: &mut Times,
    ) {
        let (series, timestamp, value, start) = sample;
        let slot = slot(*series);
        match late {
            _ if !held.is_live(slot) => self.lose(),
            Some(generation) => {
                let sample = LateSample::new(slot, *timestamp, value, *start);
                self.memory.late.insert(held, generation, sample);
            }
            None => {
                held.insert(slot, *timestamp, (value, *start), keeps_first, &mut self.sealer);
                times.note(*timestamp);
            }
        }
    }

    fn take_named(&mut self, sample: &Other, from: Timestamp, keeps_first: bool) -> Option<Generation> {
        let (series, timestamp, ..) = *sample;
        let mut page = LockedPage::none(self.memory);
        let Some(held) = page.of(series) else {
            self.lose();
            return None;
        };
        let is_stored = held.late.find(slot(series), timestamp).is_some();
        let is_late = is_stored || timestamp < from;
        let late = is_late.then(|| self.memory.late.generation());
        if !is_stored || !keeps_first {
            let mut times = Times::NONE;
            self.take_other(held, sample, (late, keeps_first), &mut times);
            times.tell(self.memory);
        }
        late
    }

    #[cold]
    fn lose(&self) {
        self.homeless.fetch_add(1, Ordering::Relaxed);
    }
}

impl Run {
    /// Its values, parted by the pages of their series, each part with its first series.
    fn by_page<'v>(&self, values: &'v [f64]) -> impl Iterator<Item = (SeriesRef, &'v [f64])> {
        let (mut first, mut rest) = (self.first, values);
        std::iter::from_fn(move || {
            let len = rest.len().min(PAGE - slot(first));
            let (part, later) = rest.split_at_checked(len).filter(|(part, _)| !part.is_empty())?;
            let of = first;
            first = SeriesRef(first.0.wrapping_add(len as u32));
            rest = later;
            Some((of, part))
        })
    }
}

/// The page that was locked last.
struct LockedPage<'env> {
    memory: &'env Memory,
    number: usize,
    held: Option<MutexGuard<'env, Held>>,
}

impl<'env> LockedPage<'env> {
    fn none(memory: &'env Memory) -> Self {
        Self { memory, number: usize::MAX, held: None }
    }

    /// The page of `series`.
    #[inline]
    fn of(&mut self, series: SeriesRef) -> Option<&mut Held> {
        if self.number != page_number(series) {
            self.number = page_number(series);
            // The old lock is released before the next is taken.
            self.held = None;
            self.held = self.memory.pages.page(series).map(|page| page.lock());
        }
        self.held.as_deref_mut()
    }
}

/// The times of samples in order.
struct Times {
    first: Timestamp,
    last: Timestamp,
}

impl Times {
    const NONE: Self = Self { first: Timestamp::MAX, last: Timestamp::MIN };

    #[inline]
    fn note(&mut self, timestamp: Timestamp) {
        self.first = self.first.min(timestamp);
        self.last = self.last.max(timestamp);
    }

    fn tell(&self, memory: &Memory) {
        if self.first <= self.last {
            memory.widen(self.first, self.last);
        }
    }
}

#[cfg(all(test, feature = "testing"))]
#[expect(clippy::unwrap_used, reason = "clippy exempts test functions, not what they call")]
mod tests {
    use super::*;
    use crate::fs::SimFs;
    use crate::head::{CatalogLimits, Durable, Place, Settings};
    use crate::wal::WalOptions;
    use proptest::prelude::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicBool;
    use tsdb_core::testing::ManualClock;

    fn head() -> Head {
        let place =
            Place { fs: Arc::new(SimFs::new()), wal_dir: "/wal".into(), wal_options: WalOptions::default() };
        let settings = Settings {
            durable: Durable::Later,
            future_skew_ms: None,
            late_window_ms: 0,
            late_bytes: 1 << 20,
            duplicates: Duplicates::KeepFirst,
            max_active_series: 100,
            metadata: CatalogLimits { metrics: 0, bytes: 0 },
            max_exemplars: 0,
            clock: Arc::new(ManualClock::at(0)),
        };
        Head::open(place, settings).unwrap().0
    }

    #[test]
    fn nobody_believes_that_samples_are_in_memory_whose_lane_panicked() {
        let (head, is_settled) = (head(), AtomicBool::new(false));
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            std::thread::scope(|scope| {
                let mut lanes = Lanes::new(scope, &head);
                lanes.start();
                let (sender, jobs) = bounded(1);
                scope.spawn(move || {
                    drop(jobs.recv());
                    panic!("in a lane");
                });
                lanes.threads[0] = sender;
                let mut batch = lanes.batch(None, Some(0));
                batch.push_run(SeriesRef(0), 1, &[[0; 8]; 3]);
                lanes.take(batch);
                lanes.settle();
                is_settled.store(true, Ordering::SeqCst);
            });
        }));
        assert!(outcome.is_err() && !is_settled.into_inner());
    }

    proptest! {
        #[test]
        fn a_run_is_parted_by_pages_and_nothing_is_left_out(first in 0..700_u32, count in 0..900_u32) {
            let run = Run { first: SeriesRef(first), timestamp: 0, count };
            let values: Vec<f64> = (0..count).map(f64::from).collect();
            let mut found = Vec::new();
            for (start, part) in run.by_page(&values) {
                let last = SeriesRef(start.0 + part.len() as u32 - 1);
                prop_assert_eq!(page_number(start), page_number(last));
                prop_assert_eq!(start.0, first + found.len() as u32);
                found.extend_from_slice(part);
            }
            prop_assert_eq!(found, values);
        }
    }
}
