//! Settings of a database.

use crate::Error;
use crate::clock::SystemClock;
use crate::retention::Retention;
use crate::tier::Tier;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tsdb_core::time::Clock;
use tsdb_index::SeriesLimits;
use tsdb_rollup::plan::{BlockWidth, RollupLevel};

/// Settings of a [`Db`](crate::Db). `Options::default()` is right for most.
#[derive(Clone)]
pub struct Options {
    /// When an acknowledged batch is safe. Default: [`Durability::Interval`] of 200 ms.
    pub durability: Durability,
    /// Length of the windows in which the head is cut into blocks, in ms: from a second to 49 days.
    /// Default: 2 h.
    pub block_range_ms: i64,
    /// Blocks that end earlier than this before now are deleted, in ms. `None` keeps everything. Default: 14 d.
    pub retention_ms: Option<i64>,
    /// How many bytes all blocks together may have, on disk and on object storage; beyond that the oldest are deleted. `None`
    /// is no limit. Default: `None`.
    pub max_total_bytes: Option<u64>,
    /// How much retention may delete at once, in percent of the bytes of all blocks. A plan that would delete more, of a
    /// dozen blocks or more or of what a new retention would have deleted long ago, is refused and told in the warnings: a
    /// mistyped retention must not be the end of the data. 100 allows everything. Default: 75.
    pub max_expired_percent: u8,
    /// Which windows are made of samples, for when these are past retention and for long ranges: short ones first. Each
    /// length must be a multiple of the one before, and 288 of the shorter ones a multiple of the longer. Default: 5 minutes
    /// after 6 hours, kept for 90 days, and hours after a day, kept for two years.
    pub rollups: Vec<RollupLevel>,
    /// Is that about retention and windows not known yet? Then nothing is deleted for its age or size, and no windows are
    /// made, before [`Db::set_retention`](crate::Db::set_retention) says. Default: no.
    pub awaits_retention: bool,
    /// Length of the log, in bytes, after which all that the head holds is written out so that the log before can go; a
    /// restart replays about as much. Not before the log is longer than what was written out the last time, so that no more
    /// is written so than for the log itself. Default: 256 MiB.
    pub checkpoint_log_bytes: u64,
    /// How far ahead of the clock a sample may lie, in ms. `None` takes up to a year. Default: 10 min.
    pub future_skew_ms: Option<i64>,
    /// How far behind the newest sample a sample may come that is not newer than all of its series, in ms. Such samples
    /// are late: queries see them at once, and they move into blocks of their own. 0 takes none.
    /// [`Db::set_out_of_order_window`](crate::Db::set_out_of_order_window) changes it later. Default: 2 h.
    pub out_of_order_window_ms: i64,
    /// What becomes of a sample at a time for which its series has another value. Default: the first is kept.
    pub duplicates: DuplicatePolicy,
    /// Memory that late samples should take, in bytes. When they take more they are moved into blocks; those that would
    /// take twice as much are refused. Default: 64 MiB.
    pub max_late_bytes: usize,
    /// How many series the head takes, in all, anew, and of one metric. Known series keep flowing when new ones are refused.
    /// [`Db::set_series_limits`](crate::Db::set_series_limits) changes them later. Default: no limit but that of memory.
    pub series_limits: Arc<SeriesLimits>,
    /// How long a series may be without a sample before it counts as one that stopped, in ms: such series leave the head for
    /// blocks of their own before the window ends. 0 keeps them until then. Default: 5 min.
    pub idle_series_ms: i64,
    /// How many series must have stopped for that, because each time costs a block; a sixteenth of all if that is more.
    /// Default: 16 384.
    pub min_idle_series: usize,
    /// Of how many metrics type, unit and help are kept. What is said of more is ignored. Default: 100 000.
    pub max_metadata_metrics: usize,
    /// Memory for that, in bytes; units and help texts are cut off after 4 KiB. Default: 32 MiB.
    pub max_metadata_bytes: usize,
    /// How many exemplars are kept, those of all series together; new ones overwrite the oldest, 0 keeps none.
    /// Default: 100 000.
    pub max_exemplars: usize,
    /// Memory for unpacked parts of blocks, in bytes. Default: 64 MiB.
    pub block_cache_bytes: usize,
    /// Are blocks compacted in the background? Else [`Db::compact`](crate::Db::compact) does it. Default: yes.
    pub compaction: bool,
    /// How many bytes a second a compaction in the background may write; `None` is no limit. While batches come in or
    /// queries are answered it works half of the time at most, whatever the limit. Default: 64 MiB.
    pub compaction_bytes_per_second: Option<u64>,
    /// The longest range of a block that a compaction makes, in ms. Default: `None`, a tenth of the retention, or 31
    /// days if everything is kept.
    pub max_block_range_ms: Option<i64>,
    /// Blocks that have more bytes than this together are not merged. Default: 512 GiB.
    pub max_block_bytes: u64,
    /// How often the background thread looks for work: blocks to cut, blocks to expire. From every ms to every day.
    /// Default: 10 s.
    pub maintenance_interval: Duration,
    /// Does a background thread do that work? Without it nothing is cut, expired or synced on a timer; call
    /// [`Db::maintain`](crate::Db::maintain). Default: yes.
    pub background: bool,
    /// Is the database open before its log is replayed? Default: [`Replay::BeforeOpen`].
    pub replay: Replay,
    /// Where blocks are put besides the disk. Default: nowhere.
    pub tier: Option<Tier>,
    /// Where the time comes from. Default: the system clock.
    pub clock: Arc<dyn Clock>,
}

