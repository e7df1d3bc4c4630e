//! A set of series numbers in the file: four encodings, the shortest wins.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use roaring::RoaringBitmap;
use tsdb_core::Corruption;
use tsdb_core::bytes::{Reader, Writer, varint_len};
use tsdb_core::error::CorruptionKind;

/// Name of the section in errors.
pub(super) const SECTION: &str = "index postings";

/// Gaps as varints.
const GAPS: u64 = 0;
/// Runs of consecutive numbers: gap and length.
const RUNS: u64 = 1;
/// One bit a number.
const BITS: u64 = 2;
/// Gaps bit-packed in blocks of [`BLOCK`].
const PACKED: u64 = 3;
/// Gaps in a packed block.
const BLOCK: usize = 128;

/// Appends the encoding of `numbers`, which are ascending, without duplicates, and not empty.
pub(super) fn write(numbers: &[u32], out: &mut Writer) {
    let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return };
    let sizes = Sizes::of(numbers, *first, *last);
    let tag = sizes.smallest();
    out.varint((numbers.len() as u64) << 2 | tag);
    match tag {
        GAPS => {
            out.varint(u64::from(*first));
            gaps(numbers).for_each(|gap| out.varint(gap));
        }
        RUNS => runs(numbers, |gap, more| {
            out.varint(gap);
            out.varint(more);
        }),
        BITS => write_bits(numbers, *first, *last, out),
        _ => write_packed(numbers, *first, out),
    }
}

/// Number of series in the set whose encoding `bytes` begins with.
pub(super) fn count(bytes: &[u8]) -> Result<u64, Corruption> {
    Ok(Reader::new(SECTION, bytes).varint("count")? >> 2)
}

/// Decodes the set that takes all of `bytes`. All numbers are below `series_count`.
pub(super) fn read(bytes: &[u8], series_count: u32) -> Result<RoaringBitmap, Corruption> {
    let mut reader = Reader::new(SECTION, bytes);
    let head = reader.varint("count")?;
    let count = head >> 2;
    if count == 0 || count > u64::from(series_count) {
        return Err(reader.invalid("count", count));
    }
    let set = match head & 3 {
        GAPS => read_gaps(&mut reader, count, series_count)?,
        RUNS => read_runs(&mut reader, count, series_count)?,
        BITS => read_bits(&mut reader, count, series_count)?,
        _ => read_packed(&mut reader, count, series_count)?,
    };
    reader.finish()?;
    Ok(set)
}

/// Bytes that each encoding would take.
#[derive(Default)]
struct Sizes {
    gaps: usize,
    runs: usize,
    bits: usize,
    packed: usize,
}

impl Sizes {
    fn of(numbers: &[u32], first: u32, last: u32) -> Self {
        let mut sizes = Self::default();
        let first_len = varint_len(u64::from(first));
        sizes.gaps = first_len.saturating_add(gaps(numbers).map(varint_len).sum());
        runs(numbers, |gap, more| {
            sizes.runs = sizes.runs.saturating_add(varint_len(gap)).saturating_add(varint_len(more));
        });
        sizes.bits = varint_len(u64::from(first / 8)).saturating_add(bit_bytes(first, last));
        sizes.packed = first_len;
        let mut rest = gaps(numbers);
        loop {
            let mut block = 0_usize;
            let mut widest = 0;
            for gap in rest.by_ref().take(BLOCK) {
                block = block.saturating_add(1);
                widest = widest.max(gap);
            }
            if block == 0 {
                return sizes;
            }
            let bytes = block.saturating_mul(bit_width(widest) as usize).div_ceil(8);
            sizes.packed = sizes.packed.saturating_add(bytes).saturating_add(1);
        }
    }

    fn smallest(&self) -> u64 {
        let sizes = [(self.gaps, GAPS), (self.runs, RUNS), (self.bits, BITS), (self.packed, PACKED)];
        sizes.into_iter().min().map_or(GAPS, |(_, tag)| tag)
    }
}

/// Distances of neighbours, less one.
fn gaps(numbers: &[u32]) -> impl Iterator<Item = u64> {
    numbers.array_windows().map(|[a, b]| u64::from(b.wrapping_sub(*a).wrapping_sub(1)))
}

