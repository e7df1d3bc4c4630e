//! One batch: from series and samples to memory and log.

use super::batch::{BatchSample, BatchSamples};
use super::catalog::trim;
use super::held::Held;
use super::identity::{Found, SeriesHash};
use super::intake::Taken;
use super::late::LateSample;
use super::log::Records;
use super::mixed::Value;
use super::pages::{PREFETCH, page_number, slot};
use super::pins::Pin;
use super::sealed::Sealer;
use super::series::Appended;
use super::{Duplicates, Durable, Head};
use crate::Error;
use parking_lot::MutexGuard;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::labels::write_wire;
use tsdb_core::metadata::Metadata;
use tsdb_core::write::{
    AppendReport, Appender, CommitError, Exceeded, Origin, RefusedSample, SampleError, SeriesError,
};
use tsdb_core::{Exemplar, Labels, SeriesRef, Timestamp};

/// An open batch.
pub(crate) struct HeadAppender<'a> {
    head: &'a Head,
    pin: Pin,
    previous: Option<Found<'a>>,
    /// What is probably looked up next.
    expected: Option<Found<'a>>,
    /// What was looked up last, if nobody knew it: its registration need not look again.
    missed: Option<SeriesHash>,
    origin: Origin,
    /// Why no new series is taken, once that was found out: a batch is a moment.
    closed: Option<Exceeded>,
    /// Was it found out that new series are taken, since the last one was?
    is_open: bool,
    /// New series refused for that.
    refused: u64,
    buffers: Buffers,
}

/// Memory of a batch, reused by later ones.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    samples: BatchSamples,
    wire: Vec<u8>,
    metadata: Vec<(String, Metadata)>,
    exemplars: Vec<(SeriesRef, Exemplar)>,
    records: Records,
    sealer: Sealer,
}

/// What applying a batch to memory came to.
#[derive(Debug, Default)]
struct Applied {
    report: AppendReport,
    repeated: u64,
    late: u64,
    /// Times of the samples stored in order.
    range: Option<(Timestamp, Timestamp)>,
    /// The oldest time of the other samples that changed something.
    oldest_late: Option<Timestamp>,
}

impl<'a> HeadAppender<'a> {
    pub(super) fn new(head: &'a Head) -> Self {
        let buffers = head.buffers.lock().pop().unwrap_or_default();
        Self {
            head,
            pin: head.memory.pins.pin(),
            previous: None,
            expected: None,
            missed: None,
            origin: Origin::Embedded,
            closed: None,
            is_open: false,
            refused: 0,
            buffers,
        }
    }

    fn find(&mut self, hash: SeriesHash) -> Option<SeriesRef> {
        if let Some(series) = self.find_expected(hash) {
            return Some(series);
        }
        let memory = &self.head.memory;
        let found = memory.identities.find(&memory.pages, hash, self.pin.epoch());
        self.missed = found.is_none().then_some(hash);
        let found = found?;
        if let Some(previous) = self.previous {
            previous.note_next(found.series);
        }
        self.go_on_from(found);
        Some(found.series)
    }

    /// The series that is expected, if it has this hash.
    #[inline]
    fn find_expected(&mut self, hash: SeriesHash) -> Option<SeriesRef> {
        let found = self.expected.filter(|expected| expected.claim(hash, self.pin.epoch()))?;
        self.missed = None;
        self.go_on_from(found);
        Some(found.series)
    }

    #[inline]
    fn go_on_from(&mut self, found: Found<'a>) {
        self.previous = Some(found);
        self.expected = found.next(&self.head.memory.pages);
    }

