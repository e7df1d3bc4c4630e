//! The metrics storage engine: write-ahead log, head, blocks, recovery, retention.
//!
//! [`Db::open`] opens a directory; a [`Db`] is written through [`Appendable`] and read through [`Queryable`].
//! [`Tenants`] keeps one [`Db`] per tenant. The crate is synchronous, starts its own threads and needs no runtime.
//!
//! ```
//! use tsdb::{Appendable, Db, Labels, Options, Queryable, TimeRange};
//! use tsdb_core::read::{SampleColumns, SelectHints};
//!
//! # let dir = tempfile::tempdir()?;
//! let db = Db::open(dir.path(), Options::default())?;
//!
//! let mut batch = db.appender();
//! let series = batch.series(&Labels::from_pairs([("__name__", "temperature"), ("room", "kitchen")])?)?;
//! batch.append(series, 1_775_643_330_000, 21.5);
//! assert_eq!(batch.commit()?.accepted, 1);
//!
//! let querier = db.querier(TimeRange::ALL)?;
//! let found = querier.select(&[], &SelectHints::over(TimeRange::ALL))?;
//! let mut samples = SampleColumns::new();
//! found.read(0, &mut samples)?;
//! assert_eq!(samples.values, [21.5]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod block;
mod blocks;
mod changes;
mod clock;
mod compact;
mod compactor;
mod db;
mod elsewhere;
mod engine;
mod error;
pub mod fs;
mod head;
pub mod import;
pub mod inspect;
mod maintain;
mod names;
mod options;
mod poison;
pub mod prometheus;
mod query;
pub mod record;
pub mod repair;
pub mod retention;
mod stats;
mod tenants;
pub mod tier;
pub mod tombstones;
pub mod verify;
mod version;
pub mod wal;

pub use changes::{ChangeMark, Changed};
pub use clock::SystemClock;
pub use compactor::{Compactor, CompactorRound};
pub use db::{Db, SeriesFilter};
pub use elsewhere::{FarAway, far_away};
pub use engine::Snapshot;
pub use error::{Error, ErrorKind};
pub use options::{DuplicatePolicy, Durability, Options, Replay};
pub use retention::Retention;
pub use stats::{CompactionStats, Refusals, RunningCompaction, SeriesRefusals, Stats, TierStats};
pub use tenants::Tenants;
pub use tsdb_core::read::{Querier, Queryable};
pub use tsdb_core::write::{Appendable, Appender};
pub use tsdb_core::{Labels, Matcher, SeriesRef, TenantId, TimeRange, Timestamp};
pub use tsdb_index::cardinality::{
    Cardinality, Counted, CountedPair, LabelCost, LabelNames, LabelValues, MetricRule, RankBy, RankedMetric,
    RankedName, RankedPair, Ranking, SeriesLimits, Sketch, Weight,
};
pub use tsdb_rollup::plan::RollupLevel;
