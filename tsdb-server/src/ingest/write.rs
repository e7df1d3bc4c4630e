//! `POST /api/v1/write`: remote write 1.0 and 2.0 into a store.
//!
//! A known series is recognised by the raw bytes of its labels; only an unknown one is decoded, checked and
//! registered. Good samples are stored even if others of the request are refused; the answer is then 400 with the
//! first reasons, so that the sender neither repeats the request nor believes all is well. A stale marker of an
//! unknown series is dropped: it would create a series only to end it. So is an exemplar.

use super::batch::{Batch, Outcome, Refusals, sample_reason, series_reason};
use super::intake::Intake;
use super::remote_write_format::{
    self as format, ExemplarFault, ExemplarMessage, HistogramFault, HistogramMessage, LabelsError,
    RequestError, Sink, SymbolLimits, TimeSeries,
};
use super::unseen::is_proper;
use crate::error::ApiError;
use crate::limits::{IngestLimits, Limits};
use crate::validation;
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::labels::LabelsMaker;
use tsdb_core::metadata::Metadata;
use tsdb_core::write::{Exceeded, Origin};
use tsdb_core::{Corruption, Labels, SeriesRef, Timestamp, is_stale_nan};

/// Which message a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// `prometheus.WriteRequest`
    One,
    /// `io.prometheus.write.v2.Request`
    Two,
}

/// What became of a remote-write request.
#[derive(Debug)]
pub(crate) struct Written {
    /// Samples stored, native histograms among them.
    pub(crate) accepted: u64,
    pub(crate) histograms: u64,
    pub(crate) refusals: Refusals,
    /// New series with names that look like others.
    pub(crate) look_alikes: u64,
    pub(crate) exemplars: u64,
    pub(crate) refused_exemplars: Refusals,
}

/// Decodes `body` and writes it to the store of the tenant.
pub(crate) fn write(intake: &Intake<'_>, version: Version, body: &[u8]) -> Result<Written, ApiError> {
    let body = Body { version, bytes: body, limits: &intake.limits.ingest };
    let known = intake.existing_store()?;
    let opened;
    let mut sink =
        WriteSink::new(intake.batch(known.as_deref(), Origin::RemoteWrite), &intake.limits, known.is_some());
    sink.read(&body)?;
    intake.admit(sink.batch.cost())?;
    if let Some(first_unknown) = sink.first_unknown {
        if known.is_none() {
            opened = if sink.storable { Some(intake.open_store()?) } else { None };
            sink.batch = intake.batch(opened.as_deref(), Origin::RemoteWrite);
        }
        sink.resume(first_unknown);
        sink.read(&body)?;
    }
    let (exemplars, refused_exemplars) = (sink.batch.exemplars() as u64, sink.refused_exemplars);
    let mut outcome = sink.batch.commit(intake.refusing())?;
    intake.stored(&outcome);
    name_refused(&body, &sink.starts, &mut outcome);
    let Outcome { accepted, histograms, refusals, look_alikes, .. } = outcome;
    Ok(Written { accepted, histograms, refusals, look_alikes, exemplars, refused_exemplars })
}

/// The body of a request.
struct Body<'a> {
    version: Version,
    bytes: &'a [u8],
    limits: &'a IngestLimits,
}

impl Body<'_> {
    fn decode(&self, sink: &mut impl Sink) -> Result<(), ApiError> {
        let limits = SymbolLimits {
            max_symbols: self.limits.max_symbols_per_request,
            max_label_bytes: self.limits.max_decoded_bytes,
        };
        let decoded = match self.version {
            Version::One => format::decode(self.bytes, sink).map_err(RequestError::Damaged),
            Version::Two => format::decode_version_2(self.bytes, limits, sink),
        };
        decoded.map_err(|error| match error {
            RequestError::Damaged(damage) => ApiError::bad_data(damage.to_string()),
            other => ApiError::too_large(other.to_string()),
        })
    }
}

/// The two readings of a request, see [`batch`](super::batch).
struct WriteSink<'a> {
    batch: Batch<'a>,
    limits: &'a Limits,
    series_seen: usize,
    /// First position in the batch of each series that has one, with the number of the series in the request.
    starts: Vec<(usize, usize)>,
    refused_exemplars: Refusals,
    /// The series that comes next, if it is the one that was expected.
    expected: Option<SeriesRef>,
    maker: LabelsMaker,
    /// The series where the first reading stopped appending.
    first_unknown: Option<usize>,
    /// Set in the second reading: the series before this one are done.
    resumed_at: Option<usize>,
    /// Does the request hold a sample that a new store would take? Known without looking if there is a store.
    storable: bool,
    /// Are descriptions of metrics taken by this reading?
    describes: bool,
    /// Set when the request breaks a limit as a whole.
    stop: Option<ApiError>,
}

