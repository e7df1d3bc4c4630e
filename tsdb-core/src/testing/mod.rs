//! What tests of every crate use: an in-memory store, a manual clock, a counted heap, how a test says that it is skipped.

mod clock;
mod heap;
mod mem_store;
mod skip;

pub use clock::ManualClock;
pub use heap::CountingHeap;
pub use mem_store::MemStore;
pub use skip::skipped;
