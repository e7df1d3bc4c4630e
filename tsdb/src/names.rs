//! The name of every file and directory of a data directory, and nothing else.
//!
//! ```text
//! <data>/LOCK                 locked while an engine works here; holds its process number
//! <data>/VERSION              format of the directory as a whole
//! <data>/wal/000001           segments of the write-ahead log, numbered from 1
//! <data>/wal/checkpoint-000007-1775643330000
//!                             a checkpoint: the first segment still needed, and the time before which samples are in
//!                             blocks
//! <data>/<ULID>/meta.json     a block: what it is,
//! <data>/<ULID>/index         its series and postings,
//! <data>/<ULID>/chunks/000001 and its samples, numbered from 1
//! <data>/<ULID>/tombstones    what is deleted in it,
//! <data>/<ULID>/tombstones-copy
//!                             and the same again
//! <data>/snapshots/<name>/     a snapshot: a data directory of its own, whose files are those above under second names
//! <data>/quarantine/<name>     what a repair moved aside; nobody reads it
//! <data>/clock                the time that was believed last, which retention was acted on, and what a clock that is
//!                             doubted showed since
//! <data>/manifest-copy        the manifest on object storage as it was read last, if there is one
//! <data>/owner                which database this is, if there is object storage
//! <data>/dropped              blocks that were dropped here and that object storage may still name, if there are any
//! <anything>.tmp              unfinished; removed at the next start
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The lock file of a data directory.
pub(crate) const LOCK: &str = "LOCK";
/// The file that states the format of a data directory.
pub(crate) const VERSION: &str = "VERSION";
/// The directory of the write-ahead log.
pub(crate) const WAL_DIR: &str = "wal";
/// Description of a block.
pub(crate) const META: &str = "meta.json";
/// Series and postings of a block.
pub(crate) const INDEX: &str = "index";
/// Directory of the chunk files of a block.
pub(crate) const CHUNKS_DIR: &str = "chunks";
/// What is deleted in a block.
pub(crate) const TOMBSTONES: &str = "tombstones";
/// The types of the metrics in a block, on object storage alone.
pub(crate) const TYPES: &str = "types";
/// The second copy of what is deleted in a block.
pub(crate) const TOMBSTONES_COPY: &str = "tombstones-copy";

/// The directory of snapshots that lie in the data directory.
pub(crate) const SNAPSHOTS_DIR: &str = "snapshots";
/// The time that was believed last, the retention that was acted on last, and what the clock showed since.
pub(crate) const CLOCK: &str = "clock";
/// A copy of the manifest on object storage, as it was read last.
pub(crate) const MANIFEST_COPY: &str = "manifest-copy";
/// Which database this is.
pub(crate) const OWNER: &str = "owner";
/// The blocks that were dropped and that object storage may still name.
pub(crate) const DROPPED: &str = "dropped";
/// What a merge of blocks on object storage needs on disk while it lasts.
pub(crate) const FAR_MERGE: &str = "far-merge";
/// The directory of what a repair moved aside.
pub(crate) const QUARANTINE_DIR: &str = "quarantine";

const TEMPORARY_SUFFIX: &str = ".tmp";
const CHECKPOINT_PREFIX: &str = "checkpoint-";
const NUMBER_WIDTH: usize = 6;

/// The name under which `path` is written before it is published.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(TEMPORARY_SUFFIX);
    name.into()
}

/// Is `name` that of something unfinished?
pub(crate) fn is_temporary(name: &str) -> bool {
    name.ends_with(TEMPORARY_SUFFIX)
}

/// File name of log segment or chunk file number `number`.
pub(crate) fn numbered(number: u64) -> String {
    format!("{number:0NUMBER_WIDTH$}")
}

/// The number of a log segment or chunk file; `None` if `name` is not in the form that [`numbered`] writes.
pub(crate) fn parse_numbered(name: &str) -> Option<u64> {
    let number = name.parse().ok().filter(|&n| n > 0)?;
    (numbered(number) == name).then_some(number)
}

/// Directory name of the checkpoint behind which the log begins with segment `first_segment`, and before whose
/// `min_time` samples are in blocks.
pub(crate) fn checkpoint(first_segment: u64, min_time: i64) -> String {
    format!("{CHECKPOINT_PREFIX}{}-{min_time}", numbered(first_segment))
}

/// What the directory name of a checkpoint says; `None` if `name` is not in the form that [`checkpoint`] writes.
pub(crate) fn parse_checkpoint(name: &str) -> Option<(u64, i64)> {
    let (first_segment, min_time) = name.strip_prefix(CHECKPOINT_PREFIX)?.split_once('-')?;
    let parsed = (parse_numbered(first_segment)?, min_time.parse().ok()?);
    (checkpoint(parsed.0, parsed.1) == name).then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_and_sort_as_text_up_to_a_million() {
        for number in [1, 42, 999_999, 1_000_000, u64::MAX] {
            assert_eq!(parse_numbered(&numbered(number)), Some(number));
        }
        assert_eq!(numbered(1), "000001");
    }

    #[test]
    fn foreign_names_are_no_numbers() {
        for name in ["", "0", "000000", "1", "+00001", "00001", "0000001", "000001.tmp", "00000x"] {
            assert_eq!(parse_numbered(name), None, "{name}");
        }
    }

    #[test]
    fn names_of_checkpoints_round_trip() {
        for (segment, time) in [(1, 0), (7, -5), (1_000_000, i64::MIN), (2, i64::MAX)] {
            assert_eq!(parse_checkpoint(&checkpoint(segment, time)), Some((segment, time)));
        }
        for name in ["checkpoint-", "checkpoint-000001", "checkpoint-1-0", "checkpoint-000001-+1", "000001"] {
            assert_eq!(parse_checkpoint(name), None, "{name}");
        }
    }

    #[test]
    fn temporary_names_keep_the_whole_name() {
        assert_eq!(temporary(Path::new("a/meta.json")), Path::new("a/meta.json.tmp"));
        assert!(is_temporary("meta.json.tmp") && !is_temporary("meta.json"));
    }
}
