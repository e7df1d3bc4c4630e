//! What tests of every crate use: an in-memory store and a manual clock.

mod clock;
mod mem_store;

pub use clock::ManualClock;
pub use mem_store::MemStore;
