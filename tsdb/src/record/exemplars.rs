//! Exemplars: single observations behind the samples of a series.
//!
//! The log names their series by reference. A checkpoint spells the labels out, because exemplars outlive the samples of
//! their series, and with them its reference.

use super::{RecordSink, TAG_EXEMPLARS};
use tsdb_core::bytes::{Reader, Writer};
use tsdb_core::error::CorruptionKind;
use tsdb_core::{Corruption, Exemplar, Labels, SeriesRef};

const SECTION: &str = "exemplars record";

/// The series of the exemplar before.
const SAME_SERIES: u64 = 0;
/// The series whose labels follow.
const SPELLED_OUT: u64 = 1;
/// From here on: a reference, plus this.
const FIRST_REFERENCE: u64 = 2;

/// Least bytes of an exemplar: series, time, value, number of labels.
const MIN_EXEMPLAR_BYTES: usize = 11;

/// Which series an exemplar belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExemplarSeries {
    /// The series registered under this reference.
    Registered(SeriesRef),
    /// The series with these labels.
    Labelled(Labels),
}

/// Collects exemplars and writes them as one record.
#[derive(Debug, Default)]
pub struct ExemplarsEncoder {
    /// Number of the first.
    first: u64,
    count: usize,
    body: Writer,
    series: Option<ExemplarSeries>,
    time: i64,
}

impl ExemplarsEncoder {
    /// An encoder without exemplars.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an exemplar. Those of one record have consecutive numbers: only that of the first is written. Cheapest when
    /// those of one series follow one another.
    pub fn push(&mut self, number: u64, series: ExemplarSeries, exemplar: &Exemplar) {
        if self.is_empty() {
            self.first = number;
        }
        debug_assert_eq!(number, self.first.wrapping_add(self.count as u64), "numbers are consecutive");
        match &series {
            same if self.series.as_ref() == Some(same) => self.body.varint(SAME_SERIES),
            ExemplarSeries::Registered(series) => {
                self.body.varint(u64::from(series.0).saturating_add(FIRST_REFERENCE))
            }
            ExemplarSeries::Labelled(labels) => {
                self.body.varint(SPELLED_OUT);
                write_labels(labels, &mut self.body);
            }
        }
        self.body.zigzag(exemplar.timestamp.wrapping_sub(self.time));
        self.body.f64(exemplar.value);
        write_labels(&exemplar.labels, &mut self.body);
        self.series = Some(series);
        self.time = exemplar.timestamp;
        self.count = self.count.saturating_add(1);
    }

    /// Number of exemplars collected.
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

    /// Appends the record to `out` and forgets the exemplars; writes nothing if there are none.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.is_empty() {
            return;
        }
        let mut head = Writer::new();
        head.u8(TAG_EXEMPLARS);
        head.varint(self.count as u64);
        head.varint(self.first);
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(self.body.as_bytes());
        self.body.clear();
        (self.count, self.series, self.time) = (0, None, 0);
    }
}

fn write_labels(labels: &Labels, out: &mut Writer) {
    out.varint(labels.len() as u64);
    for (name, value) in labels {
        out.str(name);
        out.str(value);
    }
}

pub(super) fn decode(payload: &[u8], sink: &mut impl RecordSink) -> Result<(), Corruption> {
    let mut reader = Reader::new(SECTION, payload);
    let count = reader.count(MIN_EXEMPLAR_BYTES, "count")?;
    let first = reader.varint("number")?;
    let (mut series, mut time) = (None, 0_i64);
    for index in 0..count as u64 {
        let code = reader.varint("series")?;
        series = match code {
            SAME_SERIES => series,
            SPELLED_OUT => Some(ExemplarSeries::Labelled(read_labels(&mut reader)?)),
            code => {
                let number = u32::try_from(code.saturating_sub(FIRST_REFERENCE));
                let number = number.map_err(|_| reader.invalid("series", code))?;
                Some(ExemplarSeries::Registered(SeriesRef(number)))
            }
        };
        let Some(series) = &series else { return Err(reader.invalid("series", code)) };
        time = time.wrapping_add(reader.zigzag("timestamp")?);
        let value = reader.f64("value")?;
        let labels = read_labels(&mut reader)?;
        sink.exemplar(first.wrapping_add(index), series, Exemplar { labels, timestamp: time, value });
    }
    reader.finish()
}

fn read_labels(reader: &mut Reader<'_>) -> Result<Labels, Corruption> {
    let mut pairs = Vec::new();
    for _ in 0..reader.count(2, "number of labels")? {
        pairs.push((reader.str("label name")?, reader.str("label value")?));
    }
    Labels::from_sorted_pairs(pairs).ok_or_else(|| {
        let rule = "label names must rise and values must not be empty";
        reader.corruption(CorruptionKind::Rule { rule })
    })
}
