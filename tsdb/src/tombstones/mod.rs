#![doc = include_str!("../../docs/tombstone-format.md")]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

pub(crate) mod format;
mod intervals;
mod set;
mod store;
#[cfg(all(test, feature = "testing"))]
mod tests;

pub use intervals::Intervals;
pub use set::Tombstones;
pub(crate) use store::{Kept, load, save};
