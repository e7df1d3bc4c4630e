//! The format of a data directory as a whole.
//!
//! A file that says `1`, written before anything else. A directory of another version is refused by name and left
//! alone, as is one that looks like the directory of another program.
//!
//! The file says it twice, each time with a checksum: damage to one of the lines is no other version, and is made good
//! when the directory is opened. A number alone, as a hand may write it, is a version too.

use crate::fs::{Fs, twice, write_file};
use crate::{Error, names};
use std::path::Path;
use tsdb_core::bytes::checksum;

/// The version that this engine writes and reads.
const SUPPORTED: &str = "1";

/// Is `dir` a directory in which no database was opened before?
pub(crate) fn is_missing(fs: &dyn Fs, dir: &Path) -> Result<bool, Error> {
    let path = dir.join(names::VERSION);
    Ok(!fs.exists(&path).map_err(|e| Error::io("inspect", &path, e))?)
}

/// Checks the version of `dir` and writes it if the directory is new.
pub(crate) fn check(fs: &dyn Fs, dir: &Path) -> Result<(), Error> {
    let path = dir.join(names::VERSION);
    if fs.exists(&path).map_err(|e| Error::io("inspect", &path, e))? {
        let bytes = read(fs, &path)?;
        recognise(dir, &bytes)?;
        if bytes != text().as_bytes() {
            log::warn!("{} was damaged or is old; it is written anew", path.display());
            // A disk that takes no writing now is no reason not to read.
            drop(write_file(fs, &path, text().as_bytes()));
        }
        return Ok(());
    }
    let wal = dir.join(names::WAL_DIR);
    if fs.exists(&wal).map_err(|e| Error::io("inspect", &wal, e))? {
        return Err(unknown(dir, "none".to_owned()));
    }
    write_file(fs, &path, text().as_bytes()).map_err(|e| Error::io("write", path, e))
}

/// Checks that `dir` is a data directory of the version that this engine reads.
pub(crate) fn require(fs: &dyn Fs, dir: &Path) -> Result<(), Error> {
    recognise(dir, &read(fs, &dir.join(names::VERSION))?)
}

fn read(fs: &dyn Fs, path: &Path) -> Result<Vec<u8>, Error> {
    twice(|| fs.read(path)).map_err(|e| Error::io("read", path, e))
}

/// What the file says.
fn text() -> String {
    let line = format!("{SUPPORTED} {:08x}\n", checksum(SUPPORTED.as_bytes()));
    line.repeat(2)
}

fn recognise(dir: &Path, bytes: &[u8]) -> Result<(), Error> {
    // Damage may join the lines, so that they are told apart by their length as well.
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let halves = [first, second].map(|half| half.split_last().map_or(half, |(_, line)| line));
    let mut lines = bytes.split(|byte| *byte == b'\n').chain(halves);
    let found = match lines.find_map(intact) {
        Some(version) => version,
        None => String::from_utf8_lossy(bytes).trim().to_owned(),
    };
    if found == SUPPORTED { Ok(()) } else { Err(unknown(dir, found)) }
}

/// The version in a line, if it has the checksum that stands behind it.
fn intact(line: &[u8]) -> Option<String> {
    let (version, sum) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let stated = u32::from_str_radix(sum, 16).ok()?;
    (checksum(version.as_bytes()) == stated).then(|| version.to_owned())
}

fn unknown(dir: &Path, found: String) -> Error {
    let found = found.chars().take(40).collect();
    Error::UnknownVersion { path: dir.to_owned(), found, supported: SUPPORTED }
}
