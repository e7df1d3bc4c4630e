#![doc = include_str!("../../docs/prometheus.md")]

mod bits;
mod block;
mod block_writer;
mod chunk;
mod crc;
mod export;
mod finding;
mod import;
mod index;
mod index_writer;
mod meta;
mod output;
mod segment;
mod series;
mod source;
mod symbols;
mod tombstones;

pub use export::{Exported, export};
pub use finding::Finding;
pub use import::{Imported, import};
