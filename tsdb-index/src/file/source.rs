//! Where the bytes of an index file come from: a buffer, or a file of which pages are read when they are needed.

use core::ops::{Deref, Range};
use std::sync::Arc;
use tsdb_core::Corruption;
use tsdb_core::error::CorruptionKind;

/// Says whether the bytes of a page are what was written.
pub type Check<'c> = dyn Fn(&[u8]) -> Result<(), Corruption> + 'c;

/// The bytes of an index file. Any buffer is one; whoever reads files keeps the pages used last.
pub trait Source {
    /// Length of the file in bytes.
    fn len(&self) -> usize;

    /// Is the file empty?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Does each read take long, however little is read? Then it pays to read ahead what
    /// [`places_of`](super::IndexReader::places_of) tells.
    fn is_far(&self) -> bool {
        false
    }

    /// The bytes at `range`, which is read once, when the file is opened.
    ///
    /// # Errors
    /// They cannot be read, or the file is shorter.
    fn read(&self, range: Range<usize>) -> Result<Vec<u8>, Corruption>;

    /// Page `number`, whose bytes lie at `range`. Bytes that did not pass `check` must not be returned; those that
    /// passed once may be kept and returned again without it.
    ///
    /// # Errors
    /// They cannot be read, the file is shorter, or `check` failed.
    fn page(&self, number: usize, range: Range<usize>, check: &Check<'_>) -> Result<Page<'_>, Corruption>;
}

impl<B: AsRef<[u8]>> Source for B {
    fn len(&self) -> usize {
        self.as_ref().len()
    }

    fn read(&self, range: Range<usize>) -> Result<Vec<u8>, Corruption> {
        part(self.as_ref(), range).map(<[u8]>::to_vec)
    }

    fn page(&self, _number: usize, range: Range<usize>, check: &Check<'_>) -> Result<Page<'_>, Corruption> {
        let bytes = part(self.as_ref(), range)?;
        check(bytes)?;
        Ok(Page::Borrowed(bytes))
    }
}

fn part(bytes: &[u8], range: Range<usize>) -> Result<&[u8], Corruption> {
    let at = range.start;
    bytes.get(range).ok_or_else(|| {
        Corruption::new("index file", at, CorruptionKind::Truncated { field: "what the footer promises" })
    })
}

/// The bytes of a page, checked.
#[derive(Debug, Clone)]
pub enum Page<'a> {
    /// A part of a buffer.
    Borrowed(&'a [u8]),
    /// A copy that is kept elsewhere too.
    Shared(Arc<Vec<u8>>),
}

impl Deref for Page<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// Checked bytes: a part of a page, or put together from several.
#[derive(Debug, Clone)]
pub(super) struct Piece<'a> {
    pub(super) page: Page<'a>,
    pub(super) range: Range<usize>,
}

impl Piece<'_> {
    /// Bytes that were put together.
    pub(super) fn whole(bytes: Vec<u8>) -> Self {
        Self { range: 0..bytes.len(), page: Page::Shared(Arc::new(bytes)) }
    }
}

impl Deref for Piece<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.page.get(self.range.clone()).unwrap_or_default()
    }
}
