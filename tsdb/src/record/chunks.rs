//! Chunks of neighbouring series, as the head holds them: sealed ones, and a copy of the open one.
//!
//! They stand in checkpoints alone. Timestamps that series share are written once.

use super::{RecordSink, TAG_CHUNKS, series_ref};
use std::sync::Arc;
use tsdb_core::bytes::{Reader, Writer};
use tsdb_core::chunk::xor;
use tsdb_core::error::CorruptionKind;
use tsdb_core::pack::{PackError, Times, TimesWriter, Values};
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Corruption, SeriesRef, TimeRange, Timestamp};

const SECTION: &str = "chunks record";

/// A sealed chunk: timestamps (ms), which ascend, and as many values, one column as [`tsdb_core::pack`] has it.
pub type SealedChunk = (Arc<[Timestamp]>, Arc<[u8]>);

/// The chunks of one series of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeriesChunks {
    /// Whose they are.
    pub series: SeriesRef,
    /// Sealed chunks, in order of time, none of which overlap.
    pub sealed: Vec<SealedChunk>,
    /// The open chunk, behind the others, in the form of [`tsdb_core::chunk::xor`]; empty if there is none. That it decodes
    /// was not looked at.
    pub open: Vec<u8>,
    /// When the counting began whose results are in the open chunk, ms.
    pub start: Timestamp,
}

impl SeriesChunks {
    /// Number of samples, by the word of the chunks.
    pub fn sample_count(&self) -> u64 {
        let sealed: usize = self.sealed.iter().map(|(timestamps, _)| timestamps.len()).sum();
        (sealed as u64).saturating_add(xor::count(&self.open).unwrap_or(0) as u64)
    }

    /// Appends all samples to `into`, those before the damage if some are damaged.
    ///
    /// # Errors
    /// A chunk does not decode.
    pub fn decode(&self, into: &mut SampleColumns) -> Result<(), Corruption> {
        for (timestamps, values) in &self.sealed {
            Values::open(values)?.read_samples(0, timestamps, TimeRange::ALL, into)?;
        }
        if !self.open.is_empty() {
            let before = into.len();
            xor::decode(&self.open, into)?;
            into.set_starts(before, self.start);
        }
        Ok(())
    }
}

/// Collects chunks and writes them as one record.
#[derive(Debug, Default)]
pub struct ChunksEncoder {
    times: TimesWriter,
    body: Writer,
    count: usize,
    expected: i64,
}

impl ChunksEncoder {
    /// An encoder without chunks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the chunks of a series: `sealed` ones, and the `open` one with its start timestamp.
    ///
    /// # Errors
    /// Timestamps are no column; nothing is added then.
    pub fn push<'a>(
        &mut self,
        series: SeriesRef,
        sealed: impl Iterator<Item = (&'a [Timestamp], &'a [u8])>,
        open: &[u8],
        start: Timestamp,
    ) -> Result<(), PackError> {
        let times = &mut self.times;
        let numbered = sealed.map(|(timestamps, values)| Ok((times.intern(timestamps)?, values)));
        let numbered = numbered.collect::<Result<Vec<_>, PackError>>()?;
        let number = i64::from(series.0);
        self.body.zigzag(number.wrapping_sub(self.expected));
        self.body.varint(numbered.len() as u64);
        for (timestamps, values) in numbered {
            self.body.varint(timestamps.into());
            self.body.blob(values);
        }
        self.body.blob(open);
        self.body.zigzag(start);
        self.expected = number.wrapping_add(1);
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    /// About the bytes of the record so far.
    pub fn byte_len(&self) -> usize {
        self.body.len().saturating_add(self.times.raw_len())
    }

    /// Appends the record to `out` and forgets the chunks; writes nothing if there are none.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.count == 0 {
            return;
        }
        let mut head = Writer::new();
        head.u8(TAG_CHUNKS);
        head.blob(&self.times.finish());
        head.varint(self.count as u64);
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(self.body.as_bytes());
        self.body.clear();
        (self.count, self.expected) = (0, 0);
    }
}

pub(super) fn decode(payload: &[u8], sink: &mut impl RecordSink) -> Result<(), Corruption> {
    let mut reader = Reader::new(SECTION, payload);
    let columns = read_times(reader.blob("timestamps")?)?;
    let mut expected = 0_i64;
    // Every series takes a byte for its number, its number of chunks, its open chunk and its start timestamp.
    for _ in 0..reader.count(4, "count")? {
        let number = expected.wrapping_add(reader.zigzag("series")?);
        let series = series_ref(number, &reader)?;
        let sealed = read_sealed(&mut reader, &columns)?;
        let open = reader.blob("open chunk")?.to_vec();
        let start = reader.zigzag("start timestamp")?;
        sink.chunks(SeriesChunks { series, sealed, open, start });
        expected = number.wrapping_add(1);
    }
    reader.finish()
}

