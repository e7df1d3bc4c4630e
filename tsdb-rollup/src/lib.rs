//! Deciding and transforming, without disks.
//!
//! [`plan`] turns what is known of the head and the blocks into steps; [`merge`] turns several sorted streams into
//! one. Whoever opens files carries the steps out and feeds the streams. Everything here is a function of its
//! arguments: no I/O, no clock, no threads.
//!
//! What it deliberately does not do: compaction of small blocks into larger ones, tombstones and downsampling. Blocks
//! stay as long as they were cut until retention drops them.

pub mod merge;
pub mod plan;
