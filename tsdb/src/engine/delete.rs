//! Deletes: in memory, in the log, in every block on disk, and in those on object storage.
//!
//! A delete that fails half way, or is overtaken by a crash, may have been done in a part of these places; it is
//! acknowledged when it is durable in all of them, and can be repeated.

use super::Engine;
use super::work::Work;
use crate::block::{Block, BlockError};
use crate::tier::{Shipper, StoreError};
use crate::tombstones::format::encode;
use crate::{Error, blocks};
use std::io;
use std::sync::Arc;
use tsdb_core::error::CorruptionKind;
use tsdb_core::{Corruption, Matcher, TimeRange};

/// How often a delete on object storage is begun anew because blocks were merged there meanwhile.
const MAX_TRIES: usize = 8;

impl Engine {
    /// Deletes the samples and exemplars within `range` of the series that satisfy all `matchers`. Everything is tried;
    /// the first failure is returned.
    pub(crate) fn delete(&self, matchers: &[Matcher], range: TimeRange) -> Result<(), Error> {
        if let Some(shipper) = self.shipper.as_ref().filter(|shipper| !shipper.has_shown()) {
            // Blocks on disk may have been let go by an earlier run, and merged by others.
            self.wait_for_replay();
            self.refresh_far(shipper)?;
        }
        // Meanwhile nothing is cut, replaced or removed.
        let work = self.begin_work()?;
        let in_head = self.head.delete(matchers, range).map_err(Error::from);
        let in_blocks = self.delete_in_blocks(&work, matchers, range);
        self.head.remove_empty();
        drop(work);
        let deleted = in_head.and(in_blocks).and(self.delete_far(matchers, range));
        // ORDER: behind the moment at which readers miss the samples, as far as that came.
        self.head.changes().note_from(range.start());
        deleted
    }

    /// Deletes in the blocks on object storage and in those that may be let go, in the manifest. What is merged or
    /// deleted there meanwhile is looked at again.
    fn delete_far(&self, matchers: &[Matcher], range: TimeRange) -> Result<(), Error> {
        let Some(shipper) = &self.shipper else { return Ok(()) };
        let _turn = self.far_deletes.lock();
        for _ in 0..MAX_TRIES {
            let blocks = self.published.read().blocks.clone();
            let leaving = shipper.leaving().lock().clone();
            let is_done = |block: &Arc<Block>| self.delete_in_far(shipper, block, matchers, range);
            let concerned = blocks
                .everywhere()
                .filter(|block| block.is_far() || leaving.contains(&block.meta().id))
                .filter(|block| block.meta().range.overlaps(&range));
            let mut is_all_done = true;
            for block in concerned {
                is_all_done &= is_done(block)?;
            }
            if is_all_done {
                return Ok(());
            }
            self.refresh_far(shipper)?;
        }
        Err(Error::Overtaken { blocks: 1 })
    }

    /// Deletes in a block that the manifest names; says whether it is still named as it is known here.
    fn delete_in_far(
        &self,
        shipper: &Shipper,
        block: &Arc<Block>,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<bool, Error> {
        let id = block.meta().id;
        if !block.is_far() {
            // It is deleted here already.
            let Some(bytes) = block.tombstone_bytes() else { return Ok(true) };
            return Ok(shipper.delete(id, &bytes, None, true)?.is_some());
        }
        let Some((after, generation)) = block.with_deleted(matchers, range).map_err(out_of_reach)? else {
            // Nothing more is to be deleted in what is known here; it may be merged by now.
            return Ok(shipper.is_named(id)?);
        };
        if shipper.is_held(id) {
            return Err(Error::FarAway { blocks: 1 });
        }
        let bytes = encode(id, generation, &after);
        let known = shipper.known_deleted(id);
        let Some(checksum) = shipper.delete(id, &bytes, known, false)? else { return Ok(false) };
        shipper.set_deleted(block, after, generation, checksum);
        Ok(true)
    }

    /// Deletes in the blocks on disk, also in those that nobody is served: a restart may find them again.
    fn delete_in_blocks(&self, _work: &Work, matchers: &[Matcher], range: TimeRange) -> Result<(), Error> {
        let served = self.published.read().blocks.clone();
        let (fs, dir) = (&*self.place.fs, &self.place.dir);
        let mut outcome = Ok(());
        for entry in fs.list(dir).map_err(|e| Error::io("list", dir, e))? {
            let Some(id) = Block::parse_dir_name(&entry.name).filter(|_| entry.is_dir) else { continue };
            let path = dir.join(&entry.name);
            let known = served.iter().find(|block| block.meta().id == id).map(Arc::clone);
            let opened = known.map_or_else(|| self.place.open(&path).map(|open| open.block), Ok);
            let deleted = match opened {
                Ok(block) => block.delete(matchers, range).map_err(Error::from),
                Err(_) if !blocks::may_hold(fs, &path, range) => Ok(()),
                Err(error) => Err(error),
            };
            let deleted = deleted.map_err(|source| Error::NotDeleted { path, source: Box::new(source) });
            outcome = outcome.and(deleted);
        }
        outcome
    }
}

/// What cannot be read of a far block may be read later.
fn out_of_reach(error: BlockError) -> Error {
    match error {
        BlockError::Corrupt {
            path,
            source: Corruption { kind: CorruptionKind::Unreadable { message }, .. },
        } => {
            let key = path.display().to_string();
            let error = StoreError::unavailable("read", &key, io::Error::other(message));
            Error::ObjectStorage { source: Box::new(error.into()) }
        }
        other => other.into(),
    }
}
