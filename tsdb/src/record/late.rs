//! Late samples: the record of a batch in an envelope that names their generation.
//!
//! The envelope knows nothing of the kinds of samples: whatever record stands in it, its samples are late.

use super::{Decoded, RecordSink, TAG_LATE, decode_tagged};
use tsdb_core::Corruption;
use tsdb_core::bytes::{Reader, Writer};

/// Appends to `out` the record `samples`, as one of late samples of `generation`.
pub fn encode_late(generation: u64, samples: &[u8], out: &mut Vec<u8>) {
    let mut head = Writer::new();
    head.u8(TAG_LATE);
    head.varint(generation);
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(samples);
}

pub(super) fn decode(payload: &[u8], sink: &mut impl RecordSink) -> Result<Decoded, Corruption> {
    let mut reader = Reader::new("late record", payload);
    let generation = reader.varint("generation")?;
    let tag = reader.u8("tag")?;
    if tag == TAG_LATE {
        return Err(reader.invalid("tag", tag.into()));
    }
    sink.late(Some(generation));
    let decoded = decode_tagged(tag, reader.unread(), sink);
    sink.late(None);
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{SamplesEncoder, decode};
    use tsdb_core::{SeriesRef, Timestamp};

    #[derive(Default, Debug, PartialEq)]
    struct Notes {
        now: Option<u64>,
        samples: Vec<(Option<u64>, u32, Timestamp, u64)>,
    }

    impl RecordSink for Notes {
        fn sample(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
            self.samples.push((self.now, series.0, timestamp, value.to_bits()));
        }

        fn late(&mut self, generation: Option<u64>) {
            self.now = generation;
        }
    }

    fn late(generation: u64) -> Vec<u8> {
        let mut encoder = SamplesEncoder::new();
        (0..3).for_each(|k| encoder.push(SeriesRef(k), i64::from(k), f64::from(k)));
        let (mut samples, mut record) = (Vec::new(), Vec::new());
        encoder.finish(&mut samples);
        encode_late(generation, &samples, &mut record);
        record
    }

    #[test]
    fn samples_in_an_envelope_are_of_its_generation() {
        for generation in [1, 300, u64::MAX] {
            let mut notes = Notes::default();
            assert_eq!(decode(&late(generation), &mut notes).unwrap(), Decoded::Samples);
            let expected = (0..3).map(|k| (Some(generation), k, i64::from(k), f64::from(k).to_bits()));
            assert_eq!(notes, Notes { now: None, samples: expected.collect() });
        }
    }

    #[test]
    fn damaged_envelopes_and_envelopes_in_envelopes_are_refused() {
        let record = late(1);
        for len in 0..record.len() {
            let mut notes = Notes::default();
            assert!(decode(&record[..len], &mut notes).is_err());
            assert_eq!(notes.now, None, "what comes next is in order again");
        }
        let mut nested = Vec::new();
        encode_late(1, &record, &mut nested);
        assert!(decode(&nested, &mut Notes::default()).is_err());
    }
}
