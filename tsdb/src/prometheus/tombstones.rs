//! What has been deleted and not yet rewritten. Source: Prometheus `tsdb/docs/format/tombstones.md`.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::crc::crc32c;
use std::collections::BTreeMap;
use tsdb_core::bytes::Reader;
use tsdb_core::error::CorruptionKind;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Corruption, Timestamp};

const MAGIC: u32 = 0x0130_ba30;
const VERSION: u8 = 1;
const SECTION: &str = "tombstones";

/// Deleted times (both ends included, ms) by number of series.
#[derive(Debug, Clone, Default)]
pub(super) struct Tombstones(BTreeMap<u64, Vec<(Timestamp, Timestamp)>>);

impl Tombstones {
    /// Reads the file `bytes`.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Corruption> {
        let Some((content, stored)) = bytes.split_last_chunk::<4>() else {
            return Err(Corruption::new(SECTION, 0, CorruptionKind::Truncated { field: "checksum" }));
        };
        let mut reader = Reader::new(SECTION, content);
        let magic = reader.u32("magic")?.swap_bytes();
        let version = reader.u8("version")?;
        if magic != MAGIC {
            return Err(reader.corruption(CorruptionKind::Unknown { field: "magic", value: magic.into() }));
        }
        if version != VERSION {
            let kind = CorruptionKind::Unknown { field: "format version", value: version.into() };
            return Err(reader.corruption(kind));
        }
        let (stored, computed) = (u32::from_be_bytes(*stored), crc32c(reader.unread()));
        if stored != computed {
            let kind = CorruptionKind::Checksum { stored: stored.into(), computed: computed.into() };
            return Err(reader.corruption(kind));
        }
        let mut tombstones = Self::default();
        while !reader.is_empty() {
            let series = reader.varint("series")?;
            tombstones.add(series, reader.zigzag("first time")?, reader.zigzag("last time")?);
        }
        Ok(tombstones)
    }

    /// A file without tombstones.
    pub(super) fn empty_file() -> Vec<u8> {
        let mut bytes = MAGIC.to_be_bytes().to_vec();
        bytes.push(VERSION);
        bytes.extend_from_slice(&crc32c(&[]).to_be_bytes());
        bytes
    }

    /// The samples of `series` from `first` to `last` are deleted.
    pub(super) fn add(&mut self, series: u64, first: Timestamp, last: Timestamp) {
        self.0.entry(series).or_default().push((first, last));
    }

    /// Takes what is deleted of `series` out of its samples.
    pub(super) fn apply(&self, series: u64, columns: &mut SampleColumns) {
        let Some(deleted) = self.0.get(&series) else { return };
        let is_deleted =
            |time: &Timestamp| deleted.iter().any(|(first, last)| (first..=last).contains(&time));
        if columns.timestamps.iter().any(is_deleted) {
            let all = std::mem::take(columns);
            for (position, time) in all.timestamps.iter().enumerate() {
                if !is_deleted(time) {
                    super::series::copy(&all, position, columns);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_tombstones_has_the_bytes_of_prometheus() {
        assert_eq!(Tombstones::empty_file(), [1, 0x30, 0xba, 0x30, 1, 0, 0, 0, 0]);
        assert!(Tombstones::read(&Tombstones::empty_file()).unwrap().0.is_empty());
    }

    #[test]
    fn deleted_samples_vanish_and_the_others_stay() {
        let mut tombstones = Tombstones::default();
        tombstones.add(7, 20, 30);
        tombstones.add(7, 50, i64::MAX);
        let mut columns = SampleColumns::new();
        (1..=6).for_each(|n| columns.push(n * 10, n as f64));
        tombstones.apply(8, &mut columns);
        assert_eq!(columns.len(), 6);
        tombstones.apply(7, &mut columns);
        assert_eq!((columns.timestamps, columns.values), (vec![10, 40], vec![1.0, 4.0]));
    }

    #[test]
    fn files_cut_anywhere_or_with_any_bit_flipped_are_refused() {
        let mut file = MAGIC.to_be_bytes().to_vec();
        file.push(VERSION);
        let content = [3, 20, 40, 0x90, 1, 2, 4];
        file.extend_from_slice(&content);
        file.extend_from_slice(&crc32c(&content).to_be_bytes());
        let tombstones = Tombstones::read(&file).unwrap();
        assert_eq!(tombstones.0.into_iter().collect::<Vec<_>>(), [(3, vec![(10, 20)]), (144, vec![(1, 2)])]);
        (0..file.len()).for_each(|len| assert!(Tombstones::read(&file[..len]).is_err()));
        for bit in 0..file.len() * 8 {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Tombstones::read(&flipped).is_err(), "bit {bit}");
        }
    }
}
