//! Columns of timestamps, each stored once in a block however many series share it.
//!
//! Columns are numbered through the whole block. They are told apart by a 128-bit hash, so that writing a block needs
//! 24 bytes a column and not the timestamps themselves; the seed of the hash is part of the block's name, which
//! nobody who sends samples knows before.

use super::segment::ColumnSpan;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use tsdb_core::Timestamp;
use tsdb_core::bytes::Writer;
use tsdb_core::pack::{PackError, RAW_TARGET_BYTES, TimesWriter};
use xxhash_rust::xxh3::{Xxh3Builder, xxh3_128_with_seed};

/// Collects the distinct columns of a block.
#[derive(Debug)]
pub(super) struct TimeColumns {
    seed: u64,
    known: HashMap<u128, u32, Xxh3Builder>,
    writer: TimesWriter,
    /// Number of the first column in `writer`.
    first: u32,
    full: Vec<FullFrame>,
    scratch: Writer,
}

/// Columns ready to be written: their numbers and their encoding.
#[derive(Debug)]
pub(super) struct FullFrame {
    pub(super) columns: ColumnSpan,
    pub(super) bytes: Vec<u8>,
}

impl TimeColumns {
    /// No columns yet; the first one gets the number `first`.
    pub(super) fn new(seed: u64, first: u32) -> Self {
        Self {
            seed,
            known: HashMap::default(),
            writer: TimesWriter::new(),
            first,
            full: Vec::new(),
            scratch: Writer::new(),
        }
    }

    /// The number of the column `timestamps`.
    pub(super) fn intern(&mut self, timestamps: &[Timestamp]) -> Result<u32, PackError> {
        self.scratch.clear();
        timestamps.iter().for_each(|timestamp| self.scratch.i64(*timestamp));
        let number = match self.known.entry(xxh3_128_with_seed(self.scratch.as_bytes(), self.seed)) {
            Entry::Occupied(known) => return Ok(*known.get()),
            Entry::Vacant(new) => *new.insert(self.first.saturating_add(self.writer.intern(timestamps)?)),
        };
        if self.writer.raw_len() >= RAW_TARGET_BYTES {
            self.close_frame();
        }
        Ok(number)
    }

    /// The frames that are full; all columns, if it is the `last` call.
    pub(super) fn take_full(&mut self, last: bool) -> Vec<FullFrame> {
        if last && !self.writer.is_empty() {
            self.close_frame();
        }
        std::mem::take(&mut self.full)
    }

    fn close_frame(&mut self) {
        let count = u32::try_from(self.writer.len()).unwrap_or(u32::MAX);
        let columns = ColumnSpan { base: self.first, count };
        self.full.push(FullFrame { columns, bytes: self.writer.finish() });
        self.first = self.first.saturating_add(count);
    }
}
