//! Parts of far files on a disk: a bounded cache that survives restarts.
//!
//! Parts are appended to segments; when all of them have too many bytes the oldest segment goes, and what was used of it
//! since it was written moves to the newest one. Beside each segment lies the list of what is in it, which is all that a
//! start reads. Nothing is ever synced: each part has a checksum, compared whenever it is read, so whatever a crash or a
//! bad sector leaves behind is a part that is not there. Objects are named by their checksums and never change, so what
//! is cached is never out of date.
//!
//! A disk that fails costs the cache and nothing else.
//!
//! ```text
//! <dir>/000001        parts, one after the other
//! <dir>/000001.list   for each: key u128, offset u64, length u32, checksum u32 of the part, checksum u32 of these fields
//! ```
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use crate::fs::{DirLock, File, Fs, create_dirs};
use crate::names;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::bytes::{Reader, Writer, checksum};
use xxhash_rust::xxh3::Xxh3Builder;

/// Segments that the bytes are divided among, so that little goes at once.
const SEGMENTS: u64 = 16;
/// Bytes of an entry of a list.
const ENTRY_BYTES: usize = 36;
const LIST: &str = "list";

/// A cache in a directory.
pub(super) struct DiskCache {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    limit: u64,
    state: Mutex<State>,
    _lock: DirLock,
}

#[derive(Default)]
struct State {
    places: HashMap<u128, Place, Xxh3Builder>,
    /// The oldest first; the last one is written to.
    segments: VecDeque<Segment>,
    next: u64,
}

struct Segment {
    number: u64,
    bytes: u64,
    keys: Vec<u128>,
    /// The segment and its list; `None` for one of an earlier run, or after a failure.
    files: Option<(Box<dyn File>, Box<dyn File>)>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    segment: u64,
    offset: u64,
    len: u32,
    checksum: u32,
    /// Was it read since it was written?
    is_used: bool,
}

