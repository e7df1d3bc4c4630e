//! The border between the head and the blocks: which samples of the log need not be replayed.

use super::{RecordSink, TAG_BORDER};
use tsdb_core::bytes::{Reader, Writer};
use tsdb_core::{Corruption, Timestamp};

/// Which samples that came into the head are in blocks. Borders only move forward.
///
/// Late samples are counted in generations, because their times do not tell what came before a cut and what after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the fields of a record, which change with its format")]
pub struct Border {
    /// Samples in order before this time are in blocks, ms.
    pub from: Timestamp,
    /// So are the late ones before this time, up to this generation.
    pub cut: u64,
    /// So are late samples of any time, up to this generation.
    pub flushed: u64,
}

impl Border {
    /// Nothing is in blocks.
    pub const NOTHING: Self = Self { from: Timestamp::MIN, cut: 0, flushed: 0 };

    /// The border behind both this one and `other`.
    #[must_use]
    pub fn or_later(self, other: Self) -> Self {
        Self {
            from: self.from.max(other.from),
            cut: self.cut.max(other.cut),
            flushed: self.flushed.max(other.flushed),
        }
    }

    /// From which time on late samples of `generation` are in no block; `None` if all of them are in blocks.
    pub fn late_from(&self, generation: u64) -> Option<Timestamp> {
        match generation {
            flushed if flushed <= self.flushed => None,
            cut if cut <= self.cut => Some(self.from),
            _ => Some(Timestamp::MIN),
        }
    }
}

/// Appends to `out` the record of `border`.
pub fn encode_border(border: Border, out: &mut Vec<u8>) {
    let mut record = Writer::new();
    record.u8(TAG_BORDER);
    record.zigzag(border.from);
    record.varint(border.cut);
    record.varint(border.flushed);
    out.extend_from_slice(record.as_bytes());
}

pub(super) fn decode(payload: &[u8], sink: &mut impl RecordSink) -> Result<(), Corruption> {
    let mut reader = Reader::new("border record", payload);
    let from = reader.zigzag("from")?;
    let cut = reader.varint("cut")?;
    let flushed = reader.varint("flushed")?;
    reader.finish()?;
    sink.border(Border { from, cut, flushed });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Decoded, decode};

    #[derive(Default)]
    struct Notes(Vec<Border>);

    impl RecordSink for Notes {
        fn border(&mut self, border: Border) {
            self.0.push(border);
        }
    }

    #[test]
    fn a_border_comes_back_and_shorter_or_longer_records_are_damaged() {
        for border in [Border::NOTHING, Border { from: Timestamp::MAX, cut: u64::MAX, flushed: 7 }] {
            let mut record = Vec::new();
            encode_border(border, &mut record);
            let mut notes = Notes::default();
            assert_eq!(decode(&record, &mut notes).unwrap(), Decoded::Border);
            assert_eq!(notes.0, [border]);
            for len in 0..record.len() {
                assert!(decode(&record[..len], &mut Notes::default()).is_err());
            }
            record.push(0);
            assert!(decode(&record, &mut Notes::default()).is_err());
        }
    }

    #[test]
    fn late_samples_are_told_apart_by_generation_and_time() {
        let border = Border { from: 100, cut: 5, flushed: 3 };
        let from = [1, 3, 4, 5, 6].map(|generation| border.late_from(generation));
        assert_eq!(from, [None, None, Some(100), Some(100), Some(Timestamp::MIN)]);
        let other = Border { from: 50, cut: 9, flushed: 2 };
        assert_eq!(border.or_later(other), Border { from: 100, cut: 9, flushed: 3 });
    }
}
