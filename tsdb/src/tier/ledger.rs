//! The manifest in its store: read, and changed so that no change is lost.

use super::manifest::Manifest;
use super::{Condition, ObjectStore, Retry, StoreError};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tsdb_core::time::Clock;
use tsdb_core::{Corruption, Timestamp};
use xxhash_rust::xxh3::xxh3_128;

/// Generations that are never swept.
pub(super) const KEPT_GENERATIONS: usize = 16;
/// How often a change is tried while others change the manifest, too.
const MAX_RACES: u32 = 64;
/// A look whether there is a newer generation is enough if the last list is not older than this.
const LIST_EVERY_MS: i64 = 600_000;
/// A put that takes longer may have built on a generation that was swept meanwhile, and is looked at again.
const SLOW_PUT_MS: i64 = 600_000;

/// The manifest below a prefix of a store.
pub struct Ledger {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    retry: Retry,
    clock: Arc<dyn Clock>,
    known: Mutex<Option<Arc<Loaded>>>,
    /// When generations were listed last.
    listed_ms: Mutex<Option<i64>>,
    draws: AtomicU64,
    /// The database that changes it as the owner of its blocks.
    owner: Option<u128>,
    /// May it take the place of another one?
    takes_over: AtomicBool,
}

/// The newest generation that could be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Loaded {
    /// What it says.
    pub manifest: Arc<Manifest>,
    /// A newer generation that is damaged.
    pub damaged: Option<(u64, Corruption)>,
}

/// A manifest that cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The newest generation is damaged: what it said must not be overlooked.
    #[error("generation {generation} of the manifest is damaged, nothing is written: {source}")]
    Damaged {
        /// Its number.
        generation: u64,
        /// What is wrong with it.
        source: Corruption,
    },
    /// What is deleted in a block is not known.
    #[error("{key}: {source}")]
    Tombstones {
        /// The object.
        key: String,
        /// What is wrong with it.
        source: Corruption,
    },
    /// The blocks are those of another database.
    #[error(
        "the blocks below the prefix {prefix:?} are those of another database ({owner:032x}, this is {this:032x}); \
         nothing is written there. If that one runs no more, start this one once with take_over"
    )]
    Foreign {
        /// The prefix.
        prefix: String,
        /// The other one.
        owner: u128,
        /// This one.
        this: u128,
    },
    /// Others changed the manifest again and again.
    #[error("others changed the manifest {times} times in a row")]
    Crowded {
        /// How often.
        times: u32,
    },
}

