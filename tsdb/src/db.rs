//! The database: one directory, open.

use crate::{Error, Options, Stats};
use std::path::Path;
use std::sync::Arc;
use tsdb_core::TimeRange;
use tsdb_core::metadata::Metadata;
use tsdb_core::read::{Querier, Queryable, ReadError};
use tsdb_core::write::{Appendable, Appender};

/// A time series database in a directory. Clones share it; it closes when the last one is dropped.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

struct Inner {}

impl Db {
    /// Opens the database in `dir`, creating it if there is none.
    ///
    /// # Errors
    /// The directory is locked, of an unknown version or not writable, or an option makes no sense. Damaged blocks
    /// and log records are no error: the rest is served and [`Stats::warnings`] names them.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let _ = (dir.as_ref(), options);
        Ok(Self { inner: Arc::new(Inner {}) })
    }

    /// Moves all samples of the head into blocks. Samples older than the newest one moved are refused afterwards.
    ///
    /// # Errors
    /// The blocks cannot be written; the head then still holds the samples.
    pub fn flush(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Does the work of the background thread once: cuts blocks that are due, deletes expired ones.
    ///
    /// # Errors
    /// What could not be done; the rest is done.
    pub fn maintain(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Stops background work, syncs the log and releases the directory. Later writes fail with
    /// [`Error::Closed`]; queriers already open stay readable.
    ///
    /// # Errors
    /// The log cannot be synced.
    pub fn close(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Numbers about the database.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// What is known of each metric, sorted by name.
    pub fn metadata(&self) -> Vec<(String, Metadata)> {
        Vec::new()
    }
}

impl Queryable for Db {
    fn querier(&self, _range: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
        Err(ReadError::Storage { origin: "database".into(), source: Box::new(Error::Closed) })
    }
}

impl Appendable for Db {
    fn appender(&self) -> Box<dyn Appender + '_> {
        let _ = &self.inner;
        unimplemented!()
    }
}
