//! Start timestamps of a chunk: each as its distance from the sample before, as long as it does not change not at all.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::super::bits::BitReader;
use tsdb_core::{Corruption, NO_START, Timestamp};

/// Reads what stands behind each sample about its start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Starts {
    first_is_known: bool,
    /// From which sample on starts are written; 0 if they are not.
    from: u16,
    start: Timestamp,
    distance: i64,
}

impl Starts {
    /// Of a chunk whose header says `header`.
    pub(super) fn new(header: u8) -> Self {
        Self {
            first_is_known: header & 0x80 != 0,
            from: (header & 0x7f).into(),
            start: NO_START,
            distance: 0,
        }
    }

    /// The start of sample `number` (from 0), whose time is `time`, that of the sample before `previous`.
    pub(super) fn read(
        &mut self,
        number: u16,
        time: Timestamp,
        previous: Timestamp,
        reader: &mut BitReader<'_>,
    ) -> Result<Timestamp, Corruption> {
        if number == 0 && self.first_is_known {
            self.start = time.wrapping_sub(reader.varint()?);
        } else if number > 0 && self.from > 0 && number >= self.from {
            let change = reader.varbit_int()?;
            self.distance = if number == self.from { change } else { self.distance.wrapping_add(change) };
            self.start = previous.wrapping_sub(self.distance);
        }
        Ok(self.start)
    }
}
