//! Repair of a damaged data directory. Nothing is ever deleted: what is damaged is moved aside, into the directory
//! `quarantine`, and what can be read of it takes its place.
//!
//! | damage | what is done |
//! |---|---|
//! | description of a block | written anew from the index |
//! | samples, postings or series of a block | all that can be read becomes a new block; the old one is moved aside |
//! | a block that cannot be opened | moved aside |
//! | the log | its files get second names in the quarantine; all that can be read becomes blocks, and the log begins anew |
//!
//! Each step can be repeated. A crash in the middle leaves a block beside its replacement at worst; reading tells
//! equal samples apart by their time.

use crate::block::{Block, BlockSpec, BlockWriter, FrameCache};
use crate::engine::new_id;
use crate::fs::{Fs, create_dirs};
use crate::verify::{self, Finding, OnProgress, Progress, Verdict};
use crate::{Db, Error, Options, names};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::TimeRange;
use tsdb_core::block::BlockId;
use tsdb_core::sample::SampleColumns;
use tsdb_core::time::Clock as _;
use tsdb_index::ChunkRef;
use tsdb_rollup::aggregate::AggregateColumns;

/// Memory for unpacked parts of the blocks that are read, in bytes.
const CACHE_BYTES: usize = 32 << 20;

/// What a repair found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// What was damaged before.
    pub before: Verdict,
    /// What was done about it, in order.
    pub steps: Vec<Step>,
}

/// Something that a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The description of a block was written anew.
    Described {
        /// The block.
        block: PathBuf,
    },
    /// A damaged copy of the tombstones of a block was made anew from the other one.
    Copied {
        /// The copy.
        file: PathBuf,
    },
    /// What could be read of a block became another one.
    Rebuilt {
        /// The damaged block.
        block: PathBuf,
        /// The new one.
        into: PathBuf,
        /// Samples in it.
        samples: u64,
    },
    /// A damaged file or directory was moved aside.
    MovedAside {
        /// Its path before.
        from: PathBuf,
        /// Its path now.
        to: PathBuf,
    },
    /// The log began anew; everything in it that could be read is in blocks.
    RenewedLog,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Described { block } => write!(f, "{}: described anew", block.display()),
            Self::Copied { file } => write!(f, "{}: made anew from the other copy", file.display()),
            Self::Rebuilt { block, into, samples } => {
                write!(f, "{}: {samples} samples were read and are in {}", block.display(), into.display())
            }
            Self::MovedAside { from, to } => write!(f, "{} is kept as {}", from.display(), to.display()),
            Self::RenewedLog => write!(f, "the log began anew; all that could be read of it is in blocks"),
        }
    }
}

/// Repairs the data directory `dir`, which no database may have open.
///
/// # Errors
/// The directory is in use or of an unknown version, or the file system failed; what was done until then is whole.
pub fn repair(fs: &Arc<dyn Fs>, dir: &Path, on_progress: &mut OnProgress<'_>) -> Result<Repair, Error> {
    let lock = verify::lock(&**fs, dir)?;
    let before = verify::check(fs, dir, on_progress)?;
    let wal_dir = dir.join(names::WAL_DIR);
    let (of_log, of_blocks): (Vec<&Finding>, Vec<&Finding>) =
        before.findings.iter().filter(|f| !f.is_foreign).partition(|f| f.path.starts_with(&wal_dir));
    let mut work = Work { fs, dir, steps: Vec::new() };
    let blocks: BTreeSet<&str> =
        of_blocks.iter().filter_map(|finding| block_of(dir, &finding.path)).collect();
    for name in blocks {
        let path = dir.join(name);
        let of_this = of_blocks.iter().filter(|finding| finding.path.starts_with(&path));
        let damaged: BTreeSet<&Path> = of_this.map(|finding| finding.path.as_path()).collect();
        work.repair_block(&path, &damaged)?;
    }
    // Whoever opens the database locks it.
    drop(lock);
    if !of_log.is_empty() {
        work.renew_log(&wal_dir, on_progress)?;
    }
    let steps = work.steps;
    Ok(Repair { before, steps })
}

/// The name of the block to which `path` belongs.
fn block_of<'p>(dir: &Path, path: &'p Path) -> Option<&'p str> {
    path.strip_prefix(dir).ok()?.components().next()?.as_os_str().to_str()
}

struct Work<'a> {
    fs: &'a Arc<dyn Fs>,
    dir: &'a Path,
    steps: Vec<Step>,
}

