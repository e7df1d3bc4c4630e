//! A file that is written from front to back in large steps, and its running checksum.

use crate::Error;
use crate::fs::{File, Fs};
use std::path::{Path, PathBuf};

/// Bytes that are collected before they are written.
const STEP_BYTES: usize = 1 << 20;

/// A new file.
#[derive(Debug)]
pub(super) struct OutputFile {
    file: Box<dyn File>,
    path: PathBuf,
    buffer: Vec<u8>,
    written: u64,
}

impl OutputFile {
    /// Creates the file `path`.
    pub(super) fn create(fs: &dyn Fs, path: PathBuf) -> Result<Self, Error> {
        let file = fs.create_new(&path).map_err(|e| Error::io("create", &path, e))?;
        Ok(Self { file, path, buffer: Vec::new(), written: 0 })
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Appends `bytes`.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= STEP_BYTES { self.flush() } else { Ok(()) }
    }

    /// Appends zeros up to a multiple of `align`.
    pub(super) fn pad(&mut self, align: u64) -> Result<(), Error> {
        let missing = self.len().next_multiple_of(align) - self.len();
        (0..missing).try_for_each(|_| self.write(&[0]))
    }

    /// Writes what is left and makes it durable.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.flush()?;
        self.file.sync().map_err(|e| Error::io("sync", &self.path, e))
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.file.append(&self.buffer).map_err(|e| Error::io("write", &self.path, e))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// Writes a file of `bytes` and makes it durable.
pub(super) fn write_file(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = OutputFile::create(fs, path.to_owned())?;
    file.write(bytes)?;
    file.finish()
}
