//! What tests of every crate use: an in-memory store, a manual clock, a counted heap.

mod clock;
mod heap;
mod mem_store;

pub use clock::ManualClock;
pub use heap::CountingHeap;
pub use mem_store::MemStore;
