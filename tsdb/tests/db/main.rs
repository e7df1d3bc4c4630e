//! The database through its public face: what is acknowledged is found, exactly once, whatever happens.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod admission;
mod cardinality;
mod checkpoints;
mod clock;
mod compaction;
mod compactor;
mod concurrency;
mod crash;
mod cuts;
mod damage;
mod deletes;
mod durability;
mod everything;
mod exemplars;
mod faults;
mod fixture;
mod golden;
mod kinds;
mod late;
mod limits;
mod model;
mod opening;
mod recovery;
mod repair;
mod replay;
mod retention;
mod retirement;
mod snapshots;
mod tenants;
mod tier;
mod tier_faults;
mod windows;
