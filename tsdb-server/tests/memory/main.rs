//! What the server takes of memory, counted by the allocator of this process. The count is that of the whole process, so
//! the tests take turns.

use tokio::sync::Mutex;
use tsdb_core::testing::CountingHeap;

#[cfg(test)]
mod answers;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod waves;

#[global_allocator]
static HEAP: CountingHeap = CountingHeap::new();

/// Held by the test that measures.
static TURN: Mutex<()> = Mutex::const_new(());
