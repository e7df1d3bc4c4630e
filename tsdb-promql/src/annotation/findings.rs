//! Remarks that add up over a query.

use super::format::{format_general, format_time, format_two_digits};
use crate::ast::quote;
use tsdb_core::Timestamp;

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
    pub(super) fn absorb(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.min_bucket = self.min_bucket.min(other.min_bucket);
        self.max_bucket = self.max_bucket.max(other.max_bucket);
        self.max_diff = self.max_diff.max(other.max_diff);
        self.count = self.count.saturating_add(other.count);
    }

    pub(super) fn detail(&self) -> String {
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

/// Samples whose counting began before the sample ahead of them: what was found over the whole query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartTimeOverlap {
    /// The metric.
    pub metric: String,
    /// In how many windows it was found.
    pub count: u64,
}

impl StartTimeOverlap {
    pub(super) fn absorb(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
    }

    pub(super) fn message(&self) -> String {
        let metric = quote(self.metric.as_bytes());
        format!("sample has start time that overlaps with previous sample timestamp for metric {metric}")
    }

    pub(super) fn detail(&self) -> String {
        if self.count > 1 { format!(" ({} occurrences)", self.count) } else { String::new() }
    }
}
