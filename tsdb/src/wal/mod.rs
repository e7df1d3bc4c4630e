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
//!
#![doc = include_str!("../../docs/wal-format.md")]

mod assemble;
mod error;
mod format;
mod log;
mod queue;
mod replay;
mod report;
mod segment;
mod state;

pub use error::WalError;
pub use format::{FORMAT_VERSION, MAX_RECORD_BYTES};
pub use log::Wal;
pub use replay::Segments;
pub use report::{Damage, DamageKind, ReplayReport};

/// Reads the log in `dir`, which nobody may be writing, and changes nothing: hands every record found to `on_record`
/// and reports what could not be read.
///
/// # Errors
/// The directory cannot be read, or a segment has a version from the future.
pub fn read(
    fs: &std::sync::Arc<dyn crate::fs::Fs>,
    dir: &std::path::Path,
    on_record: &mut dyn FnMut(u64, &[u8]),
) -> Result<ReplayReport, WalError> {
    let found = Segments::find(std::sync::Arc::clone(fs), dir)?;
    Ok(found.read_to_end(&mut |_| true, on_record).0)
}

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

/// Numbers that describe a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WalStats {
    /// Segments on disk.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of records kept in memory until they are durable.
    pub unsynced_bytes: u64,
    /// How often records could not be made durable when they should have been. A failed sync that a fresh segment
    /// made good is not counted.
    pub failed_syncs: u64,
    /// Segments given up because a sync or a write of them failed.
    pub retired_segments: u64,
}