impl Ledger {
    /// The manifest below `prefix` of `store`.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str, clock: Arc<dyn Clock>) -> Self {
        let (retry, known, draws) = (Retry::default(), Mutex::default(), AtomicU64::new(0));
        let takes_over = AtomicBool::new(false);
        let (prefix, listed_ms, owner) = (prefix.into(), Mutex::default(), None);
        Self { store, prefix, retry, clock, known, listed_ms, draws, owner, takes_over }
    }

    /// Has every change be one of the database `owner`, whose blocks these are or become; those of another one only if it
    /// `takes_over`, once.
    #[must_use]
    pub(super) fn owned_by(mut self, owner: u128, takes_over: bool) -> Self {
        self.owner = Some(owner);
        self.takes_over = AtomicBool::new(takes_over);
        self
    }

    /// [`load`](Self::load), after which the manifest names this database as the owner of the blocks, if it is to be.
    ///
    /// # Errors
    /// They are those of another one, or the store failed.
    pub(crate) fn claim(&self) -> Result<Arc<Loaded>, LedgerError> {
        let Some(owner) = self.owner else { return self.load() };
        self.commit(|manifest| Ok(std::mem::replace(&mut manifest.owner, owner) != owner))
    }

    /// May this database change `manifest`?
    fn check_owner(&self, manifest: &Manifest) -> Result<(), LedgerError> {
        let (owner, Some(this)) = (manifest.owner, self.owner) else { return Ok(()) };
        if owner == 0 || owner == this || self.takes_over.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(LedgerError::Foreign { prefix: self.prefix.clone(), owner, this })
    }

    /// Sets how failed calls are repeated.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The full key of what has the key `key` behind the prefix.
    pub fn key(&self, key: &str) -> String {
        if self.prefix.is_empty() { key.into() } else { format!("{}/{key}", self.prefix) }
    }

    /// How failed calls are repeated.
    pub(super) fn retry(&self) -> Retry {
        self.retry
    }

    /// What was read last.
    pub fn known(&self) -> Option<Arc<Loaded>> {
        self.known.lock().clone()
    }

    /// Reminds of what was read in an earlier run: if that generation is damaged now, this is what it said.
    pub(super) fn remember(&self, manifest: Manifest) {
        *self.known.lock() = Some(Arc::new(Loaded { manifest: Arc::new(manifest), damaged: None }));
    }

    /// Reads the newest generation, unless it is known: then that is a single question.
    ///
    /// # Errors
    /// The store does not answer, or two generations in a row are damaged.
    pub fn load(&self) -> Result<Arc<Loaded>, LedgerError> {
        if let Some(known) = self.known_newest()? {
            return Ok(known);
        }
        let now = self.clock.monotonic_ms();
        let loaded = Arc::new(self.read_newest()?);
        *self.known.lock() = Some(Arc::clone(&loaded));
        *self.listed_ms.lock() = Some(now);
        Ok(loaded)
    }

    /// What was read last, if there is no newer generation.
    fn known_newest(&self) -> Result<Option<Arc<Loaded>>, LedgerError> {
        let now = self.clock.monotonic_ms();
        // Whoever did not look for long may miss generations that were swept meanwhile.
        let is_fresh = self.listed_ms.lock().is_some_and(|listed| now.saturating_sub(listed) < LIST_EVERY_MS);
        let known = self.known().filter(|known| is_fresh && known.damaged.is_none());
        let Some(known) = known.filter(|known| known.manifest.generation > 0) else { return Ok(None) };
        let next = self.generation_key(known.manifest.generation.saturating_add(1));
        match self.retry.run(|| self.store.head(&next)) {
            Err(StoreError::NotFound { .. }) => Ok(Some(known)),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(None),
        }
    }

    /// The time by the clock.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Numbers of the generations in the store, ascending.
    pub(super) fn generations(&self) -> Result<Vec<u64>, StoreError> {
        let prefix = self.key("manifest");
        let listed = self.retry.run(|| self.store.list(&prefix))?;
        let number = |key: &str| {
            let name = key.rsplit('/').next()?;
            name.parse().ok().filter(|number| name == generation_name(*number))
        };
        let mut numbers: Vec<u64> = listed.iter().filter_map(|object| number(&object.key)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The key of a generation.
    pub(super) fn generation_key(&self, generation: u64) -> String {
        self.key(&format!("manifest/{}", generation_name(generation)))
    }

    /// Makes a generation of what `change` makes of the newest one, unless it says that nothing is to be changed. It is
    /// called again whenever somebody else was faster, and must then see whether its change is made.
    ///
    /// # Errors
    /// That of `change`, or of the store: the change may then have been made.
    pub fn commit<E: From<LedgerError>>(
        &self,
        mut change: impl FnMut(&mut Manifest) -> Result<bool, E>,
    ) -> Result<Arc<Loaded>, E> {
        for _ in 0..MAX_RACES {
            let begun = self.clock.monotonic_ms();
            let base = self.load()?;
            if let Some((generation, source)) = base.damaged.clone() {
                return Err(LedgerError::Damaged { generation, source }.into());
            }
            self.check_owner(&base.manifest)?;
            let mut next = Manifest::clone(&base.manifest);
            if !change(&mut next)? {
                return Ok(base);
            }
            next.owner = self.owner.unwrap_or(next.owner);
            next.generation = next.generation.saturating_add(1);
            next.writer = self.draw(next.generation);
            let took_effect = self.put(&next)?;
            let was_slow = self.clock.monotonic_ms().saturating_sub(begun) > SLOW_PUT_MS;
            if took_effect && !was_slow {
                let loaded = Arc::new(Loaded { manifest: Arc::new(next), damaged: None });
                *self.known.lock() = Some(Arc::clone(&loaded));
                self.takes_over.store(false, Ordering::Relaxed);
                return Ok(loaded);
            }
        }
        Err(LedgerError::Crowded { times: MAX_RACES }.into())
    }

    /// Puts a generation; says whether it is this one that has the number now.
    fn put(&self, next: &Manifest) -> Result<bool, LedgerError> {
        let key = self.generation_key(next.generation);
        let bytes = next.to_bytes();
        let mut is_doubtful = false;
        let put = self.retry.run(|| {
            let put = self.store.put(&key, &bytes, &Condition::Absent);
            is_doubtful |= put.as_ref().is_err_and(StoreError::is_temporary);
            put
        });
        match put {
            Ok(_) => Ok(true),
            // A try that was told to have failed may have been the one that exists.
            Err(StoreError::Conflict { .. }) if is_doubtful => {
                let stored = self.get(&key)?;
                Ok(stored == bytes)
            }
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn read_newest(&self) -> Result<Loaded, LedgerError> {
        let listed = self.generations()?;
        let mut newest = match listed.last() {
            Some(newest) => *newest,
            None => self.known().map_or(0, |known| known.manifest.generation),
        };
        let mut found = if newest == 0 { None } else { Some(self.read(newest)?) };
        // A list may lag behind: whoever put a generation must find it.
        while let Some(next) = self.exists(newest.saturating_add(1))? {
            newest = newest.saturating_add(1);
            found = Some(next);
        }
        match found {
            None => Ok(Loaded::default()),
            Some(Ok(manifest)) => Ok(Loaded { manifest: Arc::new(manifest), damaged: None }),
            Some(Err(source)) => {
                // Whoever knows what it said builds on that, and so mends it.
                if let Some(known) = self.known().filter(|known| known.manifest.generation == newest) {
                    return Ok(Loaded::clone(&known));
                }
                let before = self.exists(newest.saturating_sub(1))?;
                match before {
                    Some(Ok(manifest)) => {
                        Ok(Loaded { manifest: Arc::new(manifest), damaged: Some((newest, source)) })
                    }
                    _ => Err(LedgerError::Damaged { generation: newest, source }),
                }
            }
        }
    }

    fn exists(&self, generation: u64) -> Result<Option<Result<Manifest, Corruption>>, LedgerError> {
        match self.read(generation) {
            Err(LedgerError::Store(StoreError::NotFound { .. })) => Ok(None),
            read => read.map(Some),
        }
    }

    fn read(&self, generation: u64) -> Result<Result<Manifest, Corruption>, LedgerError> {
        let bytes = self.get(&self.generation_key(generation))?;
        Ok(Manifest::read(&bytes).and_then(|manifest| match manifest.generation == generation {
            true => Ok(manifest),
            false => {
                let rule = "a generation has the number in its name";
                let kind = tsdb_core::error::CorruptionKind::Rule { rule };
                Err(Corruption::new("manifest", 12, kind))
            }
        }))
    }

    fn get(&self, key: &str) -> Result<Vec<u8>, StoreError> {
        self.retry.run(|| {
            let info = self.store.head(key)?;
            self.store.get(key, 0..info.size, info.version.as_ref())
        })
    }

    /// A number that nobody else draws.
    fn draw(&self, generation: u64) -> u128 {
        let count = self.draws.fetch_add(1, Ordering::Relaxed);
        let here = std::ptr::from_ref(self) as usize;
        let seed = (generation, count, self.clock.now(), std::process::id(), here);
        xxh3_128(format!("{seed:?}").as_bytes())
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ledger({} in {:?})", self.prefix, self.store)
    }
}

fn generation_name(generation: u64) -> String {
    format!("{generation:020}")
}

#[cfg(test)]
mod tests;
