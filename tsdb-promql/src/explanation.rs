//! What a query would do, and what it would cost.

use crate::ast::format_duration;
use crate::plan::Selector;
use crate::span::Span;
use core::fmt::{self, Display, Formatter};
use tsdb_core::Timestamp;
use tsdb_core::read::{SelectHints, SeriesSet};

/// The plan of a query and what its selections are estimated to cost. Displays as text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The plan after all passes: one operator a line, indented below the one that uses it.
    pub plan: String,
    /// Steps at which the query is evaluated.
    pub steps: u64,
    /// The selections, equal ones once.
    pub selectors: Vec<SelectorEstimate>,
}

/// What one selection is estimated to cost. Upper bounds as far as storage keeps its estimates.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SelectorEstimate {
    /// Matchers and window, those that passes added included.
    pub selector: String,
    /// Where it stands, the first of equal ones.
    pub span: Span,
    /// Time of the first sample that counts, ms.
    pub start: Timestamp,
    /// Time of the last sample that counts, ms.
    pub end: Timestamp,
    /// Series.
    pub series: u64,
    /// Samples to read.
    pub samples: u64,
    /// Points computed from them: one for each series and step.
    pub points: u64,
    /// Memory of all samples and points, if they were held at one time. Evaluation holds a part of it.
    pub bytes: u64,
    /// Length of the longest windows that are read instead of samples, ms.
    pub resolution_ms: Option<i64>,
}

impl SelectorEstimate {
    pub(crate) fn new(selector: &Selector, hints: &SelectHints, set: &dyn SeriesSet, steps: u64) -> Self {
        let (series, samples, resolution_ms) =
            (set.len() as u64, set.estimated_samples(), set.resolution_ms());
        let window = match hints.window_ms {
            0 => String::new(),
            window_ms => format!("[{}]", format_duration(window_ms)),
        };
        let points = series.saturating_mul(steps);
        // A sample is a time and a value, a point is a value in a row.
        let bytes = samples.saturating_mul(16).saturating_add(points.saturating_mul(8));
        let text = format!("{}{window}", selector.text());
        let (start, end) = (hints.range.start(), hints.range.end());
        let span = selector.span;
        Self { selector: text, span, start, end, series, samples, points, bytes, resolution_ms }
    }
}

impl Explanation {
    /// The sum of one figure over all selections.
    pub fn total(&self, figure: impl Fn(&SelectorEstimate) -> u64) -> u64 {
        self.selectors.iter().map(figure).fold(0, u64::saturating_add)
    }
}

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}steps: {}", self.plan, self.steps)?;
        for one in &self.selectors {
            let windows = match one.resolution_ms {
                None => String::new(),
                Some(resolution_ms) => format!(", windows of {}", format_duration(resolution_ms)),
            };
            writeln!(
                f,
                "{}: {} series, {} samples, {} points, {} bytes{windows}",
                one.selector, one.series, one.samples, one.points, one.bytes
            )?;
        }
        Ok(())
    }
}
