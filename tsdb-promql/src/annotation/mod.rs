//! What a query wants to tell besides its result: warnings and infos, each with a position.
//!
//! Annotations never stop a query. Their texts are those of Prometheus, because people and tools match on them.
//! Equal texts are kept once: the last of their positions is shown.

mod findings;
mod format;

pub use findings::{ForcedMonotonicity, StartTimeOverlap};

use crate::ast::quote;
use crate::span::Span;
use core::fmt;
pub(crate) use format::format_general;

/// How serious an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The result is probably not what was meant.
    Warning,
    /// The result may not be what was meant.
    Info,
}

/// One remark about a query. Displays without its position.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Annotation {
    /// The parameter of `quantile` or a relative lies outside 0 to 1.
    InvalidQuantile {
        /// The parameter.
        quantile: f64,
    },
    /// The parameter of `limit_ratio` lies outside -1 to 1.
    InvalidRatio {
        /// The parameter.
        ratio: f64,
        /// What is used instead.
        capped: f64,
    },
    /// The label `le` of a classic bucket is no number.
    BadBucketLabel {
        /// The metric; empty if it has no name.
        metric: String,
        /// The value of the label.
        label: String,
    },
    /// Floats and histograms in one range.
    MixedFloatsHistograms {
        /// The metric.
        metric: String,
    },
    /// Floats and histograms in one aggregation.
    MixedFloatsHistogramsAggregation,
    /// Classic and native histograms in one vector.
    MixedClassicNativeHistograms {
        /// The metric; empty if it has no name.
        metric: String,
    },
    /// A rate over a gauge histogram.
    NativeHistogramNotCounter {
        /// The metric.
        metric: String,
    },
    /// A delta over a counter histogram.
    NativeHistogramNotGauge {
        /// The metric.
        metric: String,
    },
    /// Histograms with exponential and custom buckets in one vector.
    MixedExponentialCustomHistograms {
        /// The metric.
        metric: String,
    },
    /// A binary operator met histograms whose buckets do not fit.
    IncompatibleBucketLayout {
        /// The operator.
        operator: &'static str,
    },
    /// `sort` in a range query.
    SortInRangeQuery,
    /// Histograms with contradicting reset hints.
    CounterResetCollision {
        /// `addition`, `subtraction` or `aggregation`.
        operation: &'static str,
    },
    /// A rate over a metric whose name is not that of a counter.
    PossibleNonCounter {
        /// The metric.
        metric: String,
    },
    /// A rate over a metric whose label `__type__` is not that of a counter.
    PossibleNonCounterType {
        /// The metric.
        metric: String,
        /// Value of the label.
        type_label: String,
    },
    /// Classic buckets that were not cumulative.
    ForcedMonotonicity(ForcedMonotonicity),
    /// The counting of a sample began before the sample ahead of it, and not where that began.
    StartTimeOverlap(StartTimeOverlap),
    /// A binary operator met sample types it has no result for.
    IncompatibleTypes {
        /// The operator.
        operator: &'static str,
        /// Type of the left sample: `float` or `histogram`.
        lhs: &'static str,
        /// Type of the right sample.
        rhs: &'static str,
    },
    /// An aggregation left a histogram out.
    HistogramIgnoredInAggregation {
        /// The aggregation.
        aggregation: &'static str,
    },
    /// A range function left histograms out.
    HistogramIgnoredInMixedRange {
        /// The metric.
        metric: String,
    },
    /// A quantile of a native histogram with NaN observations is NaN.
    QuantileNanResult {
        /// The metric; empty if it has no name.
        metric: String,
    },
    /// A quantile of a native histogram with NaN observations is too high.
    QuantileNanSkew {
        /// The metric; empty if it has no name.
        metric: String,
    },
    /// A fraction of a native histogram with NaN observations.
    FractionNan {
        /// The metric; empty if it has no name.
        metric: String,
    },
    /// Custom buckets with different bounds were reconciled.
    MismatchedCustomBuckets {
        /// `addition`, `subtraction` or `aggregation`.
        operation: &'static str,
    },
    /// In what the storage answered with an approximation.
    Approximation {
        /// The sentence of the storage.
        message: String,
    },
    /// What the storage says about the data it answered with.
    Storage {
        /// The sentence of the storage.
        message: String,
    },
}

const MONOTONICITY: &str = "input to histogram_quantile needed to be fixed for monotonicity (see \
     https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";

