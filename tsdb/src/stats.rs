//! Numbers about a running database.

use tsdb_core::TimeRange;

/// A snapshot of what a database holds and has done since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Series in the head.
    pub active_series: u64,
    /// Those of them that had no sample for [`Options::idle_series_ms`](crate::Options::idle_series_ms) when maintenance
    /// looked last: the others are active within that window.
    pub idle_series: u64,
    /// Series registered since the database was opened, replayed ones not counted.
    pub series_created: u64,
    /// Series dropped from the head since the database was opened, because it has none of their samples (any
    /// more).
    pub series_removed: u64,
    /// Samples accepted since the database was opened, exact repetitions included.
    pub samples_appended: u64,
    /// Those of them that came late: behind a newer sample of their series, or before what is in blocks.
    pub samples_late: u64,
    /// Those of them that repeated a sample which the head held.
    pub samples_repeated: u64,
    /// Samples refused since the database was opened, by reason.
    pub samples_refused: Refusals,
    /// Series registered within the last minute, replayed ones not counted.
    pub series_created_last_minute: u64,
    /// Series dropped from the head within the last minute.
    pub series_removed_last_minute: u64,
    /// New series refused since the database was opened, by reason.
    pub series_refused: SeriesRefusals,
    /// Metrics of which type, unit or help is known.
    pub metadata_metrics: u64,
    /// How often metadata was ignored because a limit on it is reached, since the database was opened.
    pub metadata_refused: u64,
    /// Exemplars that are kept.
    pub exemplars: u64,
    /// Exemplars stored since the database was opened, those overwritten meanwhile included.
    pub exemplars_stored: u64,
    /// Exemplars refused since the database was opened: older than the newest one of their series, too far ahead of the
    /// clock, with labels that are too long, or none are kept.
    pub exemplars_refused: u64,
    /// Batches that could not be logged.
    pub failed_commits: u64,
    /// Bytes of the write-ahead log that are still to be replayed; `None` if all of it is. Until then queries do not see
    /// all samples.
    pub unreplayed_bytes: Option<u64>,
    /// Bytes of the write-ahead log on disk.
    pub wal_bytes: u64,
    /// Blocks that can be read.
    pub blocks: u64,
    /// Bytes of those blocks on disk.
    pub block_bytes: u64,
    /// Samples in those blocks.
    pub block_samples: u64,
    /// Blocks cut from the head since the database was opened.
    pub blocks_cut: u64,
    /// Blocks of windows made since the database was opened.
    pub rollups_made: u64,
    /// Blocks of late samples written since the database was opened.
    pub late_blocks: u64,
    /// What compactions did.
    pub compactions: CompactionStats,
    /// Memory that late samples take, in bytes.
    pub late_bytes: u64,
    /// Estimate of the memory that the head takes, in bytes; up to 10 s old.
    pub head_bytes: u64,
    /// Times of the samples in the head; `None` if it has none.
    pub head_range: Option<TimeRange>,
    /// Times of all samples; `None` if there are none.
    pub range: Option<TimeRange>,
    /// Numbers about object storage; `None` if there is none.
    pub tier: Option<TierStats>,
    /// What was wrong when the database was opened or is wrong now, as sentences for people: damaged ranges of the
    /// log, blocks set aside, work that failed.
    pub warnings: Vec<String>,
}

/// What compactions did since the database was opened, and do now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactionStats {
    /// Compactions that replaced blocks.
    pub done: u64,
    /// Compactions that failed, were overtaken by a delete, or met a block that cannot be read.
    pub failed: u64,
    /// Blocks that were replaced.
    pub blocks_replaced: u64,
    /// Bytes written, failed compactions included.
    pub bytes_written: u64,
    /// The one that is under way.
    pub running: Option<RunningCompaction>,
}

/// A compaction that is under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunningCompaction {
    /// Blocks that become one.
    pub blocks: u64,
    /// Samples in them.
    pub samples: u64,
    /// Bytes written so far.
    pub bytes_written: u64,
}

/// What a database has on object storage and has done there since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TierStats {
    /// Blocks that are read from there: those that are on disk as well are not counted.
    pub blocks: u64,
    /// Bytes of those blocks.
    pub bytes: u64,
    /// Blocks on disk that wait for their upload.
    pub backlog_blocks: u64,
    /// Bytes of those blocks.
    pub backlog_bytes: u64,
    /// Bytes of the blocks uploaded.
    pub uploaded_bytes: u64,
    /// Rounds of uploads that failed.
    pub failed_rounds: u64,
    /// Ranges asked for, by all databases that share the store.
    pub requests: u64,
    /// Those that failed.
    pub failed_requests: u64,
    /// Those that were asked for a second time because the answer took long.
    pub hedged_requests: u64,
    /// Bytes of the answers.
    pub fetched_bytes: u64,
    /// Memory for what was read last, by all databases that share the store.
    pub cached_bytes: u64,
    /// The same on disk.
    pub cached_on_disk_bytes: u64,
}

/// Samples refused, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusals {
    /// Older than the newest sample of their series, where no late samples are taken.
    pub out_of_order: u64,
    /// Another value at the time of a stored sample.
    pub duplicate: u64,
    /// Older than the window of late samples, or past retention.
    pub too_old: u64,
    /// Too far ahead of the clock.
    pub too_far_in_future: u64,
    /// Of a series that the head does not hold.
    pub unknown_series: u64,
    /// Late, while late samples took all the memory that they may.
    pub too_many_late: u64,
}

/// New series refused, by reason. One that a sender sends again is counted again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeriesRefusals {
    /// Too many new ones within a minute.
    pub new_per_minute: u64,
    /// Too many in all.
    pub active: u64,
    /// Too many of one metric.
    pub per_metric: u64,
    /// Too many values of a label of one metric.
    pub label_values: u64,
    /// Of a metric that is declared to have many series and not approved.
    pub not_approved: u64,
    /// The index or the numbers of series are full.
    pub no_room: u64,
}

impl SeriesRefusals {
    /// Refused series of all reasons.
    pub fn total(&self) -> u64 {
        let of_metrics = self.per_metric + self.label_values + self.not_approved;
        of_metrics + self.new_per_minute + self.active + self.no_room
    }
}

impl Refusals {
    /// Refused samples of all reasons.
    pub fn total(&self) -> u64 {
        let of_time = self.out_of_order + self.too_old + self.too_far_in_future + self.too_many_late;
        of_time + self.duplicate + self.unknown_series
    }
}
