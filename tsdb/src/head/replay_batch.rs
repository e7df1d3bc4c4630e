//! Samples of the log that are taken in the same way, on their way into pages: see [`lanes`](super::lanes).
//!
//! Numbers of neighbouring series at one time, which is most of a log, stay together as runs; everything else stands by
//! itself.

use super::late::Generation;
use super::mixed::Value;
use super::pages::{PAGE, slot};
use crossbeam_channel::Sender;
use tsdb_core::{SeriesRef, Timestamp};

/// Samples after which a batch is handed over.
pub(super) const BATCH_SAMPLES: usize = 1 << 12;

/// Samples that are taken in the same way.
#[derive(Debug, Default)]
pub(super) struct Batch {
    runs: Vec<Run>,
    /// The values of all runs, one behind the other.
    values: Vec<f64>,
    pub(super) others: Vec<Other>,
    /// The oldest time that is taken; `None` if no sample is.
    pub(super) from: Option<Timestamp>,
    /// The generation, if they are late ones.
    pub(super) late: Option<Generation>,
}

/// Numbers without start timestamps, of one time and of neighbouring series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    first: SeriesRef,
    pub(super) timestamp: Timestamp,
    count: u32,
}

/// A sample of any kind, and when its counting began.
pub(super) type Other = (SeriesRef, Timestamp, Value, Timestamp);

impl Batch {
    /// Number of samples.
    pub(super) fn len(&self) -> usize {
        self.values.len().saturating_add(self.others.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds numbers of one time, the first of series `first`, each of the others of the series behind the one before.
    pub(super) fn push_run(&mut self, first: SeriesRef, timestamp: Timestamp, values: &[[u8; 8]]) {
        let Ok(count) = u32::try_from(values.len()) else { return };
        self.values.extend(values.iter().map(|value| f64::from_bits(u64::from_le_bytes(*value))));
        self.runs.push(Run { first, timestamp, count });
    }

    /// The runs, each with its values.
    pub(super) fn runs(&self) -> impl Iterator<Item = (&Run, &[f64])> {
        let mut rest = self.values.as_slice();
        self.runs.iter().map(move |run| {
            let (values, later) = rest.split_at_checked(run.count as usize).unwrap_or((rest, &[]));
            rest = later;
            (run, values)
        })
    }

    /// Must it be handed over before it takes a sample of a kind of which `others` has some?
    pub(super) fn is_full_for(&self, is_other: bool) -> bool {
        let has_wrong_kind = if is_other { !self.values.is_empty() } else { !self.others.is_empty() };
        has_wrong_kind || self.len() >= BATCH_SAMPLES
    }

    /// Hands it back, empty, to be filled again.
    pub(super) fn reuse(mut self, spent: &Sender<Self>) {
        self.runs.clear();
        self.values.clear();
        self.others.clear();
        // With enough of them this one is dropped.
        drop(spent.try_send(self));
    }
}

impl Run {
    /// Its values, parted by the pages of their series, each part with its first series.
    pub(super) fn by_page<'v>(&self, values: &'v [f64]) -> impl Iterator<Item = (SeriesRef, &'v [f64])> {
        let (mut first, mut rest) = (self.first, values);
        std::iter::from_fn(move || {
            let len = rest.len().min(PAGE - slot(first));
            let (part, later) = rest.split_at_checked(len).filter(|(part, _)| !part.is_empty())?;
            let of = first;
            first = SeriesRef(first.0.wrapping_add(len as u32));
            rest = later;
            Some((of, part))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::pages::page_number;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_run_is_parted_by_pages_and_nothing_is_left_out(first in 0..700_u32, count in 0..900_u32) {
            let run = Run { first: SeriesRef(first), timestamp: 0, count };
            let values: Vec<f64> = (0..count).map(f64::from).collect();
            let mut found = Vec::new();
            for (start, part) in run.by_page(&values) {
                let last = SeriesRef(start.0 + part.len() as u32 - 1);
                prop_assert_eq!(page_number(start), page_number(last));
                prop_assert_eq!(start.0, first + found.len() as u32);
                found.extend_from_slice(part);
            }
            prop_assert_eq!(found, values);
        }
    }
}
