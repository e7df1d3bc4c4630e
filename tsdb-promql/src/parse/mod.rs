//! Text to tree.

mod options;

pub use options::ParseOptions;
