//! `POST /api/v1/write`: remote write 1.0 into a store.
//!
//! A known series is recognised by the raw bytes of its labels; only an unknown one is decoded, checked and
//! registered. Good samples are stored even if others of the request are refused; the answer is then 400 with the
//! first reasons, so that the sender neither repeats the request nor believes all is well. A stale marker of an
//! unknown series is dropped: it would create a series only to end it.

use super::batch::{Batch, Outcome, Refusals, sample_reason, series_reason};
use super::remote_write_format::{self as format, LabelsError, Sink, TimeSeries};
use crate::error::ApiError;
use crate::limits::Limits;
use crate::validation;
use tsdb_core::metadata::Metadata;
use tsdb_core::write::Appendable;
use tsdb_core::{Corruption, SeriesRef, Timestamp, is_stale_nan};

/// What became of a remote-write request.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) accepted: u64,
    pub(crate) refusals: Refusals,
    pub(crate) exemplars: u64,
    pub(crate) histograms: u64,
}

/// Decodes `body`, a `WriteRequest`, and writes it to `store` if `admit` lets so many samples pass.
pub(crate) fn write(
    store: &(impl Appendable + ?Sized),
    body: &[u8],
    limits: &Limits,
    now: Timestamp,
    admit: impl FnOnce(usize) -> Result<(), ApiError>,
) -> Result<Written, ApiError> {
    let mut sink = WriteSink::new(Batch::new(store, &limits.ingest, now), limits);
    let decoded = format::decode(body, &mut sink);
    if let Some(stop) = sink.stop {
        return Err(stop);
    }
    decoded.map_err(|damage| ApiError::bad_data(damage.to_string()))?;
    admit(sink.batch.appended())?;
    let (exemplars, histograms) = (sink.exemplars, sink.histograms);
    let mut outcome = sink.batch.commit()?;
    name_refused(body, &sink.starts, &mut outcome);
    Ok(Written { accepted: outcome.accepted, refusals: outcome.refusals, exemplars, histograms })
}

struct WriteSink<'a> {
    batch: Batch<'a>,
    limits: &'a Limits,
    series_seen: usize,
    /// First position in the batch of each series that has one, with the number of the series in the request.
    starts: Vec<(usize, usize)>,
    exemplars: u64,
    histograms: u64,
    /// Set when the request breaks a limit as a whole.
    stop: Option<ApiError>,
}

impl<'a> WriteSink<'a> {
    const fn new(batch: Batch<'a>, limits: &'a Limits) -> Self {
        Self { batch, limits, series_seen: 0, starts: Vec::new(), exemplars: 0, histograms: 0, stop: None }
    }

    fn add(
        &mut self,
        reference: SeriesRef,
        series: &TimeSeries<'_>,
        number: usize,
    ) -> Result<(), Corruption> {
        self.starts.push((self.batch.appended(), number));
        for sample in series.samples() {
            match self.batch.append(reference, sample?, number) {
                Ok(_) => {}
                Err(error) => {
                    self.stop = Some(error);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Registers an unknown series that brings a sample worth a series.
    fn register(&mut self, series: &TimeSeries<'_>, number: usize) -> Result<Option<SeriesRef>, Corruption> {
        let (mut samples, mut live) = (0u64, false);
        for sample in series.samples() {
            live |= !is_stale_nan(sample?.value);
            samples = samples.saturating_add(1);
        }
        if !live {
            return Ok(None);
        }
        let labels = match format::decode_labels(series.labels_wire()) {
            Ok(labels) => labels,
            Err(LabelsError::Damaged(damage)) => return Err(damage),
            Err(LabelsError::Fault(fault)) => {
                self.batch.refusals.add_many(samples, number, fault.reason(), || fault.to_string());
                return Ok(None);
            }
        };
        if let Err(fault) = validation::check(&labels, &self.limits.remote_write.0) {
            let message = || format!("{labels}: {fault}");
            self.batch.refusals.add_many(samples, number, fault.reason(), message);
            return Ok(None);
        }
        match self.batch.series(&labels) {
            Ok(reference) => Ok(Some(reference)),
            Err(error) => {
                self.batch.refusals.add_many(samples, number, series_reason(&error), || error.to_string());
                Ok(None)
            }
        }
    }
}

impl Sink for WriteSink<'_> {
    fn series(&mut self, series: TimeSeries<'_>) -> Result<(), Corruption> {
        let number = self.series_seen;
        self.series_seen += 1;
        self.exemplars = self.exemplars.saturating_add(series.exemplars() as u64);
        self.histograms = self.histograms.saturating_add(series.histograms() as u64);
        if self.stop.is_some() {
            return Ok(());
        }
        let known = match self.batch.lookup(series.labels_wire()) {
            Some(reference) => Some(reference),
            None => self.register(&series, number)?,
        };
        match known {
            Some(reference) => self.add(reference, &series, number),
            None => Ok(()),
        }
    }

    fn metadata(&mut self, metric: &str, metadata: Metadata) {
        self.batch.set_metadata(metric, metadata);
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