/// Calls `run` with each run's distance from the end of the run before and its length less one.
fn runs(numbers: &[u32], mut run: impl FnMut(u64, u64)) {
    let mut end = 0;
    for chunk in numbers.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
        let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else { continue };
        run(u64::from(first.wrapping_sub(end)), u64::from(last.wrapping_sub(*first)));
        end = last.wrapping_add(1);
    }
}

fn bit_width(value: u64) -> u32 {
    u64::BITS.wrapping_sub(value.leading_zeros())
}

/// Bytes from that of `first` to that of `last`.
fn bit_bytes(first: u32, last: u32) -> usize {
    ((last / 8).abs_diff(first / 8) as usize).saturating_add(1)
}

fn write_bits(numbers: &[u32], first: u32, last: u32, out: &mut Writer) {
    let base = first / 8;
    out.varint(u64::from(base));
    let mut bytes = vec![0_u8; bit_bytes(first, last)];
    for number in numbers {
        if let Some(byte) = bytes.get_mut((number / 8).abs_diff(base) as usize) {
            *byte |= 1 << (number % 8);
        }
    }
    out.bytes(&bytes);
}

#[expect(clippy::cast_possible_truncation, reason = "eight bits at a time; a width is at most 32")]
fn write_packed(numbers: &[u32], first: u32, out: &mut Writer) {
    out.varint(u64::from(first));
    let gaps: Vec<u64> = gaps(numbers).collect();
    for block in gaps.chunks(BLOCK) {
        let width = bit_width(block.iter().copied().max().unwrap_or(0));
        out.u8(width as u8);
        let (mut bits, mut filled) = (0_u64, 0_u32);
        for gap in block {
            bits |= gap.wrapping_shl(filled);
            filled = filled.wrapping_add(width);
            while filled >= 8 {
                out.u8(bits as u8);
                bits >>= 8;
                filled = filled.wrapping_sub(8);
            }
        }
        if filled > 0 {
            out.u8(bits as u8);
        }
    }
}

/// Collects ascending numbers and refuses those beyond the last series.
struct Ascending<'r, 'a> {
    reader: &'r Reader<'a>,
    numbers: Vec<u32>,
    next: u64,
    series_count: u32,
}

impl<'r, 'a> Ascending<'r, 'a> {
    fn new(reader: &'r Reader<'a>, capacity: usize, series_count: u32) -> Self {
        Self { reader, numbers: Vec::with_capacity(capacity), next: 0, series_count }
    }

    /// Adds the number that lies `gap` beyond the smallest one still possible.
    #[inline]
    fn push(&mut self, gap: u64) -> Result<(), Corruption> {
        let number = self.next.saturating_add(gap);
        match u32::try_from(number) {
            Ok(number) if number < self.series_count => self.numbers.push(number),
            _ => return Err(self.reader.invalid("series number", number)),
        }
        self.next = number.saturating_add(1);
        Ok(())
    }

    fn finish(self) -> RoaringBitmap {
        // The numbers are ascending, so this cannot fail.
        RoaringBitmap::from_sorted_iter(self.numbers).unwrap_or_default()
    }
}

/// `count` numbers take at least a byte each here: one that cannot be true is refused before anything is allocated.
fn bounded(reader: &Reader<'_>, count: u64, per_byte: usize) -> Result<usize, Corruption> {
    match usize::try_from(count) {
        Ok(len) if len <= reader.remaining().saturating_mul(per_byte) => Ok(len),
        _ => Err(reader.invalid("count", count)),
    }
}

fn read_gaps(reader: &mut Reader<'_>, count: u64, series_count: u32) -> Result<RoaringBitmap, Corruption> {
    let len = bounded(reader, count, 1)?;
    let place = reader.clone();
    let mut set = Ascending::new(&place, len, series_count);
    for _ in 0..len {
        set.push(reader.varint("gap")?)?;
    }
    Ok(set.finish())
}

fn read_runs(reader: &mut Reader<'_>, count: u64, series_count: u32) -> Result<RoaringBitmap, Corruption> {
    let mut set = RoaringBitmap::new();
    let (mut left, mut end) = (count, 0_u64);
    while left > 0 {
        let first = end.saturating_add(reader.varint("gap")?);
        let len = reader.varint("length of a run")?.saturating_add(1);
        end = first.saturating_add(len);
        if len > left || end > u64::from(series_count) {
            return Err(reader.invalid("length of a run", len));
        }
        left = left.wrapping_sub(len);
        if let (Ok(first), Ok(end)) = (u32::try_from(first), u32::try_from(end)) {
            set.insert_range(first..end);
        }
    }
    Ok(set)
}

