//! Checksums by page: bytes are checked when they are first read, not when the file is opened.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use tsdb_core::Corruption;
use tsdb_core::bytes::{Reader, Writer, checksum};
use tsdb_core::error::CorruptionKind;

/// Length of a page in bytes; the last one may be shorter.
pub(super) const PAGE_BYTES: usize = 4096;

/// Bytes of one checksum.
const CHECKSUM_BYTES: usize = 4;

/// Appends the checksums of the pages of what `out` holds.
pub(super) fn write_checksums(out: &mut Writer) {
    let checksums: Vec<u32> = out.as_bytes().chunks(PAGE_BYTES).map(checksum).collect();
    checksums.into_iter().for_each(|sum| out.u32(sum));
}

/// Length of the table of checksums of `payload` bytes.
pub(super) const fn table_len(payload: usize) -> usize {
    payload.div_ceil(PAGE_BYTES).saturating_mul(CHECKSUM_BYTES)
}

/// Which pages have been found intact. Shared by threads; two may check the same page, which harms nothing.
#[derive(Debug)]
pub(super) struct Pages {
    intact: Box<[AtomicU64]>,
}

impl Pages {
    /// No page of `payload` bytes has been checked.
    pub(super) fn new(payload: usize) -> Self {
        let words = payload.div_ceil(PAGE_BYTES).div_ceil(64);
        Self { intact: (0..words).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The bytes of `payload` at `range`, after checking the pages they touch against `table`.
    pub(super) fn checked<'a>(
        &self,
        section: &'static str,
        payload: &'a [u8],
        table: &[u8],
        range: Range<usize>,
    ) -> Result<&'a [u8], Corruption> {
        let Some(bytes) = payload.get(range.clone()) else {
            let kind = CorruptionKind::Rule { rule: "a reference points beyond its section" };
            return Err(Corruption::new(section, range.start, kind));
        };
        if !bytes.is_empty() {
            for page in range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES) {
                self.check(section, payload, table, page)?;
            }
        }
        Ok(bytes)
    }

    #[inline]
    fn check(
        &self,
        section: &'static str,
        payload: &[u8],
        table: &[u8],
        page: usize,
    ) -> Result<(), Corruption> {
        let bit = 1_u64 << (page % 64);
        let word = self.intact.get(page / 64);
        if word.is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0) {
            return Ok(());
        }
        let start = page.saturating_mul(PAGE_BYTES);
        let end = start.saturating_add(PAGE_BYTES).min(payload.len());
        let computed = checksum(payload.get(start..end).unwrap_or_default());
        let entry = table.get(page.saturating_mul(CHECKSUM_BYTES)..).unwrap_or_default();
        let stored = Reader::new("index checksums", entry).u32("checksum")?;
        if stored != computed {
            let kind = CorruptionKind::Checksum { stored: stored.into(), computed: computed.into() };
            return Err(Corruption::new(section, start, kind));
        }
        if let Some(word) = word {
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(())
    }
}
