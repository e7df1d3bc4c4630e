//! The series that a selection found in the head.

use crate::head::{Head, HeadView, Pin, Selected};
use std::sync::Arc;
use tsdb_core::Labels;
use tsdb_core::read::{ReadError, SampleColumns, SeriesSet};

/// Series of the head; their samples are read when asked for. The pin keeps them readable.
pub(super) struct HeadSet {
    pub(super) head: Arc<Head>,
    pub(super) pin: Arc<Pin>,
    pub(super) view: HeadView,
    pub(super) series: Vec<Selected>,
}

impl SeriesSet for HeadSet {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.series.get(index).map(|selected| selected.labels.clone()).unwrap_or_default()
    }

    fn read(&self, index: usize, into: &mut SampleColumns) -> Result<(), ReadError> {
        into.clear();
        let Some(selected) = self.series.get(index) else { return Ok(()) };
        let read = self.head.memory().read(selected.series, &self.view, into);
        read.map_err(|source| {
            into.clear();
            ReadError::Corrupt { origin: format!("head, epoch {}", self.pin.epoch()), source }
        })
    }

    fn estimated_samples(&self) -> u64 {
        self.series.iter().map(|selected| selected.estimate as u64).sum()
    }
}