impl DiskCache {
    /// The cache of at most `limit` bytes in `dir`, which is made if need be and which no other process uses.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub(super) fn open(fs: Arc<dyn Fs>, dir: &Path, limit: u64) -> io::Result<Self> {
        create_dirs(&*fs, dir)?;
        let lock = DirLock::acquire(&*fs, dir).map_err(io::Error::other)?;
        let mut numbers: Vec<u64> =
            fs.list(dir)?.iter().filter_map(|entry| names::parse_numbered(&entry.name)).collect();
        numbers.sort_unstable();
        let mut state =
            State { next: numbers.last().map_or(1, |last| last.saturating_add(1)), ..State::default() };
        for number in numbers {
            let segment = state.read_list(&*fs, dir, number);
            state.segments.push_back(segment);
        }
        let cache = Self { fs, dir: dir.into(), limit, state: Mutex::new(state), _lock: lock };
        cache.shrink(&mut cache.state.lock(), 0);
        Ok(cache)
    }

    /// Bytes of what it holds.
    pub(super) fn bytes(&self) -> u64 {
        self.state.lock().bytes()
    }

    /// The part `key`, if it is here and whole.
    pub(super) fn get(&self, key: u128) -> Option<Vec<u8>> {
        let place = {
            let mut state = self.state.lock();
            let place = state.places.get_mut(&key)?;
            place.is_used = true;
            *place
        };
        let part = self.read(&place);
        if part.is_none() {
            self.state.lock().places.remove(&key);
        }
        part
    }

    /// Keeps `part` as `key`.
    pub(super) fn put(&self, key: u128, part: &[u8]) {
        let mut state = self.state.lock();
        if !state.places.contains_key(&key) {
            self.shrink(&mut state, part.len() as u64);
            self.append(&mut state, key, part);
        }
    }

    /// Forgets the part `key`.
    pub(super) fn forget(&self, key: u128) {
        self.state.lock().places.remove(&key);
    }

    fn read(&self, place: &Place) -> Option<Vec<u8>> {
        let mut part = vec![0; usize::try_from(place.len).ok()?];
        let path = self.dir.join(names::numbered(place.segment));
        let count = self.fs.read_at(&path, place.offset, &mut part).ok()?;
        (count == part.len() && checksum(&part) == place.checksum).then_some(part)
    }

    /// Makes room for `more` bytes.
    fn shrink(&self, state: &mut State, more: u64) {
        let mut used = Vec::new();
        while state.bytes().saturating_add(more) > self.limit {
            let Some(oldest) = state.segments.pop_front() else { break };
            for key in oldest.keys {
                let Some(place) = state.places.get(&key).filter(|place| place.segment == oldest.number)
                else {
                    continue;
                };
                if place.is_used && used.len() < self.most_moved() {
                    used.extend(self.read(place).map(|part| (key, part)));
                }
                state.places.remove(&key);
            }
            let path = self.dir.join(names::numbered(oldest.number));
            // What cannot be removed is found, and removed, at the next start.
            drop(self.fs.remove_file(&path));
            drop(self.fs.remove_file(&path.with_extension(LIST)));
        }
        for (key, part) in used {
            if state.bytes().saturating_add(more).saturating_add(part.len() as u64) <= self.limit {
                self.append(state, key, &part);
            }
        }
    }

    /// Parts that are moved at once at most, so that nobody waits long.
    fn most_moved(&self) -> usize {
        usize::try_from(self.limit / SEGMENTS / (64 << 10)).unwrap_or(usize::MAX).max(8)
    }

    fn append(&self, state: &mut State, key: u128, part: &[u8]) {
        let full = self.limit / SEGMENTS;
        let is_open = |last: &&mut Segment| last.files.is_some() && last.bytes < full;
        if state.segments.back_mut().filter(is_open).is_none() && self.begin(state).is_err() {
            return;
        }
        let (Some(last), Ok(len)) = (state.segments.back_mut(), u32::try_from(part.len())) else { return };
        let place =
            Place { segment: last.number, offset: last.bytes, len, checksum: checksum(part), is_used: false };
        let Some((file, list)) = &last.files else { return };
        let written = file.append(part).and_then(|()| list.append(&render(key, &place)));
        if written.is_err() {
            // Where the next part would lie nobody knows.
            last.files = None;
            return;
        }
        last.bytes = last.bytes.saturating_add(u64::from(len));
        last.keys.push(key);
        state.places.insert(key, place);
    }

    /// Begins a segment.
    fn begin(&self, state: &mut State) -> io::Result<()> {
        let number = state.next;
        state.next = number.saturating_add(1);
        let path = self.dir.join(names::numbered(number));
        let files = (self.fs.create_new(&path)?, self.fs.create_new(&path.with_extension(LIST))?);
        state.segments.push_back(Segment { number, bytes: 0, keys: Vec::new(), files: Some(files) });
        Ok(())
    }
}

impl State {
    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).fold(0, u64::saturating_add)
    }

    /// The segment `number` as its list tells it, up to where the list is damaged.
    fn read_list(&mut self, fs: &dyn Fs, dir: &Path, number: u64) -> Segment {
        let path = dir.join(names::numbered(number));
        let list = fs.read(&path.with_extension(LIST)).unwrap_or_default();
        let mut segment =
            Segment { number, bytes: fs.size(&path).unwrap_or(0), keys: Vec::new(), files: None };
        for (key, place) in list.chunks_exact(ENTRY_BYTES).map_while(|entry| parse(entry, number)) {
            self.places.insert(key, place);
            segment.keys.push(key);
        }
        segment
    }
}

fn render(key: u128, place: &Place) -> Vec<u8> {
    let mut out = Writer::with_capacity(ENTRY_BYTES);
    out.bytes(&key.to_le_bytes());
    out.u64(place.offset);
    out.u32(place.len);
    out.u32(place.checksum);
    let sum = checksum(out.as_bytes());
    out.u32(sum);
    out.into_bytes()
}

