//! Selectors and subqueries.

use super::{Element, LabelMap, Moment, Outcome, Sample, Series, all_time, unknown};
use crate::ast::{At, DurationValue, MatrixSelector, Modifiers, Subquery, VectorSelector};
use crate::failure::QueryError;
use tsdb_core::histogram::ResetHint;
use tsdb_core::read::{Projection, SampleColumns, SelectHints};
use tsdb_core::{Matcher, Timestamp, is_stale_nan};

impl Moment<'_> {
    pub(super) fn duration(&self, duration: &DurationValue) -> Outcome<i64> {
        let range_ms = self.end - self.start;
        duration.resolve(self.step_ms, range_ms).map_err(|error| QueryError::execution(error.to_string()))
    }

    /// A duration that must be longer than nothing.
    fn length(&self, duration: &DurationValue) -> Outcome<i64> {
        let length = duration.resolve_positive(self.step_ms, self.end - self.start);
        length.map_err(|error| QueryError::execution(error.to_string()))
    }

    /// The time that modifiers make of this one.
    fn moved(&self, modifiers: &Modifiers) -> Outcome<Timestamp> {
        let at = match modifiers.at {
            None => self.now,
            Some(At::Time(time)) => time,
            Some(At::Start) => self.start,
            Some(At::End) => self.end,
        };
        Ok(at - self.duration(&modifiers.offset)?)
    }

    /// Everything that is stored of the series that match; stale markers are numbers.
    fn stored(&self, matchers: &[Matcher]) -> Outcome<Vec<Series>> {
        let hints = SelectHints {
            range: all_time(),
            step_ms: 0,
            window_ms: 0,
            function: None,
            projection: Projection::All,
            ends: None,
            near: false,
        };
        let set = self.querier.select(matchers, &hints)?;
        let mut all = Vec::new();
        for index in 0..set.len() {
            let mut columns = SampleColumns::new();
            set.read(index, &mut columns)?;
            let samples = (0..columns.len()).map(|at| {
                let sample = match columns.histogram(at) {
                    Some(histogram) if histogram.is_stale() => Sample::Number(tsdb_core::STALE_NAN),
                    Some(histogram) => Sample::Histogram(histogram.as_ref().clone()),
                    None => Sample::Number(columns.values[at]),
                };
                (columns.timestamps[at], sample)
            });
            let labels = set.labels(index);
            let pairs = labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
            all.push(Series { labels: pairs.collect(), nameless: false, samples: samples.collect() });
        }
        Ok(all)
    }

    pub(super) fn instant_selector(&self, selector: &VectorSelector) -> Outcome<Vec<Element>> {
        let newest = self.newest(selector)?;
        Ok(newest.into_iter().map(|(element, _)| element).collect())
    }

    /// The newest sample of each series, with its time.
    pub(super) fn newest(&self, selector: &VectorSelector) -> Outcome<Vec<(Element, Timestamp)>> {
        if selector.extension.is_some() {
            return unknown("extended selectors");
        }
        let time = self.moved(&selector.modifiers)?;
        let mut found = Vec::new();
        for series in self.stored(&selector.matchers)? {
            let past = series.samples.into_iter().rfind(|(at, _)| *at <= time);
            let Some((at, sample)) = past.filter(|(at, _)| *at > time - self.settings.lookback_ms) else {
                continue;
            };
            if !is_stale(&sample) {
                found.push((Element { labels: series.labels, nameless: false, sample }, at));
            }
        }
        Ok(found)
    }

    pub(super) fn range_selector(&self, matrix: &MatrixSelector) -> Outcome<Vec<Series>> {
        if matrix.selector.extension.is_some() {
            return unknown("extended selectors");
        }
        let end = self.moved(&matrix.selector.modifiers)?;
        let start = end - self.length(&matrix.range)?;
        let mut all = self.stored(&matrix.selector.matchers)?;
        for series in &mut all {
            series.samples.retain(|(at, sample)| *at > start && *at <= end && !is_stale(sample));
        }
        all.retain(|series| !series.samples.is_empty());
        Ok(all)
    }

    pub(super) fn subquery(&self, subquery: &Subquery) -> Outcome<Vec<Series>> {
        let end = self.moved(&subquery.modifiers)?;
        let start = end - self.length(&subquery.range)?;
        let step = match &subquery.step {
            Some(step) => self.length(step)?,
            None => self.settings.default_subquery_step_ms,
        };
        let mut all: Vec<Series> = Vec::new();
        let mut time = start.div_euclid(step) * step + step;
        while time <= end {
            let inner = Self { now: time, ..*self };
            for Element { labels, nameless, sample } in inner.vector(&subquery.expr)? {
                let known =
                    all.iter_mut().find(|series| series.labels == labels && series.nameless == nameless);
                match known {
                    Some(series) => series.samples.push((time, unhinted(sample))),
                    None => all.push(Series { labels, nameless, samples: vec![(time, unhinted(sample))] }),
                }
            }
            time += step;
        }
        Ok(all)
    }

    /// Where the window of a range vector lies.
    pub(super) fn window(&self, range: &crate::ast::Expr) -> Outcome<(Timestamp, Timestamp)> {
        let (end, length) = match range.without_parens() {
            crate::ast::Expr::Matrix(matrix) => {
                (self.moved(&matrix.selector.modifiers)?, self.length(&matrix.range)?)
            }
            crate::ast::Expr::Subquery(subquery) => {
                (self.moved(&subquery.modifiers)?, self.length(&subquery.range)?)
            }
            _ => return unknown("such a range"),
        };
        Ok((end - length, end))
    }
}

fn is_stale(sample: &Sample) -> bool {
    matches!(sample, Sample::Number(number) if is_stale_nan(*number))
}

/// What a histogram says of the one stored before it is not meant for the one before it in a subquery.
fn unhinted(sample: Sample) -> Sample {
    match sample {
        Sample::Histogram(mut histogram) if histogram.reset_hint() != ResetHint::Gauge => {
            histogram.set_reset_hint(ResetHint::Unknown);
            Sample::Histogram(histogram)
        }
        other => other,
    }
}

/// The value of the label `name`; empty if there is none.
pub(super) fn label<'a>(labels: &'a LabelMap, name: &str) -> &'a str {
    labels.get(name).map_or("", String::as_str)
}
