//! Series that were retired: the head has removed them, and what the log holds of them before this record is in blocks.

use super::{RecordSink, TAG_RETIRED};
use tsdb_core::bytes::{Reader, Writer};
use tsdb_core::{Corruption, SeriesRef};

/// Appends to `out` the record of `series`, which are in ascending order.
pub fn encode_retired(series: &[SeriesRef], out: &mut Vec<u8>) {
    let mut record = Writer::new();
    record.u8(TAG_RETIRED);
    record.varint(series.len() as u64);
    let mut expected = 0_u64;
    for number in series.iter().map(|series| u64::from(series.0)) {
        record.varint(number.saturating_sub(expected));
        expected = number.saturating_add(1);
    }
    out.extend_from_slice(record.as_bytes());
}

pub(super) fn decode(payload: &[u8], sink: &mut impl RecordSink) -> Result<(), Corruption> {
    let mut reader = Reader::new("retired record", payload);
    let mut expected = 0_u64;
    for _ in 0..reader.count(1, "count")? {
        let number = expected.saturating_add(reader.varint("series")?);
        let series = u32::try_from(number).map_err(|_| reader.invalid("series", number))?;
        sink.retired(SeriesRef(series));
        expected = number.saturating_add(1);
    }
    reader.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Decoded, decode};

    #[derive(Default)]
    struct Found(Vec<u32>);

    impl RecordSink for Found {
        fn retired(&mut self, series: SeriesRef) {
            self.0.push(series.0);
        }
    }

    #[test]
    fn retired_series_are_read_as_written_and_damage_is_an_error() {
        let numbers = [0, 1, 2, 500, 501, u32::MAX];
        let mut record = Vec::new();
        encode_retired(&numbers.map(SeriesRef), &mut record);
        let mut found = Found::default();
        assert_eq!(decode(&record, &mut found), Ok(Decoded::Retired));
        assert_eq!(found.0, numbers);
        for len in 1..record.len() {
            assert!(decode(&record[..len], &mut Found::default()).is_err(), "cut to {len}");
        }
        record.push(0);
        assert!(decode(&record, &mut Found::default()).is_err());
        let beyond = [TAG_RETIRED, 2, 0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        assert!(decode(&beyond, &mut Found::default()).is_err());
    }
}
