//! What retention deletes: a plan that can be looked at before it is carried out.
//!
//! Samples and windows have retentions of their own; beyond a size, what is oldest goes first. A plan that would delete
//! nearly everything at once is not the course of time but a mistyped option or a wrong clock: it is refused until
//! [`Options::max_expired_percent`] allows it. Few blocks are as safe as many, if what is to go was due long ago and this is
//! not what was kept before. Against clocks alone there is more: see `engine::horizon`.

use crate::block::Block;
use crate::blocks::size;
use crate::engine::Kept;
use crate::fs::Fs;
use crate::options::{MIN_BLOCK_RANGE_MS, invalid};
use crate::{Error, Options, verify, version};
use std::collections::BTreeSet;
use std::path::Path;
use tsdb_core::block::{BlockId, BlockMeta};
use tsdb_core::bytes::checksum;
use tsdb_core::{TimeRange, Timestamp};
use tsdb_rollup::plan::{RollupLevel, expired, lacks_windows, over_size};

/// Fewer blocks than this may all be past retention in the course of time.
const FEW_BLOCKS: usize = 12;

/// What is kept of a database, and how long: the part of [`Options`] that [`Db::set_retention`](crate::Db::set_retention)
/// changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// As [`Options::retention_ms`].
    pub samples_ms: Option<i64>,
    /// As [`Options::max_total_bytes`].
    pub max_bytes: Option<u64>,
    /// As [`Options::max_expired_percent`].
    pub max_expired_percent: u8,
    /// As [`Options::rollups`].
    pub rollups: Vec<RollupLevel>,
}

impl Default for Retention {
    fn default() -> Self {
        Options::default().retention()
    }
}

impl Retention {
    /// Could a database whose blocks have windows of `block_range_ms` keep this?
    ///
    /// # Errors
    /// Samples that are gone before a block is made of them, or windows that cannot be made of each other.
    pub fn check(&self, block_range_ms: i64) -> Result<(), Error> {
        if let Some(retention) = self.samples_ms.filter(|retention| *retention < block_range_ms) {
            return Err(invalid("retention_ms", retention, "at least block_range_ms"));
        }
        check_rollups(&self.rollups)
    }

    /// What tells it apart from others.
    pub(crate) fn fingerprint(&self) -> u64 {
        let of = |level: &RollupLevel| {
            let kept = level.retention_ms.map_or(-1, |kept| kept.max(0));
            [level.resolution_ms, level.after_ms, kept]
        };
        let most = self.max_bytes.map_or(-1, |most| i64::try_from(most).unwrap_or(i64::MAX));
        let samples = self.samples_ms.map_or(-1, |kept| kept.max(0));
        let fields = [samples, most].into_iter().chain(self.rollups.iter().flat_map(of));
        let bytes: Vec<u8> = fields.flat_map(i64::to_le_bytes).collect();
        // 0 is none.
        u64::from(checksum(&bytes)).max(1)
    }

    /// How long windows of `resolution_ms` are kept, or samples; `None` for ever.
    fn kept_ms(&self, resolution_ms: Option<i64>) -> Option<i64> {
        let level = resolution_ms.and_then(|ms| self.rollups.iter().find(|level| level.resolution_ms >= ms));
        level.map_or(self.samples_ms, |level| level.retention_ms)
    }
}

/// Longer windows are made of whole shorter ones.
fn check_rollups(levels: &[RollupLevel]) -> Result<(), Error> {
    let shortest = i64::from(MIN_BLOCK_RANGE_MS);
    let longest = 365 * 86_400_000;
    for level in levels {
        let resolution_ms = level.resolution_ms;
        if !(shortest..=longest).contains(&resolution_ms) || level.after_ms < 0 {
            return Err(invalid(
                "rollups",
                resolution_ms,
                "windows of a second to a year, in ms, after 0 ms or more",
            ));
        }
    }
    for [short, long] in levels.array_windows() {
        let fits = long.resolution_ms > short.resolution_ms
            && long.resolution_ms % short.resolution_ms == 0
            && short.span_ms() % long.resolution_ms == 0
            && long.after_ms >= short.after_ms;
        if !fits {
            let rule =
                "a multiple of the shorter windows, of which 288 are a multiple of it, made no earlier";
            return Err(invalid("rollups", long.resolution_ms, rule));
        }
    }
    Ok(())
}

/// What is to be deleted, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RetentionPlan {
    /// The blocks.
    pub steps: Vec<RetentionStep>,
    /// Bytes of all blocks, those that stay included.
    pub all_bytes: u64,
    /// Is it so much that it is refused?
    pub is_refused: bool,
}