fn read_times(bytes: &[u8]) -> Result<Vec<Arc<[Timestamp]>>, Corruption> {
    let times = Times::open(bytes)?;
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
    let read = |number| {
        let mut column = Vec::new();
        times.read(number, &mut column)?;
        Ok(column.into())
    };
    (0..count).map(read).collect()
}

fn read_sealed(
    reader: &mut Reader<'_>,
    columns: &[Arc<[Timestamp]>],
) -> Result<Vec<SealedChunk>, Corruption> {
    let count = reader.count(2, "number of sealed chunks")?;
    let mut sealed: Vec<SealedChunk> = Vec::with_capacity(count);
    for _ in 0..count {
        let number = reader.varint("column of timestamps")?;
        let column = usize::try_from(number).ok().and_then(|number| columns.get(number));
        let Some(timestamps) = column else { return Err(reader.invalid("column of timestamps", number)) };
        let values = reader.blob("values")?;
        let has_as_many = Values::open(values)?.count(0)? == timestamps.len();
        let before = sealed.last().and_then(|(before, _)| before.last());
        if !has_as_many || before.is_some_and(|before| timestamps.first().is_none_or(|first| first <= before))
        {
            let rule = "chunks have as many values as timestamps, and follow each other in time";
            return Err(reader.corruption(CorruptionKind::Rule { rule }));
        }
        sealed.push((Arc::clone(timestamps), values.into()));
    }
    Ok(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Decoded, decode};
    use tsdb_core::chunk::xor::XorChunk;
    use tsdb_core::pack::ValuesWriter;

    #[derive(Default)]
    struct Found(Vec<SeriesChunks>);

    impl RecordSink for Found {
        fn chunks(&mut self, chunks: SeriesChunks) {
            self.0.push(chunks);
        }
    }

    fn sealed(first: Timestamp, count: i64) -> (Arc<[Timestamp]>, Arc<[u8]>) {
        let timestamps: Vec<Timestamp> =
            (0..count).map(|index| first.wrapping_add(index.wrapping_mul(15_000))).collect();
        let values: Vec<f64> = timestamps.iter().map(|time| *time as f64 / 7.0).collect();
        let mut writer = ValuesWriter::hasty();
        writer.push(0, &values).unwrap();
        (timestamps.into(), writer.finish().into())
    }

    fn some() -> Vec<SeriesChunks> {
        let mut open = XorChunk::new();
        open.push(9_000_000, 4.5).unwrap();
        let series = |number, sealed, open: Vec<u8>, start| SeriesChunks {
            series: SeriesRef(number),
            sealed,
            open,
            start,
        };
        vec![
            series(3, vec![sealed(-5, 120), sealed(4_000_000, 7)], open.to_bytes(), 17),
            series(4, vec![sealed(-5, 120)], Vec::new(), 0),
            series(u32::MAX, Vec::new(), open.to_bytes(), i64::MIN >> 8),
        ]
    }

    fn record(chunks: &[SeriesChunks]) -> Vec<u8> {
        let mut encoder = ChunksEncoder::new();
        for SeriesChunks { series, sealed, open, start } in chunks {
            let sealed = sealed.iter().map(|(timestamps, values)| (&**timestamps, &**values));
            encoder.push(*series, sealed, open, *start).unwrap();
        }
        let mut record = Vec::new();
        encoder.finish(&mut record);
        record
    }

    #[test]
    fn chunks_are_read_as_written_and_share_their_timestamps() {
        let (chunks, mut found) = (some(), Found::default());
        assert_eq!(decode(&record(&chunks), &mut found), Ok(Decoded::Chunks));
        assert_eq!(found.0, chunks);
        assert!(Arc::ptr_eq(&found.0[0].sealed[0].0, &found.0[1].sealed[0].0));
    }

    #[test]
    fn a_record_of_chunks_that_is_cut_short_or_goes_on_is_damage() {
        let mut record = record(&some());
        for len in 1..record.len() {
            assert!(decode(&record[..len], &mut Found::default()).is_err(), "cut to {len}");
        }
        record.push(0);
        assert!(decode(&record, &mut Found::default()).is_err());
    }

    #[test]
    fn no_flipped_byte_makes_a_panic() {
        let record = record(&some());
        for place in 0..record.len() {
            for flip in [1, 0x80, 0xff] {
                let mut damaged = record.clone();
                damaged[place] ^= flip;
                drop(decode(&damaged, &mut Found::default()));
            }
        }
    }

    #[test]
    fn chunks_that_do_not_follow_each_other_are_damage() {
        let mut chunks = some();
        chunks[0].sealed.swap(0, 1);
        assert!(decode(&record(&chunks), &mut Found::default()).is_err());
    }
}
