//! The types of metrics beside blocks on object storage: an object that the manifest names like a file of the block.
//!
//! What becomes of a series in windows depends on the type that its exporter declared, which samples do not tell. A
//! compactor has no senders and no head, so the database that uploads a block of samples says for each metric in it what it
//! knows then, as the format of the manifest has it. Merged blocks get the types of their sources. Where nothing is said, name and shape decide as ever.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::ledger::{Ledger, LedgerError};
use super::manifest::{StoredBlock, StoredFile};
use super::upload::{read_object, verify};
use super::{Condition, StoreError, Version};
use crate::names;
use crate::record::{numbered_type, type_number};
use std::collections::BTreeMap;
use tsdb_core::Corruption;
use tsdb_core::block::BlockId;
use tsdb_core::bytes::{Reader, Writer, checksum};
use tsdb_core::error::CorruptionKind;
use tsdb_core::metadata::MetricType;
use xxhash_rust::xxh3::xxh3_64;

const SECTION: &str = "types of metrics";
const MAGIC: u64 = u64::from_le_bytes(*b"tsdbtyp\n");
const VERSION: u32 = 1;

/// Types by names of metrics as series have them, with `_bucket` and the like.
pub(crate) type Types = BTreeMap<String, MetricType>;

/// Puts the types of the metrics in the block `id` and returns what the manifest is to say of them.
pub(crate) fn put(ledger: &Ledger, id: BlockId, types: &Types) -> Result<StoredFile, LedgerError> {
    let bytes = encode(types);
    let (size, checksum) = (bytes.len() as u64, xxh3_64(&bytes));
    let mut file = StoredFile { path: names::TYPES.to_owned(), size, checksum, tail: 0, version: None };
    let key = ledger.key(&file.key(id));
    let put = ledger.retry().run(|| ledger.store().put(&key, &bytes, &Condition::Always))?;
    file.version = Some(put).filter(|Version(text)| !text.is_empty());
    verify(ledger, &key, &file, file.version.as_ref())?;
    Ok(file)
}

/// The types of the metrics in `stored`, as far as they are known. What is damaged or gone is told and not known.
///
/// # Errors
/// The store does not answer, which may pass.
pub(crate) fn read(ledger: &Ledger, stored: &StoredBlock) -> Result<Types, StoreError> {
    let file = stored.files.iter().find(|file| file.path == names::TYPES);
    let Some(file) = file else { return Ok(Types::new()) };
    let key = ledger.key(&file.key(stored.meta.id));
    let mut bytes = Vec::new();
    let read = read_object(ledger, &key, file.size, file.version.as_ref(), &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    });
    let damage = match read.map(|()| decode(&bytes)) {
        Ok(Ok(types)) => return Ok(types),
        Ok(Err(damage)) => damage.to_string(),
        Err(error) if error.is_temporary() => return Err(error),
        Err(error) => error.to_string(),
    };
    log::warn!("{key}: {damage}; the types of metrics are guessed by their names and samples");
    Ok(Types::new())
}

fn encode(types: &Types) -> Vec<u8> {
    let mut out = Writer::new();
    out.u64(MAGIC);
    out.u32(VERSION);
    out.varint(types.len() as u64);
    for (name, metric_type) in types {
        out.str(name);
        out.u8(type_number(*metric_type));
    }
    let sum = checksum(out.as_bytes());
    out.u32(sum);
    out.into_bytes()
}

fn decode(bytes: &[u8]) -> Result<Types, Corruption> {
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
    let mut types = Types::new();
    for _ in 0..reader.count(2, "count of metrics")? {
        let name = reader.str("name of a metric")?.to_owned();
        let number = reader.u8("type")?;
        let metric_type = numbered_type(number).ok_or_else(|| reader.invalid("type", number.into()))?;
        types.insert(name, metric_type);
    }
    reader.finish()?;
    Ok(types)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tier::golden;

    fn some() -> Types {
        let named = [("heat", MetricType::Gauge), ("took_bucket", MetricType::Histogram)];
        named.into_iter().map(|(name, of)| (name.to_owned(), of)).collect()
    }

    #[test]
    fn the_golden_types_are_read_and_written_the_same() {
        let written = encode(&some());
        let golden = golden::stored("types", &written);
        assert_eq!(decode(&golden).unwrap(), some());
        assert_eq!(golden, written, "this version writes other bytes than before");
    }

    #[test]
    fn types_are_read_as_they_were_written_and_no_flipped_bit_goes_unseen() {
        let types = some();
        let bytes = encode(&types);
        assert_eq!(decode(&bytes).unwrap(), types);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&changed).is_err(), "bit {bit}");
        }
        (0..bytes.len()).for_each(|len| assert!(decode(&bytes[..len]).is_err(), "{len} bytes"));
    }
}
