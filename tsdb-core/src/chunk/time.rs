//! Timestamps of a chunk: differences of differences.

use super::state::State;
use crate::Timestamp;
use crate::bits::{BitReader, BitWriter};
use crate::bytes::{unzigzag, zigzag};

impl State {
    /// Appends a timestamp: a zero bit if the distance is the last one again, else a one and the change.
    #[inline]
    pub(super) fn write_time(&mut self, timestamp: Timestamp, out: &mut BitWriter) {
        let delta = timestamp.wrapping_sub(self.time);
        let change = zigzag(delta.wrapping_sub(self.delta));
        match change.checked_sub(1) {
            None => out.write(0, 1),
            Some(change) => self.time_size.write(1, 1, change, out),
        }
        (self.time, self.delta) = (timestamp, delta);
    }

    /// Reads a timestamp.
    #[inline(always)]
    pub(super) fn read_time(&mut self, bits: &mut BitReader<'_>) -> Timestamp {
        if bits.peek() & 1 == 0 {
            bits.consume(1);
        } else {
            let change = self.time_size.read(1, bits).wrapping_add(1);
            self.delta = self.delta.wrapping_add(unzigzag(change));
        }
        self.time = self.time.wrapping_add(self.delta);
        self.time
    }
}
