#![doc = include_str!("../../docs/block-format.md")]

mod ahead;
mod cache;
mod compress;
mod deleted;
mod draft;
mod error;
mod file;
mod frames;
mod merge;
mod meta;
mod parts;
mod reader;
mod samples;
mod segment;
mod times;
mod verify;
mod windows;
mod writer;

pub(crate) use ahead::STEP_BYTES;
pub use cache::FrameCache;
pub use error::BlockError;
pub(crate) use merge::{MergeError, MergeInput, MergeOptions, Merged, Pace, merge};
pub use reader::{Block, BlockSeries};
pub use verify::{Damage, Loss, verify};
pub use windows::WindowColumns;
pub use writer::{BlockSpec, BlockWriter};

#[cfg(test)]
mod merge_tests;
#[cfg(test)]
mod tests;
