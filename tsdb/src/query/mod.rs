//! Queries over the head and the blocks as one store.
//!
//! A querier is a snapshot: the blocks of its time range and the lower bound of the head that was published with
//! them, so a sample that moves from the head into a block is seen exactly once. It pins the head (see
//! [`crate::head`]), and a block that is removed meanwhile keeps its mapped files until the querier is gone.
//!
//! Damage in a block costs its samples, not the query: the answer lacks them and a warning says so.

mod head_set;
mod merge;

use crate::head::{Head, Pin};
use head_set::HeadSet;
use merge::merge;
use std::collections::BTreeSet;
use std::sync::Arc;
use tsdb_core::read::{Querier, ReadError, SelectHints, SeriesSet};
use tsdb_core::{Matcher, TimeRange, Timestamp};

/// A view of a database over a range of time.
pub(crate) struct DbQuerier {
    pub(crate) head: Arc<Head>,
    pub(crate) pin: Arc<Pin>,
    /// Samples of the head before this are in blocks.
    pub(crate) head_from: Timestamp,
    pub(crate) range: TimeRange,
}

impl DbQuerier {
    /// The part of `range` for which the head answers.
    fn head_range(&self, range: TimeRange) -> Option<TimeRange> {
        let held = TimeRange::new(self.head_from, self.head.memory().range()?.end())?;
        held.intersect(&range)?.intersect(&self.range)
    }
}

impl Querier for DbQuerier {
    fn select(&self, matchers: &[Matcher], hints: &SelectHints) -> Result<Box<dyn SeriesSet>, ReadError> {
        let mut sources: Vec<Box<dyn SeriesSet>> = Vec::new();
        if let Some(range) = self.head_range(hints.range) {
            let series = self.head.memory().select(matchers, range);
            sources.push(Box::new(HeadSet {
                head: Arc::clone(&self.head),
                pin: Arc::clone(&self.pin),
                range,
                series,
            }));
        }
        Ok(merge(sources, Vec::new()))
    }

    fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        let mut names = BTreeSet::new();
        if let Some(range) = self.head_range(self.range) {
            names.extend(self.head.memory().label_names(matchers, range));
        }
        Ok(names.into_iter().collect())
    }

    fn label_values(&self, name: &str, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        let mut values = BTreeSet::new();
        if let Some(range) = self.head_range(self.range) {
            values.extend(self.head.memory().label_values(name, matchers, range));
        }
        Ok(values.into_iter().collect())
    }
}