    fn apply(&mut self, taken: &Taken) -> Applied {
        self.buffers.records.begin(taken.generation);
        let mut applied = Applied::default();
        let mut page: Option<LockedPage<'_>> = None;
        let Buffers { samples, records, sealer, .. } = &mut self.buffers;
        for sample in samples.iter() {
            let BatchSample { position, series, timestamp, number, histogram, start } = sample;
            if page.as_ref().is_none_or(|page| page.number != page_number(series)) {
                // The old lock is released before the next is taken: two batches never wait for each other.
                drop(page.take());
                page = LockedPage::lock(self.head, taken, series);
                prefetch(&page, samples.series_from(position).take(PREFETCH));
            }
            prefetch(&page, samples.series_from(position + PREFETCH).take(1));
            let outcome = match (&mut page, histogram) {
                _ if timestamp > taken.newest => {
                    Err(SampleError::TooFarInFuture { timestamp, newest: taken.newest })
                }
                (Some(page), None) => page.append(series, timestamp, number, start, sealer),
                (Some(page), Some(_)) => page.append_other(series, timestamp, &sample.value(), start, sealer),
                (None, _) => Err(SampleError::UnknownSeries { series }),
            };
            match outcome {
                Ok(Appended::Stored) => {
                    match histogram {
                        None => records.push(series, timestamp, number, start),
                        Some(_) => records.push_other(series, timestamp, &sample.value(), start),
                    }
                    applied.stored(timestamp);
                }
                Ok(Appended::Late) => {
                    records.push_late(series, timestamp, &sample.value(), start);
                    applied.late(timestamp);
                }
                Ok(Appended::Replaced) => {
                    records.push_other(series, timestamp, &sample.value(), start);
                    applied.late(timestamp);
                }
                Ok(Appended::Repeated) => applied.repeated += 1,
                Err(reason) => applied.report.refused.push(RefusedSample { position, reason }),
            }
        }
        applied
    }

    /// Replaces the samples of the batch.
    pub(super) fn set_samples(&mut self, samples: BatchSamples) {
        self.buffers.samples = samples;
    }

    /// Applies and logs the batch.
    pub(super) fn write(&mut self) -> Result<AppendReport, CommitError> {
        let head = self.head;
        head.check_overflow()?;
        let log = head.log();
        let under_way = log.begin().map_err(commit_error)?;
        // Whoever closes the head waits for all that got this far.
        if head.is_closed() {
            return Err(CommitError { source: Box::new(Error::Closed), temporary: false });
        }
        let taken = head.taken();
        let applied = self.apply(&taken);
        // ORDER: behind the moment at which readers see the samples, before anyone is told that they are stored.
        if let Some(oldest) = applied.oldest() {
            head.changes.note_from(oldest);
        }
        if let Some((first, last)) = applied.range {
            head.memory.widen(first, last);
        }
        head.announce_metadata(&mut self.buffers.metadata);
        head.store_exemplars(&mut self.buffers.exemplars, taken.newest, &mut self.buffers.records);
        let logged = log.append(&mut self.buffers.records);
        drop(under_way);
        logged.map_err(commit_error)?;
        if applied.repeated > 0 {
            // The samples repeated may be of a batch that is not logged yet.
            log.barrier();
            drop(log.begin().map_err(commit_error)?);
        }
        if head.settings.durable == Durable::EveryCommit {
            log.sync().map_err(commit_error)?;
        }
        head.counters.count_late(applied.late, applied.repeated);
        let mut report = applied.report;
        report.accepted += applied.late + applied.repeated;
        Ok(report)
    }
}

impl Applied {
    #[inline]
    fn stored(&mut self, timestamp: Timestamp) {
        self.report.accepted += 1;
        self.range = match self.range {
            None => Some((timestamp, timestamp)),
            Some((first, last)) => Some((first.min(timestamp), last.max(timestamp))),
        };
    }

    fn late(&mut self, timestamp: Timestamp) {
        self.late += 1;
        self.oldest_late = Some(self.oldest_late.map_or(timestamp, |oldest| oldest.min(timestamp)));
    }

    /// The oldest time at which something changed.
    fn oldest(&self) -> Option<Timestamp> {
        let in_order = self.range.map(|(first, _)| first);
        in_order.into_iter().chain(self.oldest_late).min()
    }
}

struct LockedPage<'a> {
    head: &'a Head,
    taken: &'a Taken,
    number: usize,
    /// The oldest time of samples in order.
    min_time: Timestamp,
    held: MutexGuard<'a, Held>,
}

