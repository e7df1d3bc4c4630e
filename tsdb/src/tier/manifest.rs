#![doc = include_str!("../../docs/manifest-format.md")]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::Version;
use crate::block::Block;
use crate::names;
use std::collections::BTreeMap;
use std::path::Path;
use tsdb_core::block::{BlockId, BlockMeta};
use tsdb_core::bytes::{Reader, Writer, checksum};
use tsdb_core::error::CorruptionKind;
use tsdb_core::{Corruption, Timestamp};

const SECTION: &str = "manifest";
const MAGIC: [u8; 8] = *b"tsdbman\n";
/// What is written.
const VERSION: u32 = 3;
/// Without tombstones, and all blocks are held.
const FIRST_VERSION: u32 = 1;
/// The first with an owner.
const OWNED_VERSION: u32 = 3;

/// One generation of the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manifest {
    /// Its number; 0 for that of a store without one.
    pub generation: u64,
    /// Drawn anew for each put.
    pub writer: u128,
    /// The number of the lease that was given last.
    pub epoch: u64,
    /// Who may merge and drop blocks that others uploaded.
    pub lease: Option<Lease>,
    /// The database that the blocks are those of; 0 if none has said so yet.
    pub owner: u128,
    /// The blocks that exist.
    pub blocks: BTreeMap<BlockId, StoredBlock>,
}

/// The right to change blocks that others uploaded, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// Who has it.
    pub holder: String,
    /// Its number; each lease has one more than the last.
    pub epoch: u64,
    /// When it ends unless it is renewed, ms.
    pub until: Timestamp,
}

/// A block in an object store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredBlock {
    /// What it says of itself.
    pub meta: BlockMeta,
    /// The same as it was written.
    pub description: Vec<u8>,
    /// Its files, in order of paths. What is deleted in it is one of them.
    pub files: Vec<StoredFile>,
    /// Does the server that uploaded it keep it on its disk? As long as it does, that server alone may merge it and
    /// delete in it; afterwards whoever has the lease may merge it, and every server delete in it.
    pub is_held: bool,
}

/// A file of a block, which is an object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredFile {
    /// Its path within the block, with `/` between the words.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// XXH3 of its bytes.
    pub checksum: u64,
    /// From here to the end lies what opening reads.
    pub tail: u64,
    /// The version of the object.
    pub version: Option<Version>,
}

impl StoredBlock {
    /// What is deleted in it; `None` if nothing is.
    pub fn tombstones(&self) -> Option<&StoredFile> {
        self.files.iter().find(|file| file.path == names::TOMBSTONES)
    }

    /// Says that `tombstones` is what is deleted in it.
    pub(crate) fn set_tombstones(&mut self, tombstones: StoredFile) {
        self.files.retain(|file| file.path != names::TOMBSTONES);
        self.files.push(tombstones);
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
    }

    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).fold(0, u64::saturating_add)
    }
}

impl StoredFile {
    /// The key of the object of this file of block `id`, behind the prefix.
    pub fn key(&self, id: BlockId) -> String {
        format!("blocks/{}/{}-{:016x}", Block::dir_name(id), self.path.replace('/', "-"), self.checksum)
    }
}

