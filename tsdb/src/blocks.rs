//! The blocks of a database: found when it is opened, added when the head is cut, removed when they expire.
//!
//! A block that cannot be opened is set aside: it stays on disk as it is, is named in the warnings, and the others
//! are served. A block that is removed first loses its name, so that no crash leaves half a block under it.

mod standing;

use crate::block::{Block, FrameCache};
use crate::elsewhere::FarAway;
use crate::fs::Fs;
use crate::tombstones::Tombstones;
use crate::{Error, names};
use standing::{Damaged, Standing};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::block::{BlockId, BlockMeta};
use tsdb_core::{TimeRange, Timestamp};
use tsdb_rollup::downsample::windows_of;

/// Blocks that can be read, in the order in which they were written. Changing the list makes a new one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blocks {
    list: Arc<[OpenBlock]>,
    /// Blocks on object storage, none of which is in the list.
    far: Arc<[FarBlock]>,
    /// All of them, in the order in which they were written.
    all: Arc<[Arc<Block>]>,
    aside: Arc<[SetAside]>,
    /// Blocks on object storage that cannot be read.
    far_aside: Arc<[SetAside]>,
    /// Blocks of samples that are known to be damaged.
    damaged: Arc<[Damaged]>,
    /// What the blocks of windows are worth.
    standing: Arc<Standing>,
}

/// A block on object storage and its size there.
#[derive(Debug, Clone)]
pub(crate) struct FarBlock {
    pub(crate) block: Arc<Block>,
    pub(crate) bytes: u64,
}

/// A block that could not be opened.
#[derive(Debug)]
pub(crate) struct SetAside {
    id: Option<BlockId>,
    /// What is told of it.
    sentence: String,
    /// The times of its samples, if its description can be read.
    range: Option<TimeRange>,
}

impl SetAside {
    /// A block on object storage.
    pub(crate) fn far(meta: &BlockMeta, sentence: String) -> Self {
        Self { id: Some(meta.id), sentence, range: Some(meta.range) }
    }

    /// What is told of `all` of them, which lie on object storage: one sentence, however many there are.
    pub(crate) fn summary<'a>(all: impl Iterator<Item = &'a Self>) -> Option<String> {
        let mut count = 0_usize;
        let mut first = None;
        for aside in all {
            count += 1;
            first.get_or_insert(aside);
        }
        let sentence = &first?.sentence;
        Some(match count {
            1 => sentence.clone(),
            _ => format!("{count} blocks on object storage are missing; the first: {sentence}"),
        })
    }

    /// Which block, if that is known.
    pub(crate) fn id(&self) -> Option<BlockId> {
        self.id
    }
}

/// A block and its size on disk.
#[derive(Debug, Clone)]
pub(crate) struct OpenBlock {
    pub(crate) block: Arc<Block>,
    pub(crate) bytes: u64,
}

/// Where blocks are and what their readers share.
#[derive(Debug, Clone)]
pub(crate) struct BlockPlace {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) dir: PathBuf,
    pub(crate) cache: Arc<FrameCache>,
}

impl Blocks {
    /// Opens all blocks in `place` and sweeps what was never finished. Returns what was found wrong as sentences.
    pub(crate) fn open(place: &BlockPlace) -> Result<(Self, Vec<String>), Error> {
        let entries = place.fs.list(&place.dir).map_err(|e| Error::io("list", &place.dir, e))?;
        let mut warnings = Vec::new();
        let (mut found, mut aside) = (Vec::new(), Vec::new());
        for entry in entries {
            let path = place.dir.join(&entry.name);
            if names::is_temporary(&entry.name) {
                sweep(&*place.fs, &path, entry.is_dir)?;
            } else if entry.is_dir && Block::parse_dir_name(&entry.name).is_some() {
                match place.open(&path) {
                    Ok(open) => {
                        sweep_within(&*place.fs, &path)?;
                        if let Err(error) = open.block.secure_tombstones() {
                            warnings.push(format!("block {}: {error}", entry.name));
                        }
                        let damage = open.block.warnings().iter();
                        warnings.extend(damage.map(|what| format!("block {}: {what}", entry.name)));
                        found.push(open);
                    }
                    Err(error) => {
                        let sentence = format!("block {} is set aside: {error}", entry.name);
                        let range = described_range(&*place.fs, &path);
                        warnings.push(sentence.clone());
                        let id = Block::parse_dir_name(&entry.name);
                        aside.push(SetAside { id, sentence, range });
                    }
                }
            }
        }
        let replaced = remove_replaced(place, &mut found, &mut aside)?;
        warnings.retain(|warning| !replaced.iter().any(|id| warning.contains(&Block::dir_name(*id))));
        Ok((Self::arranged(found, Arc::default(), aside.into(), &[]), warnings))
    }

