//! All late samples of a head together: their generation, memory and times.

use super::held::Held;
use super::late::{Generation, LateSample, LateView};
use super::memory::Memory;
use crate::record::Border;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tsdb_core::{TimeRange, Timestamp};

/// What is known of all late samples together.
#[derive(Debug)]
pub(super) struct LateTotals {
    /// The generation that grows.
    generation: AtomicU64,
    bytes: AtomicU64,
    times: Mutex<Times>,
}

#[derive(Debug, Default)]
struct Times {
    /// From the oldest sample to the newest.
    now: Option<TimeRange>,
    /// The same, without what is being forgotten.
    next: Option<TimeRange>,
}

impl LateTotals {
    pub(super) fn new() -> Self {
        Self { generation: AtomicU64::new(1), bytes: AtomicU64::new(0), times: Mutex::default() }
    }

    /// The generation that grows.
    pub(super) fn generation(&self) -> Generation {
        self.generation.load(Ordering::SeqCst)
    }

    /// Bytes of memory that all late samples take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Ends the generation that grows, and returns it. No batch may be under way.
    pub(super) fn end_generation(&self) -> Generation {
        self.generation.fetch_add(1, Ordering::SeqCst)
    }

    /// The generations that grow from now on are later than `seen`.
    pub(super) fn seen_generation(&self, seen: Generation) {
        self.generation.fetch_max(seen.saturating_add(1), Ordering::SeqCst);
    }

    /// Puts a late sample into a page.
    pub(super) fn insert(&self, held: &mut Held, generation: Generation, sample: LateSample) {
        let before = held.late.bytes() as u64;
        let timestamp = sample.timestamp();
        held.insert_late(generation, sample);
        self.recount(before, held.late.bytes() as u64);
        self.times.lock().widen(timestamp, true);
    }

    /// Takes the late samples of a series out of a page.
    pub(super) fn take(&self, held: &mut Held, slot: usize) -> Vec<(Generation, LateSample)> {
        let before = held.late.bytes() as u64;
        let taken = held.late.take(slot);
        self.recount(before, held.late.bytes() as u64);
        taken
    }

    /// A page had `before` bytes and has `after`.
    pub(super) fn recount(&self, before: u64, after: u64) {
        // Wraps to a subtraction where it should.
        self.bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }
}

impl Times {
    fn widen(&mut self, timestamp: Timestamp, is_new: bool) {
        let widened = |range: Option<TimeRange>| {
            let instant = TimeRange::instant(timestamp);
            Some(range.map_or(instant, |range| range.union(&instant)))
        };
        self.next = widened(self.next);
        if is_new {
            self.now = widened(self.now);
        }
    }
}

impl Memory {
    /// About the times of late samples; `None` if there are none.
    pub(crate) fn late_range(&self) -> Option<TimeRange> {
        self.late.times.lock().now
    }

    /// Bytes of memory that late samples take.
    pub(crate) fn late_bytes(&self) -> u64 {
        self.late.bytes()
    }

    /// Forgets the late samples on the other side of `border`.
    pub(crate) fn forget_late(&self, border: &Border) {
        if self.late_range().is_none() {
            return;
        }
        // Samples that come while this goes on count at once.
        self.late.times.lock().next = None;
        let all = LateView { border: Border::NOTHING, upto: Generation::MAX };
        for (_, page) in self.pages.iter() {
            let late = &mut page.lock().late;
            if late.is_empty() {
                continue;
            }
            let before = late.bytes() as u64;
            late.forget(border);
            self.late.recount(before, late.bytes() as u64);
            late.for_each(&all, |_, timestamp| self.late.times.lock().widen(timestamp, false));
        }
        let mut times = self.late.times.lock();
        times.now = times.next;
    }
}