impl<'a> WriteSink<'a> {
    fn new(batch: Batch<'a>, limits: &'a Limits, has_store: bool) -> Self {
        Self {
            batch,
            limits,
            series_seen: 0,
            starts: Vec::new(),
            refused_exemplars: Refusals::default(),
            expected: None,
            maker: LabelsMaker::new(),
            first_unknown: None,
            resumed_at: None,
            storable: has_store,
            describes: true,
            stop: None,
        }
    }

    fn read(&mut self, body: &Body<'_>) -> Result<(), ApiError> {
        let decoded = body.decode(self);
        match self.stop.take() {
            Some(stop) => Err(stop),
            None => decoded,
        }
    }

    /// Prepares for the second reading, which begins at `series`. Descriptions are taken again only where the first
    /// reading had no store to give them to, which is when nothing was appended.
    fn resume(&mut self, series: usize) {
        self.resumed_at = Some(series);
        self.series_seen = 0;
        self.describes = self.batch.cost() == 0;
        self.batch.resume();
    }

    fn add(
        &mut self,
        reference: SeriesRef,
        series: &TimeSeries<'_>,
        number: usize,
    ) -> Result<(), Corruption> {
        self.starts.push((self.batch.appended(), number));
        let mut newest = 0;
        let mut samples = series.samples();
        while let Some(sample) = samples.next() {
            let sample = sample?;
            newest = sample.timestamp;
            match self.batch.append(reference, sample, number) {
                Ok(true) => self.batch.set_start(samples.start(), newest),
                Ok(false) => {}
                Err(stop) => {
                    self.stop = Some(stop);
                    return Ok(());
                }
            }
        }
        for histogram in series.histograms() {
            let histogram = histogram?;
            newest = histogram.timestamp();
            self.add_histogram(reference, &histogram, series, number)?;
        }
        for exemplar in series.exemplars() {
            self.add_exemplar(reference, &exemplar?, newest, series, number)?;
        }
        Ok(())
    }

