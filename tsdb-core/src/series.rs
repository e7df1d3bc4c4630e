//! References to series.

/// A series within one store, valid as long as that store holds the series in its head.
///
/// Dense and small: stores number their series from 0. A reference is meaningless to another store or after a
/// restart; an appender answers a reference it does not know with
/// [`SampleError::UnknownSeries`](crate::write::SampleError::UnknownSeries).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesRef(pub u32);

impl SeriesRef {
    /// The reference as an index into an array.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}
