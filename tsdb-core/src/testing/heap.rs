//! An allocator that knows how much memory a process has.
//!
//! A test binary about memory makes it its `#[global_allocator]`, and runs its measurements one after the other, since
//! the count is that of the whole process.
#![expect(unsafe_code, reason = "an allocator is unsafe by its trait; it hands every call on as it came")]

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::System;

/// The system's allocator, counted.
#[derive(Debug, Default)]
pub struct CountingHeap {
    live: AtomicUsize,
    peak: AtomicUsize,
}

impl CountingHeap {
    /// An allocator that has given out nothing.
    pub const fn new() -> Self {
        Self { live: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }

    /// Bytes given out and not given back.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    /// The most bytes that were ever [`live`](Self::live) since the last [`reset_peak`](Self::reset_peak).
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::SeqCst)
    }

    /// Forgets earlier peaks and answers what is live.
    pub fn reset_peak(&self) -> usize {
        let live = self.live();
        self.peak.store(live, Ordering::SeqCst);
        live
    }

    fn take(&self, bytes: usize) {
        let live = self.live.fetch_add(bytes, Ordering::SeqCst).wrapping_add(bytes);
        self.peak.fetch_max(live, Ordering::SeqCst);
    }

    fn give_back(&self, bytes: usize) {
        self.live.fetch_sub(bytes, Ordering::SeqCst);
    }
}

// SAFETY: every call goes to `System` with the arguments it came with, so its promises are kept as `System` keeps them;
// counting touches no memory but the counters.
unsafe impl GlobalAlloc for CountingHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout.size());
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.take(layout.size());
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.give_back(layout.size());
        // SAFETY: the block came from `System` through this allocator, with this layout.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.take(new_size);
        self.give_back(layout.size());
        // SAFETY: the block came from `System` through this allocator, with this layout; the size is the caller's.
        unsafe { System.realloc(block, layout, new_size) }
    }
}
