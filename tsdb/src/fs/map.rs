//! The unsafe room of file mappings.
//!
//! One function, one `unsafe` block. Whoever maps a file promises that it is immutable; see the argument at the
//! block. Its safe twin is reading the file whole, which the simulated file system does.

use super::FileBytes;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// Maps the whole of `file`, which must never change again; an empty file gives empty bytes.
#[expect(unsafe_code, reason = "the one place that maps files; the argument stands at the block")]
pub(super) fn map_file(file: &File) -> io::Result<FileBytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Arc::new(Vec::new()));
    }
    // SAFETY: a mapping is sound as long as nobody changes or shortens the file under it. `Fs::map` is called only
    // for files of published blocks and sealed head segments. Those are written under a temporary name, synced and
    // then renamed (`fs/atomic.rs`); no code path of the engine opens them for writing afterwards, and removing the
    // name leaves the mapped bytes alone. The directory lock keeps other engines out. A foreign program that
    // rewrites files inside a locked data directory breaks this, as it would break every store that maps files.
    let map = unsafe { memmap2::Mmap::map(file)? };
    Ok(Arc::new(map))
}
