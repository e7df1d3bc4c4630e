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
use super::pages::{PREFETCH, page_number, slot};
use super::replay_batch::{BATCH_SAMPLES, Batch, Other};
use super::sealed::{Sealed, Sealer};
use super::{Duplicates, Head, Memory};
use crate::record::SeriesChunks;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::MutexGuard;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, Scope, available_parallelism};
use tsdb_core::{Labels, NO_START, SeriesRef, Timestamp};

/// Samples after which the threads are started.
const LANES_FROM: usize = BATCH_SAMPLES;
/// Batches that may wait for a lane.
pub(super) const BATCHES_WAITING: usize = 16;
/// More threads would mostly look at samples of others.
const MAX_LANES: usize = 8;

/// A number without a start timestamp.
type Number = (SeriesRef, Timestamp, f64);

/// All threads that take samples.
pub(super) struct Lanes<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    /// Takes the samples as long as there are no threads.
    own: Lane<'env>,
    threads: Vec<Helper>,
    /// Samples so far.
    taken: usize,
    is_started: bool,
    /// Batches that were taken, to be filled again: memory that goes back and forth between threads is expensive.
    spare: Receiver<Batch>,
    spent: Sender<Batch>,
    /// May samples be on their way?
    is_busy: bool,
    indexer: Indexer<'env>,
    /// Chunks of series of one page, on their way to its lane.
    restoring: Vec<SeriesChunks>,
}

enum Job {
    Restore(Vec<SeriesChunks>),
    Take(Arc<Batch>),
    /// Is answered when the lane has come to it.
    Answer,
}

/// A thread, as who gives it work sees it.
struct Helper {
    jobs: Sender<Job>,
    /// Nobody but the thread can answer, so waiting ends if it panics, whatever is left in its queue.
    answers: Receiver<()>,
}

/// One thread's work.
struct Lane<'env> {
    memory: &'env Memory,
    keeps_first: bool,
    /// The lane takes the pages whose number leaves this remainder when divided by `lanes`.
    number: usize,
    lanes: usize,
    sealer: Sealer,
    lost: Arc<Lost>,
}

/// What could not be taken.
#[derive(Debug, Default)]
struct Lost {
    /// Samples of series that nobody knows.
    homeless: AtomicU64,
    /// Open chunks that are damaged.
    chunks: AtomicU64,
}

impl<'scope, 'env> Lanes<'scope, 'env> {
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>, head: &'env Head) -> Self {
        let own = Lane {
            memory: &head.memory,
            keeps_first: head.settings.duplicates == Duplicates::KeepFirst,
            number: 0,
            lanes: 1,
            sealer: Sealer::default(),
            lost: Arc::default(),
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
            restoring: Vec::new(),
        }
    }

    /// A batch without samples.
    pub(super) fn batch(&self, late: Option<Generation>, from: Option<Timestamp>) -> Batch {
        let mut batch = self.spare.try_recv().unwrap_or_default();
        (batch.late, batch.from) = (late, from);
        batch
    }

    /// Takes the samples of `batch` behind those of earlier ones. They need not be in memory yet when this returns.
    pub(super) fn take(&mut self, batch: Batch) {
        let samples = batch.len();
        if samples == 0 {
            return batch.reuse(&self.spent);
        }
        self.finish_restoring();
        self.count(samples);
        if self.threads.is_empty() {
            self.own.take(&batch);
            return batch.reuse(&self.spent);
        }
        self.is_busy = true;
        let batch = Arc::new(batch);
        // One that is gone has panicked: see `settle`.
        self.threads.iter().for_each(|lane| drop(lane.jobs.send(Job::Take(Arc::clone(&batch)))));
    }

    /// Gives a series, which has no samples, those of a checkpoint. They need not be in memory yet when this returns.
    pub(super) fn restore(&mut self, chunks: SeriesChunks) {
        let page = page_number(chunks.series);
        if self.restoring.last().is_some_and(|last| page_number(last.series) != page) {
            self.finish_restoring();
        }
        self.restoring.push(chunks);
    }

    fn finish_restoring(&mut self) {
        let chunks = std::mem::take(&mut self.restoring);
        let Some(page) = chunks.first().map(|chunks| page_number(chunks.series)) else { return };
        self.count(chunks.iter().map(|chunks| chunks.sealed.len().saturating_add(1)).sum());
        match self.threads.get(page % self.threads.len().max(1)) {
            None => self.own.restore(chunks),
            Some(lane) => {
                self.is_busy = true;
                drop(lane.jobs.send(Job::Restore(chunks)));
            }
        }
    }

    /// Counts what there is to do, and starts the threads when it is enough.
    fn count(&mut self, taken: usize) {
        self.taken = self.taken.saturating_add(taken);
        if self.taken >= LANES_FROM && !self.is_started {
            self.start();
        }
    }

    /// Takes a sample of a batch that names its series: it may be anywhere in time. All others must have been
    /// [settled](Self::settle).
    pub(super) fn take_named(&mut self, sample: &Other, from: Timestamp) {
        self.own.take_named(sample, from, self.own.keeps_first);
    }

    /// Takes one likewise that was written before all that the series has.
    pub(super) fn take_waiting(&mut self, sample: &Other, from: Timestamp) {
        self.own.take_named(sample, from, !self.own.keeps_first);
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
        self.finish_restoring();
        if !std::mem::take(&mut self.is_busy) {
            return;
        }
        self.threads.iter().for_each(|lane| drop(lane.jobs.send(Job::Answer)));
        if self.threads.iter().any(|lane| lane.answers.recv().is_err()) {
            // What a lane that panicked had still to do is missing: nobody may believe that memory is whole.
            resume_unwind(Box::new("a thread that takes samples of the log panicked"));
        }
    }

    /// How many samples so far were of series that nobody knows. All must have been [settled](Self::settle).
    pub(super) fn homeless(&self) -> u64 {
        self.own.lost.homeless.load(Ordering::Relaxed)
    }

    /// How many open chunks so far were damaged. All must have been [settled](Self::settle).
    pub(super) fn damaged_chunks(&self) -> u64 {
        self.own.lost.chunks.load(Ordering::Relaxed)
    }

    /// Starts a thread for each core, or goes on without.
    fn start(&mut self) {
        self.is_started = true;
        let lanes = available_parallelism().map_or(1, NonZero::get).min(MAX_LANES);
        let senders = (0..lanes).map(|number| {
            let (sender, jobs) = bounded(BATCHES_WAITING);
            let (answer, answers) = bounded(1);
            let (sealer, lost) = (Sealer::default(), Arc::clone(&self.own.lost));
            let lane = Lane { number, lanes, sealer, lost, ..self.own };
            let spent = self.spent.clone();
            let thread = Builder::new().name(format!("tsdb-replay-{number}"));
            let started = thread.spawn_scoped(self.scope, move || lane.run(jobs, answer, &spent));
            started.map(|_| Helper { jobs: sender, answers })
        });
        // Every lane is needed: nobody else would take its pages.
        self.threads = senders.collect::<Result<_, _>>().unwrap_or_default();
    }
}

