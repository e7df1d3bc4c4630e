//! Importing a data directory: each block becomes one block of ours, series by series, in bounded memory; so does what
//! was not in blocks yet.

use super::block::{Described, SourceBlock};
use super::finding::{Finding, Findings};
use super::head::{Known, SourceHead};
use super::meta;
use super::target::Target;
use crate::blocks::size;
use crate::fs::Fs;
use crate::verify::{OnProgress, Progress};
use crate::{Db, Error, Options, names};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::Timestamp;
use tsdb_core::block::BlockId;
use tsdb_core::write::Appendable;

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The blocks that were written.
    pub blocks: Vec<PathBuf>,
    /// Blocks of the source that had been imported before and were passed over.
    pub known_blocks: u64,
    /// Series, counted anew in each block.
    pub series: u64,
    /// Samples, native histograms included.
    pub samples: u64,
    /// Native histograms among the samples.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
    /// Metrics of which type, unit or help text came along.
    pub metadata: u64,
    /// Samples that were left out because they lie in the future.
    pub ahead: u64,
    /// What could not be read, the first thousand findings.
    pub findings: Vec<Finding>,
    /// How many findings there are besides.
    pub other_findings: u64,
    /// Bytes of what was imported in the source.
    pub source_bytes: u64,
    /// Bytes of the blocks that were written.
    pub block_bytes: u64,
}

/// Imports the data directory `source` of a Prometheus server, or a single block of it, into the data directory
/// `target`, made if there is none, which no database may have open. Nothing in `source` is changed; the server it
/// belongs to should be stopped.
///
/// What is damaged is left out and told in [`Imported::findings`]. Blocks that were imported before are passed over, so
/// an import that was interrupted can be repeated.
///
/// # Errors
/// `source` is no such directory, `target` cannot be opened, or the file system failed; blocks that were finished
/// before stay.
pub fn import(
    fs: &Arc<dyn Fs>,
    source: &Path,
    target: &Path,
    on_progress: &mut OnProgress<'_>,
) -> Result<Imported, Error> {
    let mut findings = Findings::default();
    let mut imported = Imported::default();
    let blocks = find_blocks(&**fs, source, &mut findings)?;
    let head = SourceHead::open(fs, source, &mut findings)?;
    let sizes: Vec<u64> = blocks.iter().map(|block| size(&**fs, &block.path).unwrap_or(0)).collect();
    let total = sizes.iter().sum::<u64>() + head.size();
    let mut progress = Progress { now: String::new(), done: 0, total };
    let mut to = Target::open(fs, target)?;
    for (block, bytes) in blocks.iter().zip(sizes) {
        let before = progress.done;
        progress.now = format!("block {}", block.path.display());
        if block.id.is_some_and(|id| to.known.contains(&id)) {
            imported.known_blocks += 1;
        } else if let Some(mut from) = SourceBlock::open(fs, &block.path, &mut findings) {
            imported.source_bytes += bytes;
            let mut report = |share| {
                progress.done = before + share;
                on_progress(&progress);
            };
            to.copy(&mut from, block.id, bytes, &mut findings, &mut imported, &mut report)?;
        }
        progress.done = before + bytes;
        on_progress(&progress);
    }
    imported.source_bytes += head.size();
    progress.now = "log".to_owned();
    let mut on_bytes = |bytes| {
        progress.done += bytes;
        on_progress(&progress);
    };
    let mut on_batch = |batch| to.write(batch, &mut imported);
    let known = head.read(end(&blocks), &mut findings, &mut on_batch, &mut on_bytes)?;
    drop(to);
    tell_the_rest(fs, target, known, &mut imported)?;
    Findings { kept: imported.findings, others: imported.other_findings } = findings;
    Ok(imported)
}

/// Where the blocks end: what is before is in them. Those of samples that came out of order say nothing of others.
fn end(blocks: &[Described]) -> Timestamp {
    let in_order = blocks.iter().filter(|block| !block.meta.is_out_of_order);
    in_order.map(|block| block.meta.max_time).max().unwrap_or(Timestamp::MIN)
}

/// Puts what has no place in blocks into the database: exemplars, and what is known of metrics.
fn tell_the_rest(
    fs: &Arc<dyn Fs>,
    target: &Path,
    mut known: Known,
    imported: &mut Imported,
) -> Result<(), Error> {
    let exemplars = known.take_exemplars();
    if exemplars.is_empty() && known.metadata.is_empty() {
        return Ok(());
    }
    let options = Options { retention_ms: None, background: false, ..Options::default() };
    let db = Db::open_on(Arc::clone(fs), target, options)?;
    let mut batch = db.appender();
    imported.metadata += known.metadata.len() as u64;
    for (metric, metadata) in std::mem::take(&mut known.metadata) {
        batch.set_metadata(&metric, metadata);
    }
    for (labels, exemplar) in exemplars {
        if let Ok(series) = batch.series(&labels) {
            batch.append_exemplar(series, exemplar);
            imported.exemplars += 1;
        }
    }
    batch.commit().map_err(|e| Error::io("write the log of", target, io::Error::other(e)))?;
    db.close()
}

/// The blocks to be imported, in order of their times.
fn find_blocks(fs: &dyn Fs, source: &Path, findings: &mut Findings) -> Result<Vec<Described>, Error> {
    let entries = fs.list(source).map_err(|e| Error::io("list", source, e))?;
    let has = |name: &str| entries.iter().any(|entry| entry.name == name);
    if has(names::META) && has(names::INDEX) {
        return Ok(Described::find(fs, source, findings).into_iter().collect());
    }
    let is_block = |name: &str| meta::id(name).is_some();
    let dirs = entries.iter().filter(|entry| entry.is_dir && is_block(&entry.name));
    let mut blocks: Vec<Described> =
        dirs.filter_map(|entry| Described::find(fs, &source.join(&entry.name), findings)).collect();
    let parents: BTreeSet<BlockId> =
        blocks.iter().flat_map(|block| block.meta.parents.iter().copied()).collect();
    // A crash leaves blocks beside the one that was made of them.
    blocks.retain(|block| !block.meta.is_deletable && !block.id.is_some_and(|id| parents.contains(&id)));
    blocks.sort_by_key(|block| (block.meta.min_time, block.id));
    Ok(blocks)
}
