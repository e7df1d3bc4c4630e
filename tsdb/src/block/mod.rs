#![doc = include_str!("../../docs/block-format.md")]

mod cache;
mod error;
mod meta;
mod reader;
mod segment;
mod times;
mod verify;
mod writer;

pub use cache::FrameCache;
pub use error::BlockError;
pub use reader::{Block, BlockSeries};
pub use verify::{Damage, verify};
pub use writer::{BlockSpec, BlockWriter};

use crate::fs::FileBytes;
use std::fmt;

/// The bytes of a file of a block.
struct Mapped(FileBytes);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.as_ref().len())
    }
}

#[cfg(test)]
mod tests;