impl Annotation {
    /// How serious it is.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::PossibleNonCounter { .. }
            | Self::PossibleNonCounterType { .. }
            | Self::ForcedMonotonicity(_)
            | Self::IncompatibleTypes { .. }
            | Self::HistogramIgnoredInAggregation { .. }
            | Self::HistogramIgnoredInMixedRange { .. }
            | Self::QuantileNanResult { .. }
            | Self::QuantileNanSkew { .. }
            | Self::FractionNan { .. }
            | Self::MismatchedCustomBuckets { .. }
            | Self::Approximation { .. } => Severity::Info,
            _ => Severity::Warning,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::InvalidQuantile { quantile } => {
                format!("quantile value should be between 0 and 1, got {}", format_general(*quantile))
            }
            Self::InvalidRatio { ratio, capped } => format!(
                "ratio value should be between -1 and 1, got {}, capping to {}",
                format_general(*ratio),
                format_general(*capped)
            ),
            Self::BadBucketLabel { metric, label } => {
                let label = quote(label.as_bytes());
                for_metric(
                    format!("bucket label \"le\" is missing or has a malformed value of {label}"),
                    metric,
                )
            }
            Self::SortInRangeQuery => {
                "sort is ineffective for range queries since results are always ordered by labels".into()
            }
            Self::PossibleNonCounter { metric } => format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                quote(metric.as_bytes())
            ),
            Self::PossibleNonCounterType { metric, type_label } => format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
                quote(type_label.as_bytes()),
                quote(metric.as_bytes())
            ),
            Self::ForcedMonotonicity(found) => for_metric(MONOTONICITY.into(), &found.metric),
            Self::StartTimeOverlap(found) => found.message(),
            Self::IncompatibleTypes { operator, lhs, rhs } => format!(
                "incompatible sample types encountered for binary operator \"{operator}\": {lhs} {operator} {rhs}"
            ),
            Self::Storage { message } | Self::Approximation { message } => message.clone(),
            about_histograms => about_histograms.histogram_message(),
        }
    }

    fn histogram_message(&self) -> String {
        let quoted = |text: &str, metric: &String| format!("{text} {}", quote(metric.as_bytes()));
        match self {
            Self::MixedFloatsHistograms { metric } => {
                quoted("encountered a mix of histograms and floats for metric name", metric)
            }
            Self::MixedFloatsHistogramsAggregation => {
                "encountered a mix of histograms and floats for aggregation".into()
            }
            Self::MixedClassicNativeHistograms { metric } => {
                for_metric("vector contains a mix of classic and native histograms".into(), metric)
            }
            Self::NativeHistogramNotCounter { metric } => {
                quoted("this native histogram metric is not a counter:", metric)
            }
            Self::NativeHistogramNotGauge { metric } => {
                quoted("this native histogram metric is not a gauge:", metric)
            }
            Self::MixedExponentialCustomHistograms { metric } => quoted(
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name",
                metric,
            ),
            Self::IncompatibleBucketLayout { operator } => {
                format!("incompatible bucket layout encountered for binary operator {operator}")
            }
            Self::CounterResetCollision { operation } => {
                format!("conflicting counter resets during histogram {operation}")
            }
            Self::HistogramIgnoredInAggregation { aggregation } => {
                format!("ignored histogram in {aggregation} aggregation")
            }
            Self::HistogramIgnoredInMixedRange { metric } => quoted(
                "ignored histograms in a range containing both floats and histograms for metric name",
                metric,
            ),
            Self::QuantileNanResult { metric } => {
                for_metric("input to histogram_quantile has NaN observations, result is NaN".into(), metric)
            }
            Self::QuantileNanSkew { metric } => for_metric(
                "input to histogram_quantile has NaN observations, result is skewed higher".into(),
                metric,
            ),
            Self::FractionNan { metric } => for_metric(
                "input to histogram_fraction has NaN observations, which are excluded from all fractions"
                    .into(),
                metric,
            ),
            Self::MismatchedCustomBuckets { operation } => {
                format!("mismatched custom buckets were reconciled during {operation}")
            }
            _ => String::new(),
        }
    }
}

fn for_metric(text: String, metric: &str) -> String {
    if metric.is_empty() { text } else { format!("{text} for metric name {}", quote(metric.as_bytes())) }
}

impl fmt::Display for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity() {
            // What storage says is passed on as it is.
            _ if matches!(self, Self::Storage { .. }) => "",
            Severity::Warning => "PromQL warning: ",
            Severity::Info => "PromQL info: ",
        };
        write!(f, "{kind}{}", self.message())
    }
}

/// The annotations of a query, equal texts once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Annotations {
    entries: Vec<(String, Annotation, Span)>,
}

impl Annotations {
    /// No annotations.
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Adds `annotation` about the expression at `span`.
    pub fn add(&mut self, annotation: Annotation, span: Span) {
        self.insert(annotation.to_string(), annotation, span);
    }

    /// Adds all annotations of `other`.
    pub fn merge(&mut self, other: Self) {
        for (text, annotation, span) in other.entries {
            self.insert(text, annotation, span);
        }
    }