impl Manifest {
    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.bytes(&MAGIC);
        out.u32(VERSION);
        out.u64(self.generation);
        write_u128(self.writer, &mut out);
        out.varint(self.epoch);
        out.varint(u64::from(self.lease.is_some()));
        if let Some(lease) = &self.lease {
            out.str(&lease.holder);
            out.varint(lease.epoch);
            out.i64(lease.until);
        }
        write_u128(self.owner, &mut out);
        out.varint(self.blocks.len() as u64);
        for (id, block) in &self.blocks {
            write_u128(id.0, &mut out);
            out.blob(&block.description);
            out.varint(block.files.len() as u64);
            for file in &block.files {
                out.str(&file.path);
                out.varint(file.size);
                out.u64(file.checksum);
                out.varint(file.tail);
                out.str(file.version.as_ref().map_or("", |version| &version.0));
            }
            out.varint(u64::from(block.is_held));
        }
        let sum = checksum(out.as_bytes());
        out.u32(sum);
        out.into_bytes()
    }

    /// The manifest whose bytes are `bytes`.
    ///
    /// # Errors
    /// They are damaged, or of another version.
    pub fn read(bytes: &[u8]) -> Result<Self, Corruption> {
        let fields = bytes.len().saturating_sub(4);
        let (fields, sum) = bytes.split_at_checked(fields).unwrap_or_default();
        let mut reader = Reader::new(SECTION, fields);
        let magic = reader.u64("magic")?;
        if magic != u64::from_le_bytes(MAGIC) {
            return Err(reader.corruption(CorruptionKind::Unknown { field: "magic", value: magic }));
        }
        let version = reader.u32("version")?;
        if !(FIRST_VERSION..=VERSION).contains(&version) {
            return Err(
                reader.corruption(CorruptionKind::Unknown { field: "version", value: version.into() })
            );
        }
        let (stored, computed) = (Reader::new(SECTION, sum).u32("checksum")?, checksum(fields));
        if stored != computed {
            let kind = CorruptionKind::Checksum { stored: stored.into(), computed: computed.into() };
            return Err(reader.corruption(kind));
        }
        let mut manifest = Self {
            generation: reader.u64("generation")?,
            writer: read_u128(&mut reader, "writer")?,
            epoch: reader.varint("epoch")?,
            lease: read_lease(&mut reader)?,
            owner: if version < OWNED_VERSION { 0 } else { read_u128(&mut reader, "owner")? },
            blocks: BTreeMap::new(),
        };
        for _ in 0..reader.count(18, "count of blocks")? {
            let id = BlockId(read_u128(&mut reader, "id of a block")?);
            if manifest.blocks.last_key_value().is_some_and(|(last, _)| *last >= id) {
                return Err(broken(&reader, "blocks are in order of their ids"));
            }
            let block = read_block(&mut reader, id, version)?;
            manifest.blocks.insert(id, block);
        }
        reader.finish()?;
        Ok(manifest)
    }
}

fn read_lease(reader: &mut Reader<'_>) -> Result<Option<Lease>, Corruption> {
    match reader.varint("lease")? {
        0 => Ok(None),
        1 => {
            let holder = reader.str("holder of the lease")?.into();
            let epoch = reader.varint("epoch of the lease")?;
            Ok(Some(Lease { holder, epoch, until: reader.i64("end of the lease")? }))
        }
        other => Err(reader.invalid("lease", other)),
    }
}

fn read_block(
    reader: &mut Reader<'_>,
    id: BlockId,
    manifest_version: u32,
) -> Result<StoredBlock, Corruption> {
    let description = reader.blob("description of a block")?;
    let parsed = Block::parse_description(Path::new(names::META), description);
    let Some(meta) = parsed.ok().filter(|meta| meta.id == id) else {
        return Err(broken(reader, "the description of a block is whole and its own"));
    };
    let mut files: Vec<StoredFile> = Vec::new();
    for _ in 0..reader.count(12, "count of files")? {
        let path = reader.str("path of a file")?;
        if !is_path(path) || files.last().is_some_and(|last| last.path.as_str() >= path) {
            return Err(broken(reader, "files are those of a block, in order of their paths"));
        }
        let size = reader.varint("length of a file")?;
        let checksum = reader.u64("checksum of a file")?;
        let tail = reader.varint("tail of a file")?;
        if tail > size {
            return Err(reader.invalid("tail of a file", tail));
        }
        let version = reader.str("version of an object")?;
        let version = (!version.is_empty()).then(|| Version(version.into()));
        files.push(StoredFile { path: path.into(), size, checksum, tail, version });
    }
    let is_held = match manifest_version {
        FIRST_VERSION => true,
        _ => match reader.varint("holding of a block")? {
            0 => false,
            1 => true,
            other => return Err(reader.invalid("holding of a block", other)),
        },
    };
    Ok(StoredBlock { meta, description: description.into(), files, is_held })
}

/// Is this what a file of a block may be called?
fn is_path(path: &str) -> bool {
    let is_word = |word: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !word.is_empty() && !word.starts_with('.') && word.bytes().all(allowed)
    };
    path.split('/').count() <= 2 && path.split('/').all(is_word)
}

fn write_u128(value: u128, out: &mut Writer) {
    out.bytes(&value.to_le_bytes());
}

fn read_u128(reader: &mut Reader<'_>, field: &'static str) -> Result<u128, Corruption> {
    let (low, high) = (reader.u64(field)?, reader.u64(field)?);
    Ok(u128::from(high) << 64 | u128::from(low))
}

fn broken(reader: &Reader<'_>, rule: &'static str) -> Corruption {
    reader.corruption(CorruptionKind::Rule { rule })
}

#[cfg(test)]
mod tests;
