//! The frame: values of many neighbouring series with the timestamps they share.

use super::times::{Times, TimesWriter};
use super::values::{Values, ValuesWriter};
use super::{PackError, RAW_TARGET_BYTES, SECTION, Tag};
use crate::bytes::{Reader, Writer};
use crate::sample::{SampleColumns, SampleSlices};
use crate::{Corruption, TimeRange, Timestamp};
use alloc::vec::Vec;

/// Collects neighbouring series into a frame.
#[derive(Debug, Default)]
pub struct FrameWriter {
    times: TimesWriter,
    values: ValuesWriter,
}

impl FrameWriter {
    /// A writer without series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a series (or a part of one) and returns its slot: 0 for the first, then 1, 2 ...
    ///
    /// # Errors
    /// The columns are no series of a frame, or the frame is full; it is unchanged then.
    pub fn push(&mut self, timestamps: &[Timestamp], values: &[f64]) -> Result<u32, PackError> {
        if timestamps.len() != values.len() {
            return Err(PackError::UnequalColumns { timestamps: timestamps.len(), values: values.len() });
        }
        self.push_samples(SampleSlices::of_numbers(timestamps, values))
    }

    /// As [`push`](Self::push), for samples of any kind: numbers, histograms, start timestamps.
    ///
    /// # Errors
    /// As for `push`, or the histograms have too many buckets: see [`fitting`](super::fitting).
    pub fn push_samples(&mut self, samples: SampleSlices<'_>) -> Result<u32, PackError> {
        if self.len() >= super::MAX_SERIES {
            return Err(PackError::Full { series: self.len(), raw_bytes: self.raw_len() });
        }
        let time = self.times.intern(samples.timestamps())?;
        self.values.push_samples(time, samples)
    }

    /// Number of series so far.
    pub const fn len(&self) -> usize {
        self.values.len()
    }

    /// Are there no series?
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// About the length of the frame so far, before compression, in bytes.
    pub fn raw_len(&self) -> usize {
        self.times.raw_len().saturating_add(self.values.raw_len())
    }

    /// Is it time to finish this frame and begin another?
    pub fn is_full(&self) -> bool {
        self.len() >= super::MAX_SERIES || self.raw_len() >= RAW_TARGET_BYTES
    }

    /// The frame's bytes. Leaves the writer empty, ready for the next frame with the memory it has.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = Writer::with_capacity(self.raw_len().saturating_add(64));
        out.u8(Tag::Frame as u8);
        self.values.drain_into(&mut out);
        self.times.drain_into(&mut out);
        out.into_bytes()
    }
}

/// The bytes of a frame, ready to be read at any slot.
#[derive(Debug, Clone)]
pub struct Frame<'a> {
    values: Values<'a>,
    times: Times<'a>,
}

impl<'a> Frame<'a> {
    /// Looks at the header. Cheap: allocates nothing, so a cache may keep the bytes and open them anew for each read.
    ///
    /// # Errors
    /// The bytes are no frame, or the header is damaged.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Corruption> {
        let mut reader = Reader::new(SECTION, bytes);
        Tag::Frame.expect(&mut reader)?;
        let values = Values::take(&mut reader)?;
        let times = Times::take(&mut reader)?;
        reader.finish()?;
        Ok(Self { values, times })
    }

    /// Number of series.
    pub const fn len(&self) -> usize {
        self.values.len()
    }

    /// Are there no series?
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of samples of the series at `slot`.
    ///
    /// # Errors
    /// There is no such slot, or its record is damaged.
    pub fn count(&self, slot: u32) -> Result<usize, Corruption> {
        self.values.count(slot)
    }

    /// First and last timestamp of the series at `slot`. Decodes its column of timestamps.
    ///
    /// # Errors
    /// There is no such slot, or its column of timestamps is damaged.
    pub fn range(&self, slot: u32) -> Result<TimeRange, Corruption> {
        self.times.range(self.values.time(slot)?)
    }

    /// The number of the column of timestamps of the series at `slot`: series of equal number have equal timestamps.
    ///
    /// # Errors
    /// There is no such slot, or its record is damaged.
    pub fn time_column(&self, slot: u32) -> Result<u32, Corruption> {
        self.values.time(slot)
    }

    /// The columns of timestamps.
    pub const fn times(&self) -> &Times<'a> {
        &self.times
    }

    /// The columns of values, for readers who have the timestamps of a slot already.
    pub const fn values(&self) -> &Values<'a> {
        &self.values
    }

    /// Appends the samples of the series at `slot` to `into`.
    ///
    /// # Errors
    /// There is no such slot, or its columns are damaged; `into` is then as it was.
    pub fn read(&self, slot: u32, into: &mut SampleColumns) -> Result<(), Corruption> {
        let mut timestamps = Vec::new();
        self.times.read(self.values.slot(slot)?.time, &mut timestamps)?;
        self.values.read_samples(slot, &timestamps, TimeRange::ALL, into)
    }

    /// Offsets in the frame where bytes of another nature begin, ascending. A compressor that starts a new block at
    /// each of them saves about one byte in twenty; one that does not is as correct.
    pub fn cuts(&self) -> impl Iterator<Item = usize> + '_ {
        self.values.cuts().chain(self.times.cuts())
    }
}
