#![doc = include_str!("../../docs/block-format.md")]

mod ahead;
mod cache;
mod error;
mod file;
mod meta;
mod parts;
mod reader;
mod samples;
mod segment;
mod times;
mod verify;
mod windows;
mod writer;

pub use cache::FrameCache;
pub use error::BlockError;
pub use reader::{Block, BlockSeries};
pub use verify::{Damage, Loss, verify};
pub use windows::WindowColumns;
pub use writer::{BlockSpec, BlockWriter};

#[cfg(test)]
mod tests;
