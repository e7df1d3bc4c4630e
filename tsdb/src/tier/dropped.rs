//! Blocks that were dropped without a successor and that the manifest may still name.
//!
//! All of their samples were deleted, or they were written anew and nothing was left. Until the manifest names them no
//! longer a file beside the blocks lists them, so that a restart does not take them for blocks that lie far away.

use crate::fs::{Fs, twice, write_file};
use crate::{Error, names};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use tsdb_core::Corruption;
use tsdb_core::block::BlockId;
use tsdb_core::bytes::{Reader, Writer, checksum};
use tsdb_core::error::CorruptionKind;

const SECTION: &str = "list of dropped blocks";
const MAGIC: u64 = u64::from_le_bytes(*b"tsdbdrp\n");
const VERSION: u32 = 1;

/// The list and where it is kept.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    path: PathBuf,
    blocks: BTreeSet<BlockId>,
}

impl Dropped {
    /// The list of the database in `dir`. Says also what is wrong with it.
    pub(super) fn open(fs: &dyn Fs, dir: &Path) -> (Self, Option<String>) {
        let path = dir.join(names::DROPPED);
        let (blocks, damage) = read(fs, dir);
        let warning =
            damage.map(|what| format!("{what}; samples that were deleted may be found on object storage"));
        (Self { path, blocks }, warning)
    }

    /// The blocks.
    pub(super) fn blocks(&self) -> &BTreeSet<BlockId> {
        &self.blocks
    }

    /// Adds `blocks`. Durable when it returns.
    pub(super) fn add(&mut self, fs: &dyn Fs, blocks: &BTreeSet<BlockId>) -> Result<(), Error> {
        self.replace(fs, self.blocks.union(blocks).copied().collect())
    }

    /// Takes out `blocks`, which nobody names any more.
    pub(super) fn remove(&mut self, fs: &dyn Fs, blocks: &BTreeSet<BlockId>) -> Result<(), Error> {
        self.replace(fs, self.blocks.difference(blocks).copied().collect())
    }

    fn replace(&mut self, fs: &dyn Fs, blocks: BTreeSet<BlockId>) -> Result<(), Error> {
        if blocks != self.blocks {
            let written = write_file(fs, &self.path, &render(&blocks));
            written.map_err(|error| Error::io("write", &self.path, error))?;
            self.blocks = blocks;
        }
        Ok(())
    }
}

/// The blocks that the database in `dir` dropped. Says also what is wrong with the list.
pub(crate) fn read(fs: &dyn Fs, dir: &Path) -> (BTreeSet<BlockId>, Option<String>) {
    let path = dir.join(names::DROPPED);
    let damage = match twice(|| fs.read(&path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(error.to_string()),
        Ok(bytes) => match parse(&bytes) {
            Ok(blocks) => return (blocks, None),
            Err(damage) => Some(damage.to_string()),
        },
    };
    (BTreeSet::new(), damage.map(|what| format!("{}: {what}", path.display())))
}

fn render(blocks: &BTreeSet<BlockId>) -> Vec<u8> {
    let mut out = Writer::new();
    out.u64(MAGIC);
    out.u32(VERSION);
    out.varint(blocks.len() as u64);
    blocks.iter().for_each(|id| out.bytes(&id.0.to_le_bytes()));
    let sum = checksum(out.as_bytes());
    out.u32(sum);
    out.into_bytes()
}

fn parse(bytes: &[u8]) -> Result<BTreeSet<BlockId>, Corruption> {
    let (fields, sum) = bytes.split_at_checked(bytes.len().saturating_sub(4)).unwrap_or_default();
    let mut reader = Reader::new(SECTION, fields);
    let (magic, version) = (reader.u64("magic")?, reader.u32("version")?);
    if (magic, version) != (MAGIC, VERSION) {
        let value = if magic == MAGIC { version.into() } else { magic };
        return Err(reader.corruption(CorruptionKind::Unknown { field: "magic or version", value }));
    }
    let (stored, computed) = (Reader::new(SECTION, sum).u32("checksum")?, checksum(fields));
    if stored != computed {
        let kind = CorruptionKind::Checksum { stored: stored.into(), computed: computed.into() };
        return Err(reader.corruption(kind));
    }
    let mut blocks = BTreeSet::new();
    for _ in 0..reader.count(16, "count of blocks")? {
        let (low, high) = (reader.u64("id of a block")?, reader.u64("id of a block")?);
        blocks.insert(BlockId(u128::from(high) << 64 | u128::from(low)));
    }
    reader.finish()?;
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tier::golden;

    #[test]
    fn the_golden_list_is_read_and_written_the_same() {
        let blocks: BTreeSet<BlockId> =
            [BlockId(7), BlockId(0x0190_0000_0000_1234_5678_9abc_def0_1234)].into();
        let written = render(&blocks);
        let golden = golden::stored("dropped", &written);
        assert_eq!(parse(&golden).unwrap(), blocks);
        assert_eq!(golden, written, "this version writes other bytes than before");
    }

    #[test]
    fn a_list_is_read_as_it_was_written_and_no_flipped_bit_goes_unseen() {
        let blocks: BTreeSet<BlockId> = [BlockId(7), BlockId(u128::MAX)].into();
        let bytes = render(&blocks);
        assert_eq!(parse(&bytes).unwrap(), blocks);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&changed).is_err(), "bit {bit}");
        }
        (0..bytes.len()).for_each(|len| assert!(parse(&bytes[..len]).is_err(), "{len} bytes"));
    }
}
