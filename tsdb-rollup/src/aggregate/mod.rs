#![doc = include_str!("../../docs/aggregate-chunk-format.md")]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod columns;
mod format;
mod reader;
mod sums;
mod writer;

pub(crate) use columns::differ_in_kind;
pub use columns::{AggregateColumns, Form, Spread};
pub use reader::{Aggregates, Column};
pub use writer::AggregateWriter;