impl<'a> LockedPage<'a> {
    fn lock(head: &'a Head, taken: &'a Taken, series: SeriesRef) -> Option<Self> {
        let mut held = head.memory.pages.page(series)?.lock();
        // ORDER: what is about to be appended comes after the delete.
        head.memory.catch_up(series, &mut held);
        // ORDER: read under the lock, so that a cut that raises it and then takes the lock sees all older samples.
        let min_time = head.memory.min_time().max(head.intake.horizon());
        Some(Self { head, taken, number: page_number(series), min_time, held })
    }

    #[inline]
    fn append(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        value: f64,
        start: Timestamp,
        sealer: &mut Sealer,
    ) -> Result<Appended, SampleError> {
        let is_ahead = timestamp >= self.min_time && !self.held.may_meet_late(timestamp);
        if let Some(plain) = self.held.plain_mut(slot(series))
            && is_ahead
            && plain.append(timestamp, value, start, sealer)
        {
            return Ok(Appended::Stored);
        }
        self.append_other(series, timestamp, &Value::Float(value), start, sealer)
    }

    /// As [`append`](Self::append), for samples and series of any kind.
    #[cold]
    fn append_other(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        value: &Value,
        start: Timestamp,
        sealer: &mut Sealer,
    ) -> Result<Appended, SampleError> {
        let slot = slot(series);
        if !self.held.is_live(slot) {
            return Err(SampleError::UnknownSeries { series });
        }
        // INVARIANT: no time at which the chunks have a sample of the head has a late one.
        let meets_late = self.held.may_meet_late(timestamp) && self.held.late.find(slot, timestamp).is_some();
        let is_newest = self.held.newest(slot).is_none_or(|newest| timestamp > newest);
        if timestamp >= self.min_time && is_newest && !meets_late {
            self.held.push(slot, timestamp, value, start, sealer);
            return Ok(Appended::Stored);
        }
        self.append_late(slot, timestamp, value, start, sealer)
    }

    /// Answers for a sample that is not behind the others of its series, or lies before the head.
    #[cold]
    fn append_late(
        &mut self,
        slot: usize,
        timestamp: Timestamp,
        value: &Value,
        start: Timestamp,
        sealer: &mut Sealer,
    ) -> Result<Appended, SampleError> {
        let late_from = self.taken.late_from.unwrap_or(Timestamp::MAX);
        if timestamp < self.min_time && timestamp < late_from {
            return Err(SampleError::TooOld { timestamp, oldest: self.min_time.min(late_from) });
        }
        let keeps_first = self.head.settings.duplicates == Duplicates::KeepFirst;
        let late = self.held.late.find(slot, timestamp);
        // What the chunks have from before the head may have been replaced since.
        let is_head = keeps_first || timestamp >= self.min_time;
        let in_order = if is_head { self.held.at(slot, timestamp) } else { None };
        match late.as_ref().or(in_order.as_ref()) {
            Some(stored) if stored.is(value) => return Ok(Appended::Repeated),
            Some(_) if keeps_first => return Err(SampleError::Duplicate { timestamp }),
            _ => {}
        }
        if timestamp < late_from {
            let newest = self.held.newest(slot).unwrap_or(self.min_time);
            return Err(match self.taken.late_from {
                Some(oldest) => SampleError::TooOld { timestamp, oldest },
                None if in_order.is_some() => SampleError::Duplicate { timestamp },
                None => SampleError::OutOfOrder { timestamp, newest },
            });
        }
        if late.is_none() && in_order.is_some() {
            self.held.insert(slot, timestamp, (value, start), false, sealer);
            return Ok(Appended::Replaced);
        }
        if let Some(allowed) = self.head.late_limit_reached() {
            return Err(SampleError::TooManyLate { timestamp, allowed });
        }
        let sample = LateSample::new(slot, timestamp, value, start);
        self.head.memory.late.insert(&mut self.held, self.taken.generation, sample);
        Ok(Appended::Late)
    }
}

/// Has the memory of these series fetched, as far as they are in the page.
#[inline]
fn prefetch(page: &Option<LockedPage<'_>>, series: impl Iterator<Item = SeriesRef>) {
    if let Some(page) = page {
        let slots = series.filter(|series| page_number(*series) == page.number).map(slot);
        slots.for_each(|slot| page.held.prefetch(slot));
    }
}

