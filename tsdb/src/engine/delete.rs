//! Deletes: in memory, in the log, and in every block on disk.
//!
//! A delete that fails half way, or is overtaken by a crash, may have been done in a part of these places; it is
//! acknowledged when it is durable in all of them, and can be repeated.

use super::Engine;
use super::work::Work;
use crate::block::Block;
use crate::{Error, blocks};
use std::sync::Arc;
use tsdb_core::{Matcher, TimeRange};

impl Engine {
    /// Deletes the samples and exemplars within `range` of the series that satisfy all `matchers`. Everything is tried;
    /// the first failure is returned.
    pub(crate) fn delete(&self, matchers: &[Matcher], range: TimeRange) -> Result<(), Error> {
        // Meanwhile nothing is cut, replaced or removed.
        let work = self.begin_work()?;
        let in_head = self.head.delete(matchers, range).map_err(Error::from);
        let in_blocks = self.delete_in_blocks(&work, matchers, range);
        self.head.remove_empty();
        let blocks = self.published.read().blocks.clone();
        let far = blocks.far().filter(|far| far.block.meta().range.overlaps(&range)).count();
        let in_far = if far == 0 { Ok(()) } else { Err(Error::FarAway { blocks: far }) };
        in_head.and(in_blocks).and(in_far)
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
