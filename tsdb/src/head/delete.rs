//! Deletes: samples that are in memory go at once, and the log says so.
//!
//! The place of the record in the log is the rule, now and at replay: what stands before it is deleted, what comes
//! later is not, whatever its time. So no batch is under way while the record is written. That is a moment: the samples
//! of a page are taken out when the page is written next, or when the delete comes to it, whichever is first.

use super::Head;
use super::held::Held;
use super::memory::Memory;
use super::pages::{PAGE, slot};
use super::sealed::Sealer;
use crate::record::{Delete, encode_delete};
use crate::wal::{MAX_RECORD_BYTES, WalError};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tsdb_core::{Matcher, SeriesRef, TimeRange};
use tsdb_index::RoaringBitmap;

/// The delete that is under way, if one is.
#[derive(Debug, Default)]
pub(super) struct Deletes {
    /// How many there were.
    number: AtomicU64,
    now: Mutex<Option<Arc<UnderWay>>>,
}

#[derive(Debug)]
struct UnderWay {
    series: RoaringBitmap,
    range: TimeRange,
}

impl Head {
    /// Deletes the samples and exemplars within `range` of the series that satisfy all `matchers`, as far as they are in
    /// memory. Durable when it returns. Only one caller at a time, and the head must be whole.
    pub(crate) fn delete(&self, matchers: &[Matcher], range: TimeRange) -> Result<(), WalError> {
        let held = self.log.hold();
        let exemplars = self.memory.exemplars.read().next_number();
        let delete = Delete { matchers: matchers.to_vec(), range, exemplars };
        let mut record = Vec::new();
        encode_delete(&delete, &mut record);
        if record.len() > MAX_RECORD_BYTES {
            return Err(WalError::RecordTooLarge { len: record.len(), limit: MAX_RECORD_BYTES });
        }
        self.memory.begin_delete(&delete);
        self.memory.delete_exemplars(&delete);
        // What cannot be logged now stands in the log before anything that comes later.
        let logged = self.log.add_delete(record);
        drop(held);
        self.memory.delete_everywhere();
        logged?;
        self.sync()
    }
}

impl Memory {
    /// Takes out the samples that `delete` means of what is here now. No batch may be under way.
    pub(super) fn delete(&self, delete: &Delete) {
        self.begin_delete(delete);
        self.delete_everywhere();
    }

    /// Takes out the exemplars that `delete` means.
    pub(super) fn delete_exemplars(&self, delete: &Delete) {
        self.exemplars.write().delete(delete.range, |labels| delete.matches(labels));
    }

    fn begin_delete(&self, delete: &Delete) {
        let series = self.index.read().select(&delete.matchers);
        *self.deletes.now.lock() = Some(Arc::new(UnderWay { series, range: delete.range }));
        // ORDER: whoever sees the number finds the delete.
        self.deletes.number.fetch_add(1, Ordering::SeqCst);
    }

    fn delete_everywhere(&self) {
        for (first, page) in self.pages.iter() {
            self.catch_up(first, &mut page.lock());
        }
        *self.deletes.now.lock() = None;
    }

    /// Applies the delete that is under way to the page of `series`, if it has not come to it yet.
    #[inline]
    pub(super) fn catch_up(&self, series: SeriesRef, held: &mut Held) {
        let number = self.deletes.number.load(Ordering::SeqCst);
        if held.deleted != number {
            held.deleted = number;
            self.delete_in_page(series, held);
        }
    }

    #[cold]
    fn delete_in_page(&self, series: SeriesRef, held: &mut Held) {
        let Some(delete) = self.deletes.now.lock().clone() else { return };
        let first = series.0 - slot(series) as u32;
        let mut meant = [false; PAGE];
        let mut sealer = Sealer::default();
        let numbers = delete.series.range(first..=first.saturating_add(PAGE as u32 - 1));
        for slot in numbers.map(|number| slot(SeriesRef(number))) {
            meant.get_mut(slot).into_iter().for_each(|is_meant| *is_meant = true);
            held.delete(slot, delete.range, &mut sealer);
        }
        if !held.late.is_empty() && meant.contains(&true) {
            let before = held.late.bytes() as u64;
            held.late.delete(delete.range, |slot| meant.get(slot).is_some_and(|is_meant| *is_meant));
            self.late.recount(before, held.late.bytes() as u64);
            held.note_overtaken();
        }
    }
}

#[cfg(all(test, feature = "testing"))]
#[expect(clippy::unwrap_used, reason = "clippy exempts test functions, not what they call")]
mod tests {
    use super::*;
    use crate::head::{HeadView, testing};
    use crate::record::Border;
    use tsdb_core::Labels;
    use tsdb_core::sample::SampleColumns;
    use tsdb_core::write::Appender;

    fn append(head: &Head, timestamp: i64) -> SeriesRef {
        let mut batch: Box<dyn Appender + '_> = head.appender();
        let series = batch.series(&Labels::from_pairs([("__name__", "a")]).unwrap()).unwrap();
        batch.append(series, timestamp, 1.0);
        assert_eq!(batch.commit().unwrap().accepted, 1);
        series
    }

    #[test]
    fn what_comes_in_before_the_delete_has_come_to_its_page_stays() {
        let (head, recovery) = testing::open(1_000_000, 1_000_000);
        recovery.run(&head, &|| true).unwrap();
        for timestamp in [100, 200, 150] {
            append(&head, timestamp);
        }
        let delete = Delete { matchers: Vec::new(), range: TimeRange::ALL, exemplars: 0 };
        head.memory.begin_delete(&delete);
        // In order, and late.
        append(&head, 150);
        let series = append(&head, 120);
        head.memory.delete_everywhere();
        append(&head, 170);
        let mut found = SampleColumns::new();
        let view = HeadView::beyond(Border::NOTHING, TimeRange::ALL);
        head.memory.read(series, &view, &mut found).unwrap();
        assert_eq!(found.timestamps, [120, 150, 170]);
    }
}
