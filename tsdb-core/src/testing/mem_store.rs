//! The naive model of a store: a map from labels to samples behind the read and write traits.

use crate::histogram::FloatHistogram;
use crate::metadata::Metadata;
use crate::read::{
    ExemplarQueryable, Querier, Queryable, ReadError, SampleColumns, SelectHints, SeriesExemplars, SeriesSet,
};
use crate::write::{
    AppendReport, Appendable, Appender, CommitError, RefusedSample, SampleError, SeriesError,
};
use crate::{Exemplar, Labels, Matcher, NO_START, SeriesRef, TimeRange, Timestamp};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::{Mutex, MutexGuard, PoisonError};

type Samples = BTreeMap<Timestamp, (Stored, Start)>;
/// A start timestamp in ms, or `NO_START`.
type Start = Timestamp;

/// One sample; numbers are compared bit by bit.
#[derive(Debug, Clone, PartialEq)]
enum Stored {
    Bits(u64),
    Histogram(Arc<FloatHistogram>),
}

/// An in-memory store. Keeps samples in any order; the same timestamp with another value is refused.
#[derive(Debug, Default)]
pub struct MemStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    series: Vec<(Labels, Samples)>,
    exemplars: BTreeMap<SeriesRef, Vec<Exemplar>>,
    by_wire: BTreeMap<Vec<u8>, SeriesRef>,
    metadata: BTreeMap<String, Metadata>,
}

impl MemStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores one sample; a sample already there is replaced.
    pub fn put(&self, labels: &Labels, timestamp: Timestamp, value: f64) {
        let mut state = self.lock();
        let series = state.register(labels);
        if let Some((_, samples)) = state.series.get_mut(series.index()) {
            samples.insert(timestamp, (Stored::Bits(value.to_bits()), NO_START));
        }
    }

    /// What is known of `metric`.
    pub fn metadata(&self, metric: &str) -> Option<Metadata> {
        self.lock().metadata.get(metric).cloned()
    }

    /// What is known of each metric, sorted by name.
    pub fn all_metadata(&self) -> Vec<(String, Metadata)> {
        self.lock().metadata.clone().into_iter().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn register(&mut self, labels: &Labels) -> SeriesRef {
        let mut wire = Vec::new();
        crate::labels::write_wire(labels, &mut wire);
        if let Some(found) = self.by_wire.get(&wire) {
            return *found;
        }
        let series = SeriesRef(u32::try_from(self.series.len()).unwrap_or(u32::MAX));
        self.series.push((labels.clone(), Samples::new()));
        self.by_wire.insert(wire, series);
        series
    }
}

impl Appendable for MemStore {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(MemAppender { store: self, batch: Vec::new(), exemplars: Vec::new() })
    }
}

struct MemAppender<'a> {
    store: &'a MemStore,
    batch: Vec<(SeriesRef, Timestamp, Stored, Start)>,
    exemplars: Vec<(SeriesRef, Exemplar)>,
}

impl Appender for MemAppender<'_> {
    fn lookup(&mut self, wire: &[u8]) -> Option<SeriesRef> {
        self.store.lock().by_wire.get(wire).copied()
    }

    fn series(&mut self, labels: &Labels) -> Result<SeriesRef, SeriesError> {
        if labels.is_empty() {
            return Err(SeriesError::NoLabels);
        }
        Ok(self.store.lock().register(labels))
    }

    fn append(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
        self.batch.push((series, timestamp, Stored::Bits(value.to_bits()), NO_START));
    }

    fn append_histogram(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        histogram: FloatHistogram,
    ) -> Result<(), SampleError> {
        self.batch.push((series, timestamp, Stored::Histogram(Arc::new(histogram)), NO_START));
        Ok(())
    }

    fn set_start(&mut self, start: Timestamp) {
        if let Some((.., last)) = self.batch.last_mut() {
            *last = start;
        }
    }

    fn append_exemplar(&mut self, series: SeriesRef, exemplar: Exemplar) {
        self.exemplars.push((series, exemplar));
    }

    fn set_metadata(&mut self, metric: &str, metadata: Metadata) {
        self.store.lock().metadata.insert(metric.into(), metadata);
    }

    fn commit(self: Box<Self>) -> Result<AppendReport, CommitError> {
        let mut state = self.store.lock();
        let mut report = AppendReport::default();
        for (series, exemplar) in self.exemplars {
            let known = state.exemplars.entry(series).or_default();
            if !known.contains(&exemplar) {
                known.push(exemplar);
                known.sort_by_key(|exemplar| exemplar.timestamp);
            }
        }
        for (position, (series, timestamp, value, start)) in self.batch.into_iter().enumerate() {
            let outcome = match state.series.get_mut(series.index()) {
                None => Err(SampleError::UnknownSeries { series }),
                Some((_, samples)) => {
                    match samples.entry(timestamp).or_insert_with(|| (value.clone(), start)) {
                        (stored, _) if *stored == value => Ok(()),
                        _ => Err(SampleError::Duplicate { timestamp }),
                    }
                }
            };
            match outcome {
                Ok(()) => report.accepted += 1,
                Err(reason) => report.refused.push(RefusedSample { position, reason }),
            }
        }
        Ok(report)
    }
}