/// What becomes of a sample at a time for which its series has another value, bit by bit. One with the same value is
/// always ignored.
///
/// "First" and "last" are meant in the order of commits; batches that are committed at the same time have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DuplicatePolicy {
    /// The value that came first stays, and the other is refused. If the first is in a block already the other is not
    /// refused, and goes unseen all the same; it is this one that further values at the time are compared with.
    KeepFirst,
    /// The value that came last is seen, if it comes within the window of late samples.
    KeepLast,
}

/// When an acknowledged batch is safe.
///
/// Whatever the choice, a batch is handed to the operating system before it is acknowledged: a killed process
/// loses nothing. The choice is about power cuts and crashes of the operating system.
///
/// What it costs, measured with one sender, batches of 10 000 samples of known series and a disk that syncs in 3 ms:
/// 6.4 million samples a second with a sync every 200 ms, 2.3 million with one for every batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Every batch waits for the disk; batches that wait together share one sync.
    EveryCommit,
    /// The log is synced this often in the background, from every ms to every day; a power cut loses at most what came in since.
    Interval(Duration),
    /// The log is synced when its segments are full and when the database is closed.
    Lazy,
}

/// When the log of an earlier run is read into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Replay {
    /// While the database is opened: it is complete from the beginning.
    #[default]
    BeforeOpen,
    /// In the background, on a thread that [`Options::background`] allows or not. Batches are taken and are durable at
    /// once; queries see them when replay has come to them. Until then the warnings of an answer say that it may be
    /// incomplete, and [`Stats::unreplayed_bytes`](crate::Stats::unreplayed_bytes) how much is left. Of two different
    /// samples of a series at one time the one stays that [`Options::duplicates`] says; that the other was refused nobody is
    /// told.
    Background,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Interval(Duration::from_millis(200)),
            block_range_ms: 2 * 3_600_000,
            retention_ms: Some(14 * 86_400_000),
            max_total_bytes: None,
            max_expired_percent: 75,
            rollups: vec![RollupLevel::FIVE_MINUTES, RollupLevel::HOUR],
            awaits_retention: false,
            checkpoint_log_bytes: 256 << 20,
            future_skew_ms: Some(600_000),
            out_of_order_window_ms: 2 * 3_600_000,
            duplicates: DuplicatePolicy::KeepFirst,
            max_late_bytes: 64 << 20,
            series_limits: Arc::default(),
            idle_series_ms: 300_000,
            min_idle_series: 16_384,
            max_metadata_metrics: 100_000,
            max_metadata_bytes: 32 << 20,
            max_exemplars: 100_000,
            block_cache_bytes: 64 << 20,
            compaction: true,
            compaction_bytes_per_second: Some(64 << 20),
            max_block_range_ms: None,
            max_block_bytes: 512 << 30,
            maintenance_interval: Duration::from_secs(10),
            background: true,
            replay: Replay::BeforeOpen,
            tier: None,
            clock: Arc::new(SystemClock),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("durability", &self.durability)
            .field("block_range_ms", &self.block_range_ms)
            .field("retention_ms", &self.retention_ms)
            .field("max_total_bytes", &self.max_total_bytes)
            .field("max_expired_percent", &self.max_expired_percent)
            .field("rollups", &self.rollups)
            .field("awaits_retention", &self.awaits_retention)
            .field("checkpoint_log_bytes", &self.checkpoint_log_bytes)
            .field("future_skew_ms", &self.future_skew_ms)
            .field("out_of_order_window_ms", &self.out_of_order_window_ms)
            .field("duplicates", &self.duplicates)
            .field("max_late_bytes", &self.max_late_bytes)
            .field("series_limits", &self.series_limits)
            .field("idle_series_ms", &self.idle_series_ms)
            .field("min_idle_series", &self.min_idle_series)
            .field("max_metadata_metrics", &self.max_metadata_metrics)
            .field("max_metadata_bytes", &self.max_metadata_bytes)
            .field("block_cache_bytes", &self.block_cache_bytes)
            .field("compaction", &self.compaction)
            .field("compaction_bytes_per_second", &self.compaction_bytes_per_second)
            .field("max_block_range_ms", &self.max_block_range_ms)
            .field("max_block_bytes", &self.max_block_bytes)
            .field("maintenance_interval", &self.maintenance_interval)
            .field("background", &self.background)
            .field("replay", &self.replay)
            .field("tier", &self.tier)
            .finish_non_exhaustive()
    }
}

