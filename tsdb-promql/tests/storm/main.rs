//! A thousand hostile queries against an engine with little memory, counted by the allocator of this process: one test
//! alone, since the count is that of the whole process.

use tsdb_core::testing::CountingHeap;

#[cfg(test)]
mod engine;

#[global_allocator]
static HEAP: CountingHeap = CountingHeap::new();