impl Queryable for MemStore {
    fn querier(&self, _range: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(MemView { series: Arc::new(self.lock().series.clone()) }))
    }
}

impl ExemplarQueryable for MemStore {
    fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, ReadError> {
        let state = self.lock();
        let selected = |labels: &Labels| selectors.iter().any(|matchers| satisfies(labels, matchers));
        let mut found: Vec<SeriesExemplars> = state
            .exemplars
            .iter()
            .filter_map(|(series, exemplars)| {
                let (labels, _) = state.series.get(series.index())?;
                let within = exemplars.iter().filter(|exemplar| range.contains(exemplar.timestamp));
                let exemplars: Vec<_> = within.cloned().collect();
                let wanted = selected(labels) && !exemplars.is_empty();
                wanted.then(|| SeriesExemplars { labels: labels.clone(), exemplars })
            })
            .collect();
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(found)
    }
}

fn satisfies(labels: &Labels, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or("")))
}

struct MemView {
    series: Arc<Vec<(Labels, Samples)>>,
}

impl MemView {
    fn matching<'a>(&'a self, matchers: &'a [Matcher]) -> impl Iterator<Item = &'a (Labels, Samples)> {
        self.series.iter().filter(move |(labels, samples)| !samples.is_empty() && satisfies(labels, matchers))
    }
}

impl Querier for MemView {
    fn select(&self, matchers: &[Matcher], hints: &SelectHints) -> Result<Box<dyn SeriesSet>, ReadError> {
        let series = self.matching(matchers).map(|(labels, samples)| {
            let mut columns = columns(samples);
            columns.retain_range(hints.range);
            (labels.clone(), columns)
        });
        Ok(Box::new(MemSet { series: series.filter(|(_, columns)| !columns.is_empty()).collect() }))
    }

    fn may_hold_histograms(&self) -> bool {
        let is_histogram = |(sample, _): &(Stored, Start)| matches!(sample, Stored::Histogram(_));
        self.series.iter().any(|(_, samples)| samples.values().any(is_histogram))
    }

    fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        let names: BTreeSet<_> =
            self.matching(matchers).flat_map(|(labels, _)| labels.iter().map(|(n, _)| n)).collect();
        Ok(names.into_iter().map(String::from).collect())
    }

    fn label_values(&self, name: &str, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        let values: BTreeSet<_> =
            self.matching(matchers).filter_map(|(labels, _)| labels.get(name)).collect();
        Ok(values.into_iter().map(String::from).collect())
    }
}

/// All samples of a series. What histograms say about counter resets is found anew, as Prometheus does that cuts
/// samples into chunks: within a chunk there is no reset, and nothing is known of the histogram that begins one.
fn columns(samples: &Samples) -> SampleColumns {
    let mut columns = SampleColumns::new();
    for (timestamp, (sample, start)) in samples {
        match sample {
            Stored::Bits(bits) => columns.push(*timestamp, f64::from_bits(*bits)),
            Stored::Histogram(histogram) => columns.push_histogram(*timestamp, Arc::clone(histogram)),
        }
        columns.set_start(*start);
    }
    columns.renew_reset_hints();
    columns
}

struct MemSet {
    series: Vec<(Labels, SampleColumns)>,
}

impl SeriesSet for MemSet {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.series.get(index).map(|(labels, _)| labels.clone()).unwrap_or_default()
    }

    fn read(&self, index: usize, into: &mut SampleColumns) -> Result<(), ReadError> {
        into.clear();
        if let Some((_, columns)) = self.series.get(index) {
            into.clone_from(columns);
        }
        Ok(())
    }

    fn estimated_samples(&self) -> u64 {
        self.series.iter().map(|(_, columns)| columns.len() as u64).sum()
    }
}
