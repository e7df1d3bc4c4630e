//! How many series there may be: limits as values, and what is counted to keep them.
//!
//! Nothing here knows tenants, clocks or locks: the owner of an index asks [`SeriesLimits`] before it inserts, and tells a
//! [`Rate`] the time. Counting costs by new and removed series; a sample of a known series
//! costs nothing.

mod among;
mod cost;
mod limits;
mod ranking;
mod rate;
mod recent;
mod sketch;
mod top;

pub use among::{LabelNames, LabelValues};
pub use cost::{LabelCost, LabelCosts};
pub use limits::{MetricRule, SeriesLimits};
pub use ranking::{NewSeries, RankBy, RankedMetric, RankedName, RankedPair, Ranking, Weight};
pub use rate::Rate;
pub use recent::Recent;
pub use sketch::Sketch;
pub use top::{Cardinality, Counted, CountedPair};
