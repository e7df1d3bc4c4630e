//! Columns of integers as runs: a start and how often the next number is the last one plus a fixed stride.
//!
//! Stride 0 suits timestamps, which a scrape shares; stride 1 suits references to series that come in the order of
//! their registration. A column is a sequence of pairs: the zigzag distance of a run's start from the number that
//! would have gone on with the run before it (at the beginning: from 0), and its length less one as a varint.

use tsdb_core::Corruption;
use tsdb_core::bytes::{Reader, Writer};

/// Most bytes that one number takes in a column: a run of its own.
pub(super) const MAX_RUN_BYTES: usize = 11;

/// Writes a column.
#[derive(Debug)]
pub(super) struct RunWriter {
    stride: i64,
    column: Writer,
    /// What goes on with the run under way, and where that one began.
    next: i64,
    run_start: i64,
    run_len: u64,
    /// What would have gone on with the run before.
    expected: i64,
}

impl RunWriter {
    pub(super) fn new(stride: i64) -> Self {
        Self { stride, column: Writer::new(), next: 0, run_start: 0, run_len: 0, expected: 0 }
    }

    #[inline]
    pub(super) fn push(&mut self, value: i64) {
        if value != self.next || self.run_len == 0 {
            self.begin(value);
        }
        self.run_len = self.run_len.wrapping_add(1);
        self.next = value.wrapping_add(self.stride);
    }

    /// Appends the column to `out` as a blob and forgets it.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.begin(0);
        let mut writer = Writer::with_capacity(tsdb_core::bytes::MAX_VARINT_BYTES);
        writer.varint(self.column.len() as u64);
        out.extend_from_slice(writer.as_bytes());
        out.extend_from_slice(self.column.as_bytes());
        self.column.clear();
        (self.next, self.run_start, self.expected) = (0, 0, 0);
    }

    fn begin(&mut self, value: i64) {
        if let Some(further) = self.run_len.checked_sub(1) {
            self.column.zigzag(self.run_start.wrapping_sub(self.expected));
            self.column.varint(further);
            self.expected = self.next;
        }
        (self.run_start, self.run_len) = (value, 0);
    }
}

/// Reads a column.
pub(super) struct RunReader<'a> {
    stride: i64,
    column: Reader<'a>,
    next: i64,
    /// Numbers left in the run.
    left: u64,
}

impl<'a> RunReader<'a> {
    pub(super) fn new(section: &'static str, stride: i64, column: &'a [u8]) -> Self {
        Self { stride, column: Reader::new(section, column), next: 0, left: 0 }
    }

    #[inline]
    pub(super) fn take(&mut self) -> Result<i64, Corruption> {
        let Some(left) = self.left.checked_sub(1) else {
            return self.take_first();
        };
        let value = self.next;
        self.left = left;
        self.next = value.wrapping_add(self.stride);
        Ok(value)
    }

    /// How many numbers of the run under way, or of the next one, are left: at least one.
    #[inline]
    pub(super) fn run_len(&mut self) -> Result<u64, Corruption> {
        if self.left == 0 {
            self.next = self.next.wrapping_add(self.column.zigzag("start of a run")?);
            self.left = self.column.varint("length of a run")?.saturating_add(1);
        }
        Ok(self.left)
    }

    /// Takes `count` numbers, no more than [`run_len`](Self::run_len) says, and returns the first.
    #[inline]
    pub(super) fn take_run(&mut self, count: u64) -> i64 {
        let first = self.next;
        self.left = self.left.saturating_sub(count);
        self.next = first.wrapping_add(self.stride.wrapping_mul(count.cast_signed()));
        first
    }

    fn take_first(&mut self) -> Result<i64, Corruption> {
        let value = self.next.wrapping_add(self.column.zigzag("start of a run")?);
        self.left = self.column.varint("length of a run")?;
        self.next = value.wrapping_add(self.stride);
        Ok(value)
    }

    /// Ends the reading: the column must be used up.
    pub(super) fn finish(self) -> Result<(), Corruption> {
        if self.left > 0 {
            return Err(self.column.invalid("length of a run", self.left));
        }
        self.column.finish()
    }
}
