//! Builds a frame.

use super::PackError;
use crate::Timestamp;
use crate::bytes::Writer;
use alloc::vec::Vec;

/// Collects neighbouring series into a frame.
#[derive(Debug, Default)]
pub struct FrameWriter {
    series: Vec<Vec<u8>>,
    raw_len: usize,
}

impl FrameWriter {
    /// A writer without series.
    pub const fn new() -> Self {
        Self { series: Vec::new(), raw_len: 0 }
    }

    /// Adds a series (or a part of one) and returns its slot: 0 for the first, then 1, 2 ...
    ///
    /// # Errors
    /// The columns are no series of a frame, or the frame is full; it is unchanged then.
    #[expect(clippy::cast_possible_truncation, reason = "the number of series is bounded")]
    pub fn push(&mut self, timestamps: &[Timestamp], values: &[f64]) -> Result<u32, PackError> {
        if timestamps.len() != values.len() {
            return Err(PackError::UnequalColumns { timestamps: timestamps.len(), values: values.len() });
        }
        if timestamps.is_empty() || timestamps.len() > super::MAX_SAMPLES {
            return Err(PackError::SampleCount { count: timestamps.len(), limit: super::MAX_SAMPLES });
        }
        let mut writer = Writer::new();
        for (timestamp, value) in timestamps.iter().zip(values) {
            writer.i64(*timestamp);
            writer.f64(*value);
        }
        self.raw_len = self.raw_len.saturating_add(writer.len());
        self.series.push(writer.into_bytes());
        Ok(self.series.len().saturating_sub(1) as u32)
    }

    /// Number of series so far.
    pub const fn len(&self) -> usize {
        self.series.len()
    }

    /// Are there no series?
    pub const fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// About the length of the frame so far, before compression, in bytes.
    pub const fn raw_len(&self) -> usize {
        self.raw_len
    }

    /// Is it time to finish this frame and begin another?
    pub const fn is_full(&self) -> bool {
        self.raw_len >= 128 << 10
    }

    /// The frame's bytes. Leaves the writer empty, ready for the next frame with the memory it has.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.varint(self.series.len() as u64);
        for series in self.series.drain(..) {
            writer.blob(&series);
        }
        self.raw_len = 0;
        writer.into_bytes()
    }
}