    /// The blocks with their sizes.
    pub(crate) fn iter_open(&self) -> impl Iterator<Item = &OpenBlock> {
        self.list.iter()
    }

    /// The blocks that are read: those on disk and those on object storage, in the order in which they were written.
    pub(crate) fn everywhere(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.all.iter()
    }

    /// The blocks on object storage.
    pub(crate) fn far(&self) -> impl Iterator<Item = &FarBlock> {
        self.far.iter()
    }

    /// The list with `far` as the blocks on object storage, of which those `missing` cannot be read.
    pub(crate) fn with_far(&self, far: Vec<FarBlock>, missing: Vec<SetAside>) -> Self {
        let far_aside = if missing.is_empty() { Arc::default() } else { missing.into() };
        let aside = Arc::clone(&self.aside);
        Self { far_aside, ..Self::arranged(self.list.to_vec(), far.into(), aside, &self.damaged) }
    }

    /// Bytes of the block `id` on disk.
    pub(crate) fn bytes_of(&self, id: BlockId) -> u64 {
        self.list.iter().find(|open| open.block.meta().id == id).map_or(0, |open| open.bytes)
    }

    /// The blocks on disk.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.list.iter().map(|open| &open.block)
    }

    /// What is told of blocks that could not be opened and may have samples within `range`.
    pub(crate) fn missing(&self, range: TimeRange) -> impl Iterator<Item = String> {
        let concerned = move |aside: &&SetAside| aside.range.is_none_or(|held| held.overlaps(&range));
        let far = SetAside::summary(self.far_aside.iter().filter(concerned));
        self.aside.iter().filter(concerned).map(|aside| aside.sentence.clone()).chain(far)
    }

    /// The blocks that lie on object storage only and can be read.
    pub(crate) fn far_away(&self) -> Vec<FarAway> {
        self.far().map(|far| FarAway::of(far.block.meta(), far.bytes)).collect()
    }

    /// The times within `range` for which there are windows, and not all of the samples that they were made of.
    pub(crate) fn without_samples(&self, range: TimeRange) -> Vec<TimeRange> {
        let windows = self.everywhere().filter(|block| !self.has_samples_of(block.meta().id));
        let mut covered: Vec<TimeRange> =
            windows.filter_map(|block| block.meta().rollup?.covers.intersect(&range)).collect();
        covered.sort_by_key(TimeRange::start);
        covered.dedup_by(|later, before| {
            let joins = later.start() <= before.end().saturating_add(1);
            if joins {
                *before = before.union(later);
            }
            joins
        });
        covered
    }

    /// Bytes of all blocks on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.list.iter().map(|open| open.bytes).sum()
    }

    /// The first time that no block reaches.
    pub(crate) fn end(&self) -> Timestamp {
        let last = self.everywhere().map(|block| block.meta().range.end()).max();
        last.map_or(Timestamp::MIN, |last| last.saturating_add(1))
    }

    /// The greatest name of a block.
    pub(crate) fn newest_id(&self) -> Option<BlockId> {
        let aside = self.aside.iter().filter_map(|aside| aside.id);
        self.everywhere().map(|block| block.meta().id).chain(aside).max()
    }

    /// Is the block `id` one of these, and are its tombstones still the same?
    pub(crate) fn has_unchanged(&self, id: BlockId, tombstones: &Arc<Tombstones>) -> bool {
        let found = self.everywhere().find(|block| block.meta().id == id);
        found.is_some_and(|block| Arc::ptr_eq(&block.tombstones(), tombstones))
    }

    /// The list with `block`.
    pub(crate) fn with(&self, block: OpenBlock) -> Self {
        self.listing(self.list.iter().cloned().chain([block]).collect())
    }

    /// The list without the block `id`.
    pub(crate) fn without(&self, id: BlockId) -> Self {
        self.listing(self.list.iter().filter(|open| open.block.meta().id != id).cloned().collect())
    }

    /// These with `list` as the blocks on disk.
    fn listing(&self, list: Vec<OpenBlock>) -> Self {
        self.rearranged(list, &self.damaged)
    }

    fn rearranged(&self, list: Vec<OpenBlock>, damaged: &[Damaged]) -> Self {
        let far_aside = Arc::clone(&self.far_aside);
        let (far, aside) = (Arc::clone(&self.far), Arc::clone(&self.aside));
        Self { far_aside, ..Self::arranged(list, far, aside, damaged) }
    }

    /// The list after windows of the times `within` were to be made of `read`, of which those `damaged` could not be read
    /// whole; `None` if that was known.
    pub(crate) fn with_damage(
        &self,
        read: &[&Arc<Block>],
        damaged: &BTreeSet<BlockId>,
        within: TimeRange,
    ) -> Option<Self> {
        let is_read =
            |known: &Damaged| known.overlaps(&within) && read.iter().any(|block| known.is_of(block));
        let (before, mut known): (Vec<Damaged>, Vec<Damaged>) =
            self.damaged.iter().cloned().partition(is_read);
        let found = read.iter().filter(|block| damaged.contains(&block.meta().id));
        let found: Vec<Damaged> = found.map(|block| Damaged::new(block, within)).collect();
        if before.iter().map(Damaged::key).eq(found.iter().map(Damaged::key)) {
            return None;
        }
        known.extend(found);
        Some(self.rearranged(self.list.to_vec(), &known))
    }

    /// Are all the samples that the windows in the block `id` were made of still there?
    pub(crate) fn has_samples_of(&self, id: BlockId) -> bool {
        self.standing.has_samples_of(id)
    }

    /// The times for which the windows in the block `windows` answer: all that they cover, unless the samples know more, of
    /// which some may be in memory, those that came `late`.
    pub(crate) fn answered_by(&self, windows: &BlockMeta, late: Option<TimeRange>) -> Vec<TimeRange> {
        let Some(rollup) = windows.rollup else { return Vec::new() };
        let better = self.standing.better(windows.id);
        if self.standing.is_behind(windows.id) {
            return better.to_vec();
        }
        let late = late.filter(|_| self.has_samples_of(windows.id));
        let Some(late) = late.map(|late| windows_of(late, rollup.resolution_ms)) else {
            return vec![rollup.covers];
        };
        let before = TimeRange::new(i64::MIN, late.start().saturating_sub(1));
        let after = TimeRange::new(late.end().saturating_add(1), i64::MAX);
        let others = [before, after].into_iter().flatten().filter_map(|part| part.intersect(&rollup.covers));
        others.chain(better.iter().filter_map(|time| time.intersect(&late))).collect()
    }

    /// What is told of an answer for `range` from the windows in `block`, if it lacks something; those that came `late`
    /// are in memory.
    pub(crate) fn lacking(&self, block: &Block, range: TimeRange, late: Option<TimeRange>) -> Option<String> {
        let windows = block.meta();
        if late.is_some_and(|late| late.overlaps(&range)) {
            let name = Block::dir_name(windows.id);
            return Some(format!(
                "block {name} of windows answers, and lacks samples that came late just now"
            ));
        }
        if !self.standing.is_behind(windows.id) {
            return (!windows.incomplete.is_empty()).then(|| block.lacks());
        }
        let lacks = |raw: &&Arc<Block>| {
            raw.meta().range.overlaps(&range) && standing::lacks_some(windows, raw.meta())
        };
        let count = self.everywhere().filter(lacks).count();
        let name = Block::dir_name(windows.id);
        (count > 0).then(|| {
            format!(
                "block {name} of windows answers, since samples that it was made of are damaged; it lacks what came \
                 late or could not be read, in {count} blocks"
            )
        })
    }

    /// What is told of blocks within `range` that lack samples which could not be read when they were made.
    pub(crate) fn incomplete(&self, range: TimeRange) -> impl Iterator<Item = String> {
        let concerned = move |block: &&Arc<Block>| {
            let meta = block.meta();
            meta.is_raw() && !meta.incomplete.is_empty() && meta.range.overlaps(&range)
        };
        self.everywhere().filter(concerned).map(|block| block.lacks())
    }

    fn arranged(
        mut list: Vec<OpenBlock>,
        far: Arc<[FarBlock]>,
        aside: Arc<[SetAside]>,
        damaged: &[Damaged],
    ) -> Self {
        let order = |block: &Arc<Block>| (written(block), block.meta().id);
        list.sort_by_key(|open| order(&open.block));
        let blocks = list.iter().map(|open| &open.block).chain(far.iter().map(|far| &far.block));
        let mut all: Vec<Arc<Block>> = blocks.map(Arc::clone).collect();
        all.sort_by_key(order);
        let is_there = |damaged: &&Damaged| all.iter().any(|block| damaged.is_of(block));
        let damaged: Arc<[Damaged]> = damaged.iter().filter(is_there).cloned().collect();
        let standing = Arc::new(Standing::of(&all, &damaged));
        let far_aside = Arc::default();
        Self { list: list.into(), far, all: all.into(), aside, far_aside, damaged, standing }
    }
}