/// A block that is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetentionStep {
    /// Which block.
    pub id: BlockId,
    /// Name of its directory.
    pub block: String,
    /// The times of what it holds.
    pub range: TimeRange,
    /// Length of its windows, ms; `None` for samples.
    pub resolution_ms: Option<i64>,
    /// Its bytes.
    pub bytes: u64,
    /// Is it past retention? Else it goes because there are too many bytes.
    pub is_past: bool,
    /// Does it hold samples of which windows should have been made and were not, or not of all of them? Retention waits for
    /// windows, but not for ever.
    pub lacks_windows: bool,
}

impl RetentionPlan {
    /// What is due at `now` of `blocks`, each with its bytes. A `retention` that `is_acted_on` already was so before: what is
    /// due became so in the course of time.
    pub(crate) fn of(
        blocks: &[(BlockMeta, u64)],
        retention: &Retention,
        now: Timestamp,
        is_acted_on: bool,
    ) -> Self {
        let metas: Vec<BlockMeta> = blocks.iter().map(|(meta, _)| meta.clone()).collect();
        let past: BTreeSet<BlockId> =
            expired(&metas, retention.samples_ms, &retention.rollups, now).into_iter().collect();
        let large = retention.max_bytes.map(|most| over_size(blocks, &past, most)).unwrap_or_default();
        let mut steps: Vec<RetentionStep> = blocks
            .iter()
            .filter(|(meta, _)| past.contains(&meta.id) || large.contains(&meta.id))
            .map(|(meta, bytes)| RetentionStep {
                id: meta.id,
                block: Block::dir_name(meta.id),
                range: meta.range,
                resolution_ms: meta.rollup.map(|rollup| rollup.resolution_ms),
                bytes: *bytes,
                is_past: past.contains(&meta.id),
                lacks_windows: lacks_windows(meta, &metas, retention.samples_ms, retention.rollups.first()),
            })
            .collect();
        steps.sort_by_key(|step| (step.range.end(), step.id));
        let all_bytes = blocks.iter().map(|(_, bytes)| *bytes).fold(0, u64::saturating_add);
        let mut plan = Self { steps, all_bytes, is_refused: false };
        let share = u128::from(plan.bytes()) * 100;
        let most = u128::from(all_bytes) * u128::from(retention.max_expired_percent);
        let is_overdue = !is_acted_on && plan.is_overdue(retention, now);
        let is_abrupt = plan.steps.len() >= FEW_BLOCKS || is_overdue;
        plan.is_refused = is_abrupt && share > most;
        plan
    }

    /// Was something due so long ago that it would have gone before, had this always been what is kept?
    fn is_overdue(&self, retention: &Retention, now: Timestamp) -> bool {
        let is_small = |most: u64| self.all_bytes / 2 > most;
        self.steps.iter().any(|step| match step.is_past {
            true => retention
                .kept_ms(step.resolution_ms)
                .is_some_and(|kept| now.saturating_sub(step.range.end()) > kept.saturating_mul(2)),
            false => retention.max_bytes.is_some_and(is_small),
        })
    }

    /// Bytes that are to be deleted.
    pub fn bytes(&self) -> u64 {
        self.steps.iter().map(|step| step.bytes).fold(0, u64::saturating_add)
    }

    /// Says why it is not carried out, if it is refused.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !self.is_refused {
            return Ok(());
        }
        Err(Error::RetentionRefused {
            blocks: self.steps.len(),
            bytes: self.bytes(),
            all_bytes: self.all_bytes,
        })
    }
}

/// What retention would delete of the data directory `dir`, which no database may have open, at the time of its newest
/// block or at that of the clock, whichever is earlier. Nothing is changed.
///
/// # Errors
/// The directory is in use, of an unknown version, or cannot be listed.
pub fn plan(fs: &dyn Fs, dir: &Path, options: &Options) -> Result<RetentionPlan, Error> {
    let _lock = verify::lock(fs, dir)?;
    version::require(fs, dir)?;
    let entries = fs.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let mut blocks = Vec::new();
    for entry in entries.iter().filter(|entry| Block::parse_dir_name(&entry.name).is_some()) {
        let path = dir.join(&entry.name);
        if let Some(meta) = Block::described(fs, &path) {
            blocks.push((meta, size(fs, &path).map_err(|e| Error::io("inspect", &path, e))?));
        }
    }
    let newest = blocks.iter().map(|(meta, _)| meta.range.end()).max();
    let now = newest.map_or(options.clock.now(), |newest| newest.min(options.clock.now()));
    let (retention, kept) = (options.retention(), Kept::read(fs, dir));
    let is_acted_on = kept.is_some_and(|kept| kept.retention == retention.fingerprint());
    Ok(RetentionPlan::of(&blocks, &retention, now, is_acted_on))
}