fn read_bits(reader: &mut Reader<'_>, count: u64, series_count: u32) -> Result<RoaringBitmap, Corruption> {
    let base = reader.varint("first byte")?;
    let bytes = reader.bytes(reader.remaining(), "bits")?;
    let end = base.saturating_add(bytes.len() as u64);
    let base = match u32::try_from(base.saturating_mul(8)) {
        Ok(base) if end <= u64::from(series_count).div_ceil(8) => base,
        _ => return Err(reader.invalid("first byte", base)),
    };
    let set = RoaringBitmap::from_lsb0_bytes(base, bytes);
    if set.len() != count || set.max().is_none_or(|last| last >= series_count) {
        return Err(
            reader.corruption(CorruptionKind::Rule { rule: "the bits are as many as the count says" })
        );
    }
    Ok(set)
}

fn read_packed(reader: &mut Reader<'_>, count: u64, series_count: u32) -> Result<RoaringBitmap, Corruption> {
    // A block of gaps of width 0 has one byte for all of them.
    let len = bounded(reader, count, BLOCK.saturating_add(1))?;
    let first = reader.varint("first series")?;
    let place = reader.clone();
    let mut set = Ascending::new(&place, len, series_count);
    set.push(first)?;
    let mut left = len.saturating_sub(1);
    while left > 0 {
        let block = left.min(BLOCK);
        let width = u32::from(reader.u8("width of gaps")?);
        if width > 32 {
            return Err(reader.invalid("width of gaps", u64::from(width)));
        }
        let bytes = reader.bytes(block.saturating_mul(width as usize).div_ceil(8), "gaps")?;
        read_packed_block(bytes, block, width, &mut set)?;
        left = left.saturating_sub(block);
    }
    Ok(set.finish())
}

fn read_packed_block(
    bytes: &[u8],
    len: usize,
    width: u32,
    set: &mut Ascending<'_, '_>,
) -> Result<(), Corruption> {
    let mask = 1_u64.wrapping_shl(width).wrapping_sub(1);
    let mut at = 0_usize;
    for _ in 0..len {
        // A gap has at most 32 bits, so eight bytes from the one it begins in hold it.
        let rest = bytes.get(at / 8..).unwrap_or_default();
        let word = match rest.first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        set.push(word >> (at % 8) & mask)?;
        at = at.wrapping_add(width as usize);
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(numbers: &[u32]) -> Vec<u8> {
        let mut out = Writer::new();
        write(numbers, &mut out);
        out.into_bytes()
    }

    #[test]
    fn the_encoding_follows_the_shape() {
        let tag = |numbers: Vec<u32>| u64::from(encoded(&numbers)[0] & 3);
        assert_eq!(tag(vec![7, 500_000]), GAPS);
        assert_eq!(tag((1_000..90_000).collect()), RUNS);
        assert_eq!(
            tag((0..4_000_u32).filter(|n| n.wrapping_mul(2_654_435_761) >> 20 & 1 == 0).collect()),
            BITS
        );
        assert_eq!(tag((0..400).map(|n| n * 1_000).collect()), PACKED);
        assert_eq!(encoded(&(1_000..90_000).collect::<Vec<_>>()).len(), 8);
    }

    proptest! {
        #[test]
        fn sets_come_back(
            steps in proptest::collection::vec(prop_oneof![Just(0_u32), 0_u32..3, 0_u32..300, 0_u32..100_000], 1..600),
        ) {
            let mut next = 0;
            let numbers: Vec<u32> = steps.iter().map(|gap| { let at = next + gap; next = at + 1; at }).collect();
            let bytes = encoded(&numbers);
            let set = read(&bytes, next).unwrap();
            prop_assert_eq!(count(&bytes).unwrap(), numbers.len() as u64);
            prop_assert!(set.iter().eq(numbers.iter().copied()));
            prop_assert!(read(&bytes, next - 1).is_err(), "a number beyond the last series is refused");
        }

        #[test]
        fn any_bytes_give_a_set_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(set) = read(&bytes, 10_000) {
                prop_assert!(set.max().is_none_or(|last| last < 10_000));
            }
        }
    }
}
