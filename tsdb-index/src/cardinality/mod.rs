//! How many series there may be: limits as values, and what is counted to keep them.
//!
//! Nothing here knows tenants, clocks or locks: the owner of an index asks [`SeriesLimits`] before it inserts, and tells a
//! [`Rate`] the time. Counting costs by new and removed series; a sample of a known series
//! costs nothing.

mod among;
mod limits;
mod rate;
mod sketch;
mod top;

pub use among::{LabelNames, LabelValues};
pub use limits::{MetricRule, SeriesLimits};
pub use rate::Rate;
pub use sketch::Sketch;
pub use top::{Cardinality, Counted, CountedPair};
