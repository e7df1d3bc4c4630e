//! What a head holds in memory: series, their labels, their samples. Knows nothing of the log.

use super::admission::Admission;
use super::catalog::{Catalog, CatalogLimits};
use super::delete::Deletes;
use super::exemplars::Exemplars;
use super::held::Held;
use super::identity::{Identities, SeriesHash};
use super::ids::Ids;
use super::late_totals::LateTotals;
use super::pages::{Page, Pages, page_number, slot};
use super::pins::{Epoch, Pins};
use super::sketching::Sketching;
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use tsdb_core::labels::write_wire;
use tsdb_core::write::{Exceeded, Origin, SeriesError, SeriesLimit};
use tsdb_core::{Labels, SeriesRef, TimeRange, Timestamp};
use tsdb_index::{LiveIndex, RoaringBitmap};

/// Series that are taken out of the index under one lock.
const REMOVED_AT_ONCE: usize = 256;
/// The index is shrunk if this many times the series that were removed is more than there were.
const SHRINK_FACTOR: u64 = 8;

/// Series, labels and samples of a head.
///
/// Locks are taken in this order: a shard of the identities, the exemplars, the index, a page. Numbers and pins are
/// leaves.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(super) pins: Arc<Pins>,
    pub(super) pages: Pages,
    pub(super) identities: Identities,
    pub(super) index: RwLock<LiveIndex>,
    pub(super) ids: Mutex<Ids>,
    pub(super) metadata: RwLock<Catalog>,
    pub(super) exemplars: RwLock<Exemplars>,
    active: AtomicU64,
    /// Samples before this are in blocks; none is taken.
    min_time: AtomicI64,
    first: AtomicI64,
    last: AtomicI64,
    pub(super) late: LateTotals,
    pub(super) deletes: Deletes,
    has_histograms: AtomicBool,
    pub(super) sketching: Sketching,
}

/// What replay knows of labels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    pub(super) hash: SeriesHash,
    pub(super) known: Option<SeriesRef>,
}

impl Memory {
    /// An empty memory that takes samples from `min_time` on.
    pub(crate) fn new(min_time: Timestamp, metadata: CatalogLimits, exemplars: usize) -> Self {
        Self {
            pins: Pins::new(),
            pages: Pages::default(),
            identities: Identities::new(),
            index: RwLock::new(LiveIndex::new()),
            ids: Mutex::default(),
            metadata: RwLock::new(Catalog::new(metadata)),
            exemplars: RwLock::new(Exemplars::new(exemplars)),
            active: AtomicU64::new(0),
            min_time: AtomicI64::new(min_time),
            first: AtomicI64::new(Timestamp::MAX),
            last: AtomicI64::new(Timestamp::MIN),
            late: LateTotals::new(),
            deletes: Deletes::default(),
            has_histograms: AtomicBool::new(false),
            sketching: Sketching::default(),
        }
    }

    /// Has a native histogram come in since this memory was made?
    pub(crate) fn has_histograms(&self) -> bool {
        self.has_histograms.load(Ordering::SeqCst)
    }

    /// Notes that a native histogram is about to come in.
    pub(super) fn note_histogram(&self) {
        self.has_histograms.store(true, Ordering::SeqCst);
    }

    /// Number of series.
    pub(crate) fn active(&self) -> u64 {
        self.active.load(Ordering::Relaxed)
    }

    /// The oldest time that is taken.
    pub(crate) fn min_time(&self) -> Timestamp {
        self.min_time.load(Ordering::SeqCst)
    }

    /// Refuses samples before `min_time` from now on. Whoever locks a page after this sees it.
    pub(crate) fn raise_min_time(&self, min_time: Timestamp) {
        self.min_time.fetch_max(min_time, Ordering::SeqCst);
    }

    /// About the times of the samples that are not forgotten yet; `None` if there are none.
    pub(crate) fn range(&self) -> Option<TimeRange> {
        TimeRange::new(self.first.load(Ordering::SeqCst), self.last.load(Ordering::SeqCst))
    }

