//! A batch that names its series itself.
//!
//! While the log is being replayed nobody knows yet which number a series has. A batch that comes in then is written
//! with the labels of its series; the numbers in it count its own series from 0 and mean nothing outside of it.

use super::{RecordSink, TAG_NAMED};
use tsdb_core::Corruption;
use tsdb_core::bytes::{Reader, Writer};

const SECTION: &str = "named batch record";

/// Appends to `out` a record of the whole batch that `records` are; in these the series are numbered from 0, in the
/// order in which a series record among them names them.
pub fn encode_named(records: &[Vec<u8>], out: &mut Vec<u8>) {
    let mut writer = Writer::new();
    writer.u8(TAG_NAMED);
    writer.varint(records.len() as u64);
    for record in records {
        writer.varint(record.len() as u64);
        writer.bytes(record);
    }
    out.extend_from_slice(writer.as_bytes());
}

pub(super) fn decode(payload: &[u8], sink: &mut impl RecordSink) -> Result<(), Corruption> {
    let mut reader = Reader::new(SECTION, payload);
    // Every record takes at least a byte for its length.
    let count = reader.count(1, "count")?;
    let records = (0..count).map(|_| reader.blob("record")).collect::<Result<Vec<_>, _>>()?;
    reader.finish()?;
    sink.named_batch(&records);
    Ok(())
}
