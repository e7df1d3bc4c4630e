//! One merge, from blocks on disk to a block that waits for its name.

use super::progress::Watched;
use super::{Progress, Throttle};
use crate::Error;
use crate::block::{Block, BlockSpec, FrameCache, MergeError, MergeInput, MergeOptions, Merged, merge};
use crate::blocks::BlockPlace;
use crate::tombstones::Tombstones;
use std::sync::Arc;
use tsdb_core::block::{BlockId, BlockMeta};

/// Memory for unpacked frames, columns of timestamps and pages of the indices of all sources, in bytes.
const CACHE_BYTES: usize = 64 << 20;

/// What is to be merged into what.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) spec: BlockSpec,
    /// The blocks in the order in which they were written, and what is deleted in them.
    pub(crate) inputs: Vec<(BlockMeta, Arc<Tombstones>)>,
    pub(crate) keep_first: bool,
}

/// Why a job was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A source cannot be read.
    Input(BlockId, Box<dyn std::error::Error>),
    /// The result cannot be written.
    Output(Error),
    /// It was stopped.
    Stopped,
}

/// Carries out `job`. `None` if nothing is left of its inputs.
pub(crate) fn execute<'a>(
    place: &'a BlockPlace,
    job: &Job,
    throttle: &Throttle,
    progress: &Progress,
) -> Result<Option<Merged<'a>>, Failure> {
    // Queries keep what they have in their cache.
    let cache = Arc::new(FrameCache::new(CACHE_BYTES));
    let mut inputs = Vec::with_capacity(job.inputs.len());
    for (meta, tombstones) in &job.inputs {
        let block = Block::open(&place.fs, &place.path(meta.id), Arc::clone(&cache));
        let block = block.map_err(|error| Failure::Input(meta.id, error.into()))?;
        inputs.push(MergeInput { block, tombstones: Arc::clone(tombstones) });
    }
    let watched = Watched { throttle, progress };
    let options = MergeOptions::new(&watched, job.keep_first);
    let spec = job.spec.clone();
    merge(&*place.fs, &place.dir, spec, &inputs, &options).map_err(|error| failure(error, job))
}

fn failure(error: MergeError, job: &Job) -> Failure {
    match error {
        MergeError::Stopped => Failure::Stopped,
        MergeError::Output(error) => Failure::Output(error.into()),
        MergeError::Input { input, source } => match job.inputs.get(input) {
            Some((meta, _)) => Failure::Input(meta.id, source.into()),
            None => Failure::Stopped,
        },
    }
}
