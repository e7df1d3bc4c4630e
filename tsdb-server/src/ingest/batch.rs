//! One request's samples on their way into a store, whatever format they came in. A native histogram is a sample.
//!
//! A [`Batch`] wraps an [`Appender`] with what all formats share: the window of time, the caps on samples and
//! descriptions, and the record of what was refused and why. Refusing one sample never refuses another.
//!
//! A request is read twice if it names an unknown series. The first reading appends up to the first unknown series and
//! from there on only counts; once the whole request is known to be well formed and admitted, the second reading takes
//! up where the first stopped, and registers. So a request that is refused leaves no series behind, and no tenant; the
//! usual request, of known series alone, is read once.

use super::refusing::Refusing;
use crate::admission::look_alike;
use crate::error::ApiError;
use crate::error::ErrorKind;
use crate::limits::{IngestLimits, Limit};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::metadata::Metadata;
use tsdb_core::write::{Appendable, Appender, Exceeded, Origin, SampleError, SeriesError, SeriesLimit};
use tsdb_core::{Exemplar, Labels, NO_START, Sample, SeriesRef, Timestamp};

/// Samples under way into a store.
pub(crate) struct Batch<'a> {
    appender: Box<dyn Appender + 'a>,
    window: RangeInclusive<Timestamp>,
    max_samples: usize,
    allowed_samples: u64,
    appended: usize,
    /// Time of the newest sample added so far.
    newest: Timestamp,
    /// Samples that a first reading counted and left to the second.
    left: usize,
    /// Exemplars added so far.
    exemplars: usize,
    /// Positions of the native histograms in the batch, ascending.
    histograms: Vec<usize>,
    metadata: MetadataCap,
    look_alikes: u64,
    pub(crate) refusals: Refusals,
}

/// The bounds on descriptions of metrics.
struct MetadataCap {
    max_bytes: usize,
    limit: Limit,
    seen: usize,
}

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Samples stored, exact repetitions included.
    pub(crate) accepted: u64,
    /// How many of them are native histograms.
    pub(crate) histograms: u64,
    /// Time of the newest sample given to the store; the smallest of all times if there was none.
    pub(crate) newest: Timestamp,
    /// Samples that the batch or the store refused.
    pub(crate) refusals: Refusals,
    /// Samples that the store refused, by position in the batch: the caller knows what stood there.
    pub(crate) refused_positions: Vec<(usize, SampleError)>,
    /// New series with names that look like others.
    pub(crate) look_alikes: u64,
}

/// The years 1 to 9999: everything that RFC 3339 can name. Times outside come from broken clocks or attacks.
const POSSIBLE_TIMES: RangeInclusive<Timestamp> = -62_135_596_800_000..=253_402_300_799_999;

impl<'a> Batch<'a> {
    /// An empty batch for `store`; `now` is the server's time.
    pub(crate) fn new(
        store: &'a (impl Appendable + ?Sized),
        limits: &IngestLimits,
        now: Timestamp,
        origin: Origin,
    ) -> Self {
        let mut appender = store.appender();
        appender.set_origin(origin);
        Self {
            appender,
            window: window(limits, now),
            max_samples: limits.max_samples_per_request.as_len(),
            allowed_samples: limits.max_samples_per_request.get().unwrap_or(u64::MAX),
            appended: 0,
            newest: Timestamp::MIN,
            left: 0,
            exemplars: 0,
            histograms: Vec::new(),
            metadata: MetadataCap {
                max_bytes: limits.max_metadata_bytes.as_len(),
                limit: limits.max_metadata_per_request,
                seen: 0,
            },
            look_alikes: 0,
            refusals: Refusals::default(),
        }
    }

    /// May a sample have this time?
    #[inline]
    pub(crate) fn admits(&self, timestamp: Timestamp) -> bool {
        self.window.contains(&timestamp)
    }

    /// Counts a sample that a second reading will append.
    ///
    /// # Errors
    /// More samples than a request may hold.
    #[inline]
    pub(crate) fn leave(&mut self, timestamp: Timestamp) -> Result<(), ApiError> {
        if self.admits(timestamp) {
            if self.appended.saturating_add(self.left) >= self.max_samples {
                return Err(self.too_many());
            }
            self.left += 1;
        }
        Ok(())
    }