/// The newest of the blocks cut from a head that `block` is made of: samples in it were written before those of a block
/// for which this is greater.
fn written(block: &Block) -> BlockId {
    let meta = block.meta();
    meta.sources.iter().copied().max().unwrap_or(meta.id)
}

impl BlockPlace {
    /// Opens the block in the directory `path`.
    pub(crate) fn open(&self, path: &Path) -> Result<OpenBlock, Error> {
        let block = Arc::new(Block::open(&self.fs, path, Arc::clone(&self.cache))?);
        let bytes = size(&*self.fs, path).map_err(|e| Error::io("inspect", path, e))?;
        Ok(OpenBlock { block, bytes })
    }

    /// The directory of the block `id`.
    pub(crate) fn path(&self, id: BlockId) -> PathBuf {
        self.dir.join(Block::dir_name(id))
    }

    /// Removes the block `id`, or what is left of it, from the disk. Whoever has it open goes on reading it.
    pub(crate) fn remove(&self, id: BlockId) -> Result<(), Error> {
        let path = self.path(id);
        let doomed = names::temporary(&path);
        // ORDER: the name goes for good before the content, so a crash leaves something to sweep, not half a block.
        if self.exists(&path)? {
            self.fs.rename(&path, &doomed).map_err(|e| Error::io("rename", &path, e))?;
        }
        self.fs.sync_dir(&self.dir).map_err(|e| Error::io("sync", &self.dir, e))?;
        if self.exists(&doomed)? {
            self.fs.remove_dir_all(&doomed).map_err(|e| Error::io("remove", doomed, e))?;
        }
        self.cache.forget(id);
        Ok(())
    }

