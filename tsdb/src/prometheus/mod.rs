#![doc = include_str!("../../docs/prometheus.md")]

mod bits;
mod block;
mod block_writer;
mod chunk;
mod crc;
mod export;
mod finding;
mod head;
mod import;
mod index;
mod index_writer;
mod mapped;
mod meta;
mod output;
mod read;
mod record;
mod segment;
mod series;
mod source;
mod symbols;
mod target;
mod tombstones;
mod wal;

pub use export::{Exported, export};
pub use finding::Finding;
pub use import::{Imported, import};
pub use read::{OnSeries, read_block, read_head};