    /// What the request costs: its samples, counted or appended, and its descriptions of metrics.
    pub(crate) const fn cost(&self) -> usize {
        self.appended.saturating_add(self.left).saturating_add(self.metadata.seen)
    }

    /// Starts the second reading.
    pub(crate) const fn resume(&mut self) {
        self.left = 0;
    }

    /// The series with this wire form if the store holds it.
    #[inline]
    pub(crate) fn lookup(&mut self, wire: &[u8]) -> Option<SeriesRef> {
        self.appender.lookup(wire)
    }

    /// Length of the wire form that will probably be looked up next.
    #[inline]
    pub(crate) fn expected_len(&self) -> Option<usize> {
        self.appender.expected_len()
    }

    /// The series with this wire form if it is the one that is expected next.
    #[inline]
    pub(crate) fn lookup_expected(&mut self, wire: &[u8]) -> Option<SeriesRef> {
        self.appender.lookup_expected(wire)
    }

    /// Why no new series is taken at the moment, if none is.
    pub(crate) fn closed(&mut self) -> Option<Exceeded> {
        self.appender.closed()
    }

    /// Refuses the samples of a new series because none is taken.
    pub(crate) fn refuse_new(
        &mut self,
        samples: u64,
        index: usize,
        exceeded: Exceeded,
        series: impl FnOnce() -> String,
    ) {
        self.appender.note_refused();
        let message = || format!("{exceeded}; refused series: {}", series());
        self.refusals.add_many(samples, index, limit_reason(exceeded.limit), message);
    }

    /// The series with these labels, registered if it is new.
    pub(crate) fn series(&mut self, labels: &Labels) -> Result<SeriesRef, SeriesError> {
        let registered = self.appender.series(labels)?;
        if let Some((name, like)) = look_alike(labels) {
            if self.look_alikes == 0 {
                log::warn!("a new series of {name:?}, which is not {like:?} and looks like it: {labels}");
            }
            self.look_alikes = self.look_alikes.saturating_add(1);
        }
        Ok(registered)
    }

    /// Adds a sample that stands at `index` of the request.
    ///
    /// # Errors
    /// More samples than a request may hold.
    #[inline]
    pub(crate) fn append(
        &mut self,
        series: SeriesRef,
        sample: Sample,
        index: usize,
    ) -> Result<bool, ApiError> {
        if !self.window.contains(&sample.timestamp) {
            self.refuse_time(sample.timestamp, index);
            return Ok(false);
        }
        if self.appended >= self.max_samples {
            return Err(self.too_many());
        }
        self.appended += 1;
        self.newest = self.newest.max(sample.timestamp);
        self.appender.append(series, sample.timestamp, sample.value);
        Ok(true)
    }

    /// Adds a native histogram that stands at `index` of the request. `Err` within if the store does not take it.
    ///
    /// # Errors
    /// More samples than a request may hold.
    pub(crate) fn append_histogram(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        histogram: FloatHistogram,
        index: usize,
    ) -> Result<Result<bool, SampleError>, ApiError> {
        if !self.window.contains(&timestamp) {
            self.refuse_time(timestamp, index);
            return Ok(Ok(false));
        }
        if self.appended >= self.max_samples {
            return Err(self.too_many());
        }
        if let Err(error) = self.appender.append_histogram(series, timestamp, histogram) {
            return Ok(Err(error));
        }
        self.histograms.push(self.appended);
        self.newest = self.newest.max(timestamp);
        self.appended += 1;
        Ok(Ok(true))
    }

    /// Says when the counting behind the sample added last began, unless the sender does not know it or it lies behind
    /// the sample.
    #[inline]
    pub(crate) fn set_start(&mut self, start: Timestamp, timestamp: Timestamp) {
        if start != NO_START && start <= timestamp {
            self.appender.set_start(start);
        }
    }

    /// Adds an exemplar. `false` if its time is refused.
    ///
    /// # Errors
    /// More exemplars than a request may hold samples.
    pub(crate) fn append_exemplar(
        &mut self,
        series: SeriesRef,
        exemplar: Exemplar,
    ) -> Result<bool, ApiError> {
        if !self.window.contains(&exemplar.timestamp) {
            return Ok(false);
        }
        if self.exemplars >= self.max_samples {
            let allowed = self.allowed_samples;
            return Err(ApiError::too_large(format!(
                "the request has more than {allowed} exemplars, which max_samples_per_request allows"
            )));
        }
        self.exemplars += 1;
        self.appender.append_exemplar(series, exemplar);
        Ok(true)
    }

