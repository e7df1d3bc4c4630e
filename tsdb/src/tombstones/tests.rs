//! Files of tombstones: what is written comes back, damage is found, one copy answers for the other.
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

use super::*;
use crate::block::BlockError;
use crate::fs::{Fault, Fs, Loss, OsFs, SimFs, create_dirs};
use crate::names;
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use tsdb_core::block::BlockId;
use tsdb_core::error::CorruptionKind;
use tsdb_core::{TimeRange, Timestamp};
use tsdb_index::RoaringBitmap;

const ID: BlockId = BlockId(0x019a_0000_0000_1234_5678_9abc_def0_1234);

/// Deletes of series, a range of time each; what has an instant before 0 deleted counts as all gone.
fn tombstones(deletes: &[(&[u32], Timestamp, Timestamp)]) -> Tombstones {
    let mut all = Tombstones::default();
    for (series, start, end) in deletes {
        let series: RoaringBitmap = series.iter().copied().collect();
        let is_all = |_, deleted: &Intervals| Ok::<_, ()>(deleted.as_slice()[0].start() < 0);
        all = all.with(&series, TimeRange::new(*start, *end).unwrap(), is_all).unwrap();
    }
    all
}

fn some() -> Tombstones {
    tombstones(&[
        (&[0, 1, 2, 7, 300], 1_700_000_000_000, 1_700_000_060_000),
        (&[1, 2, 9], 1_700_000_090_000, 1_700_000_090_000),
        (&[7, u32::MAX], Timestamp::MIN, Timestamp::MAX),
        (&[9], 1_600_000_000_000, 1_650_000_000_000),
    ])
}

fn saved(generations: &[(u64, &Tombstones)]) -> (SimFs, PathBuf) {
    let (fs, dir) = (SimFs::new(), Path::new("data").join("block"));
    create_dirs(&fs, &dir).unwrap();
    for (generation, tombstones) in generations {
        save(&fs, &dir, ID, *generation, tombstones).unwrap();
    }
    (fs, dir)
}

#[test]
fn the_golden_file_is_read_and_written() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/tombstones");
    let bytes = format::encode(ID, 4, &some());
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(&path, &bytes).unwrap();
    }
    let golden = OsFs.read(&path).unwrap();
    assert_eq!(format::decode(ID, &golden).unwrap(), (some(), 4));
    assert_eq!(bytes, golden);
}

#[test]
fn a_block_of_which_nothing_is_deleted_has_no_file() {
    let (fs, dir) = saved(&[]);
    let kept = load(&fs, &dir, ID).unwrap();
    assert!(kept.tombstones.is_empty() && kept.is_safe && kept.generation == 0);
}

#[test]
fn every_flipped_bit_and_every_truncation_is_found() {
    let bytes = format::encode(ID, 4, &some());
    for at in 0..bytes.len() {
        assert!(format::decode(ID, &bytes[..at]).is_err(), "the end after {at} bytes");
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(format::decode(ID, &flipped).is_err(), "bit {bit} of byte {at}");
        }
    }
}

/// Damage that fits its checksum must neither panic nor take memory, and rules must hold.
#[test]
fn fields_that_no_writer_writes_are_refused_by_their_rule() {
    let bytes = format::encode(ID, 4, &some());
    let fields = bytes.len() - 4;
    for at in 0..fields {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut changed = bytes[..fields].to_vec();
            changed[at] = value;
            changed.extend_from_slice(&tsdb_core::bytes::checksum(&changed).to_le_bytes());
            if let Ok((tombstones, generation)) = format::decode(ID, &changed) {
                assert_eq!(
                    format::decode(ID, &format::encode(ID, generation, &tombstones)).unwrap().0,
                    tombstones
                );
            }
        }
    }
    let other = BlockId(ID.0 ^ 1);
    assert!(matches!(format::decode(other, &bytes).unwrap_err().kind, CorruptionKind::Rule { .. }));
    assert!(format::decode(ID, &format::encode(ID, 1, &Tombstones::default())).is_err());
}

