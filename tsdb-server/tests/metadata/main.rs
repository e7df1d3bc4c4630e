//! Metadata stores: one contract for all of them, and a server that lives on one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "clippy exempts test functions, not what they call")]

mod admin_api;
mod by_hand;
mod contract;
#[cfg(feature = "postgres")]
mod outage;
#[cfg(feature = "postgres")]
mod postgres;
mod retention;
mod rules;
mod server;
mod sqlite;

use tsdb_server::metadata::MemoryMetadata;

#[test]
fn a_store_in_memory_keeps_the_contract() {
    for (name, holds) in contract::ALL {
        println!("{name}");
        holds(&MemoryMetadata::default());
    }
}
