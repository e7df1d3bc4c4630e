//! What retention deletes: a plan that can be looked at before it is carried out.
//!
//! Samples and windows have retentions of their own; beyond a size, what is oldest goes first. A plan that would delete
//! nearly everything at once is not the course of time but a mistyped option or a wrong clock: it is refused until
//! [`Options::max_expired_percent`] allows it. Against clocks alone there is more: see `engine::horizon`.

use crate::block::Block;
use crate::blocks::size;
use crate::fs::Fs;
use crate::{Error, Options, verify, version};
use std::collections::BTreeSet;
use std::path::Path;
use tsdb_core::block::{BlockId, BlockMeta};
use tsdb_core::{TimeRange, Timestamp};
use tsdb_rollup::plan::{expired, over_size};

/// With fewer blocks than this a plan may delete them all.
const FEW_BLOCKS: usize = 12;

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
    /// Its bytes on disk.
    pub bytes: u64,
    /// Is it past retention? Else it goes because there are too many bytes.
    pub is_past: bool,
}

impl RetentionPlan {
    /// What is due at `now` of `blocks`, each with its bytes.
    pub(crate) fn of(blocks: &[(BlockMeta, u64)], options: &Options, now: Timestamp) -> Self {
        let metas: Vec<BlockMeta> = blocks.iter().map(|(meta, _)| meta.clone()).collect();
        let past: BTreeSet<BlockId> =
            expired(&metas, options.retention_ms, &options.rollups, now).into_iter().collect();
        let large = options.max_disk_bytes.map(|most| over_size(blocks, &past, most)).unwrap_or_default();
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
            })
            .collect();
        steps.sort_by_key(|step| (step.range.end(), step.id));
        let all_bytes = blocks.iter().map(|(_, bytes)| *bytes).fold(0, u64::saturating_add);
        let mut plan = Self { steps, all_bytes, is_refused: false };
        let share = u128::from(plan.bytes()) * 100;
        let most = u128::from(all_bytes) * u128::from(options.max_expired_percent);
        plan.is_refused = plan.steps.len() >= FEW_BLOCKS && share > most;
        plan
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
    Ok(RetentionPlan::of(&blocks, options, now))
}