    /// The newest time of any sample so far, those in blocks included; `None` if there was none.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        // What is not taken any more lies in blocks, and reaches up to a sample.
        let before = self.min_time().saturating_sub(1);
        Some(self.last.load(Ordering::SeqCst).max(before)).filter(|newest| *newest > Timestamp::MIN)
    }

    /// Notes that there is a sample at this time, which may not be in memory yet.
    pub(super) fn see(&self, timestamp: Timestamp) {
        self.last.fetch_max(timestamp, Ordering::SeqCst);
    }

    /// Notes that samples between these times came in.
    pub(crate) fn widen(&self, first: Timestamp, last: Timestamp) {
        if self.first.load(Ordering::Relaxed) > first {
            self.first.fetch_min(first, Ordering::SeqCst);
        }
        if self.last.load(Ordering::Relaxed) < last {
            self.last.fetch_max(last, Ordering::SeqCst);
        }
    }

    /// The series with these labels, registered if it is new and `gate` lets it through; `announce` is called for a new
    /// one before anybody can find it.
    pub(crate) fn register(
        &self,
        labels: &Labels,
        hash: SeriesHash,
        epoch: Epoch,
        gate: Option<(&Admission, Origin)>,
        announce: impl FnOnce(SeriesRef),
    ) -> Result<SeriesRef, SeriesError> {
        let mut shard = self.identities.lock(hash);
        if let Some(known) = shard.find(&self.pages, hash, epoch) {
            return Ok(known);
        }
        let series = self.place(labels, gate)?;
        self.sketching.note(labels);
        announce(series);
        shard.insert(&self.pages, series, hash, epoch);
        Ok(series)
    }

    fn place(&self, labels: &Labels, gate: Option<(&Admission, Origin)>) -> Result<SeriesRef, SeriesError> {
        let mut index = self.index.write();
        if let Some((admission, origin)) = gate {
            admission.check(&mut index, self.active(), origin, labels)?;
        }
        let series = self.ids.lock().take();
        let page = series.and_then(|series| self.pages.page_or_new(series));
        let (Some(series), Some(page)) = (series, page) else {
            return Err(refusal(SeriesLimit::Numbers, super::pages::MAX_SERIES.into(), labels));
        };
        if index.insert(series, labels).is_err() {
            self.ids.lock().undo(series);
            return Err(refusal(SeriesLimit::IndexBytes, u32::MAX.into(), labels));
        }
        // ORDER: counted under the lock under which the next one is judged.
        self.active.fetch_add(1, Ordering::Relaxed);
        if let Some((admission, origin)) = gate {
            admission.note_created(series, origin);
        }
        drop(index);
        page.begin(series);
        Ok(series)
    }

    /// The hash of these labels, and the number of the series that has them. For replay, while nobody registers.
    /// `wire` is working memory.
    pub(crate) fn name(&self, labels: &Labels, wire: &mut Vec<u8>) -> Named {
        self.find_named(self.hash(labels, wire))
    }

    /// The hash of these labels. `wire` is working memory.
    pub(crate) fn hash(&self, labels: &Labels, wire: &mut Vec<u8>) -> SeriesHash {
        wire.clear();
        write_wire(labels, wire);
        self.identities.hash(wire)
    }

    /// As [`name`](Self::name), for labels with this hash.
    pub(crate) fn find_named(&self, hash: SeriesHash) -> Named {
        let found = self.identities.find(&self.pages, hash, 0);
        Named { hash, known: found.map(|found| found.series) }
    }

    /// Registers a series with this hash under its logged number, if neither is in use. Says whether it did;
    /// [`index_replayed`](Self::index_replayed) must follow. For replay, while nobody else registers.
    pub(crate) fn replay_new(&self, series: SeriesRef, hash: SeriesHash) -> bool {
        let Some(page) = self.pages.page_or_new(series) else { return false };
        let is_unused = page.identity(series).is_some_and(|identity| identity.hash().is_none());
        if !is_unused || !self.identities.lock(hash).insert_if_new(&self.pages, series, hash) {
            return false;
        }
        self.ids.lock().seen(series);
        page.begin(series);
        self.active.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Puts the labels of series that were registered into the index. One that it has no room for is forgotten.
    pub(crate) fn index_replayed(&self, registered: &[(SeriesRef, Labels)]) {
        let mut index = self.index.write();
        let refused = registered.iter().filter(|(series, labels)| index.insert(*series, labels).is_err());
        let refused: Vec<SeriesRef> = refused.map(|(series, _)| *series).collect();
        drop(index);
        for series in refused {
            ::log::error!("replay: the label index has no room for series {}", series.0);
            self.forget(series);
        }
    }

    /// Would [`replay_series`](Self::replay_series) take a number or samples away from somebody?
    pub(crate) fn is_in_conflict(&self, series: SeriesRef, named: &Named) -> bool {
        let is_used = || self.pages.identity(series).is_some_and(|identity| identity.hash().is_some());
        named.known != Some(series) && (named.known.is_some() || is_used())
    }

    /// Registers `series` under its logged number, whoever had that number before, with the samples that its labels
    /// had under another number. For replay, while nobody else registers or appends to the series in conflict.
    pub(crate) fn replay_series(&self, series: SeriesRef, labels: &Labels, named: &Named) {
        let Named { hash, known } = *named;
        if known == Some(series) {
            return;
        }
        let old_page = known.and_then(|old| Some((old, self.pages.page(old)?)));
        let samples = old_page.map(|(old, page)| {
            let mut held = page.lock();
            (self.late.take(&mut held, slot(old)), held.take(slot(old)))
        });
        known.into_iter().chain([series]).for_each(|number| self.forget(number));
        let Some(page) = self.pages.page_or_new(series) else { return };
        self.ids.lock().seen(series);
        if self.index.write().insert(series, labels).is_err() {
            return;
        }
        page.begin(series);
        if let Some((late, samples)) = samples {
            let mut held = page.lock();
            held.put(slot(series), samples);
            for (generation, sample) in late {
                self.late.insert(&mut held, generation, sample.of(slot(series)));
            }
        }
        self.identities.lock(hash).insert(&self.pages, series, hash, 0);
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    fn forget(&self, series: SeriesRef) {
        let Some(page) = self.pages.page(series) else { return };
        let Some(hash) = page.identity(series).and_then(super::identity::Identity::hash) else { return };
        if self.identities.lock(hash).remove(&self.pages, series, Epoch::MAX) {
            self.index.write().remove(&RoaringBitmap::from_iter([series.0]));
            page.end(series);
            self.exemplars.write().forget_references([series]);
            self.active.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Ends replay of the segments below `clean`: numbers that no series has may be used in time.
    pub(crate) fn finish_replay(&self, clean: u64) {
        let is_used = |series| self.pages.identity(series).is_some_and(|identity| identity.hash().is_some());
        self.ids.lock().reclaim(clean, is_used);
    }

    /// Forgets chunks that end before `min_time`.
    pub(crate) fn truncate(&self, min_time: Timestamp) {
        for (_, page) in self.pages.iter() {
            page.lock().truncate(min_time);
        }
        self.first.fetch_max(min_time, Ordering::SeqCst);
    }

    /// Removes the series that have no samples and that no living appender can hold; no segment of the log from
    /// `clean` on names them. Returns how many.
    pub(crate) fn remove_empty(&self, clean: u64) -> u64 {
        self.pins.advance();
        let oldest = self.pins.oldest();
        let mut dead = RoaringBitmap::new();
        for (first, page) in self.pages.iter() {
            for series in page.filter(first, Held::is_empty) {
                if self.remove_if_unused(page, series, oldest, Held::is_empty) {
                    dead.insert(series.0);
                }
            }
            page.shrink();
        }
        self.finish_removal(&dead, clean);
        dead.len()
    }

    /// The series whose newest sample lies before `before` and that nobody has asked for since epoch `since` began.
    pub(crate) fn idle(&self, before: Timestamp, since: Epoch) -> RoaringBitmap {
        let is_idle = |held: &Held, slot: usize| {
            !held.late.has(slot) && held.newest(slot).is_some_and(|newest| newest < before)
        };
        let pages = self.pages.iter();
        let found = pages.flat_map(|(first, page)| {
            let is_unused = |series: &SeriesRef| page.identity(*series).is_some_and(|it| !it.is_used(since));
            page.filter(first, is_idle).into_iter().filter(is_unused)
        });
        found.map(|series| series.0).collect()
    }

    /// Has `series` a sample at `since` or later, or late ones that are in no block?
    pub(super) fn is_active(&self, series: SeriesRef, since: Timestamp) -> bool {
        self.pages.page(series).is_some_and(|page| {
            let (held, slot) = (page.lock(), slot(series));
            held.late.has(slot) || held.newest(slot).is_some_and(|newest| newest >= since)
        })
    }

    /// Times of the first and the last sample in order of `series`.
    pub(crate) fn range_of(&self, series: SeriesRef) -> Option<TimeRange> {
        self.pages.page(series)?.lock().range(slot(series))
    }

    /// Removes those of `series`, which were idle in epoch `since`, that nobody has asked for since; no segment of the log
    /// from `clean` on names them. Returns those that are gone, in ascending order.
    pub(crate) fn retire(&self, series: &RoaringBitmap, since: Epoch, clean: u64) -> Vec<SeriesRef> {
        let has_no_late = |held: &Held, slot: usize| !held.late.has(slot);
        let retire = |series: &u32| {
            let series = SeriesRef(*series);
            let page = self.pages.page(series);
            page.is_some_and(|page| self.remove_if_unused(page, series, since, has_no_late))
        };
        let dead: RoaringBitmap = series.iter().filter(retire).collect();
        self.finish_removal(&dead, clean);
        let mut shrunk = None;
        for series in dead.iter().map(SeriesRef) {
            let number = page_number(series);
            if shrunk.replace(number) != Some(number) {
                self.pages.page(series).into_iter().for_each(Page::shrink);
            }
        }
        dead.into_iter().map(SeriesRef).collect()
    }

    /// Forgets series that have no identity any more.
    fn finish_removal(&self, dead: &RoaringBitmap, clean: u64) {
        if dead.is_empty() {
            return;
        }
        self.remove_from_index(dead);
        self.active.fetch_sub(dead.len(), Ordering::Relaxed);
        self.exemplars.write().forget_references(dead.iter().map(SeriesRef));
        // ORDER: whoever pins from now on cannot have seen these series.
        let since = self.pins.advance();
        self.ids.lock().rest(since, clean, dead.iter().map(SeriesRef).collect());
    }

    /// Forgets a series that was retired in the log that is being replayed, with all of its samples.
    pub(crate) fn forget_retired(&self, series: SeriesRef) {
        if let Some(page) = self.pages.page(series) {
            drop(self.late.take(&mut page.lock(), slot(series)));
        }
        self.forget(series);
    }

    /// Takes series out of the index, in steps between which others get their turn.
    fn remove_from_index(&self, dead: &RoaringBitmap) {
        let mut rest = dead.iter().peekable();
        while rest.peek().is_some() {
            let part: RoaringBitmap = rest.by_ref().take(REMOVED_AT_ONCE).collect();
            let mut index = self.index.write();
            index.remove(&part);
            RwLockWriteGuard::unlock_fair(index);
        }
        if self.active() < SHRINK_FACTOR.saturating_mul(dead.len()) {
            self.shrink_index();
        }
    }

    /// Gives back memory that the index does not need, in steps between which others get their turn.
    pub(crate) fn shrink_index(&self) {
        let mut step = Some(0);
        while let Some(this) = step {
            let mut index = self.index.write();
            step = index.shrink_step(this);
            RwLockWriteGuard::unlock_fair(index);
        }
    }

    /// Removes a series that satisfies `is_due`, unless somebody took a reference in epoch `oldest` or later.
    fn remove_if_unused(
        &self,
        page: &Page,
        series: SeriesRef,
        oldest: Epoch,
        is_due: impl Fn(&Held, usize) -> bool,
    ) -> bool {
        let Some(hash) = page.identity(series).and_then(super::identity::Identity::hash) else {
            return false;
        };
        let mut shard = self.identities.lock(hash);
        let mut held = page.lock();
        let removed = is_due(&held, slot(series)) && shard.remove(&self.pages, series, oldest);
        if removed {
            drop(held.take(slot(series)));
        }
        removed
    }

    /// The first time at or after `min_time` that has a sample; if not `exact`, perhaps `min_time` instead, for less
    /// work.
    pub(crate) fn first_time(&self, min_time: Timestamp, exact: bool) -> Option<Timestamp> {
        self.pages.iter().filter_map(|(_, page)| page.lock().first(min_time, exact)).min()
    }

    /// Estimate of the bytes of memory in use.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let pages: usize = self.pages.iter().map(|(_, page)| page.memory_bytes()).sum();
        let index = self.index.read().memory_bytes();
        let metadata = self.metadata.read().bytes();
        let exemplars = self.exemplars.read().bytes();
        (pages + index + metadata + exemplars + self.identities.memory_bytes()) as u64
    }
}

fn refusal(limit: SeriesLimit, allowed: u64, labels: &Labels) -> SeriesError {
    SeriesError::Limit { exceeded: Exceeded { limit, allowed, found: allowed }, series: labels.clone() }
}
