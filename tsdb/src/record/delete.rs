//! Deletes: which samples that stand before the record in the log are gone.

use super::{RecordSink, TAG_DELETE};
use tsdb_core::bytes::{Reader, Writer};
use tsdb_core::error::CorruptionKind;
use tsdb_core::{Corruption, Labels, MatchOp, Matcher, TimeRange};

/// The least that a matcher takes: its operator, two empty texts.
const MIN_MATCHER_LEN: usize = 3;

/// A delete: of the series that satisfy all matchers, the samples and exemplars within the range that came in before.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the fields of a record, which change with its format")]
pub struct Delete {
    /// Which series: all if there are none.
    pub matchers: Vec<Matcher>,
    /// Which instants.
    pub range: TimeRange,
    /// Exemplars that came in before have numbers below this.
    pub exemplars: u64,
}

impl Delete {
    /// Is a series with these labels meant?
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or_default()))
    }
}

/// Appends to `out` the record of `delete`.
pub fn encode_delete(delete: &Delete, out: &mut Vec<u8>) {
    let mut record = Writer::new();
    record.u8(TAG_DELETE);
    record.zigzag(delete.range.start());
    record.zigzag(delete.range.end());
    record.varint(delete.exemplars);
    record.varint(delete.matchers.len() as u64);
    for matcher in &delete.matchers {
        record.u8(match matcher.op() {
            MatchOp::Equal => 0,
            MatchOp::NotEqual => 1,
            MatchOp::Regex => 2,
            MatchOp::NotRegex => 3,
        });
        record.str(matcher.name());
        record.str(matcher.value());
    }
    out.extend_from_slice(record.as_bytes());
}

pub(super) fn decode(payload: &[u8], sink: &mut impl RecordSink) -> Result<(), Corruption> {
    let mut reader = Reader::new("delete record", payload);
    let (start, end) = (reader.zigzag("start")?, reader.zigzag("end")?);
    let range = TimeRange::new(start, end);
    let range = range.ok_or_else(|| reader.invalid("end", end.cast_unsigned()))?;
    let exemplars = reader.varint("exemplars")?;
    let count = reader.count(MIN_MATCHER_LEN, "count of matchers")?;
    let mut matchers = Vec::with_capacity(count);
    for _ in 0..count {
        matchers.push(matcher(&mut reader)?);
    }
    reader.finish()?;
    sink.delete(&Delete { matchers, range, exemplars });
    Ok(())
}

fn matcher(reader: &mut Reader<'_>) -> Result<Matcher, Corruption> {
    let op = match reader.u8("operator")? {
        0 => MatchOp::Equal,
        1 => MatchOp::NotEqual,
        2 => MatchOp::Regex,
        3 => MatchOp::NotRegex,
        other => return Err(reader.invalid("operator", other.into())),
    };
    let (name, value) = (reader.str("label")?, reader.str("value")?);
    Matcher::new(op, name, value)
        .map_err(|error| reader.corruption(CorruptionKind::Layer { message: error.to_string() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Decoded, decode};
    use tsdb_core::Timestamp;

    #[derive(Default)]
    struct Notes(Vec<Delete>);

    impl RecordSink for Notes {
        fn delete(&mut self, delete: &Delete) {
            self.0.push(delete.clone());
        }
    }

    fn delete() -> Delete {
        let matcher = |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap();
        let matchers = vec![
            matcher(MatchOp::Equal, "__name__", "up"),
            matcher(MatchOp::NotEqual, "job", ""),
            matcher(MatchOp::Regex, "instance", "a.*|b"),
            matcher(MatchOp::NotRegex, "zone", "[0-9]+"),
        ];
        Delete { matchers, range: TimeRange::new(-5, 1_700_000_000_000).unwrap(), exemplars: 300 }
    }

    fn record(delete: &Delete) -> Vec<u8> {
        let mut record = Vec::new();
        encode_delete(delete, &mut record);
        record
    }

    #[test]
    fn a_delete_comes_back() {
        let of_all = Delete { matchers: Vec::new(), range: TimeRange::ALL, exemplars: u64::MAX };
        for delete in [delete(), of_all] {
            let mut notes = Notes::default();
            assert_eq!(decode(&record(&delete), &mut notes).unwrap(), Decoded::Delete);
            assert_eq!(notes.0, [delete]);
        }
    }

    #[test]
    fn shorter_longer_and_senseless_records_are_damaged_and_delete_nothing() {
        let whole = record(&delete());
        let is_refused = |bytes: &[u8]| {
            let mut notes = Notes::default();
            decode(bytes, &mut notes).is_err() && notes.0.is_empty()
        };
        assert!((0..whole.len()).all(|len| is_refused(&whole[..len])));
        assert!(is_refused(&[&whole[..], &[0]].concat()));
        let turned = [&[TAG_DELETE, 4, 2, 0, 0][..]].concat();
        assert!(is_refused(&turned), "the end lies before the start");
        let many = [&[TAG_DELETE, 2, 4, 0, 0xff, 0xff, 0x03][..]].concat();
        assert!(is_refused(&many), "matchers beyond the record");
        let mut unknown_operator = whole.clone();
        let operator = whole.windows(2).position(|pair| pair == [0, 8]).unwrap();
        unknown_operator[operator] = 4;
        assert!(is_refused(&unknown_operator));
        let mut no_pattern = whole.clone();
        let bracket = whole.iter().position(|byte| *byte == b'[').unwrap();
        no_pattern[bracket] = b'*';
        assert!(is_refused(&no_pattern));
    }

    #[test]
    fn a_label_that_a_series_lacks_counts_as_empty() {
        let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied()).unwrap();
        let delete = delete();
        assert!(delete.matches(&labels(&[("__name__", "up"), ("job", "x"), ("instance", "abc")])));
        assert!(!delete.matches(&labels(&[("__name__", "up"), ("instance", "abc")])));
        assert_eq!(delete.range.start(), -5 as Timestamp);
    }
}