impl Lane<'_> {
    fn run(mut self, jobs: Receiver<Job>, answer: Sender<()>, spent: &Sender<Batch>) {
        for job in jobs {
            match job {
                Job::Take(batch) => {
                    self.take(&batch);
                    Arc::into_inner(batch).into_iter().for_each(|batch| batch.reuse(spent));
                }
                Job::Restore(chunks) => self.restore(chunks),
                Job::Answer => drop(answer.send(())),
            }
        }
    }

    fn restore(&mut self, chunks: Vec<SeriesChunks>) {
        let mut page = LockedPage::none(self.memory);
        let mut times = Times::NONE;
        for chunks in chunks {
            let samples = chunks.sample_count();
            let SeriesChunks { series, sealed, open, start, .. } = chunks;
            let plain = page.of(series).and_then(|held| held.plain_mut(slot(series)));
            let Some(plain) = plain.filter(|plain| plain.is_empty()) else {
                self.lost.homeless.fetch_add(samples, Ordering::Relaxed);
                continue;
            };
            let sealed = sealed.into_iter().map(Sealed::from_parts).collect();
            if plain.restore(sealed, &open, start).is_err() {
                self.lost.chunks.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(range) = plain.range() {
                times.note(range.start());
                times.note(range.end());
            }
        }
        times.tell(self.memory);
    }

    fn take(&mut self, batch: &Batch) {
        let Some(from) = batch.from else { return };
        let mut page = LockedPage::none(self.memory);
        let (number, lanes) = (self.number, self.lanes);
        let is_mine = |series: SeriesRef| page_number(series) % lanes == number;
        let mut times = Times::NONE;
        for (run, values) in batch.runs().filter(|(run, _)| run.timestamp >= from) {
            for (first, values) in run.by_page(values).filter(|(first, _)| is_mine(*first)) {
                self.take_run(page.of(first), (first, run.timestamp, values), batch.late, &mut times);
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
                let first = slot(first);
                (first..first + values.len().min(PREFETCH)).for_each(|slot| held.prefetch(slot));
                for (series, value) in samples {
                    held.prefetch(slot(series) + PREFETCH);
                    self.take_number(held, (series, timestamp, *value), times);
                }
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
        #[cfg(all(test, feature = "testing"))]
        super::testing::panic_if_told(value);
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

    fn take_named(&mut self, sample: &Other, from: Timestamp, keeps_first: bool) {
        let (series, timestamp, ..) = *sample;
        let mut page = LockedPage::none(self.memory);
        let Some(held) = page.of(series) else {
            return self.lose();
        };
        let is_stored = held.late.find(slot(series), timestamp).is_some();
        let is_late = is_stored || timestamp < from;
        let late = is_late.then(|| self.memory.late.generation());
        if !is_stored || !keeps_first {
            let mut times = Times::NONE;
            self.take_other(held, sample, (late, keeps_first), &mut times);
            times.tell(self.memory);
        }
    }

    #[cold]
    fn lose(&self) {
        self.lost.homeless.fetch_add(1, Ordering::Relaxed);
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
mod tests;