    /// The annotations as they would be of an equal text that begins at `to` instead of `from`.
    pub(crate) fn moved(&self, from: u32, to: u32) -> Self {
        let at = |offset: u32| offset.wrapping_sub(from).wrapping_add(to);
        let moved = |(text, annotation, span): &(String, Annotation, Span)| {
            (text.clone(), annotation.clone(), Span::new(at(span.start), at(span.end)))
        };
        Self { entries: self.entries.iter().map(moved).collect() }
    }

    fn insert(&mut self, text: String, mut annotation: Annotation, span: Span) {
        match self.entries.iter_mut().find(|(known, ..)| *known == text) {
            None => self.entries.push((text, annotation, span)),
            Some((_, known, place)) => {
                match (&mut annotation, &*known) {
                    (Annotation::ForcedMonotonicity(new), Annotation::ForcedMonotonicity(old)) => {
                        new.absorb(old);
                    }
                    (Annotation::StartTimeOverlap(new), Annotation::StartTimeOverlap(old)) => {
                        new.absorb(old);
                    }
                    _ => {}
                }
                *known = annotation;
                *place = span.max(*place);
            }
        }
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The annotations with their positions, in order of first appearance.
    pub fn iter(&self) -> impl Iterator<Item = (&Annotation, Span)> {
        self.entries.iter().map(|(_, annotation, span)| (annotation, *span))
    }

    /// Texts of the warnings, as the HTTP API shows them: `PromQL warning: ... (1:5)`. `query` is the text that the
    /// spans point into.
    pub fn warnings(&self, query: &str) -> Vec<String> {
        self.texts(query, Severity::Warning)
    }

    /// Texts of the infos, as the HTTP API shows them: `PromQL info: ... (1:5)`.
    pub fn infos(&self, query: &str) -> Vec<String> {
        self.texts(query, Severity::Info)
    }

    fn texts(&self, query: &str, severity: Severity) -> Vec<String> {
        let wanted = self.entries.iter().filter(|(_, annotation, _)| annotation.severity() == severity);
        wanted
            .map(|(text, annotation, span)| match annotation {
                Annotation::Storage { .. } => text.clone(),
                Annotation::ForcedMonotonicity(found) => {
                    format!("{text}{} ({})", found.detail(), span.position(query))
                }
                Annotation::StartTimeOverlap(found) => {
                    format!("{text}{} ({})", found.detail(), span.position(query))
                }
                _ => format!("{text} ({})", span.position(query)),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_prometheus_and_end_in_the_position() {
        let mut annotations = Annotations::new();
        annotations.add(Annotation::InvalidQuantile { quantile: 2.0 }, Span::new(4, 5));
        annotations.add(Annotation::PossibleNonCounter { metric: "foo".into() }, Span::new(5, 8));
        assert_eq!(
            annotations.warnings("sum(x"),
            ["PromQL warning: quantile value should be between 0 and 1, got 2 (1:5)"]
        );
        assert_eq!(
            annotations.infos("rate(foo[5m])"),
            ["PromQL info: metric might not be a counter, name does not end in \
              _total/_sum/_count/_bucket: \"foo\" (1:6)"]
        );
    }

    #[test]
    fn overlaps_are_counted_and_a_single_one_is_not() {
        let overlap = |count| Annotation::StartTimeOverlap(StartTimeOverlap { metric: "m".into(), count });
        let mut annotations = Annotations::new();
        annotations.add(overlap(1), Span::new(0, 1));
        let text = "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric \"m\"";
        assert_eq!(annotations.warnings("m"), [format!("{text} (1:1)")]);
        annotations.add(overlap(2), Span::new(0, 1));
        assert_eq!(annotations.warnings("m"), [format!("{text} (3 occurrences) (1:1)")]);
    }

    #[test]
    fn equal_texts_are_kept_once_and_findings_add_up() {
        let found = |at, min_bucket| {
            Annotation::ForcedMonotonicity(ForcedMonotonicity {
                metric: String::new(),
                first: at,
                last: at,
                min_bucket,
                max_bucket: 10.0,
                max_diff: 1.25,
                count: 1,
            })
        };
        let mut annotations = Annotations::new();
        annotations.add(found(0, 5.0), Span::new(0, 1));
        annotations.add(found(60_000, 2.5), Span::new(0, 1));
        let infos = annotations.infos("x");
        assert_eq!(infos.len(), 1);
        assert!(
            infos[0].ends_with(
                "from buckets 2.5 to 10, with a max diff of 1.2, over 2 samples from 1970-01-01T00:00:00Z to \
                 1970-01-01T00:01:00Z (1:1)"
            ),
            "{infos:?}"
        );
    }
}
