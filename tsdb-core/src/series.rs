//! References to series.

/// A series within one store, valid for the appender that gave it.
///
/// Dense and small: stores number their series from 0. Once that appender is gone the number may be given to another
/// series, and a sample appended to it is then one of that series: never keep a reference from one appender to the
/// next, look the series up again. A number in nobody's use is answered with
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
