//! One batch while the log is being replayed: from series and samples to the log alone.
//!
//! Nobody knows the number of a series yet, nor its newest sample, so a batch is written with the labels of its series
//! and applied when replay comes to it. What can be known is checked at once: a sample too far ahead of the clock or
//! older than what the head takes is refused. Whether a sample repeats or contradicts another shows at replay, where
//! the one written first stays.

use super::append::{HeadAppender, commit_error};
use super::batch::{BatchSample, BatchSamples};
use super::catalog::trim;
use super::log::{RECORD_BYTES, Records, is_full};
use super::{Durable, Head};
use crate::Error;
use crate::record::{ExemplarSeries, ExemplarsEncoder, SeriesEncoder, encode_metadata, encode_named};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::metadata::Metadata;
use tsdb_core::write::{
    AppendReport, Appender, CommitError, Exceeded, Origin, RefusedSample, SampleError, SeriesError,
    SeriesLimit,
};
use tsdb_core::{Exemplar, Labels, SeriesRef, Timestamp};

/// Samples in one record at most.
const RECORD_SAMPLES: usize = 1 << 16;
/// Memory of the histograms after which a record is finished.
const RECORD_HISTOGRAM_BYTES: usize = 16 << 20;

/// An open batch.
pub(crate) struct SpoolAppender<'a> {
    head: &'a Head,
    origin: Origin,
    /// The series of the batch, by their number in it.
    series: Vec<Labels>,
    samples: BatchSamples,
    metadata: Vec<(String, Metadata)>,
    exemplars: Vec<(SeriesRef, Exemplar)>,
}

impl<'a> SpoolAppender<'a> {
    pub(super) fn new(head: &'a Head) -> Self {
        Self {
            head,
            origin: Origin::Embedded,
            series: Vec::new(),
            samples: BatchSamples::default(),
            metadata: Vec::new(),
            exemplars: Vec::new(),
        }
    }

    fn write(&mut self) -> Result<AppendReport, CommitError> {
        let head = self.head;
        let Some(entered) = head.wholeness.enter() else { return self.apply() };
        head.check_overflow()?;
        let log = head.log();
        let under_way = log.begin().map_err(commit_error)?;
        if head.is_closed() {
            return Err(CommitError { source: Box::new(Error::Closed), temporary: false });
        }
        let (mut records, report) = self.encode();
        log.append(&mut records).map_err(commit_error)?;
        drop((under_way, entered));
        if head.settings.durable == Durable::EveryCommit {
            log.sync().map_err(commit_error)?;
        }
        Ok(report)
    }

    fn encode(&self) -> (Records, AppendReport) {
        let taken = self.head.taken();
        let newest = taken.newest;
        let horizon = self.head.intake.horizon();
        let oldest = taken.late_from.unwrap_or(Timestamp::MAX).min(self.head.memory.min_time()).max(horizon);
        let mut report = AppendReport::default();
        let mut batch = Batch::default();
        for (series, exemplar) in self.exemplars.iter().filter(|(_, exemplar)| exemplar.timestamp <= newest) {
            if let Some(labels) = self.series.get(series.index()) {
                batch.add_exemplar(labels, exemplar);
            }
        }
        for (metric, metadata) in &self.metadata {
            batch.add_metadata(metric, metadata);
        }
        for sample in self.samples.iter() {
            let BatchSample { position, series, timestamp, .. } = sample;
            let reason = match self.series.get(series.index()) {
                None => SampleError::UnknownSeries { series },
                Some(_) if timestamp > newest => SampleError::TooFarInFuture { timestamp, newest },
                Some(_) if timestamp < oldest => SampleError::TooOld { timestamp, oldest },
                Some(labels) => {
                    batch.add(labels, &sample);
                    report.accepted += 1;
                    continue;
                }
            };
            report.refused.push(RefusedSample { position, reason });
        }
        (batch.finish(), report)
    }

    /// Applies the batch as usual: the head became whole since the batch was begun.
    fn apply(&mut self) -> Result<AppendReport, CommitError> {
        let mut appender = HeadAppender::new(self.head);
        appender.set_origin(self.origin);
        // A number that no series has keeps the positions of the samples behind it.
        let nobody = SeriesRef(u32::MAX);
        let (mut numbers, mut reasons) = (Vec::with_capacity(self.series.len()), HashMap::new());
        for (labels, series) in self.series.iter().zip(0..) {
            let registered = appender.series(labels);
            numbers.push(*registered.as_ref().unwrap_or(&nobody));
            reasons.extend(registered.err().and_then(reason_of).map(|reason| (SeriesRef(series), reason)));
        }
        let reasons = self.reasons_by_position(&reasons);
        self.samples.renumber(|series| numbers.get(series.index()).copied().unwrap_or(nobody));
        appender.set_samples(std::mem::take(&mut self.samples));
        for (series, exemplar) in self.exemplars.drain(..) {
            let number = numbers.get(series.index()).copied().unwrap_or(nobody);
            appender.append_exemplar(number, exemplar);
        }
        self.metadata.drain(..).for_each(|(metric, metadata)| appender.set_metadata(&metric, metadata));
        let mut report = appender.write()?;
        for refused in &mut report.refused {
            if let Some(reason) = reasons.get(&refused.position) {
                refused.reason = *reason;
            }
        }
        Ok(report)
    }

