//! Byte strings without an allocation each: appended to pages, named by a `u32`, freed by copying the rest.
//!
//! An arena holds at most 65 536 pages of 64 KiB. It does not know which of its strings are still in use; the owner
//! says what it forgets, and moves the rest to a fresh arena when [`Arena::is_wasteful`] says so.

/// Length of a page in bytes. A longer string has a page of its own.
const PAGE_BYTES: usize = 1 << 16;
const MAX_PAGES: usize = 1 << 16;
/// Bytes of the length before each string, at most.
const MAX_PREFIX: usize = 5;

/// Where a string is: the page in the upper half, the offset in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ArenaRef(u32);

impl ArenaRef {
    /// A reference to nothing: no string begins at the last byte of the last page.
    pub(crate) const NONE: Self = Self(u32::MAX);
}

/// Strings of bytes in pages.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    pages: Vec<Vec<u8>>,
    live_bytes: usize,
    forgotten_bytes: usize,
}

impl Arena {
    /// Is there surely room for strings of `bytes` in all, of which each is longer than its share of one page?
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.pages.len() + bytes / (PAGE_BYTES / 2) + 2 < MAX_PAGES
    }

    /// Keeps a copy of `text`. [`ArenaRef::NONE`] if the arena is full, which [`has_room`](Self::has_room) rules out.
    pub(crate) fn push(&mut self, text: &[u8]) -> ArenaRef {
        let need = text.len() + MAX_PREFIX;
        if self.pages.last().is_none_or(|page| page.len() + need > PAGE_BYTES) {
            if self.pages.len() >= MAX_PAGES - 1 {
                return ArenaRef::NONE;
            }
            // The first page grows with its content: a small index stays small.
            let capacity = if self.pages.is_empty() { need } else { need.max(PAGE_BYTES) };
            self.pages.push(Vec::with_capacity(capacity));
        }
        let page_number = self.pages.len() - 1;
        let Some(page) = self.pages.last_mut() else { return ArenaRef::NONE };
        let (Ok(high), Ok(low)) = (u16::try_from(page_number), u16::try_from(page.len())) else {
            return ArenaRef::NONE;
        };
        let start = page.len();
        push_varint(page, text.len() as u64);
        page.extend_from_slice(text);
        self.live_bytes += page.len() - start;
        ArenaRef(u32::from(high) << 16 | u32::from(low))
    }

    /// The string at `at`; empty for [`ArenaRef::NONE`].
    #[inline]
    pub(crate) fn get(&self, at: ArenaRef) -> &[u8] {
        let (page, offset) = ((at.0 >> 16) as usize, (at.0 & 0xffff) as usize);
        let Some(mut rest) = self.pages.get(page).and_then(|page| page.get(offset..)) else { return &[] };
        let len = take_varint(&mut rest).unwrap_or(0);
        usize::try_from(len).ok().and_then(|len| rest.get(..len)).unwrap_or_default()
    }

    /// The string at `at` as text; empty if it is none.
    #[inline]
    pub(crate) fn text(&self, at: ArenaRef) -> &str {
        str::from_utf8(self.get(at)).unwrap_or_default()
    }

    /// Notes that nobody will ask for the string at `at` again.
    pub(crate) fn forget(&mut self, at: ArenaRef) {
        let len = self.get(at).len();
        let bytes = len + tsdb_core::bytes::varint_len(len as u64);
        self.live_bytes = self.live_bytes.saturating_sub(bytes);
        self.forgotten_bytes += bytes;
    }

    /// Is more than half of it forgotten, and enough to be worth a move?
    pub(crate) fn is_wasteful(&self) -> bool {
        self.forgotten_bytes > self.live_bytes.max(PAGE_BYTES / 4)
    }

    /// Bytes of memory, from capacities.
    pub(crate) fn memory_bytes(&self) -> usize {
        let page_headers = self.pages.capacity() * size_of::<Vec<u8>>();
        page_headers + self.pages.iter().map(Vec::capacity).sum::<usize>()
    }
}

/// Appends `value` as LEB128.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
pub(crate) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a LEB128 number that [`push_varint`] wrote off the front of `bytes`. For memory, not for files.
#[inline]
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if *first < 0x80 {
            return Some(value);
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_every_length_come_back() {
        let mut arena = Arena::default();
        let texts: Vec<Vec<u8>> = (0..300).map(|n: usize| vec![b'x'; n * n]).collect();
        let refs: Vec<ArenaRef> = texts.iter().map(|text| arena.push(text)).collect();
        for (at, text) in refs.iter().zip(&texts) {
            assert_eq!(arena.get(*at), text);
        }
        assert_eq!(arena.get(ArenaRef::NONE), b"");
    }

    #[test]
    fn an_arena_is_wasteful_when_half_of_it_is_forgotten() {
        let mut arena = Arena::default();
        let refs: Vec<ArenaRef> = (0..30_000).map(|_| arena.push(b"0123456789")).collect();
        for at in &refs[..15_000] {
            arena.forget(*at);
        }
        assert!(!arena.is_wasteful());
        arena.forget(refs[15_000]);
        assert!(arena.is_wasteful());
    }
}
