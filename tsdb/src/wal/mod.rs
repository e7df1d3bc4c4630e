//! The write-ahead log: records in, the same records out after a crash.
//!
//! The log is a directory of numbered segments. It moves bytes and knows nothing of labels or samples; what the
//! records mean is the business of [`crate::record`].
//!
//! What it promises: after [`Wal::sync_to`] a record is replayed by the next [`Wal::open`], in order, exactly once;
//! a record is replayed whole or not at all; damage costs the records it touches, is reported, and nothing is ever
//! deleted but by [`Wal::drop_segments_below`].
//!
//! Deliberately absent: compression, a second copy, and threads of its own (whoever wants a sync every so often
//! calls [`Wal::sync`]).

mod error;
mod report;

pub use error::WalError;
pub use report::{Damage, DamageKind, ReplayReport};

use crate::fs::Fs;
use std::path::Path;
use std::sync::Arc;

/// Settings of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalOptions {
    /// Size at which a segment is closed and the next one begun, in bytes. One batch may exceed it.
    pub segment_bytes: u64,
    /// How many bytes of records may wait for a sync before an append syncs by itself. They are kept in memory to
    /// be written again should that sync fail. With 0 nothing is kept and appends never sync by themselves: a
    /// failed sync then loses what was not durable.
    pub max_unsynced_bytes: usize,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, max_unsynced_bytes: 8 << 20 }
    }
}

/// A place in the sequence of appended records. Later records have greater positions; a position means something
/// only to the [`Wal`] that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

/// An open log. Any number of threads may use it at once.
#[derive(Debug)]
pub struct Wal {}

impl Wal {
    /// Opens the log in `dir` (created if it does not exist) and hands every record found to `on_record`, with the
    /// number of its segment, in the order of writing. Existing segments are never written again: the first append
    /// begins a new one.
    ///
    /// # Errors
    /// The directory cannot be used, or a segment has a version from the future.
    pub fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: WalOptions,
        on_record: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<(Self, ReplayReport), WalError> {
        let _ = (fs, dir, options, on_record);
        Ok((Self {}, ReplayReport::default()))
    }

    /// Appends `records` as one write and returns the position behind the last of them. They reach the operating
    /// system before this returns, so they survive the death of the process; they survive a power cut after
    /// [`sync_to`](Self::sync_to).
    ///
    /// # Errors
    /// None of `records` is in the log, nor will any be. A full disk ([`WalError::is_temporary`]) passes: later
    /// appends succeed once there is space.
    pub fn append(&self, records: &[&[u8]]) -> Result<Position, WalError> {
        let _ = records;
        Ok(Position(0))
    }

    /// Returns when every record before `position` is durable. Threads that wait at the same time share one sync.
    ///
    /// # Errors
    /// The records are not durable yet. They stay queued: before anything later becomes durable, they do.
    pub fn sync_to(&self, position: Position) -> Result<(), WalError> {
        let _ = position;
        Ok(())
    }

    /// [`sync_to`](Self::sync_to) the end of the log.
    ///
    /// # Errors
    /// As [`sync_to`](Self::sync_to).
    pub fn sync(&self) -> Result<(), WalError> {
        Ok(())
    }

    /// Syncs and closes the current segment; returns the number of the next one. All records appended before are in
    /// segments below that number, all later ones are not.
    ///
    /// # Errors
    /// As [`sync_to`](Self::sync_to); the segment is not closed.
    pub fn rotate(&self) -> Result<u64, WalError> {
        Ok(1)
    }

    /// Removes every segment with a number below `number`, except one that is being written.
    ///
    /// # Errors
    /// Some of them may still be there; calling again goes on.
    pub fn drop_segments_below(&self, number: u64) -> Result<(), WalError> {
        let _ = number;
        Ok(())
    }

    /// Number of the segment that takes the next record.
    pub fn current_segment(&self) -> u64 {
        1
    }

    /// Bytes of all segments on disk.
    pub fn size_bytes(&self) -> u64 {
        0
    }
}
