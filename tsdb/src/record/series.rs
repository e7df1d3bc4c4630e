//! Newly registered series: reference and labels.
//!
//! Series that are registered together are mostly instances of one metric or metrics of one target: a label that
//! stands at the same place in the series before is not written again.

use super::{RecordSink, TAG_SERIES};
use tsdb_core::bytes::{Reader, Writer};
use tsdb_core::error::CorruptionKind;
use tsdb_core::{Corruption, Labels, SeriesRef};

const SECTION: &str = "series record";

/// The label at this place of the series before.
const SAME_LABEL: u64 = 0;
/// The name of the label at this place of the series before, with another value.
const SAME_NAME: u64 = 1;
/// Another label.
const NEW_LABEL: u64 = 2;

/// Collects newly registered series and writes them as one record.
#[derive(Debug, Default)]
pub struct SeriesEncoder {
    body: Writer,
    count: usize,
    /// What the reference of the next series is if they are dense.
    expected: i64,
    before: Labels,
}

impl SeriesEncoder {
    /// An encoder without series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a series.
    pub fn push(&mut self, series: SeriesRef, labels: &Labels) {
        let number = i64::from(series.0);
        self.body.zigzag(number.wrapping_sub(self.expected));
        self.body.varint(labels.len() as u64);
        let mut before = self.before.iter();
        for (name, value) in labels {
            match before.next() {
                Some(same) if same == (name, value) => self.body.varint(SAME_LABEL),
                Some((same, _)) if same == name => {
                    self.body.varint(SAME_NAME);
                    self.body.str(value);
                }
                _ => {
                    self.body.varint(NEW_LABEL);
                    self.body.str(name);
                    self.body.str(value);
                }
            }
        }
        self.expected = number.wrapping_add(1);
        self.before = labels.clone();
        self.count = self.count.saturating_add(1);
    }

    /// Number of series collected.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the record so far, but for a few.
    pub fn byte_len(&self) -> usize {
        self.body.len()
    }

    /// Appends the record to `out` and forgets the series; writes nothing if there are none.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.is_empty() {
            return;
        }
        let mut head = Writer::new();
        head.u8(TAG_SERIES);
        head.varint(self.count as u64);
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(self.body.as_bytes());
        self.body.clear();
        (self.count, self.expected, self.before) = (0, 0, Labels::empty());
    }
}

type Pairs<'a> = Vec<(&'a str, &'a str)>;

pub(super) fn decode(payload: &[u8], sink: &mut impl RecordSink) -> Result<(), Corruption> {
    let mut reader = Reader::new(SECTION, payload);
    let (mut labels, mut before) = (Pairs::new(), Pairs::new());
    let mut expected = 0_i64;
    // Every series takes at least a byte for its reference and one for its number of labels.
    for _ in 0..reader.count(2, "count")? {
        let number = expected.wrapping_add(reader.zigzag("series")?);
        let series = u32::try_from(number).map_err(|_| reader.invalid("series", number.cast_unsigned()))?;
        decode_labels(&mut reader, &before, &mut labels)?;
        sink.series(SeriesRef(series), &labels);
        expected = number.wrapping_add(1);
        std::mem::swap(&mut labels, &mut before);
    }
    reader.finish()
}

fn decode_labels<'a>(
    reader: &mut Reader<'a>,
    before: &Pairs<'a>,
    labels: &mut Pairs<'a>,
) -> Result<(), Corruption> {
    labels.clear();
    let mut last_name = "";
    for place in 0..reader.count(1, "number of labels")? {
        let same = before.get(place).copied();
        let (name, value) = match (reader.varint("kind of label")?, same) {
            (SAME_LABEL, Some(label)) => label,
            (SAME_NAME, Some((name, _))) => (name, reader.str("label value")?),
            (NEW_LABEL, _) => (reader.str("label name")?, reader.str("label value")?),
            (kind, _) => return Err(reader.invalid("kind of label", kind)),
        };
        if name <= last_name || value.is_empty() {
            let rule = "label names must rise and values must not be empty";
            return Err(reader.corruption(CorruptionKind::Rule { rule }));
        }
        last_name = name;
        labels.push((name, value));
    }
    Ok(())
}