impl Appender for HeadAppender<'_> {
    fn lookup(&mut self, wire: &[u8]) -> Option<SeriesRef> {
        self.find(self.head.memory.identities.hash(wire))
    }

    fn expected_len(&self) -> Option<usize> {
        self.expected?.wire_len()
    }

    fn lookup_expected(&mut self, wire: &[u8]) -> Option<SeriesRef> {
        self.find_expected(self.head.memory.identities.hash(wire))
    }

    fn set_origin(&mut self, origin: Origin) {
        self.origin = origin;
    }

    fn closed(&mut self) -> Option<Exceeded> {
        let head = self.head;
        self.closed = self.closed.or_else(|| head.admission.closed(self.origin, head.memory.active()));
        self.is_open = self.closed.is_none();
        self.closed
    }

    fn note_refused(&mut self) {
        self.refused += 1;
    }

    fn series(&mut self, labels: &Labels) -> Result<SeriesRef, SeriesError> {
        if labels.is_empty() {
            return Err(SeriesError::NoLabels);
        }
        let mut wire = std::mem::take(&mut self.buffers.wire);
        wire.clear();
        write_wire(labels, &mut wire);
        let hash = self.head.memory.identities.hash(&wire);
        self.buffers.wire = wire;
        let found = if self.missed.take() == Some(hash) { None } else { self.find(hash) };
        match found {
            Some(found) => Ok(found),
            None => {
                let is_open = std::mem::take(&mut self.is_open);
                if let Some(exceeded) = if is_open { None } else { self.closed() } {
                    // ORDER: whoever took the last place for these labels has counted it, and holds their shard until
                    // they can be found.
                    if let Some(found) = self.find(hash) {
                        return Ok(found);
                    }
                    self.note_refused();
                    return Err(SeriesError::Limit { exceeded, series: labels.clone() });
                }
                // It looks once more, now that nobody else can register.
                let series = self.head.register(labels, hash, self.pin.epoch(), self.origin)?;
                if let Some(found) = Found::numbered(&self.head.memory.pages, series) {
                    self.go_on_from(found);
                }
                Ok(series)
            }
        }
    }

    #[inline]
    fn append(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
        self.buffers.samples.push(series, timestamp, value);
    }

    fn append_histogram(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        histogram: FloatHistogram,
    ) -> Result<(), SampleError> {
        self.head.memory.note_histogram();
        self.buffers.samples.push_histogram(series, timestamp, histogram)
    }

    fn set_start(&mut self, start: Timestamp) {
        self.buffers.samples.set_start(start);
    }

    fn append_exemplar(&mut self, series: SeriesRef, exemplar: Exemplar) {
        if self.head.settings.max_exemplars > 0 {
            self.buffers.exemplars.push((series, exemplar));
        }
    }

    fn set_metadata(&mut self, metric: &str, mut metadata: Metadata) {
        trim(&mut metadata);
        if !self.head.memory.metadata.read().has(metric, &metadata) {
            self.buffers.metadata.push((metric.to_owned(), metadata));
        }
    }

    fn commit(mut self: Box<Self>) -> Result<AppendReport, CommitError> {
        let outcome = self.write();
        self.head.counters.count(&outcome);
        outcome
    }
}

impl Drop for HeadAppender<'_> {
    fn drop(&mut self) {
        if let Some(exceeded) = self.closed {
            self.head.admission.note_exceeded(exceeded.limit, self.refused);
        }
        let mut buffers = std::mem::take(&mut self.buffers);
        buffers.samples.clear();
        buffers.metadata.clear();
        buffers.exemplars.clear();
        self.head.keep(buffers);
    }
}

impl Buffers {
    /// Bytes of memory that the samples take.
    pub(super) fn memory_bytes(&self) -> usize {
        self.samples.memory_bytes()
    }
}

pub(super) fn commit_error(source: crate::wal::WalError) -> CommitError {
    CommitError { temporary: source.is_temporary(), source: Box::new(Error::from(source)) }
}