    /// Exemplars added so far.
    pub(crate) const fn exemplars(&self) -> usize {
        self.exemplars
    }

    /// Says what a metric is.
    ///
    /// # Errors
    /// More descriptions than a request may hold.
    pub(crate) fn set_metadata(&mut self, metric: &str, mut metadata: Metadata) -> Result<(), ApiError> {
        self.metadata.seen = self.metadata.seen.saturating_add(1);
        if let Some(allowed) = self.metadata.limit.exceeded_by(self.metadata.seen) {
            return Err(ApiError::too_large(format!(
                "the request describes more than {allowed} metrics, which max_metadata_per_request allows"
            )));
        }
        if metric.len() <= self.metadata.max_bytes {
            cut(&mut metadata.help, self.metadata.max_bytes);
            cut(&mut metadata.unit, self.metadata.max_bytes);
            self.appender.set_metadata(metric, metadata);
        }
        Ok(())
    }

    /// Samples added so far.
    pub(crate) const fn appended(&self) -> usize {
        self.appended
    }

    /// Writes the batch. That the storage refuses it is told to `refusing`.
    pub(crate) fn commit(self, refusing: &Refusing) -> Result<Outcome, ApiError> {
        let report = self.appender.commit().inspect_err(|error| refusing.note(error, Instant::now()))?;
        let mut refused_positions = Vec::with_capacity(report.refused.len());
        let mut histograms = self.histograms.len() as u64;
        for refused in report.refused {
            let is_temporary =
                matches!(refused.reason, SampleError::UnknownSeries { .. } | SampleError::TooManyLate { .. });
            if is_temporary {
                // The store let go of the series between look-up and commit: sent again, it is registered anew. Or late
                // samples have no room before those that are there are in blocks.
                return Err(ApiError::new(ErrorKind::Unavailable, refused.reason.to_string())
                    .retry_after(Duration::from_secs(1)));
            }
            histograms -= u64::from(self.histograms.binary_search(&refused.position).is_ok());
            refused_positions.push((refused.position, refused.reason));
        }
        Ok(Outcome {
            accepted: report.accepted,
            histograms,
            newest: self.newest,
            refusals: self.refusals,
            refused_positions,
            look_alikes: self.look_alikes,
        })
    }

    /// Records that a sample lies outside the window of time.
    #[cold]
    pub(crate) fn refuse_time(&mut self, timestamp: Timestamp, index: usize) {
        let (oldest, newest) = (*self.window.start(), *self.window.end());
        let (reason, message) = if timestamp > newest {
            ("too_far_in_future", SampleError::TooFarInFuture { timestamp, newest })
        } else {
            ("too_old", SampleError::TooOld { timestamp, oldest })
        };
        self.refusals.add(index, reason, || message.to_string());
    }

    #[cold]
    fn too_many(&self) -> ApiError {
        let allowed = self.allowed_samples;
        ApiError::too_large(format!(
            "the request has more than {allowed} samples, which max_samples_per_request allows"
        ))
    }
}

/// Cuts `text` to `max_bytes`, between two characters.
fn cut(text: &mut String, max_bytes: usize) {
    if text.len() > max_bytes {
        text.truncate(text.floor_char_boundary(max_bytes));
        text.shrink_to_fit();
    }
}

fn window(limits: &IngestLimits, now: Timestamp) -> RangeInclusive<Timestamp> {
    let reach = |ms: i64, bound: Timestamp| if ms == 0 { None } else { Some(bound) };
    let past = limits.max_past.as_signed_ms();
    let future = limits.max_future.as_signed_ms();
    let oldest = reach(past, now.saturating_sub(past)).unwrap_or(Timestamp::MIN);
    let newest = reach(future, now.saturating_add(future)).unwrap_or(Timestamp::MAX);
    oldest.max(*POSSIBLE_TIMES.start())..=newest.min(*POSSIBLE_TIMES.end())
}