    fn add_histogram(
        &mut self,
        reference: SeriesRef,
        message: &HistogramMessage<'_>,
        series: &TimeSeries<'_>,
        number: usize,
    ) -> Result<(), Corruption> {
        let timestamp = message.timestamp();
        if self.stop.is_some() {
            return Ok(());
        }
        if !self.batch.admits(timestamp) {
            self.batch.refuse_time(timestamp, number);
            return Ok(());
        }
        let Some(histogram) = self.decoded(message, series, number)? else { return Ok(()) };
        match self.batch.append_histogram(reference, timestamp, histogram, number) {
            Ok(Ok(true)) => self.batch.set_start(message.start(), timestamp),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                let message = || format!("{}: {error}", name_of(series));
                self.batch.refusals.add(number, sample_reason(&error), message);
            }
            Err(stop) => self.stop = Some(stop),
        }
        Ok(())
    }

    /// The histogram of a message, within the limit on buckets; `None` if it is refused.
    fn decoded(
        &mut self,
        message: &HistogramMessage<'_>,
        series: &TimeSeries<'_>,
        number: usize,
    ) -> Result<Option<FloatHistogram>, Corruption> {
        let limit = self.limits.ingest.max_histogram_buckets.as_len();
        let error = match message.decode() {
            Ok(mut histogram) => match histogram.limit_buckets(limit) {
                Ok(()) => return Ok(Some(histogram)),
                Err(error) => format!("{error}, max_histogram_buckets"),
            },
            Err(HistogramFault::Damaged(damage)) => return Err(damage),
            Err(fault) => fault.to_string(),
        };
        let timestamp = message.timestamp();
        let told = || format!("{}: native histogram at {timestamp} ms: {error}", name_of(series));
        self.batch.refusals.add(number, "invalid_histogram", told);
        Ok(None)
    }

    /// Adds an exemplar, which stands for the sample at `newest` if it has no time of its own.
    fn add_exemplar(
        &mut self,
        reference: SeriesRef,
        message: &ExemplarMessage<'_>,
        newest: Timestamp,
        series: &TimeSeries<'_>,
        number: usize,
    ) -> Result<(), Corruption> {
        if self.stop.is_some() {
            return Ok(());
        }
        let timestamp = if message.timestamp() == 0 { newest } else { message.timestamp() };
        let fault = match message.decode(timestamp, self.limits.ingest.max_exemplar_chars) {
            Ok(exemplar) => match self.batch.append_exemplar(reference, exemplar) {
                Ok(true) => return Ok(()),
                Ok(false) => "its time is not accepted".to_owned(),
                Err(stop) => {
                    self.stop = Some(stop);
                    return Ok(());
                }
            },
            Err(ExemplarFault::Damaged(damage)) => return Err(damage),
            Err(fault) => fault.to_string(),
        };
        let told = || format!("{}: exemplar at {timestamp} ms: {fault}", name_of(series));
        self.refused_exemplars.add(number, "invalid_exemplar", told);
        Ok(())
    }

    /// Counts what a second reading will append.
    fn leave(&mut self, series: &TimeSeries<'_>) -> Result<(), Corruption> {
        let samples = series.samples().map(|sample| sample.map(|sample| sample.timestamp));
        let histograms = series.histograms().map(|histogram| histogram.map(|found| found.timestamp()));
        for timestamp in samples.chain(histograms) {
            if let Err(stop) = self.batch.leave(timestamp?) {
                self.stop = Some(stop);
                return Ok(());
            }
        }
        if !self.storable && self.survey(series)?.live {
            let checked = self.checked_labels(series)?;
            self.storable = checked.is_ok();
        }
        Ok(())
    }

    fn survey(&self, series: &TimeSeries<'_>) -> Result<Survey, Corruption> {
        let mut survey = Survey { samples: 0, live: false };
        for sample in series.samples() {
            let sample = sample?;
            survey.live |= !is_stale_nan(sample.value) && self.batch.admits(sample.timestamp);
            survey.samples = survey.samples.saturating_add(1);
        }
        for message in series.histograms() {
            let message = message?;
            // Decoded only until one is found that is worth the series.
            if !survey.live && self.batch.admits(message.timestamp()) {
                survey.live = message.decode().is_ok_and(|histogram| !histogram.is_stale());
            }
            survey.samples = survey.samples.saturating_add(1);
        }
        Ok(survey)
    }

    /// Registers an unknown series that brings a sample worth a series.
    fn register(&mut self, series: &TimeSeries<'_>, number: usize) -> Result<Option<SeriesRef>, Corruption> {
        if let Some(exceeded) = self.batch.closed() {
            return self.refuse_closed(exceeded, series, number);
        }
        let survey = self.survey(series)?;
        if !survey.live {
            self.refuse_dead(series, number)?;
            return Ok(None);
        }
        self.registered(series, number, survey.samples)
    }

    /// The series, registered if it is new; `None` if its samples are refused, of which there are so many.
    fn registered(
        &mut self,
        series: &TimeSeries<'_>,
        number: usize,
        samples: u64,
    ) -> Result<Option<SeriesRef>, Corruption> {
        let labels = match self.checked_labels(series)? {
            Ok(labels) => labels,
            Err((reason, message)) => {
                self.batch.refusals.add_many(samples, number, reason, || message);
                return Ok(None);
            }
        };
        match self.batch.series(&labels) {
            Ok(reference) => Ok(Some(reference)),
            Err(error) => {
                let reason = series_reason(&error);
                self.batch.refusals.add_many(samples, number, reason, || error.to_string());
                Ok(None)
            }
        }
    }

    /// Refuses an unknown series while none is taken: its samples count like those that are stored, its labels are checked
    /// where they lie. One that turns out to be known, once its labels are sorted, is returned.
    fn refuse_closed(
        &mut self,
        exceeded: Exceeded,
        series: &TimeSeries<'_>,
        number: usize,
    ) -> Result<Option<SeriesRef>, Corruption> {
        let survey = self.survey(series)?;
        if !survey.live {
            self.refuse_dead(series, number)?;
            return Ok(None);
        }
        if is_proper(series.labels_wire(), &self.limits.remote_write.0) {
            self.batch.refuse_new(survey.samples, number, exceeded, || name_of(series));
        } else if let Some(known) = self.registered(series, number, survey.samples)? {
            return Ok(Some(known));
        }
        if self.resumed_at.is_none() {
            self.leave(series)?;
        }
        Ok(None)
    }

    /// Reports what is wrong with the samples of a series that is not registered: times outside the window, and
    /// histograms that are none.
    fn refuse_dead(&mut self, series: &TimeSeries<'_>, number: usize) -> Result<(), Corruption> {
        for sample in series.samples() {
            let timestamp = sample?.timestamp;
            if !self.batch.admits(timestamp) {
                self.batch.refuse_time(timestamp, number);
            }
        }
        for message in series.histograms() {
            let message = message?;
            if self.batch.admits(message.timestamp()) {
                self.decoded(&message, series, number)?;
            } else {
                self.batch.refuse_time(message.timestamp(), number);
            }
        }
        Ok(())
    }

    fn checked_labels(&mut self, series: &TimeSeries<'_>) -> Result<Result<Labels, Fault>, Corruption> {
        let labels = match format::decode_labels_with(series.labels_wire(), &mut self.maker) {
            Ok(labels) => labels,
            Err(LabelsError::Damaged(damage)) => return Err(damage),
            Err(LabelsError::Fault(fault)) => return Ok(Err((fault.reason(), fault.to_string()))),
        };
        match validation::check(&labels, &self.limits.remote_write.0) {
            Ok(()) => Ok(Ok(labels)),
            Err(fault) => Ok(Err((fault.reason(), format!("{labels}: {fault}")))),
        }
    }
}

