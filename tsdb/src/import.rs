//! Samples from elsewhere, written as blocks: in any order, as many as there are, in bounded memory.
//!
//! Samples are collected and written as one block each time the memory for them is used up. The blocks of one import
//! may overlap; of two samples of a series at one time the one imported last is believed. What the directory has in its
//! log becomes blocks first, because a log is replayed only from where blocks end.

use crate::block::{Block, BlockSpec, BlockWriter};
use crate::engine::new_id;
use crate::fs::{DirLock, Fs};
use crate::{Db, Error, Options, SystemClock, verify};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::block::BlockId;
use tsdb_core::time::Clock as _;
use tsdb_core::{Labels, Timestamp};

/// Samples that are collected before they are written.
const BATCH_SAMPLES: usize = 4 << 20;

/// Makes `dir` ready for blocks to be put beside those it has: the samples of its log become blocks. Keeps it locked.
pub(crate) fn prepare(fs: &Arc<dyn Fs>, dir: &Path) -> Result<Option<DirLock>, Error> {
    let options = Options { retention_ms: None, background: false, ..Options::default() };
    let db = Db::open_on(Arc::clone(fs), dir, options)?;
    db.flush()?;
    db.close()?;
    verify::lock(&**fs, dir)
}

/// An import under way. What was not [`finish`](Self::finish)ed is in the directory as far as it was written.
pub struct Importer {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    _lock: Option<DirLock>,
    newest: Timestamp,
    collected: BTreeMap<Labels, Vec<(Timestamp, f64)>>,
    count: usize,
    blocks: Vec<PathBuf>,
}

impl Importer {
    /// Begins an import into the data directory `dir`, made if there is none, which no database may have open.
    ///
    /// # Errors
    /// The directory cannot be opened, or what its log holds not written.
    pub fn open(fs: Arc<dyn Fs>, dir: &Path) -> Result<Self, Error> {
        let lock = prepare(&fs, dir)?;
        let (collected, blocks) = (BTreeMap::new(), Vec::new());
        let newest = SystemClock.now();
        Ok(Self { fs, dir: dir.to_owned(), _lock: lock, newest, collected, count: 0, blocks })
    }

    /// The newest time that is taken, ms: that of the beginning of the import.
    pub fn newest(&self) -> Timestamp {
        self.newest
    }

    /// Adds a sample, whose time must not be after [`newest`](Self::newest): says whether it was taken.
    ///
    /// # Errors
    /// A block cannot be written.
    pub fn add(&mut self, labels: &Labels, timestamp: Timestamp, value: f64) -> Result<bool, Error> {
        if timestamp > self.newest {
            return Ok(false);
        }
        match self.collected.get_mut(labels) {
            Some(samples) => samples.push((timestamp, value)),
            None => drop(self.collected.insert(labels.clone(), vec![(timestamp, value)])),
        }
        self.count += 1;
        if self.count >= BATCH_SAMPLES {
            self.write()?;
        }
        Ok(true)
    }

    /// Writes what is left. Returns the blocks that were written.
    ///
    /// # Errors
    /// The block cannot be written.
    pub fn finish(mut self) -> Result<Vec<PathBuf>, Error> {
        self.write()?;
        Ok(self.blocks)
    }

    fn write(&mut self) -> Result<(), Error> {
        let entries = self.fs.list(&self.dir).map_err(|e| Error::io("list", &self.dir, e))?;
        let newest: Option<BlockId> = entries.iter().filter_map(|e| Block::parse_dir_name(&e.name)).max();
        let spec = BlockSpec::first_level(new_id(newest, SystemClock.now()));
        let mut writer = BlockWriter::create(&*self.fs, &self.dir, spec)?;
        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        for (labels, mut samples) in std::mem::take(&mut self.collected) {
            samples.sort_by_key(|sample| sample.0);
            timestamps.clear();
            values.clear();
            for (timestamp, value) in samples {
                if timestamps.last() == Some(&timestamp) {
                    timestamps.pop();
                    values.pop();
                }
                timestamps.push(timestamp);
                values.push(value);
            }
            writer.add(&labels, &timestamps, &values)?;
        }
        self.count = 0;
        if let Some(written) = writer.finish()? {
            self.blocks.push(self.dir.join(Block::dir_name(written.id)));
        }
        Ok(())
    }
}
