//! Deciding and transforming, without disks.
//!
//! [`plan`] turns what is known of the head and the blocks into steps; [`merge`] turns several sorted streams into
//! one. Whoever opens files carries the steps out and feeds the streams. Everything here is a function of its
//! arguments: no I/O, no clock, no threads.
//!
//! [`downsample`] sums samples up by windows, [`aggregate`] is the format of those, and [`resolution`] says which of them
//! answer a query.
//!
//! What it deliberately does not do: carry anything out.

pub mod aggregate;
pub mod downsample;
pub mod merge;
pub mod plan;
pub mod resolution;
