//! What is deleted in a block: found by matchers, kept beside its files, and left out of every answer.

use super::BlockError;
use super::parts::Opened;
use super::reader::Block;
use crate::names;
use crate::tombstones::{self, Intervals, Kept, Tombstones};
use std::sync::Arc;
use tsdb_core::read::SampleColumns;
use tsdb_core::{Matcher, TimeRange};
use tsdb_index::{ChunkRef, RoaringBitmap};

/// What is deleted in a block.
#[derive(Debug)]
pub(super) struct Deleted {
    tombstones: Arc<Tombstones>,
    generation: u64,
    /// Is that on disk twice?
    is_safe: bool,
}

impl From<Kept> for Deleted {
    fn from(kept: Kept) -> Self {
        let Kept { tombstones, generation, is_safe, .. } = kept;
        Self { tombstones: Arc::new(tombstones), generation, is_safe }
    }
}

impl Block {
    /// What is deleted in the block.
    pub fn tombstones(&self) -> Arc<Tombstones> {
        Arc::clone(&self.deleted.read().tombstones)
    }

    /// Deletes the samples within `range` of the series that satisfy all `matchers`. Durable when it returns; readers
    /// that selected series before may still see them. Only one caller at a time.
    ///
    /// # Errors
    /// Damage to the index, or the file system failed; the samples are then deleted or not.
    pub fn delete(&self, matchers: &[Matcher], range: TimeRange) -> Result<(), BlockError> {
        let Some((after, generation)) = self.with_deleted(matchers, range)? else {
            return self.secure_tombstones();
        };
        tombstones::save(&*self.fs, &self.dir, self.meta().id, generation, &after)?;
        *self.deleted.write() = Deleted { tombstones: Arc::new(after), generation, is_safe: true };
        Ok(())
    }

    /// What is deleted when the samples within `range` of the series that satisfy all `matchers` are deleted as well,
    /// and its generation; `None` if that is what is deleted already.
    ///
    /// # Errors
    /// Damage to the index.
    pub(crate) fn with_deleted(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Option<(Tombstones, u64)>, BlockError> {
        if !self.meta().range.overlaps(&range) {
            return Ok(None);
        }
        let opened = self.parts()?;
        let damaged = |damage| BlockError::damaged(self.dir.join(names::INDEX), damage);
        let (mut cursor, mut chunks) = (opened.index.cursor(), Vec::new());
        let before = self.tombstones();
        let mut found = RoaringBitmap::new();
        for series in opened.index.select(matchers).map_err(damaged)? - before.gone() {
            cursor.chunks(series, &mut chunks).map_err(damaged)?;
            let deleted = before.of(series);
            let is_left = |part: TimeRange| !deleted.covers(&part);
            if chunks.iter().any(|chunk| chunk.range.intersect(&range).is_some_and(is_left)) {
                found.insert(series);
            }
        }
        if found.is_empty() {
            return Ok(None);
        }
        let after = before.with(&found, range, |series, deleted| {
            cursor.chunks(series, &mut chunks).map_err(damaged)?;
            Ok::<_, BlockError>(chunks.iter().all(|chunk| self.is_gone(&opened, chunk, deleted)))
        })?;
        let generation = self.deleted.read().generation.saturating_add(1);
        Ok(Some((after, generation)))
    }

    /// Says what is deleted in a far block, unless something newer is known.
    pub(crate) fn set_deleted(&self, tombstones: Tombstones, generation: u64) {
        let mut deleted = self.deleted.write();
        if generation > deleted.generation {
            *deleted = Deleted { tombstones: Arc::new(tombstones), generation, is_safe: true };
        }
    }

    /// What is deleted, as a file of it has it; `None` if nothing is.
    pub(crate) fn tombstone_bytes(&self) -> Option<Vec<u8>> {
        let deleted = self.deleted.read();
        let (id, generation, tombstones) = (self.meta().id, deleted.generation, &deleted.tombstones);
        (!tombstones.is_empty()).then(|| tombstones::format::encode(id, generation, tombstones))
    }

    /// Does what is `deleted` leave no sample of `chunk`?
    fn is_gone(&self, opened: &Opened, chunk: &ChunkRef, deleted: &Intervals) -> bool {
        if deleted.covers(&chunk.range) {
            return true;
        }
        let has_ends = deleted.contains(chunk.range.start()) && deleted.contains(chunk.range.end());
        let mut samples = SampleColumns::new();
        // What cannot be read may be there.
        has_ends
            && self.read_chunk(&opened.segments, chunk, TimeRange::ALL, &mut samples).is_ok()
            && samples.timestamps.iter().all(|timestamp| deleted.contains(*timestamp))
    }

    /// Sees to it that there are two good copies of the tombstones.
    pub(crate) fn secure_tombstones(&self) -> Result<(), BlockError> {
        let (tombstones, generation) = {
            let deleted = self.deleted.read();
            if deleted.is_safe {
                return Ok(());
            }
            (Arc::clone(&deleted.tombstones), deleted.generation)
        };
        tombstones::save(&*self.fs, &self.dir, self.meta().id, generation, &tombstones)?;
        self.deleted.write().is_safe = true;
        Ok(())
    }
}
