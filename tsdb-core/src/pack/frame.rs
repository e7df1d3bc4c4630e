//! Reads a frame.

use crate::bytes::Reader;
use crate::error::CorruptionKind;
use crate::read::SampleColumns;
use crate::{Corruption, TimeRange};

/// The bytes of a frame, ready to be read at any slot.
#[derive(Debug, Clone)]
pub struct Frame<'a> {
    len: usize,
    reader: Reader<'a>,
}

impl<'a> Frame<'a> {
    /// Looks at the header. Cheap: allocates nothing, so a cache may keep the bytes and open them anew for each read.
    ///
    /// # Errors
    /// The bytes are no frame, or the header is damaged.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Corruption> {
        let mut reader = Reader::new("frame", bytes);
        let len = reader.count(1, "series")?;
        Ok(Self { len, reader })
    }

    /// Number of series.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Are there no series?
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of samples of the series at `slot`.
    ///
    /// # Errors
    /// There is no such slot, or its directory entry is damaged.
    pub fn count(&self, slot: u32) -> Result<usize, Corruption> {
        Ok(self.slot(slot)?.len() / 16)
    }

    /// First and last timestamp of the series at `slot`.
    ///
    /// # Errors
    /// There is no such slot, or its column of timestamps is damaged.
    pub fn range(&self, slot: u32) -> Result<TimeRange, Corruption> {
        let mut columns = SampleColumns::new();
        self.read(slot, &mut columns)?;
        columns
            .timestamps
            .first()
            .zip(columns.timestamps.last())
            .and_then(|(first, last)| TimeRange::new(*first, *last))
            .ok_or_else(|| self.reader.corruption(CorruptionKind::Rule { rule: "a series has samples" }))
    }

    /// Appends the samples of the series at `slot` to `into`.
    ///
    /// # Errors
    /// There is no such slot, or its columns are damaged; `into` is then as it was.
    pub fn read(&self, slot: u32, into: &mut SampleColumns) -> Result<(), Corruption> {
        let mut series = Reader::new("frame", self.slot(slot)?);
        while !series.is_empty() {
            into.push(series.i64("timestamp")?, series.f64("value")?);
        }
        Ok(())
    }

    fn slot(&self, slot: u32) -> Result<&'a [u8], Corruption> {
        let mut reader = self.reader.clone();
        for _ in 0..slot {
            reader.blob("series")?;
        }
        reader.blob("series")
    }
}