/// Reason and message of a refused series.
type Fault = (&'static str, String);

/// What a series brings.
struct Survey {
    samples: u64,
    /// A sample within the window of time that is no stale marker.
    live: bool,
}

impl Sink for WriteSink<'_> {
    #[inline]
    fn expected_len(&self) -> Option<usize> {
        // Of series that are only counted, or were added before, none is looked up.
        let is_plain = self.first_unknown.is_none() && self.stop.is_none();
        if is_plain { self.batch.expected_len() } else { None }
    }

    #[inline]
    fn is_expected(&mut self, labels: &[u8]) -> bool {
        self.expected = self.batch.lookup_expected(labels);
        self.expected.is_some()
    }

    fn series(&mut self, series: TimeSeries<'_>) -> Result<(), Corruption> {
        let number = self.series_seen;
        self.series_seen += 1;
        if self.stop.is_some() || self.resumed_at.is_some_and(|first| number < first) {
            return Ok(());
        }
        let is_second = self.resumed_at.is_some();
        if self.first_unknown.is_some() && !is_second {
            return self.leave(&series);
        }
        let found = self.expected.take().or_else(|| self.batch.lookup(series.labels_wire()));
        match found {
            Some(reference) => self.add(reference, &series, number),
            None if is_second => match self.register(&series, number)? {
                Some(reference) => self.add(reference, &series, number),
                None => Ok(()),
            },
            None => match self.batch.closed() {
                Some(exceeded) => match self.refuse_closed(exceeded, &series, number)? {
                    Some(reference) => self.add(reference, &series, number),
                    None => Ok(()),
                },
                None => {
                    self.first_unknown = Some(number);
                    self.leave(&series)
                }
            },
        }
    }

    fn metadata(&mut self, metric: &str, metadata: Metadata) {
        if self.stop.is_none() && self.describes {
            self.stop = self.batch.set_metadata(metric, metadata).err();
        }
    }
}

/// The labels of a series as text, for people.
fn name_of(series: &TimeSeries<'_>) -> String {
    match format::decode_labels(series.labels_wire()) {
        Ok(labels) => labels.to_string(),
        Err(error) => error.to_string(),
    }
}

/// Records what the store refused, naming the series of the first ones. The names are read from the body again:
/// refusals are rare, and the common path keeps no labels.
fn name_refused(body: &Body<'_>, starts: &[(usize, usize)], outcome: &mut Outcome) {
    if outcome.refused_positions.is_empty() {
        return;
    }
    let number_at = |position: usize| {
        let after = starts.partition_point(|(start, _)| *start <= position);
        after.checked_sub(1).and_then(|index| starts.get(index)).map_or(0, |(_, number)| *number)
    };
    let mut names = Names { numbers: Vec::new(), found: Vec::new(), seen: 0 };
    let listed = outcome.refused_positions.iter().take(Refusals::MAX_LISTED);
    names.numbers.extend(listed.map(|(position, _)| number_at(*position)));
    // The body has been decoded once without damage.
    drop(body.decode(&mut names));
    for (position, error) in &outcome.refused_positions {
        let number = number_at(*position);
        let message = || match names.found.iter().find(|(n, _)| *n == number) {
            Some((_, name)) => format!("{name}: {error}"),
            None => error.to_string(),
        };
        outcome.refusals.add(number, sample_reason(error), message);
    }
}

/// Reads the labels of the series with the given numbers.
struct Names {
    numbers: Vec<usize>,
    found: Vec<(usize, String)>,
    seen: usize,
}

impl Sink for Names {
    fn series(&mut self, series: TimeSeries<'_>) -> Result<(), Corruption> {
        if self.numbers.contains(&self.seen)
            && let Ok(labels) = format::decode_labels(series.labels_wire())
        {
            self.found.push((self.seen, labels.to_string()));
        }
        self.seen += 1;
        Ok(())
    }

    fn metadata(&mut self, _metric: &str, _metadata: Metadata) {}
}
