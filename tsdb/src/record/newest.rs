//! The newest time of all samples that came in before: how far back late ones may lie is counted from it.

use super::{RecordSink, TAG_NEWEST};
use tsdb_core::bytes::{Reader, Writer};
use tsdb_core::{Corruption, Timestamp};

/// Appends to `out` the record of the time `newest`, ms.
pub fn encode_newest(newest: Timestamp, out: &mut Vec<u8>) {
    let mut record = Writer::new();
    record.u8(TAG_NEWEST);
    record.zigzag(newest);
    out.extend_from_slice(record.as_bytes());
}

pub(super) fn decode(payload: &[u8], sink: &mut impl RecordSink) -> Result<(), Corruption> {
    let mut reader = Reader::new("newest record", payload);
    let newest = reader.zigzag("time")?;
    reader.finish()?;
    sink.newest(newest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Decoded, decode};

    #[derive(Default)]
    struct Found(Vec<Timestamp>);

    impl RecordSink for Found {
        fn newest(&mut self, newest: Timestamp) {
            self.0.push(newest);
        }
    }

    #[test]
    fn the_newest_time_is_read_as_written_and_damage_is_an_error() {
        for time in [Timestamp::MIN, -1, 0, 1_700_000_000_000, Timestamp::MAX] {
            let mut record = Vec::new();
            encode_newest(time, &mut record);
            let mut found = Found::default();
            assert_eq!(decode(&record, &mut found), Ok(Decoded::Newest));
            assert_eq!(found.0, [time]);
            assert!(decode(&record[..record.len() - 1], &mut found).is_err());
            record.push(0);
            assert!(decode(&record, &mut found).is_err());
        }
    }
}
