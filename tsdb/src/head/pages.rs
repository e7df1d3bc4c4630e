//! Storage of series by number: pages that never move.
//!
//! A page holds [`PAGE`] neighbouring series: their identities, readable without a lock, and their samples behind
//! one mutex. Senders name their series in the order in which they first did, so a batch walks through pages and
//! takes each lock once. Pages are reached through a directory whose parts double in size and are never moved, so
//! finding a page takes no lock either.

use super::held::Held;
use super::identity::Identity;
use parking_lot::{Mutex, MutexGuard};
use std::sync::OnceLock;
use tsdb_core::SeriesRef;

/// Series in a page.
pub(crate) const PAGE: usize = 256;

/// How many series ahead memory is fetched to which samples go: as many loads as a core has under way at a time.
pub(crate) const PREFETCH: usize = 16;

/// Directory part `n` has 2^n pages: 24 parts hold all 2^32 series but the last page.
const PARTS: usize = 24;

/// A part of the directory.
type Part = Box<[OnceLock<Box<Page>>]>;

/// All pages of a head.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    parts: [OnceLock<Part>; PARTS],
}

/// [`PAGE`] neighbouring series.
#[derive(Debug)]
pub(crate) struct Page {
    identities: [Identity; PAGE],
    held: Mutex<Held>,
}

/// The last number that has a place.
pub(crate) const MAX_SERIES: u32 = ((1_u64 << PARTS) - 1) as u32 * PAGE as u32;

impl Pages {
    /// The page of `series`; `None` if nothing near it was ever registered.
    #[inline]
    pub(crate) fn page(&self, series: SeriesRef) -> Option<&Page> {
        let (part, offset) = Self::place(series)?;
        self.parts.get(part)?.get()?.get(offset)?.get().map(Box::as_ref)
    }

    /// The page of `series`, made if need be. `None` if the number is [`MAX_SERIES`] or more.
    pub(crate) fn page_or_new(&self, series: SeriesRef) -> Option<&Page> {
        let (part, offset) = Self::place(series)?;
        let part =
            self.parts.get(part)?.get_or_init(|| (0..1_usize << part).map(|_| OnceLock::new()).collect());
        part.get(offset).map(|page| page.get_or_init(Page::new).as_ref())
    }

    /// All pages with the number of their first series, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SeriesRef, &Page)> {
        self.parts.iter().enumerate().flat_map(|(number, part)| {
            let pages = part.get().map_or(&[][..], Box::as_ref);
            pages.iter().enumerate().filter_map(move |(offset, page)| {
                let first = ((1_usize << number) - 1 + offset) * PAGE;
                Some((SeriesRef(u32::try_from(first).ok()?), page.get()?.as_ref()))
            })
        })
    }

    /// The identity of `series`.
    #[inline]
    pub(crate) fn identity(&self, series: SeriesRef) -> Option<&Identity> {
        self.page(series)?.identity(series)
    }

    #[inline]
    fn place(series: SeriesRef) -> Option<(usize, usize)> {
        let number = series.index() / PAGE + 1;
        let part = number.ilog2() as usize;
        (part < PARTS).then_some((part, number - (1 << part)))
    }
}

impl Page {
    fn new() -> Box<Self> {
        Box::new(Self { identities: std::array::from_fn(|_| Identity::default()), held: Mutex::default() })
    }

    #[inline]
    pub(crate) fn identity(&self, series: SeriesRef) -> Option<&Identity> {
        self.identities.get(series.index() % PAGE)
    }

    /// The samples of the series of this page, by [`slot`].
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock()
    }

    /// Puts the number `series` to use.
    pub(crate) fn begin(&self, series: SeriesRef) {
        self.lock().begin(slot(series));
    }

    /// Takes the number `series` out of use.
    pub(crate) fn end(&self, series: SeriesRef) {
        drop(self.lock().take(slot(series)));
    }

    /// The series of this page, which begins at `first`, that are in use and satisfy `is_wanted`.
    pub(crate) fn filter(
        &self,
        first: SeriesRef,
        is_wanted: impl Fn(&Held, usize) -> bool,
    ) -> Vec<SeriesRef> {
        let held = self.lock();
        let numbers = (first.0..).map(SeriesRef).enumerate().take(PAGE);
        let is_wanted = |slot: usize| held.is_live(slot) && is_wanted(&held, slot);
        numbers.filter(|(slot, _)| is_wanted(*slot)).map(|(_, number)| number).collect()
    }

    /// Gives back memory if no series of this page is in use.
    pub(crate) fn shrink(&self) {
        self.lock().shrink();
    }

    /// Estimate of the bytes of memory in use.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.lock().memory_bytes()
    }
}

/// Place of `series` within its page.
#[inline]
pub(crate) fn slot(series: SeriesRef) -> usize {
    series.index() % PAGE
}

/// Number of the page of `series`.
#[inline]
pub(crate) fn page_number(series: SeriesRef) -> usize {
    series.index() / PAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_found_again_and_listed_in_order() {
        let pages = Pages::default();
        let numbers = [0, 255, 256, 767, 768, 100_000, MAX_SERIES - 1];
        for number in numbers {
            assert!(pages.page_or_new(SeriesRef(number)).is_some(), "{number}");
        }
        for number in numbers {
            assert!(pages.page(SeriesRef(number)).is_some(), "{number}");
        }
        assert!(pages.page(SeriesRef(300_000)).is_none());
        let firsts: Vec<_> = pages.iter().map(|(first, _)| first.0).collect();
        assert_eq!(firsts, [0, 256, 512, 768, 99_840, MAX_SERIES - 256]);
    }

    #[test]
    fn numbers_at_the_end_have_no_place() {
        let pages = Pages::default();
        assert!(pages.page_or_new(SeriesRef(MAX_SERIES)).is_none());
        assert!(pages.page(SeriesRef(u32::MAX)).is_none());
    }
}
