//! What the server takes of memory, counted by the allocator of this process: one test alone, since the count is that
//! of the whole process.

use tsdb_core::testing::CountingHeap;

#[cfg(test)]
mod answers;

#[global_allocator]
static HEAP: CountingHeap = CountingHeap::new();
