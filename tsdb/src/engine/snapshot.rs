//! Snapshots: a second name for every file that is needed, in a directory that opens like any other.
//!
//! Blocks never change. The segment of the log that is being written is closed first, and closed segments never change
//! either: so a snapshot holds what was acknowledged until then, and of each writer all batches up to one of them.
//! Nobody who writes waits longer than for the sync that closes a segment.
//!
//! A check of a database that is open reads such files too: nothing removes or changes them meanwhile.
//!
//! Blocks that lie on object storage only are not in it; the manifest that names them is, so that whoever opens the snapshot
//! knows what it lacks.

use super::Engine;
use super::work::Work;
use crate::block::Block;
use crate::elsewhere::FarAway;
use crate::fs::{Fs, create_dirs, publish_dir, write_file};
use crate::verify::{self, OnProgress, Verdict};
use crate::{Error, names};
use std::path::Path;
use tsdb_core::TimeRange;

/// What is not in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// Blocks that lie on object storage only.
    pub far_away: Vec<FarAway>,
    /// What is told of blocks that this database cannot read either.
    pub unreadable: Vec<String>,
}

impl Engine {
    /// Makes the snapshot `to`, without the log if not `with_head`. Returns what is not in it.
    pub(crate) fn snapshot(&self, to: &Path, with_head: bool) -> Result<Snapshot, Error> {
        let fs = &*self.place.fs;
        if fs.exists(to).map_err(|e| Error::io("inspect", to, e))? {
            return Err(Error::io("make a snapshot as", to, std::io::ErrorKind::AlreadyExists.into()));
        }
        // Meanwhile nothing is cut, forgotten or removed.
        let work = self.begin_work()?;
        let sealed = if with_head { Some(self.head.seal_log()?) } else { None };
        let unfinished = names::temporary(to);
        sweep(fs, &unfinished)?;
        let linked = self.link_all(&work, &unfinished, sealed);
        let published = linked
            .and_then(|()| publish_dir(fs, &unfinished, to).map_err(|error| Error::io("publish", to, error)));
        // What cannot be removed now is swept at the next start.
        published.inspect_err(|_| drop(fs.remove_dir_all(&unfinished)))?;
        let (far_away, unreadable) = {
            let blocks = &self.published.read().blocks;
            (blocks.far_away(), blocks.missing(TimeRange::ALL).collect())
        };
        Ok(Snapshot { far_away, unreadable })
    }

    /// Checks a snapshot that nobody else sees, and says what is wrong with the files that it is made of.
    pub(crate) fn verify(&self, on_progress: &mut OnProgress<'_>) -> Result<Verdict, Error> {
        let (fs, dir) = (&self.place.fs, &self.place.dir);
        // As if it were unfinished: if the process ends meanwhile, the next start sweeps it.
        let name = Block::dir_name(self.name_block());
        let unseen = names::temporary(&dir.join(names::SNAPSHOTS_DIR).join(name));
        let linked = {
            let work = self.begin_work()?;
            let sealed = self.head.seal_log()?;
            self.link_all(&work, &unseen, Some(sealed))
        };
        let checked = linked.and_then(|()| verify::check(fs, &unseen, on_progress));
        let removed = fs.remove_dir_all(&unseen).map_err(|error| Error::io("remove", &unseen, error));
        let mut verdict = checked?;
        removed?;
        for finding in verdict.findings.iter_mut().chain(&mut verdict.torn) {
            if let Ok(file) = finding.path.strip_prefix(&unseen) {
                finding.path = dir.join(file);
            }
        }
        Ok(verdict)
    }

    fn link_all(&self, work: &Work, to: &Path, sealed: Option<u64>) -> Result<(), Error> {
        let (fs, from) = (&*self.place.fs, &self.place.dir);
        create_dirs(fs, to).map_err(|e| Error::io("create", to, e))?;
        link(fs, &from.join(names::VERSION), &to.join(names::VERSION))?;
        for entry in list(fs, from)? {
            let block = Block::parse_dir_name(&entry.name).filter(|_| entry.is_dir);
            if block.is_some_and(|id| !work.is_doomed(id)) {
                link_tree(fs, &from.join(&entry.name), &to.join(&entry.name))?;
            }
        }
        // It is the same database wherever it goes, and has dropped the same blocks.
        for name in [names::OWNER, names::DROPPED] {
            let (file, copy) = (from.join(name), to.join(name));
            if fs.exists(&file).map_err(|e| Error::io("inspect", &file, e))? {
                link(fs, &file, &copy)?;
            }
        }
        if let Some(known) = self.shipper.as_ref().and_then(|shipper| shipper.ledger().known()) {
            let copy = to.join(names::MANIFEST_COPY);
            write_file(fs, &copy, &known.manifest.to_bytes()).map_err(|e| Error::io("write", &copy, e))?;
        }
        let (from, to) = (from.join(names::WAL_DIR), to.join(names::WAL_DIR));
        let Some(sealed) = sealed else { return Ok(()) };
        fs.create_dir_all(&to).map_err(|e| Error::io("create", &to, e))?;
        for entry in list(fs, &from)? {
            let (from, to) = (from.join(&entry.name), to.join(&entry.name));
            if entry.is_dir && names::parse_checkpoint(&entry.name).is_some() {
                link_tree(fs, &from, &to)?;
            } else if names::parse_numbered(&entry.name).is_some_and(|number| number < sealed) {
                link(fs, &from, &to)?;
            }
        }
        Ok(())
    }
}

/// Removes the snapshots in the data directory `dir` that were never finished.
pub(super) fn sweep_unfinished(fs: &dyn Fs, dir: &Path) -> Result<(), Error> {
    let snapshots = dir.join(names::SNAPSHOTS_DIR);
    if !fs.exists(&snapshots).map_err(|e| Error::io("inspect", &snapshots, e))? {
        return Ok(());
    }
    let unfinished = list(fs, &snapshots)?.into_iter().filter(|entry| names::is_temporary(&entry.name));
    unfinished.into_iter().try_for_each(|entry| sweep(fs, &snapshots.join(&entry.name)))
}

fn sweep(fs: &dyn Fs, unfinished: &Path) -> Result<(), Error> {
    if fs.exists(unfinished).map_err(|e| Error::io("inspect", unfinished, e))? {
        fs.remove_dir_all(unfinished).map_err(|e| Error::io("remove", unfinished, e))?;
    }
    Ok(())
}

fn link_tree(fs: &dyn Fs, from: &Path, to: &Path) -> Result<(), Error> {
    fs.create_dir_all(to).map_err(|e| Error::io("create", to, e))?;
    for entry in list(fs, from)? {
        let (from, to) = (from.join(&entry.name), to.join(&entry.name));
        if entry.is_dir { link_tree(fs, &from, &to)? } else { link(fs, &from, &to)? }
    }
    Ok(())
}

fn link(fs: &dyn Fs, from: &Path, to: &Path) -> Result<(), Error> {
    fs.hard_link(from, to).map_err(|e| Error::io("link", from, e))
}

fn list(fs: &dyn Fs, dir: &Path) -> Result<Vec<crate::fs::DirEntry>, Error> {
    fs.list(dir).map_err(|e| Error::io("list", dir, e))
}