fn parse(entry: &[u8], segment: u64) -> Option<(u128, Place)> {
    let (fields, sum) = entry.split_at_checked(ENTRY_BYTES.checked_sub(4)?)?;
    if Reader::new(LIST, sum).u32("checksum").ok()? != checksum(fields) {
        return None;
    }
    let mut reader = Reader::new(LIST, fields);
    let (low, high) = (reader.u64("key").ok()?, reader.u64("key").ok()?);
    let key = u128::from(high).wrapping_shl(64) | u128::from(low);
    let offset = reader.u64("offset").ok()?;
    let (len, checksum) = (reader.u32("length").ok()?, reader.u32("checksum of the part").ok()?);
    Some((key, Place { segment, offset, len, checksum, is_used: false }))
}

impl fmt::Debug for DiskCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskCache({}, at most {} bytes)", self.dir.display(), self.limit)
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use super::*;
    use crate::fs::SimFs;
    use crate::tier::golden;

    const DIR: &str = "/cache";

    fn open(fs: &SimFs, limit: u64) -> DiskCache {
        DiskCache::open(Arc::new(fs.clone()), Path::new(DIR), limit).unwrap()
    }

    fn part(key: u128) -> Vec<u8> {
        (0..100_u8).map(|at| at.wrapping_mul(key.to_le_bytes()[0])).collect()
    }

    #[test]
    fn the_golden_cache_is_read_and_written_the_same() {
        let fs = SimFs::new();
        let cache = open(&fs, 100_000);
        (0..5).for_each(|key| cache.put(key, &part(key)));
        drop(cache);
        let disk = SimFs::new();
        disk.create_dir_all(Path::new(DIR)).unwrap();
        for (name, golden) in [("000001", "cached-parts"), ("000001.list", "cached-parts.list")] {
            let path = Path::new(DIR).join(name);
            let written = fs.read(&path).unwrap();
            let golden = golden::stored(golden, &written);
            assert_eq!(golden, written, "this version writes other bytes than before");
            disk.create_new(&path).unwrap().append(&golden).unwrap();
        }
        let cache = open(&disk, 100_000);
        (0..5).for_each(|key| assert_eq!(cache.get(key), Some(part(key))));
    }

    #[test]
    fn what_was_kept_is_found_after_a_restart() {
        let fs = SimFs::new();
        let cache = open(&fs, 100_000);
        (0..50).for_each(|key| cache.put(key, &part(key)));
        drop(cache);
        let cache = open(&fs, 100_000);
        assert_eq!(cache.bytes(), 5_000);
        (0..50).for_each(|key| assert_eq!(cache.get(key), Some(part(key))));
        assert_eq!(cache.get(50), None);
        cache.forget(3);
        assert_eq!(cache.get(3), None);
    }

    #[test]
    fn the_bound_holds_and_what_is_used_stays_longer() {
        let fs = SimFs::new();
        let cache = open(&fs, 3_200);
        for key in 0..400 {
            cache.put(key, &part(key));
            assert!(cache.bytes() <= 3_200, "{} bytes", cache.bytes());
            assert_eq!(cache.get(7).is_some(), key >= 7, "after part {key}");
        }
        assert_eq!(cache.get(300), None);
        assert_eq!(cache.get(399), Some(part(399)));
        drop(cache);
        let smaller = open(&fs, 1_000);
        assert!(smaller.bytes() <= 1_000);
        assert_eq!(smaller.get(399), Some(part(399)));
    }

    #[test]
    fn no_flipped_byte_is_served() {
        for file in ["000001", "000001.list"] {
            let fs = SimFs::new();
            let cache = open(&fs, 100_000);
            (0..3).for_each(|key| cache.put(key, &part(key)));
            drop(cache);
            let path = Path::new(DIR).join(file);
            let whole = fs.read(&path).unwrap();
            for at in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[at] ^= 0x10;
                fs.remove_file(&path).unwrap();
                fs.create_new(&path).unwrap().append(&bytes).unwrap();
                let cache = open(&fs, 100_000);
                (0..3).for_each(|key| {
                    assert!(cache.get(key).is_none_or(|found| found == part(key)), "byte {at} of {file}");
                });
            }
        }
    }
}
