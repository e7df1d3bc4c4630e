//! The layout of a frame: what writer and reader agree on.

/// The name of the structure in errors.
pub(super) const SECTION: &str = "aggregate chunk";
/// The first byte of a frame, and the version of its format.
pub(super) const TAG: u8 = 1;
/// Chunks in a frame: each has up to five columns.
pub(super) const MAX_CHUNKS: usize = tsdb_core::pack::MAX_SERIES / 8;

/// What is stored of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape(pub(super) u8);

impl Shape {
    /// Minimum, maximum and sum belong to it.
    pub(super) const SPREAD: u8 = 1;
    /// The minimum has a column of its own; else it is the value of the sample.
    pub(super) const MIN: u8 = 2;
    /// The maximum has a column of its own; else it is the value of the sample.
    pub(super) const MAX: u8 = 4;
    /// The sum has a column of its own; else it is the value of the sample, as often as the weight says.
    pub(super) const SUM: u8 = 8;

    pub(super) const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    /// Is it one that a writer may write?
    pub(super) const fn is_known(self) -> bool {
        self.0 < 16 && (self.has(Self::SPREAD) || self.0 == 0)
    }
}
