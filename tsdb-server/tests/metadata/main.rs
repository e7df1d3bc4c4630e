//! Metadata stores: one contract for all of them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "clippy exempts test functions, not what they call")]

mod contract;

use tsdb_server::metadata::MemoryMetadata;

#[test]
fn a_store_in_memory_keeps_the_contract() {
    for (name, holds) in contract::ALL {
        println!("{name}");
        holds(&MemoryMetadata::default());
    }
}
