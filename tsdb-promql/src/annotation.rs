//! What a query wants to tell besides its result: warnings and infos, each with a position.
//!
//! Annotations never stop a query. Their texts are those of Prometheus, because people and tools match on them.
//! Equal texts are kept once: the last of their positions is shown.

use crate::ast::{format_number, quote};
use crate::span::Span;
use core::fmt;
use tsdb_core::Timestamp;

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
    /// What the storage says about the data it answered with.
    Storage {
        /// The sentence of the storage.
        message: String,
    },
}

/// Classic buckets that had to be made cumulative: what was found over the whole query.
#[derive(Debug, Clone, PartialEq)]
pub struct ForcedMonotonicity {
    /// The metric; empty if it has no name.
    pub metric: String,
    /// First time it happened, ms.
    pub first: Timestamp,
    /// Last time it happened, ms.
    pub last: Timestamp,
    /// Lowest bound concerned.
    pub min_bucket: f64,
    /// Highest bound concerned.
    pub max_bucket: f64,
    /// Largest difference that was levelled.
    pub max_diff: f64,
    /// How often it happened.
    pub count: u64,
}

impl ForcedMonotonicity {
    fn absorb(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.min_bucket = self.min_bucket.min(other.min_bucket);
        self.max_bucket = self.max_bucket.max(other.max_bucket);
        self.max_diff = self.max_diff.max(other.max_diff);
        self.count = self.count.saturating_add(other.count);
    }

    fn detail(&self) -> String {
        format!(
            ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
            format_general(self.min_bucket),
            format_general(self.max_bucket),
            format_two_digits(self.max_diff),
            self.count,
            format_time(self.first),
            format_time(self.last),
        )
    }
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
            | Self::MismatchedCustomBuckets { .. } => Severity::Info,
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
            Self::IncompatibleTypes { operator, lhs, rhs } => format!(
                "incompatible sample types encountered for binary operator \"{operator}\": {lhs} {operator} {rhs}"
            ),
            Self::Storage { message } => message.clone(),
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
                if let (Annotation::ForcedMonotonicity(new), Annotation::ForcedMonotonicity(old)) =
                    (&mut annotation, &*known)
                {
                    new.absorb(old);
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
                _ => format!("{text} ({})", span.position(query)),
            })
            .collect()
    }
}

/// A number as Go's `%g` prints it: shortest digits, an exponent below 1e-4 and from 1e6.
fn format_general(value: f64) -> String {
    let exponent = if value == 0.0 || !value.is_finite() { 0 } else { exponent_of(&format!("{value:e}")) };
    if (-4..6).contains(&exponent) {
        return format_number(value);
    }
    go_exponent(&format!("{value:e}"))
}

/// A number as Go's `%.2g` prints it: two digits, an exponent below 1e-4 and from 1e2.
fn format_two_digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format_number(value);
    }
    let scientific = format!("{value:.1e}");
    let exponent = exponent_of(&scientific);
    if (-4..2).contains(&exponent) {
        return format_number(scientific.parse().unwrap_or(value));
    }
    go_exponent(&scientific.replace(".0e", "e"))
}

fn exponent_of(scientific: &str) -> i32 {
    scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0)
}

/// Turns Rust's `1e-7` into Go's `1e-07`.
fn go_exponent(scientific: &str) -> String {
    let exponent = exponent_of(scientific);
    let mantissa = scientific.split('e').next().unwrap_or("");
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

/// A time as RFC 3339 in UTC, whole seconds. Source of the calendar: Howard Hinnant, `civil_from_days`.
fn format_time(at: Timestamp) -> String {
    let seconds = at.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
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

    #[test]
    fn numbers_print_as_in_go() {
        assert_eq!(format_general(1e-7), "1e-07");
        assert_eq!(format_general(1.5e22), "1.5e+22");
        assert_eq!(format_general(100_000.0), "100000");
        assert_eq!(format_general(1_000_000.0), "1e+06");
        assert_eq!(format_general(f64::NAN), "NaN");
        assert_eq!(format_two_digits(1234.0), "1.2e+03");
        assert_eq!(format_two_digits(1.0), "1");
        assert_eq!(format_time(951_782_400_000), "2000-02-29T00:00:00Z");
    }
}
