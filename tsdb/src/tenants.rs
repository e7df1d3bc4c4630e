//! One database per tenant, each in a folder of its own.
//!
//! The folders are named by the tenants' ids, which cannot be paths. The directory above them is locked as a whole.
//! A tenant whose database cannot be opened hurts no other: asking for it reports the error, and asking again tries
//! again.

use crate::block::FrameCache;
use crate::fs::{DirLock, Fs, OsFs, create_dirs};
use crate::{Db, Error, Options, engine, names};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tsdb_core::TenantId;

/// How many tenants there may be unless said otherwise.
const DEFAULT_LIMIT: usize = 1000;

/// The databases of all tenants below one directory.
pub struct Tenants {
    fs: Arc<dyn Fs>,
    root: PathBuf,
    options: Options,
    /// Each database has a part of it.
    cache: FrameCache,
    limit: usize,
    slots: RwLock<BTreeMap<TenantId, Arc<Slot>>>,
    lock: Mutex<Option<DirLock>>,
    closed: AtomicBool,
}

/// A tenant, its database once it is open.
#[derive(Default)]
struct Slot {
    db: OnceLock<Arc<Db>>,
    opening: Mutex<()>,
}

impl Tenants {
    /// Opens the directory `root` and all tenants in it. `options` hold for every tenant, except that all of them share
    /// one cache of [`block_cache_bytes`](Options::block_cache_bytes).
    ///
    /// # Errors
    /// The directory is locked or cannot be read. A tenant that cannot be opened is logged;
    /// [`tenant`](Self::tenant) tries again.
    pub fn open(root: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        Self::open_on(Arc::new(OsFs), root, options)
    }

    /// [`open`](Self::open) on another file system than the operating system's.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(fs: Arc<dyn Fs>, root: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let root = root.as_ref().to_owned();
        create_dirs(&*fs, &root).map_err(|e| Error::io("create", &root, e))?;
        let lock = DirLock::acquire(&*fs, &root).map_err(engine::lock_error)?;
        let found = existing(&*fs, &root)?;
        let slots = found.iter().map(|tenant| (tenant.clone(), Arc::default())).collect();
        let tenants = Self {
            fs,
            root,
            cache: FrameCache::new(options.block_cache_bytes),
            options,
            limit: DEFAULT_LIMIT,
            slots: RwLock::new(slots),
            lock: Mutex::new(Some(lock)),
            closed: AtomicBool::new(false),
        };
        for tenant in &found {
            if let Err(error) = tenants.tenant(tenant) {
                log::error!("tenant {tenant}: {error}");
            }
        }
        Ok(tenants)
    }

    /// Sets how many tenants there may be. Those that exist already stay. Default: 1000.
    #[must_use]
    pub fn with_limit(mut self, max_tenants: usize) -> Self {
        self.limit = max_tenants;
        self
    }

    /// The database of `tenant`, created if there is none.
    ///
    /// # Errors
    /// [`Error::TooManyTenants`], or the database cannot be opened.
    pub fn tenant(&self, tenant: &TenantId) -> Result<Arc<Db>, Error> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        let known = self.slots.read().get(tenant).cloned();
        let slot = known.map_or_else(|| self.new_slot(tenant), Ok)?;
        if let Some(db) = slot.db.get() {
            return Ok(Arc::clone(db));
        }
        let _opening = slot.opening.lock();
        if let Some(db) = slot.db.get() {
            return Ok(Arc::clone(db));
        }
        let dir = self.root.join(tenant.as_str());
        let mut options = self.options.clone();
        options.tier = options.tier.map(|tier| tier.below(tenant.as_str()));
        let db = Db::open_sharing(Arc::clone(&self.fs), &dir, options, self.cache.part())?;
        let db = Arc::new(db);
        Ok(Arc::clone(slot.db.get_or_init(|| db)))
    }

    /// The database of `tenant` if there is one. Asking creates none.
    ///
    /// # Errors
    /// The tenant has a database that cannot be opened.
    pub fn existing(&self, tenant: &TenantId) -> Result<Option<Arc<Db>>, Error> {
        let slot = self.slots.read().get(tenant).cloned();
        match slot {
            None => Ok(None),
            Some(slot) => match slot.db.get() {
                Some(db) => Ok(Some(Arc::clone(db))),
                None => self.tenant(tenant).map(Some),
            },
        }
    }

    /// Bytes that the cache of blocks holds, for all tenants.
    pub fn cache_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// All tenants whose database is open, in order of their names.
    pub fn list(&self) -> Vec<(TenantId, Arc<Db>)> {
        let slots = self.slots.read();
        slots.iter().filter_map(|(tenant, slot)| Some((tenant.clone(), slot.db.get()?.clone()))).collect()
    }

    /// Closes all databases and releases the directory.
    ///
    /// # Errors
    /// The first failure; the others are closed all the same.
    pub fn close(&self) -> Result<(), Error> {
        self.closed.store(true, Ordering::SeqCst);
        let outcomes: Vec<_> = self.list().iter().map(|(_, db)| db.close()).collect();
        drop(self.lock.lock().take());
        outcomes.into_iter().collect()
    }

    fn new_slot(&self, tenant: &TenantId) -> Result<Arc<Slot>, Error> {
        let mut slots = self.slots.write();
        if !slots.contains_key(tenant) && slots.len() >= self.limit {
            return Err(Error::TooManyTenants { allowed: self.limit, tenant: tenant.clone() });
        }
        Ok(Arc::clone(slots.entry(tenant.clone()).or_default()))
    }
}

impl Drop for Tenants {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            log::error!("closing the tenants: {error}");
        }
    }
}

/// The tenants that have a database in `root`.
fn existing(fs: &dyn Fs, root: &Path) -> Result<Vec<TenantId>, Error> {
    let entries = fs.list(root).map_err(|e| Error::io("list", root, e))?;
    let mut tenants = Vec::new();
    for entry in entries.iter().filter(|entry| entry.is_dir) {
        let Ok(tenant) = TenantId::new(&entry.name) else { continue };
        let version = root.join(&entry.name).join(names::VERSION);
        if fs.exists(&version).map_err(|e| Error::io("inspect", version, e))? {
            tenants.push(tenant);
        }
    }
    Ok(tenants)
}
