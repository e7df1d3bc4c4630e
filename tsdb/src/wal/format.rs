//! The bytes of a segment: header, pages, fragments. The law is `docs/wal-format.md`.
//!
//! Pure functions over slices; reading a fragment looks at nothing beyond its page and believes nothing before the
//! checksum has confirmed it.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use tsdb_core::bytes::{Reader, Writer, checksum};
use tsdb_core::error::{Corruption, CorruptionKind};

/// The format version this module writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;
/// Segments are read in pages of this many bytes; no fragment crosses from one into the next, so that reading can
/// begin anew at each of them.
pub(super) const PAGE_BYTES: usize = 32 << 10;
/// Length of the header at the start of a segment, in bytes.
pub(super) const HEADER_BYTES: usize = 40;
/// Length of the header of a fragment, in bytes.
pub(super) const FRAGMENT_HEADER_BYTES: usize = 8;
/// The longest record, in bytes.
pub const MAX_RECORD_BYTES: usize = 256 << 20;

const MAGIC: [u8; 8] = *b"tsdb-wal";
const SECTION: &str = "log segment header";
const MAX_FRAGMENT_BYTES: usize = PAGE_BYTES - FRAGMENT_HEADER_BYTES;

/// What a segment says of itself and of its predecessor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Number of this segment.
    pub(super) number: u64,
    /// Number of the segment before it; 0 if there is none.
    pub(super) previous: u64,
    /// Where the valid bytes of that segment end; what follows there is void.
    pub(super) previous_end: u64,
}

impl SegmentHeader {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::with_capacity(HEADER_BYTES);
        writer.bytes(&MAGIC);
        writer.u32(FORMAT_VERSION);
        writer.u64(self.number);
        writer.u64(self.previous);
        writer.u64(self.previous_end);
        writer.u32(checksum(writer.as_bytes()));
        out.extend_from_slice(writer.as_bytes());
    }

    /// Reads the header at the start of `bytes`. A version that is confirmed by the checksum and not known here
    /// gives [`CorruptionKind::Unknown`].
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Corruption> {
        let mut reader = Reader::new(SECTION, bytes);
        let covered = reader.clone().bytes(HEADER_BYTES.saturating_sub(4), "header")?;
        let magic = reader.bytes(MAGIC.len(), "magic")?;
        let version = reader.u32("version")?;
        let header = Self {
            number: reader.u64("number")?,
            previous: reader.u64("previous")?,
            previous_end: reader.u64("previous end")?,
        };
        let stored = reader.u32("checksum")?;
        if magic != MAGIC {
            return Err(Corruption::new(SECTION, 0, CorruptionKind::Rule { rule: "the magic is missing" }));
        }
        if stored != checksum(covered) {
            let kind = CorruptionKind::Checksum { stored: stored.into(), computed: checksum(covered).into() };
            return Err(Corruption::new(SECTION, covered.len(), kind));
        }
        if version != FORMAT_VERSION {
            let kind = CorruptionKind::Unknown { field: "version", value: version.into() };
            return Err(Corruption::new(SECTION, MAGIC.len(), kind));
        }
        Ok(header)
    }
}

/// Which part of a record a fragment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    First,
    Middle,
    Last,
}

impl Part {
    const fn new(first: bool, last: bool) -> Self {
        match (first, last) {
            (true, true) => Self::Whole,
            (true, false) => Self::First,
            (false, false) => Self::Middle,
            (false, true) => Self::Last,
        }
    }

    const fn tag(self) -> u8 {
        match self {
            Self::Whole => 1,
            Self::First => 2,
            Self::Middle => 3,
            Self::Last => 4,
        }
    }

    const fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            1 => Some(Self::Whole),
            2 => Some(Self::First),
            3 => Some(Self::Middle),
            4 => Some(Self::Last),
            _ => None,
        }
    }
}

/// Bytes left in the page that holds position `at`, from `at` on.
#[expect(clippy::arithmetic_side_effects, reason = "a remainder by the page size is less than the page size")]
#[expect(clippy::cast_possible_truncation, reason = "less than the page size")]
pub(super) const fn page_rest(at: u64) -> usize {
    PAGE_BYTES - (at % PAGE_BYTES as u64) as usize
}

/// Most bytes that a record of `len` bytes takes in a segment, padding included.
pub(super) const fn framed_bound(len: usize) -> u64 {
    let fragments = (len / MAX_FRAGMENT_BYTES).saturating_add(2);
    len.saturating_add(fragments.saturating_mul(2 * FRAGMENT_HEADER_BYTES)) as u64
}

/// Appends `record` in fragments to `out`, whose first byte will stand at position `base` of segment `segment`.
pub(super) fn frame(segment: u64, base: u64, record: &[u8], out: &mut Vec<u8>) {
    let (mut rest, mut first) = (record, true);
    loop {
        let at = base.saturating_add(out.len() as u64);
        let room = page_rest(at);
        if room <= FRAGMENT_HEADER_BYTES {
            out.resize(out.len().saturating_add(room), 0);
            continue;
        }
        let (payload, left) =
            rest.split_at_checked(room.saturating_sub(FRAGMENT_HEADER_BYTES)).unwrap_or((rest, &[]));
        push_fragment(segment, at, Part::new(first, left.is_empty()), payload, out);
        if left.is_empty() {
            return;
        }
        (rest, first) = (left, false);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a fragment is shorter than a page")]
fn push_fragment(segment: u64, at: u64, part: Part, payload: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(payload.len() as u16).to_le_bytes());
    out.extend_from_slice(&[part.tag(), 0]);
    out.extend_from_slice(payload);
    let covered = out.get(start.saturating_add(4)..).unwrap_or_default();
    let sum = checksum(covered) ^ place_mask(segment, at);
    if let Some(field) = out.get_mut(start..).and_then(|bytes| bytes.first_chunk_mut()) {
        *field = sum.to_le_bytes();
    }
}

/// Ties a fragment to its place: the same bytes elsewhere have another checksum.
fn place_mask(segment: u64, at: u64) -> u32 {
    let mut place = [0; 16];
    let (number, position) = place.split_at_mut(8);
    number.copy_from_slice(&segment.to_le_bytes());
    position.copy_from_slice(&at.to_le_bytes());
    checksum(&place)
}

/// What stands at a position where a fragment should begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A fragment of this many bytes in all.
    Fragment { part: Part, payload: &'a [u8], len: usize },
    /// No fragment. If the length field is to be believed, the next one begins this many bytes further on.
    Damage { claimed_len: Option<usize> },
}

/// Reads the fragment at the start of `bytes`, the rest of a page, which stands at position `at` of `segment`.
pub(super) fn read_fragment(segment: u64, at: u64, bytes: &[u8]) -> Found<'_> {
    let Some(([c0, c1, c2, c3, l0, l1, tag, reserved], rest)) = bytes.split_first_chunk::<8>() else {
        return Found::Damage { claimed_len: None };
    };
    let payload_len = usize::from(u16::from_le_bytes([*l0, *l1]));
    let len = payload_len.saturating_add(FRAGMENT_HEADER_BYTES);
    let (Some(payload), Some(covered)) = (rest.get(..payload_len), bytes.get(4..len)) else {
        return Found::Damage { claimed_len: None };
    };
    let stored = u32::from_le_bytes([*c0, *c1, *c2, *c3]);
    match Part::from_tag(*tag) {
        Some(part) if *reserved == 0 && stored == checksum(covered) ^ place_mask(segment, at) => {
            Found::Fragment { part, payload, len }
        }
        _ => Found::Damage { claimed_len: Some(len) },
    }
}