#[test]
fn one_copy_answers_for_the_other() {
    for damaged in [names::TOMBSTONES, names::TOMBSTONES_COPY] {
        let (fs, dir) = saved(&[(3, &some())]);
        let path = dir.join(damaged);
        for at in 0..fs.size(&path).unwrap() as usize {
            fs.flip(&path, at, 0x10).unwrap();
            let kept = load(&fs, &dir, ID).unwrap();
            assert_eq!((&kept.tombstones, kept.generation), (&some(), 3));
            assert!(!kept.is_safe && kept.damaged[0].0 == path);
            fs.flip(&path, at, 0x10).unwrap();
        }
        assert!(load(&fs, &dir, ID).unwrap().is_safe);
        fs.make_unreadable(&path, 0..1);
        assert_eq!(load(&fs, &dir, ID).unwrap().tombstones, some());
    }
}

#[test]
fn two_damaged_copies_are_an_error_and_not_an_empty_list() {
    let (fs, dir) = saved(&[(3, &some())]);
    fs.flip(&dir.join(names::TOMBSTONES), 50, 1).unwrap();
    fs.flip(&dir.join(names::TOMBSTONES_COPY), 40, 1).unwrap();
    assert!(matches!(load(&fs, &dir, ID), Err(BlockError::Corrupt { .. })));
    fs.remove_file(&dir.join(names::TOMBSTONES)).unwrap();
    assert!(load(&fs, &dir, ID).is_err());
    fs.remove_file(&dir.join(names::TOMBSTONES_COPY)).unwrap();
    assert!(load(&fs, &dir, ID).unwrap().tombstones.is_empty());
}

#[test]
fn an_unknown_version_is_refused_by_its_number_if_there_is_no_other() {
    let (fs, dir) = saved(&[(3, &some())]);
    for (file, is_readable) in [(names::TOMBSTONES, true), (names::TOMBSTONES_COPY, false)] {
        let mut bytes = fs.read(&dir.join(file)).unwrap();
        bytes[8] = 9;
        fs.overwrite(&dir.join(file), &bytes).unwrap();
        match load(&fs, &dir, ID) {
            Ok(kept) => assert!(is_readable && kept.tombstones == some()),
            Err(BlockError::UnknownVersion { found: 9, .. }) => assert!(!is_readable),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_crash_at_any_operation_leaves_the_old_tombstones_or_the_new_ones() {
    let (old, new) = (tombstones(&[(&[1], 5, 9)]), some());
    for index in 0.. {
        let (fs, dir) = saved(&[(1, &old)]);
        fs.inject(fs.op_count() + index, Fault::Crash);
        let is_saved = save(&fs, &dir, ID, 2, &new).is_ok();
        for seed in 0..8 {
            let found = load(&fs.after_power_cut(Loss::Random(seed)), &dir, ID).unwrap();
            assert!(found.damaged.is_empty());
            assert!(found.tombstones == new || !is_saved && found.tombstones == old, "operation {index}");
        }
        if is_saved {
            return;
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        deletes in prop::collection::vec(
            (prop::collection::vec(prop_oneof![0..40_u32, any::<u32>()], 1..9), any::<i64>(), any::<i64>()),
            1..9,
        ),
        generation in any::<u64>(),
    ) {
        let deletes: Vec<_> =
            deletes.iter().map(|(series, a, b)| (series.as_slice(), *a.min(b), *a.max(b))).collect();
        let tombstones = tombstones(&deletes);
        let bytes = format::encode(ID, generation, &tombstones);
        prop_assert_eq!(format::decode(ID, &bytes).unwrap(), (tombstones, generation));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(format::decode(ID, &bytes));
        let mut framed = format::encode(ID, 1, &some())[..36].to_vec();
        framed.append(&mut bytes);
        framed.extend_from_slice(&tsdb_core::bytes::checksum(&framed).to_le_bytes());
        drop(format::decode(ID, &framed));
    }
}