    fn exists(&self, path: &Path) -> Result<bool, Error> {
        self.fs.exists(path).map_err(|e| Error::io("inspect", path, e))
    }
}

/// May the block in the directory `path` have samples within `range`?
pub(crate) fn may_hold(fs: &dyn Fs, path: &Path, range: TimeRange) -> bool {
    described_range(fs, path).is_none_or(|held| held.overlaps(&range))
}

/// The times of the samples of the block in the directory `path`, if its description can be read.
fn described_range(fs: &dyn Fs, path: &Path) -> Option<TimeRange> {
    Block::described(fs, path).map(|meta| meta.range)
}

/// Sweeps files of the block in `dir` that were never finished.
fn sweep_within(fs: &dyn Fs, dir: &Path) -> Result<(), Error> {
    let entries = fs.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let unfinished = entries.into_iter().filter(|entry| names::is_temporary(&entry.name));
    unfinished.into_iter().try_for_each(|entry| sweep(fs, &dir.join(&entry.name), entry.is_dir))
}

/// Removes the blocks that one of those `found` has replaced: a compaction was interrupted by a crash. Returns which.
fn remove_replaced(
    place: &BlockPlace,
    found: &mut Vec<OpenBlock>,
    aside: &mut Vec<SetAside>,
) -> Result<BTreeSet<BlockId>, Error> {
    // A block that is damaged somehow may need its parents.
    let whole = found.iter().filter(|open| open.block.warnings().is_empty());
    let parents: BTreeSet<BlockId> = whole.flat_map(|open| open.block.meta().parents.clone()).collect();
    let there =
        found.iter().map(|open| open.block.meta().id).chain(aside.iter().filter_map(|aside| aside.id));
    let replaced: BTreeSet<BlockId> = there.filter(|id| parents.contains(id)).collect();
    replaced.iter().try_for_each(|id| place.remove(*id))?;
    found.retain(|open| !replaced.contains(&open.block.meta().id));
    aside.retain(|aside| aside.id.is_none_or(|id| !replaced.contains(&id)));
    Ok(replaced)
}

fn sweep(fs: &dyn Fs, path: &Path, is_dir: bool) -> Result<(), Error> {
    let removed = if is_dir { fs.remove_dir_all(path) } else { fs.remove_file(path) };
    removed.map_err(|e| Error::io("remove", path, e))
}

/// Bytes of all files below `dir`.
pub(crate) fn size(fs: &dyn Fs, dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs.list(dir)? {
        let path = dir.join(&entry.name);
        bytes += if entry.is_dir { size(fs, &path)? } else { fs.size(&path)? };
    }
    Ok(bytes)
}
