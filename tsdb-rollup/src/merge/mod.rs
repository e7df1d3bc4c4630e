//! Several sorted streams into one: series by labels, samples by time.
//!
//! Sources are given from old to new. Where two of them have a sample at the same timestamp, the later source is
//! believed.

mod samples;
mod series;

pub use samples::{add, add_missing, renew_seam, samples};
pub use series::{Joined, SeriesMerger};