/// The shortest window of a block, in ms.
pub(crate) const MIN_BLOCK_RANGE_MS: u32 = 1000;

impl Options {
    /// Checks that every option makes sense.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.block_width()?;
        self.retention().check(self.block_range_ms)?;
        if let Some(tier) = &self.tier {
            check_period("tier.interval", tier.interval)?;
        }
        check_period("maintenance_interval", self.maintenance_interval)?;
        if let Durability::Interval(every) = self.durability {
            check_period("durability", every)?;
        }
        if let Some(range) = self.max_block_range_ms.filter(|range| *range < self.block_range_ms) {
            return Err(invalid("max_block_range_ms", range, "at least block_range_ms"));
        }
        if self.out_of_order_window_ms < 0 {
            return Err(invalid("out_of_order_window_ms", self.out_of_order_window_ms, "0 or more"));
        }
        if self.idle_series_ms < 0 {
            return Err(invalid("idle_series_ms", self.idle_series_ms, "0 or more"));
        }
        match self.future_skew_ms {
            Some(skew) if skew < 0 => Err(invalid("future_skew_ms", skew, "0 or more")),
            _ => Ok(()),
        }
    }

    /// What is kept, and how long.
    pub fn retention(&self) -> Retention {
        Retention {
            samples_ms: self.retention_ms,
            max_bytes: self.max_total_bytes,
            max_expired_percent: self.max_expired_percent,
            rollups: self.rollups.clone(),
        }
    }

    /// The windows in which the head is cut.
    pub(crate) fn block_width(&self) -> Result<BlockWidth, Error> {
        let ms = u32::try_from(self.block_range_ms).ok().filter(|ms| *ms >= MIN_BLOCK_RANGE_MS);
        let rule = "from a second to 49 days, in ms";
        ms.and_then(BlockWidth::new).ok_or_else(|| invalid("block_range_ms", self.block_range_ms, rule))
    }
}

/// A thread that never waits burns a core, and one that waits for ever does nothing.
fn check_period(option: &'static str, every: Duration) -> Result<(), Error> {
    if (Duration::from_millis(1)..=Duration::from_secs(86_400)).contains(&every) {
        return Ok(());
    }
    Err(invalid(option, i64::try_from(every.as_millis()).unwrap_or(i64::MAX), "from 1 ms to a day, in ms"))
}

pub(crate) fn invalid(option: &'static str, value: i64, rule: &'static str) -> Error {
    Error::InvalidOption { option, value, rule }
}