/// A short stable name of a reason, for clients and counters.
pub(crate) const fn sample_reason(error: &SampleError) -> &'static str {
    match error {
        SampleError::OutOfOrder { .. } => "out_of_order",
        SampleError::Duplicate { .. } => "duplicate_timestamp",
        SampleError::TooOld { .. } => "too_old",
        SampleError::TooFarInFuture { .. } => "too_far_in_future",
        SampleError::HistogramsUnsupported { .. } => "histograms_unsupported",
        SampleError::TooManyBuckets { .. } => "too_many_buckets",
        SampleError::SeriesLimit { exceeded } => limit_reason(exceeded.limit),
        SampleError::SeriesNotApproved => "not_approved",
        _ => "refused",
    }
}

/// A short stable name of a reason, for clients and counters.
pub(crate) const fn series_reason(error: &SeriesError) -> &'static str {
    match error {
        SeriesError::Limit { exceeded, .. } | SeriesError::LabelValues { exceeded, .. } => {
            limit_reason(exceeded.limit)
        }
        SeriesError::NotApproved { .. } => "not_approved",
        SeriesError::NoLabels => "missing_metric_name",
        _ => "refused",
    }
}

/// A short stable name of a reason, for clients and counters.
const fn limit_reason(limit: SeriesLimit) -> &'static str {
    match limit {
        SeriesLimit::NewPerMinute => "new_series_per_minute",
        SeriesLimit::Active => "active_series",
        SeriesLimit::PerMetric => "series_per_metric",
        SeriesLimit::LabelValues => "label_values_per_metric",
        _ => "no_room",
    }
}

/// What was refused: all counted by reason, the first ones with their messages.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    counts: Vec<(&'static str, u64)>,
    listed: Vec<Refusal>,
}

/// One refused sample.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Where it stands in the request, from 0.
    pub(crate) index: usize,
    /// Short stable name of the reason.
    pub(crate) reason: &'static str,
    /// The reason as a sentence.
    pub(crate) message: String,
}

impl Refusals {
    /// How many refusals are told one by one.
    pub(crate) const MAX_LISTED: usize = 100;

    /// Records a refused sample; `message` is asked for only while it is listed.
    pub(crate) fn add(&mut self, index: usize, reason: &'static str, message: impl FnOnce() -> String) {
        self.add_many(1, index, reason, message);
    }

    /// Records `samples` refused for one reason.
    pub(crate) fn add_many(
        &mut self,
        samples: u64,
        index: usize,
        reason: &'static str,
        message: impl FnOnce() -> String,
    ) {
        match self.counts.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count = count.saturating_add(samples),
            None => self.counts.push((reason, samples)),
        }
        if self.listed.len() < Self::MAX_LISTED {
            self.listed.push(Refusal { index, reason, message: message() });
        }
    }

    /// Refused samples in all.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Refused samples by reason.
    pub(crate) fn counts(&self) -> &[(&'static str, u64)] {
        &self.counts
    }

    /// The first refusals in order of the request.
    pub(crate) fn listed(&mut self) -> &[Refusal] {
        self.listed.sort_by_key(|refusal| refusal.index);
        &self.listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_of_a_series_that_is_refused_late_has_the_reason_of_one_that_is_refused_at_once() {
        let exceeded = Exceeded { limit: SeriesLimit::Active, allowed: 1, found: 1 };
        let late = SampleError::SeriesLimit { exceeded };
        let at_once = SeriesError::Limit { exceeded, series: Labels::empty() };
        assert_eq!(sample_reason(&late), series_reason(&at_once));
        let not_approved = SeriesError::NotApproved { series: Labels::empty() };
        assert_eq!(sample_reason(&SampleError::SeriesNotApproved), series_reason(&not_approved));
    }

    #[test]
    fn the_alert_about_tenants_at_their_limits_knows_the_limits_of_series() {
        let rules = include_str!("../../rules/platform.yml");
        let alert = rules.split("- alert: ").find(|alert| alert.starts_with("TsdbTenantAtLimit")).unwrap();
        let limits = [
            SeriesLimit::NewPerMinute,
            SeriesLimit::Active,
            SeriesLimit::PerMetric,
            SeriesLimit::LabelValues,
        ];
        for limit in limits {
            assert!(alert.contains(limit_reason(limit)), "{limit:?}");
        }
    }
}
