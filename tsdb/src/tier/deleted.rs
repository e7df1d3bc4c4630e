//! What is deleted in blocks on object storage: tombstones as objects that the manifest names.
//!
//! An object of tombstones never changes: a further delete is a new object, under a name that holds its checksum, and a
//! new generation of the manifest names it in place of the old one. So a delete is done or not.

use super::ledger::{Ledger, LedgerError};
use super::manifest::{StoredBlock, StoredFile};
use super::upload::{read_object, verify};
use super::{Condition, Version};
use crate::names;
use crate::tombstones::Tombstones;
use crate::tombstones::format::decode;
use tsdb_core::block::BlockId;
use xxhash_rust::xxh3::xxh3_64;

/// The checksum under which the manifest names the tombstones `bytes`.
pub(crate) fn checksum_of(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// Puts the tombstones `bytes` of the block `id` and returns what the manifest is to say of them.
pub(crate) fn put(ledger: &Ledger, id: BlockId, bytes: &[u8]) -> Result<StoredFile, LedgerError> {
    let (size, checksum) = (bytes.len() as u64, checksum_of(bytes));
    let path = names::TOMBSTONES.to_owned();
    let mut file = StoredFile { path, size, checksum, tail: 0, version: None };
    let key = ledger.key(&file.key(id));
    let put = ledger.retry().run(|| ledger.store().put(&key, bytes, &Condition::Always))?;
    file.version = Some(put).filter(|Version(text)| !text.is_empty());
    verify(ledger, &key, &file, file.version.as_ref())?;
    Ok(file)
}

/// What is deleted in `stored`, and how often that was written; `None` if nothing is.
pub(crate) fn read(ledger: &Ledger, stored: &StoredBlock) -> Result<Option<(Tombstones, u64)>, LedgerError> {
    let Some(file) = stored.tombstones() else { return Ok(None) };
    let key = ledger.key(&file.key(stored.meta.id));
    let mut bytes = Vec::new();
    read_object(ledger, &key, file.size, file.version.as_ref(), &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    decode(stored.meta.id, &bytes).map(Some).map_err(|source| LedgerError::Tombstones { key, source })
}
