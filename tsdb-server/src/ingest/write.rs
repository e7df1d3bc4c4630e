//! `POST /api/v1/write`: remote write 1.0 into a store.
//!
//! A known series is recognised by the raw bytes of its labels; only an unknown one is decoded, checked and
//! registered. Good samples are stored even if others of the request are refused; the answer is then 400 with the
//! first reasons, so that the sender neither repeats the request nor believes all is well. A stale marker of an
//! unknown series is dropped: it would create a series only to end it.

use super::batch::{Batch, Outcome, Refusals, sample_reason, series_reason};
use super::intake::Intake;
use super::remote_write_format::{self as format, LabelsError, Sink, TimeSeries};
use crate::error::ApiError;
use crate::limits::Limits;
use crate::validation;
use tsdb_core::metadata::Metadata;
use tsdb_core::{Corruption, Labels, SeriesRef, is_stale_nan};

/// What became of a remote-write request.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) accepted: u64,
    pub(crate) refusals: Refusals,
    pub(crate) exemplars: u64,
    pub(crate) histograms: u64,
}

/// Decodes `body`, a `WriteRequest`, and writes it to the store of the tenant.
pub(crate) fn write(intake: &Intake<'_>, body: &[u8]) -> Result<Written, ApiError> {
    let known = intake.existing_store()?;
    let opened;
    let mut sink = WriteSink::new(intake.batch(known.as_deref()), intake.limits, known.is_some());
    sink.read(body)?;
    intake.admit(sink.batch.cost())?;
    if let Some(first_unknown) = sink.first_unknown {
        if known.is_none() {
            opened = if sink.storable { Some(intake.open_store()?) } else { None };
            sink.batch = intake.batch(opened.as_deref());
        }
        sink.resume(first_unknown);
        sink.read(body)?;
    }
    let (exemplars, histograms) = (sink.exemplars, sink.histograms);
    let mut outcome = sink.batch.commit()?;
    name_refused(body, &sink.starts, &mut outcome);
    Ok(Written { accepted: outcome.accepted, refusals: outcome.refusals, exemplars, histograms })
}

/// The two readings of a request, see [`batch`](super::batch).
struct WriteSink<'a> {
    batch: Batch<'a>,
    limits: &'a Limits,
    series_seen: usize,
    /// First position in the batch of each series that has one, with the number of the series in the request.
    starts: Vec<(usize, usize)>,
    exemplars: u64,
    histograms: u64,
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
    const fn new(batch: Batch<'a>, limits: &'a Limits, has_store: bool) -> Self {
        Self {
            batch,
            limits,
            series_seen: 0,
            starts: Vec::new(),
            exemplars: 0,
            histograms: 0,
            first_unknown: None,
            resumed_at: None,
            storable: has_store,
            describes: true,
            stop: None,
        }
    }

    fn read(&mut self, body: &[u8]) -> Result<(), ApiError> {
        let decoded = format::decode(body, self);
        match self.stop.take() {
            Some(stop) => Err(stop),
            None => decoded.map_err(|damage| ApiError::bad_data(damage.to_string())),
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
        for sample in series.samples() {
            if let Err(stop) = self.batch.append(reference, sample?, number) {
                self.stop = Some(stop);
                break;
            }
        }
        Ok(())
    }

    /// Counts what a second reading will append.
    fn leave(&mut self, series: &TimeSeries<'_>) -> Result<(), Corruption> {
        for sample in series.samples() {
            if let Err(stop) = self.batch.leave(sample?.timestamp) {
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
        Ok(survey)
    }

    /// Registers an unknown series that brings a sample worth a series.
    fn register(&mut self, series: &TimeSeries<'_>, number: usize) -> Result<Option<SeriesRef>, Corruption> {
        let survey = self.survey(series)?;
        if !survey.live {
            self.refuse_times(series, number)?;
            return Ok(None);
        }
        let labels = match self.checked_labels(series)? {
            Ok(labels) => labels,
            Err((reason, message)) => {
                self.batch.refusals.add_many(survey.samples, number, reason, || message);
                return Ok(None);
            }
        };
        match self.batch.series(&labels) {
            Ok(reference) => Ok(Some(reference)),
            Err(error) => {
                let reason = series_reason(&error);
                self.batch.refusals.add_many(survey.samples, number, reason, || error.to_string());
                Ok(None)
            }
        }
    }

    /// Reports the samples outside the window of time of a series that is not registered.
    fn refuse_times(&mut self, series: &TimeSeries<'_>, number: usize) -> Result<(), Corruption> {
        for sample in series.samples() {
            let timestamp = sample?.timestamp;
            if !self.batch.admits(timestamp) {
                self.batch.refuse_time(timestamp, number);
            }
        }
        Ok(())
    }

    fn checked_labels(&self, series: &TimeSeries<'_>) -> Result<Result<Labels, Fault>, Corruption> {
        let labels = match format::decode_labels(series.labels_wire()) {
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
    fn series(&mut self, series: TimeSeries<'_>) -> Result<(), Corruption> {
        let number = self.series_seen;
        self.series_seen += 1;
        if self.stop.is_some() || self.resumed_at.is_some_and(|first| number < first) {
            return Ok(());
        }
        let is_second = self.resumed_at.is_some();
        if !is_second {
            self.exemplars = self.exemplars.saturating_add(series.exemplars() as u64);
            self.histograms = self.histograms.saturating_add(series.histograms() as u64);
        }
        if self.first_unknown.is_some() && !is_second {
            return self.leave(&series);
        }
        match self.batch.lookup(series.labels_wire()) {
            Some(reference) => self.add(reference, &series, number),
            None if is_second => match self.register(&series, number)? {
                Some(reference) => self.add(reference, &series, number),
                None => Ok(()),
            },
            None => {
                self.first_unknown = Some(number);
                self.leave(&series)
            }
        }
    }

    fn metadata(&mut self, metric: &str, metadata: Metadata) {
        if self.stop.is_none() && self.describes {
            self.stop = self.batch.set_metadata(metric, metadata).err();
        }
    }
}

/// Records what the store refused, naming the series of the first ones. The names are read from the body again:
/// refusals are rare, and the common path keeps no labels.
fn name_refused(body: &[u8], starts: &[(usize, usize)], outcome: &mut Outcome) {
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
    drop(format::decode(body, &mut names));
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
