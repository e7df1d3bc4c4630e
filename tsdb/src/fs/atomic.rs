//! Steps that happen wholly or not at all, whatever happens in between.
//!
//! The order is always: write under a temporary name, sync the bytes, sync the names inside, rename, sync the
//! directory. A crash before the rename leaves a file with the temporary suffix, which the next start sweeps.

use super::Fs;
use crate::names;
use std::io;
use std::path::Path;

/// Writes `bytes` as the file `path`, replacing what was there: after a crash the file holds the old bytes or the
/// new ones, never a mixture. Durable when it returns.
///
/// # Errors
/// Unless the very last sync failed, the old file is untouched.
pub fn write_file(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = names::temporary(path);
    if fs.exists(&temporary)? {
        fs.remove_file(&temporary)?;
    }
    let written = write_synced(fs, &temporary, bytes);
    if let Err(error) = written {
        // Best effort: what stays is swept at the next start.
        drop(fs.remove_file(&temporary));
        return Err(error);
    }
    // ORDER: the bytes are durable before the name points at them.
    fs.rename(&temporary, path)?;
    fs.sync_dir(parent(path))
}

/// Creates `dir` and what is missing above it. Durable when it returns, also if `dir` was created before and nobody
/// knows whether its name is durable.
///
/// # Errors
/// Some of the directories may exist now.
pub fn create_dirs(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    for above in dir.ancestors().take_while(|above| !above.as_os_str().is_empty()) {
        if fs.exists(above)? {
            break;
        }
        missing.push(above);
    }
    fs.create_dir_all(dir)?;
    if missing.is_empty() {
        return match fs.sync_dir(parent(dir)) {
            // Whoever may not look into the directory above did not create this one.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        };
    }
    missing.into_iter().rev().try_for_each(|created| fs.sync_dir(parent(created)))
}

/// Publishes the finished directory `from` under the name `to` in the same parent. Every file in `from` must have
/// been synced by its writer. Durable when it returns.
///
/// # Errors
/// Either nothing is published, or it is and its durability is unknown.
pub fn publish_dir(fs: &dyn Fs, from: &Path, to: &Path) -> io::Result<()> {
    // ORDER: the names inside are durable before the directory gets its final name.
    sync_tree(fs, from)?;
    fs.rename(from, to)?;
    fs.sync_dir(parent(to))
}

fn sync_tree(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    for entry in fs.list(dir)? {
        if entry.is_dir {
            sync_tree(fs, &dir.join(&entry.name))?;
        }
    }
    fs.sync_dir(dir)
}

fn write_synced(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = fs.create_new(path)?;
    file.append(bytes)?;
    file.sync()
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
