//! Samples of the log into pages, on all cores.
//!
//! Whoever reads the log collects samples in batches. Each batch goes to every lane, and a lane takes the samples of
//! its pages alone: those of one series are taken by one thread, in the order of the log. A lane locks one page at a
//! time and nothing else, and keeps none between batches, so it never waits for a query that waits for it.
//!
//! A small log is taken by the thread that reads it: the others are started when there is something to do for them.

use super::held::Held;
use super::late::{Generation, LateSample};
use super::mixed::Value;
use super::pages::{page_number, slot};
use super::sealed::Sealer;
use super::{Duplicates, Head, Memory};
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::MutexGuard;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, Scope, available_parallelism};
use tsdb_core::{NO_START, SeriesRef, Timestamp};

/// Samples after which a batch is handed over.
pub(super) const BATCH_SAMPLES: usize = 1 << 12;
/// Samples after which the threads are started.
const LANES_FROM: usize = BATCH_SAMPLES;
/// Batches that may wait for a lane.
const BATCHES_WAITING: usize = 16;
/// More threads would mostly look at samples of others.
const MAX_LANES: usize = 8;

/// Samples that are taken in the same way.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) numbers: Vec<Number>,
    pub(super) others: Vec<Other>,
    /// The oldest time that is taken; `None` if no sample is.
    pub(super) from: Option<Timestamp>,
    /// The generation, if they are late ones.
    pub(super) late: Option<Generation>,
}

/// A number without a start timestamp.
pub(super) type Number = (SeriesRef, Timestamp, f64);
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
        Self { scope, own, threads: Vec::new(), taken: 0, is_started: false, spare, spent, is_busy: false }
    }

    /// A batch without samples.
    pub(super) fn batch(&self, late: Option<Generation>, from: Option<Timestamp>) -> Batch {
        Batch { late, from, ..self.spare.try_recv().unwrap_or_default() }
    }

    /// Takes the samples of `batch` behind those of earlier ones. They need not be in memory yet when this returns.
    pub(super) fn take(&mut self, batch: Batch) {
        let samples = batch.numbers.len().saturating_add(batch.others.len());
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

    /// Returns when all samples are in memory.
    pub(super) fn settle(&mut self) {
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
    fn reuse(mut self, spent: &Sender<Self>) {
        self.numbers.clear();
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
        for (series, timestamp, value) in &batch.numbers {
            if is_mine(*series) && *timestamp >= from {
                match (page.of(*series), batch.late) {
                    (Some(held), None) => self.take_number(held, (*series, *timestamp, *value), &mut times),
                    (Some(held), Some(generation)) => {
                        let sample = (*series, *timestamp, Value::Float(*value), NO_START);
                        let how = (Some(generation), self.keeps_first);
                        self.take_other(held, &sample, how, &mut times);
                    }
                    (None, _) => self.lose(),
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
