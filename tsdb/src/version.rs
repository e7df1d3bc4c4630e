//! The format of a data directory as a whole.
//!
//! A file that says `1`, written before anything else. A directory of another version is refused by name and left
//! alone, as is one that looks like the directory of another program.

use crate::fs::{Fs, twice, write_file};
use crate::{Error, names};
use std::path::Path;

/// The version that this engine writes and reads.
const SUPPORTED: &str = "1";

/// Checks the version of `dir` and writes it if the directory is new.
pub(crate) fn check(fs: &dyn Fs, dir: &Path) -> Result<(), Error> {
    let path = dir.join(names::VERSION);
    if fs.exists(&path).map_err(|e| Error::io("inspect", &path, e))? {
        return require(fs, dir);
    }
    let wal = dir.join(names::WAL_DIR);
    if fs.exists(&wal).map_err(|e| Error::io("inspect", &wal, e))? {
        return Err(unknown(dir, "none".to_owned()));
    }
    write_file(fs, &path, format!("{SUPPORTED}\n").as_bytes()).map_err(|e| Error::io("write", path, e))
}

/// Checks that `dir` is a data directory of the version that this engine reads.
pub(crate) fn require(fs: &dyn Fs, dir: &Path) -> Result<(), Error> {
    let path = dir.join(names::VERSION);
    let bytes = twice(|| fs.read(&path)).map_err(|e| Error::io("read", &path, e))?;
    let found = String::from_utf8_lossy(&bytes).trim().to_owned();
    if found == SUPPORTED { Ok(()) } else { Err(unknown(dir, found)) }
}

fn unknown(dir: &Path, found: String) -> Error {
    let found = found.chars().take(40).collect();
    Error::UnknownVersion { path: dir.to_owned(), found, supported: SUPPORTED }
}
