//! The samples of a head, written into a checkpoint.
//!
//! Sealed chunks are written as they are; they are the smallest form that the samples have outside of blocks. The open chunk
//! is written beside them. Series with histograms or with start timestamps that change all the time are few, and late
//! samples too: theirs are written as the log has samples.
//!
//! Batches go on meanwhile. A page is written as it is when its turn comes, so some of its samples stand in the log behind
//! the checkpoint too; replay meets them again and leaves what is there, or puts the same there once more. What a delete
//! took out before its record in that log comes back and is taken out again.

use super::Head;
use super::held::Held;
use super::log::Records;
use super::mixed::Value;
use super::pages::PAGE;
use super::sealed::Sealed;
use super::series::Series;
use crate::Error;
use crate::record::{Border, ChunksEncoder};
use crate::wal::Wal;
use std::path::Path;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Corruption, SeriesRef, TimeRange, Timestamp};
use tsdb_index::RoaringBitmap;

/// Bytes of chunks after which a record is finished: what is damaged is lost by the record.
const RECORD_BYTES: usize = 64 << 10;

impl Head {
    /// Writes the samples on this side of `border` of those of `series` that are in memory.
    pub(super) fn write_contents(
        &self,
        log: &Wal,
        series: &RoaringBitmap,
        border: Border,
        path: &Path,
    ) -> Result<(), Error> {
        let mut page_contents = Contents::new(border);
        for (first, page) in self.memory.pages.iter() {
            let mut held = page.lock();
            // What is deleted before this must not be in the checkpoint: its record may not be behind it.
            self.memory.catch_up(first, &mut held);
            let taken = page_contents.take(first, &held, series);
            drop(held);
            taken.map_err(|source| Error::Corrupt { path: path.to_owned(), source })?;
            for record in page_contents.records.drain(..) {
                log.append(&[&record])?;
            }
        }
        Ok(())
    }
}

/// Records of one page.
struct Contents {
    border: Border,
    chunks: ChunksEncoder,
    samples: Records,
    columns: SampleColumns,
    records: Vec<Vec<u8>>,
}

impl Contents {
    fn new(border: Border) -> Self {
        Self {
            border,
            chunks: ChunksEncoder::new(),
            samples: Records::default(),
            columns: SampleColumns::new(),
            records: Vec::new(),
        }
    }

    fn take(&mut self, first: SeriesRef, held: &Held, wanted: &RoaringBitmap) -> Result<(), Corruption> {
        let slots = (first.0..).map(SeriesRef).enumerate().take(PAGE);
        let slots =
            || slots.clone().filter(|(slot, series)| held.is_live(*slot) && wanted.contains(series.0));
        for (slot, series) in slots() {
            if !held.plain(slot).is_some_and(|plain| self.take_chunks(series, plain)) {
                self.take_samples(slot, series, held)?;
            }
        }
        self.finish_chunks();
        let late_of = |(slot, series)| held.late.of(slot).into_iter().map(move |late| (series, late));
        let mut late: Vec<_> = slots().flat_map(late_of).collect();
        late.sort_by_key(|(_, (generation, _))| *generation);
        for (series, (generation, sample)) in &late {
            let from = self.border.late_from(*generation);
            if from.is_some_and(|from| sample.timestamp() >= from) {
                if self.samples.generation() != *generation {
                    self.finish_samples();
                    self.samples.begin(*generation);
                }
                self.samples.push_late(*series, sample.timestamp(), sample.value(), sample.start());
            }
        }
        self.finish_samples();
        Ok(())
    }

    /// Takes the chunks of a plain series. Says whether that is possible.
    fn take_chunks(&mut self, series: SeriesRef, plain: &Series) -> bool {
        let (sealed, open, start) = plain.chunks();
        let begin = sealed.partition_point(|chunk| !chunk.reaches(self.border.from));
        let sealed = sealed.get(begin..).unwrap_or_default();
        if sealed.is_empty() && open.is_empty() {
            return true;
        }
        if self.chunks.push(series, sealed.iter().map(Sealed::parts), &open, start).is_err() {
            return false;
        }
        if self.chunks.byte_len() >= RECORD_BYTES {
            self.finish_chunks();
        }
        true
    }

    /// A record has samples of one kind: what alternates comes in many, in order of time.
    fn take_samples(&mut self, slot: usize, series: SeriesRef, held: &Held) -> Result<(), Corruption> {
        let range = TimeRange::new(self.border.from, Timestamp::MAX).unwrap_or(TimeRange::ALL);
        self.columns.clear();
        held.snapshot(slot, range).decode(range, &mut self.columns)?;
        let columns = std::mem::take(&mut self.columns);
        let mut was_histogram = false;
        for (index, timestamp) in columns.timestamps.iter().enumerate() {
            let Some(value) = Value::at(&columns, index) else { continue };
            let is_histogram = matches!(value, Value::Histogram(_));
            if std::mem::replace(&mut was_histogram, is_histogram) != is_histogram {
                self.finish_samples();
            }
            self.samples.push_other(series, *timestamp, &value, columns.start(index));
        }
        self.finish_samples();
        self.columns = columns;
        Ok(())
    }

    fn finish_chunks(&mut self) {
        let mut record = Vec::new();
        self.chunks.finish(&mut record);
        self.records.extend(Some(record).filter(|record| !record.is_empty()));
    }

    fn finish_samples(&mut self) {
        self.records.extend(self.samples.take());
    }
}
