//! Checksums by page: bytes are checked when they are first read, not when the file is opened.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::source::{Page, Piece, Source};
use core::ops::Range;
use tsdb_core::Corruption;
use tsdb_core::bytes::{Reader, checksum};
use tsdb_core::error::CorruptionKind;

/// Length of a page in bytes; the last one may be shorter.
pub(super) const PAGE_BYTES: usize = 4096;

/// Bytes of one checksum.
const CHECKSUM_BYTES: usize = 4;

/// The checksums of the pages of `bytes`, which begin with a page.
pub(super) fn checksums(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.chunks(PAGE_BYTES).map(checksum)
}

/// Length of the table of checksums of `payload` bytes.
pub(super) const fn table_len(payload: usize) -> usize {
    payload.div_ceil(PAGE_BYTES).saturating_mul(CHECKSUM_BYTES)
}

/// The page read last and its number: whoever reads small neighbours asks the source once a page.
pub(super) type Recent<'a> = Option<(usize, Page<'a>)>;

/// The pages of a file and what their checksums must be.
#[derive(Debug)]
pub(super) struct Pages {
    payload: usize,
    table: Vec<u8>,
}

impl Pages {
    /// The pages of the first `payload` bytes, with the table of their checksums, which has been checked itself.
    pub(super) fn new(payload: usize, table: Vec<u8>) -> Self {
        Self { payload, table }
    }

    /// The bytes of `source` at `range`, checked.
    pub(super) fn checked<'a, S: Source>(
        &self,
        section: &'static str,
        source: &'a S,
        range: Range<usize>,
    ) -> Result<Piece<'a>, Corruption> {
        if range.start > range.end || range.end > self.payload {
            let kind = CorruptionKind::Rule { rule: "a reference points beyond its section" };
            return Err(Corruption::new(section, range.start, kind));
        }
        let pages = range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES);
        if pages.len() <= 1 && !range.is_empty() {
            let page = self.page(section, source, pages.start)?;
            return Ok(Piece { page, range: within(&range, pages.start) });
        }
        let mut bytes = Vec::with_capacity(range.len());
        for number in pages.filter(|_| !range.is_empty()) {
            let page = self.page(section, source, number)?;
            bytes.extend_from_slice(page.get(within(&range, number)).unwrap_or_default());
        }
        Ok(Piece::whole(bytes))
    }

    /// Decodes a few checked bytes, which are mostly on the page of the call before.
    #[inline]
    pub(super) fn few<'a, S: Source, T>(
        &self,
        section: &'static str,
        source: &'a S,
        range: Range<usize>,
        recent: &mut Recent<'a>,
        decode: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, Corruption> {
        let number = range.start / PAGE_BYTES;
        if range.end > number.saturating_add(1).saturating_mul(PAGE_BYTES) || range.end > self.payload {
            return self.checked(section, source, range).map(|piece| decode(&piece));
        }
        let page = match recent {
            Some((kept, page)) if *kept == number => page,
            other => &other.insert((number, self.page(section, source, number)?)).1,
        };
        Ok(decode(page.get(within(&range, number)).unwrap_or_default()))
    }

    fn page<'a, S: Source>(
        &self,
        section: &'static str,
        source: &'a S,
        number: usize,
    ) -> Result<Page<'a>, Corruption> {
        let start = number.saturating_mul(PAGE_BYTES);
        let end = start.saturating_add(PAGE_BYTES).min(self.payload);
        let check = |bytes: &[u8]| {
            let computed = checksum(bytes);
            let entry = self.table.get(number.saturating_mul(CHECKSUM_BYTES)..).unwrap_or_default();
            let stored = Reader::new("index checksums", entry).u32("checksum")?;
            if stored == computed {
                return Ok(());
            }
            let kind = CorruptionKind::Checksum { stored: stored.into(), computed: computed.into() };
            Err(Corruption::new(section, start, kind))
        };
        source.page(number, start..end, &check)
    }
}

/// The part of page `number` that `range` of the file touches.
fn within(range: &Range<usize>, number: usize) -> Range<usize> {
    let start = number.saturating_mul(PAGE_BYTES);
    range.start.saturating_sub(start)..range.end.saturating_sub(start).min(PAGE_BYTES)
}