impl Work<'_> {
    /// Repairs the block `block`, of which these files are `damaged`.
    fn repair_block(&mut self, block: &Path, damaged: &BTreeSet<&Path>) -> Result<(), Error> {
        let meta = block.join(names::META);
        let copies = [names::TOMBSTONES, names::TOMBSTONES_COPY].map(|name| block.join(name));
        let is_copy = |path: &Path| copies.iter().any(|copy| copy == path);
        if damaged.iter().any(|path| *path != meta && !is_copy(path)) || self.open(block).is_err() {
            return self.rebuild(block);
        }
        if damaged.contains(&*meta) {
            self.describe(block, &meta)?;
        }
        if let Some(copy) = damaged.iter().find(|path| is_copy(path)) {
            self.keep_a_name(copy)?;
            self.open(block)?.secure_tombstones()?;
            self.steps.push(Step::Copied { file: copy.to_path_buf() });
        }
        Ok(())
    }

    fn describe(&mut self, block: &Path, meta: &Path) -> Result<(), Error> {
        let opened = self.open(block)?;
        let exists = self.fs.exists(meta).map_err(|e| Error::io("inspect", meta, e))?;
        if exists {
            self.keep_a_name(meta)?;
        }
        opened.describe_anew(&**self.fs)?;
        self.steps.push(Step::Described { block: block.to_owned() });
        Ok(())
    }

    /// Makes a block of what can be read of `block`, which is then moved aside.
    fn rebuild(&mut self, block: &Path) -> Result<(), Error> {
        if let Ok(opened) = self.open(block) {
            self.copy_what_can_be_read(block, &opened)?;
        }
        self.move_aside(block)
    }

    fn copy_what_can_be_read(&mut self, path: &Path, block: &Block) -> Result<(), Error> {
        let entries = self.fs.list(self.dir).map_err(|e| Error::io("list", self.dir, e))?;
        let newest: Option<BlockId> = entries.iter().filter_map(|e| Block::parse_dir_name(&e.name)).max();
        let id = new_id(newest, crate::SystemClock.now());
        let meta = block.meta();
        let (level, sources) = (meta.level, meta.sources.clone());
        let (parents, incomplete) = (Vec::new(), meta.incomplete.clone());
        let spec = BlockSpec { id, level, sources, parents, incomplete, rollup: meta.rollup };
        let mut writer = BlockWriter::create(&**self.fs, self.dir, spec)?;
        let mut samples = SampleColumns::new();
        let mut lost = 0_u64;
        let all_series = block.for_each_readable(|labels, chunks, deleted| {
            samples.clear();
            if meta.rollup.is_some() {
                let read = |chunk: &ChunkRef| {
                    let mut windows = AggregateColumns::default();
                    block.read_all_windows(&[*chunk], deleted, &mut windows).ok().map(|()| windows)
                };
                let found: Vec<_> = chunks.iter().filter_map(read).collect();
                lost += (chunks.len() - found.len()) as u64;
                return writer.add_windows(&labels, &found);
            }
            for chunk in chunks {
                // What cannot be read is what the verdict names; nothing of it is added.
                lost += u64::from(block.read(&[*chunk], deleted, TimeRange::ALL, &mut samples).is_err());
            }
            writer.add_samples(&labels, samples.as_slices())
        })?;
        if lost > 0 || !all_series {
            writer.set_incomplete(meta.sources.clone());
        }
        if let Some(written) = writer.finish()? {
            let into = self.dir.join(Block::dir_name(written.id));
            let samples = written.stats.samples;
            self.steps.push(Step::Rebuilt { block: path.to_owned(), into, samples });
        }
        Ok(())
    }

    /// Lets what can be read of the log become blocks, and keeps all of the log in the quarantine: a damaged record of
    /// a series makes sound records of its samples useless.
    fn renew_log(&mut self, wal_dir: &Path, on_progress: &mut OnProgress<'_>) -> Result<(), Error> {
        self.keep_names(wal_dir)?;
        let options = Options { retention_ms: None, background: false, ..Options::default() };
        let mut total = 0;
        let db = Db::open_watched(Arc::clone(self.fs), self.dir, options, &mut |left| {
            total = left.max(total);
            on_progress(&Progress { now: "reads the log".to_owned(), done: total - left, total });
        })?;
        on_progress(&Progress { now: "makes blocks of the log".to_owned(), done: total, total });
        db.flush()?;
        db.renew_log()?;
        db.close()?;
        self.steps.push(Step::RenewedLog);
        Ok(())
    }

    fn open(&self, block: &Path) -> Result<Block, Error> {
        Ok(Block::open(self.fs, block, Arc::new(FrameCache::new(CACHE_BYTES)))?)
    }

    /// Gives all files below `dir` second names in the quarantine.
    fn keep_names(&mut self, dir: &Path) -> Result<(), Error> {
        for entry in self.fs.list(dir).map_err(|e| Error::io("list", dir, e))? {
            let path = dir.join(&entry.name);
            if entry.is_dir { self.keep_names(&path)? } else { self.keep_a_name(&path)? }
        }
        Ok(())
    }

    /// Gives the file `path` a second name in the quarantine.
    fn keep_a_name(&mut self, path: &Path) -> Result<(), Error> {
        let to = self.place_for(path)?;
        self.fs.hard_link(path, &to).map_err(|e| Error::io("link", path, e))?;
        self.note_kept(path, to)
    }

    fn move_aside(&mut self, path: &Path) -> Result<(), Error> {
        let to = self.place_for(path)?;
        self.fs.rename(path, &to).map_err(|e| Error::io("move", path, e))?;
        self.fs.sync_dir(self.dir).map_err(|e| Error::io("sync", self.dir, e))?;
        self.note_kept(path, to)
    }

    fn note_kept(&mut self, path: &Path, to: PathBuf) -> Result<(), Error> {
        let quarantine = self.dir.join(names::QUARANTINE_DIR);
        self.fs.sync_dir(&quarantine).map_err(|e| Error::io("sync", &quarantine, e))?;
        self.steps.push(Step::MovedAside { from: path.to_owned(), to });
        Ok(())
    }

    /// A path in the quarantine for `path` that nothing has.
    fn place_for(&self, path: &Path) -> Result<PathBuf, Error> {
        let quarantine = self.dir.join(names::QUARANTINE_DIR);
        create_dirs(&**self.fs, &quarantine).map_err(|e| Error::io("create", &quarantine, e))?;
        let below = path.strip_prefix(self.dir).unwrap_or(path);
        let parts: Vec<_> = below.components().map(|part| part.as_os_str().to_string_lossy()).collect();
        let name = parts.join("-");
        let mut to = quarantine.join(&name);
        let mut number = 1_u64;
        while self.fs.exists(&to).map_err(|e| Error::io("inspect", &to, e))? {
            number += 1;
            to = quarantine.join(format!("{name}-{number}"));
        }
        Ok(to)
    }
}