    /// Why samples are refused, by their position, if that is why their series are.
    fn reasons_by_position(
        &self,
        by_series: &HashMap<SeriesRef, SampleError>,
    ) -> HashMap<usize, SampleError> {
        if by_series.is_empty() {
            return HashMap::new();
        }
        let reason = |sample: BatchSample<'_>| Some((sample.position, *by_series.get(&sample.series)?));
        self.samples.iter().filter_map(reason).collect()
    }
}

impl Appender for SpoolAppender<'_> {
    /// Nobody is known.
    fn lookup(&mut self, _wire: &[u8]) -> Option<SeriesRef> {
        None
    }

    fn set_origin(&mut self, origin: Origin) {
        self.origin = origin;
    }

    fn series(&mut self, labels: &Labels) -> Result<SeriesRef, SeriesError> {
        if labels.is_empty() {
            return Err(SeriesError::NoLabels);
        }
        let most = u64::from(u32::MAX);
        let exceeded = Exceeded { limit: SeriesLimit::Numbers, allowed: most, found: most };
        let refusal = |_| SeriesError::Limit { exceeded, series: labels.clone() };
        let series = u32::try_from(self.series.len()).map_err(refusal)?;
        self.series.push(labels.clone());
        Ok(SeriesRef(series))
    }

    fn append(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
        self.samples.push(series, timestamp, value);
    }

    fn append_histogram(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        histogram: FloatHistogram,
    ) -> Result<(), SampleError> {
        self.head.memory.note_histogram();
        self.samples.push_histogram(series, timestamp, histogram)
    }

    fn set_start(&mut self, start: Timestamp) {
        self.samples.set_start(start);
    }

    fn append_exemplar(&mut self, series: SeriesRef, exemplar: Exemplar) {
        self.exemplars.push((series, exemplar));
    }

    fn set_metadata(&mut self, metric: &str, mut metadata: Metadata) {
        trim(&mut metadata);
        self.metadata.push((metric.to_owned(), metadata));
    }

    fn commit(mut self: Box<Self>) -> Result<AppendReport, CommitError> {
        let outcome = self.write();
        self.head.counters.count(&outcome);
        outcome
    }
}

/// Why the samples of a series are refused that was refused for `error`.
fn reason_of(error: SeriesError) -> Option<SampleError> {
    match error {
        SeriesError::Limit { exceeded, .. } | SeriesError::LabelValues { exceeded, .. } => {
            Some(SampleError::SeriesLimit { exceeded })
        }
        SeriesError::NotApproved { .. } => Some(SampleError::SeriesNotApproved),
        _ => None,
    }
}

/// Writes records of batches that name their series.
#[derive(Debug, Default)]
struct Batch {
    /// The numbers that series of the appender have in the record under way.
    numbers: HashMap<SeriesRef, SeriesRef>,
    series: SeriesEncoder,
    exemplars: ExemplarsEncoder,
    /// Finished records about metrics, and of exemplars.
    about: Vec<Vec<u8>>,
    samples: Records,
    count: usize,
    histogram_bytes: usize,
    done: Records,
}

impl Batch {
    fn add_metadata(&mut self, metric: &str, metadata: &Metadata) {
        let mut record = Vec::new();
        encode_metadata(metric, metadata, &mut record);
        self.about.push(record);
    }

    fn add_exemplar(&mut self, labels: &Labels, exemplar: &Exemplar) {
        let number = self.exemplars.len() as u64;
        self.exemplars.push(number, ExemplarSeries::Labelled(labels.clone()), exemplar);
        if self.exemplars.byte_len() >= RECORD_BYTES {
            self.end_exemplars();
        }
    }

    fn end_exemplars(&mut self) {
        let mut record = Vec::new();
        self.exemplars.finish(&mut record);
        self.about.extend(Some(record).filter(|record| !record.is_empty()));
    }

    fn add(&mut self, labels: &Labels, sample: &BatchSample<'_>) {
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        let number = match self.numbers.entry(sample.series) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(vacant) => {
                self.series.push(SeriesRef(next), labels);
                *vacant.insert(SeriesRef(next))
            }
        };
        self.samples.push_other(number, sample.timestamp, &sample.value(), sample.start);
        self.count += 1;
        self.histogram_bytes += sample.histogram.map_or(0, |histogram| histogram.size_bytes());
        let is_long = self.count >= RECORD_SAMPLES || self.histogram_bytes >= RECORD_HISTOGRAM_BYTES;
        if is_long || is_full(&self.series) {
            self.end_record();
        }
    }

    fn end_record(&mut self) {
        self.end_exemplars();
        let mut series = Vec::new();
        self.series.finish(&mut series);
        let samples = self.samples.take();
        let mut records = std::mem::take(&mut self.about);
        records.extend(Some(series).filter(|record| !record.is_empty()));
        records.extend(samples);
        if !records.is_empty() {
            let mut record = Vec::new();
            encode_named(&records, &mut record);
            self.done.push_record(record);
        }
        self.numbers.clear();
        (self.count, self.histogram_bytes) = (0, 0);
    }

    fn finish(mut self) -> Records {
        self.end_record();
        self.done
    }
}
