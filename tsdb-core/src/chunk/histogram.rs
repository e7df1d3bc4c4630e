//! The open chunk of a series of native histograms.

use super::adaptive::Adaptive;
use super::state::State;
use super::{Encoding, PushError, stored_count};
use crate::bits::{BitReader, BitWriter, mask, width};
use crate::bytes::{Reader, Writer, unzigzag, zigzag};
use crate::error::CorruptionKind;
use crate::histogram::{
    FloatHistogram, Layout, ResetHint, Run, Totals, max_layout_bytes, to_whole, whole_or_zero,
};
use crate::sample::SampleColumns;
use crate::{Corruption, TimeRange, Timestamp};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The largest number of histograms in a chunk.
pub const MAX_SAMPLES: usize = super::xor::MAX_SAMPLES;

const SECTION: &str = "histogram chunk";

/// Codes of a histogram, first bit lowest: the one before once more; other counts; something else is new as well.
const SAME: u64 = 0b0;
const COUNTS: u64 = 0b01;
const CHANGE: u64 = 0b11;

/// Bits of a change: the hint, whole numbers or not, a new layout or not.
const HINT_BITS: u32 = 2;
/// Bits that tell the length of a layout.
const LENGTH_BITS: u32 = 32;

/// Bits that tell leading zeros and, less one, the number of bits of an XOR.
const LEADING_BITS: u32 = 6;
const MEANINGFUL_BITS: u32 = 6;

/// The longest code of a count: an escaped number.
const MAX_COUNT_BITS: usize = 83;
/// The longest codes of a timestamp and of a sum, and the code of a change with the length of a layout.
const MAX_OTHER_BITS: usize = 83 + 91 + 2 + 4 + 32;

/// An upper bound for the length of a chunk of `samples` histograms of at most `buckets` buckets and `bounds` custom
/// bounds, however hostile.
pub const fn max_chunk_bytes(samples: usize, buckets: usize, bounds: usize) -> usize {
    let counts = buckets.saturating_add(2).saturating_mul(MAX_COUNT_BITS);
    let layout = max_layout_bytes(buckets, bounds).saturating_mul(8);
    let sample = counts.saturating_add(layout).saturating_add(MAX_OTHER_BITS);
    super::HEADER_BYTES.saturating_add(samples.saturating_mul(sample).div_ceil(8))
}

/// The open chunk of a series of histograms: a stream in order of time.
///
/// What histograms have in common with the one before is stored once; a chunk takes any histogram, in any order.
#[derive(Debug, Clone, Default)]
pub struct HistogramChunk {
    bits: BitWriter,
    /// None while there are no samples.
    last: Option<Box<Last>>,
}

/// What writer and reader know of the histograms before the next one.
#[derive(Debug, Clone)]
struct Last {
    /// Times and sums.
    stream: State,
    layout: Layout,
    hint: ResetHint,
    /// Are the counts differences of whole numbers, not XORs?
    whole: bool,
    /// Zero count, positive buckets, negative buckets, count.
    counts: Vec<f64>,
    /// Size of the differences of whole numbers.
    size: Adaptive,
}

impl HistogramChunk {
    /// A chunk without samples; allocates nothing yet.
    pub const fn new() -> Self {
        Self { bits: BitWriter::new(), last: None }
    }

    /// Adds a histogram behind the others.
    ///
    /// # Errors
    /// The timestamp is not later than the last, or the chunk is full; the chunk is unchanged.
    pub fn push(&mut self, timestamp: Timestamp, histogram: &FloatHistogram) -> Result<(), PushError> {
        let Some(more) = stored_count(self.as_bytes()).checked_add(1) else {
            return Err(PushError::Full { limit: MAX_SAMPLES });
        };
        match &mut self.last {
            None => {
                super::begin(Encoding::Histogram, timestamp, histogram.sum(), &mut self.bits);
                let mut last = Box::new(Last::new(timestamp, histogram.sum()));
                last.write(histogram, &mut self.bits);
                self.last = Some(last);
            }
            Some(last) if timestamp <= last.stream.time => {
                return Err(PushError::NotAscending { timestamp, last: last.stream.time });
            }
            Some(last) => {
                last.stream.write_time(timestamp, &mut self.bits);
                last.write(histogram, &mut self.bits);
                super::set_count(more, self.bits.as_mut_bytes());
            }
        }
        Ok(())
    }

    /// Number of histograms.
    pub fn len(&self) -> usize {
        usize::from(stored_count(self.as_bytes()))
    }

    /// Are there no histograms?
    pub const fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    /// Timestamp of the first histogram, ms.
    pub fn first_timestamp(&self) -> Option<Timestamp> {
        super::first_timestamp(self.as_bytes())
    }

    /// Timestamp of the last histogram, ms.
    pub fn last_timestamp(&self) -> Option<Timestamp> {
        self.last.as_ref().map(|last| last.stream.time)
    }

    /// The last histogram.
    pub fn last_histogram(&self) -> Option<FloatHistogram> {
        self.last.as_ref().map(|last| last.histogram())
    }

    /// The chunk as [`decode`] reads it, at any time. Empty if there are no histograms.
    pub fn as_bytes(&self) -> &[u8] {
        self.bits.as_bytes()
    }

    /// The chunk's bytes without spare capacity.
    pub fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.bits.into_bytes();
        bytes.shrink_to_fit();
        bytes
    }

    /// Bytes of heap memory that the chunk holds, but for the layout of the last histogram.
    pub fn heap_bytes(&self) -> usize {
        let counts = |last: &Last| last.counts.capacity().saturating_mul(size_of::<f64>());
        let state = self.last.as_ref().map_or(0, |last| size_of::<Last>().saturating_add(counts(last)));
        self.bits.capacity().saturating_add(state)
    }
}

impl Last {
    /// The state before the first histogram, whose time and sum are known.
    fn new(timestamp: Timestamp, sum: f64) -> Self {
        Self {
            stream: State::new(timestamp, sum),
            layout: Layout::empty(),
            hint: ResetHint::Unknown,
            whole: true,
            counts: alloc::vec![0.0; 2],
            size: Adaptive::new(4),
        }
    }

    /// Appends a histogram, whose time has been written.
    fn write(&mut self, histogram: &FloatHistogram, out: &mut BitWriter) {
        let hint = histogram.reset_hint();
        let same_layout = histogram.has_layout(&self.layout);
        if same_layout && hint == self.hint && self.has_numbers(histogram) {
            return out.write(SAME, 1);
        }
        let whole = counts(histogram).all(|count| to_whole(count).is_some());
        if same_layout && hint == self.hint && whole == self.whole {
            out.write(COUNTS, 2);
        } else {
            out.write(CHANGE, 2);
            out.write(u64::from(hint.code()), HINT_BITS);
            out.write(u64::from(whole), 1);
            out.write(u64::from(!same_layout), 1);
            (self.hint, self.whole) = (hint, whole);
            if !same_layout {
                let layout = histogram.layout();
                write_layout(&layout, out);
                self.adopt(layout);
            }
        }
        self.stream.write_value(histogram.sum(), out);
        if whole { self.write_whole(histogram, out) } else { self.write_floats(histogram, out) }
    }

    /// Reads a histogram, whose time has been read. False if it is the one before once more.
    fn read(&mut self, bits: &mut BitReader<'_>) -> Result<bool, Corruption> {
        if bits.peek() & 1 == SAME {
            bits.consume(1);
            return Ok(false);
        }
        let code = bits.take(2);
        if code == CHANGE {
            self.hint = ResetHint::from_code(bits.take(HINT_BITS));
            self.whole = bits.take(1) == 1;
            if bits.take(1) == 1 {
                let layout = read_layout(bits)?;
                self.adopt(layout);
            }
        }
        self.stream.read_value(bits);
        if self.whole {
            self.read_whole(bits)
        } else {
            self.read_floats(bits)
        }
        Ok(true)
    }

    fn has_numbers(&self, histogram: &FloatHistogram) -> bool {
        histogram.sum().to_bits() == self.stream.value
            && counts(histogram).zip(&self.counts).all(|(new, old)| new.to_bits() == old.to_bits())
    }

    /// Goes over to `layout`. Buckets that stay keep their counts, others begin at zero; so do all if the schema is
    /// another.
    fn adopt(&mut self, layout: Layout) {
        let zero = self.counts.first().copied().unwrap_or(0.0);
        let count = self.counts.last().copied().unwrap_or(0.0);
        let middle = self.counts.get(1..self.counts.len().saturating_sub(1)).unwrap_or_default();
        let (positive, negative) = middle.split_at_checked(self.layout.positive_len()).unwrap_or_default();
        let keep = self.layout.schema() == layout.schema();
        let mut carried = Vec::with_capacity(layout.len().saturating_add(2));
        carried.push(zero);
        for ((old, new), counts) in
            self.layout.runs().into_iter().zip(layout.runs()).zip([positive, negative])
        {
            carry(if keep { old } else { &[] }, counts, new, &mut carried);
        }
        carried.push(count);
        (self.layout, self.counts) = (layout, carried);
    }

    fn write_whole(&mut self, histogram: &FloatHistogram, out: &mut BitWriter) {
        // The count is what the other numbers sum up to, but for observations of NaN.
        let (mut sum, count_at) = (0_i64, self.counts.len().saturating_sub(1));
        for (index, (new, old)) in counts(histogram).zip(&mut self.counts).enumerate() {
            let mut change = whole_or_zero(new).wrapping_sub(whole_or_zero(*old));
            if index == count_at {
                change = change.wrapping_sub(sum);
            }
            sum = sum.wrapping_add(change);
            *old = new;
            match zigzag(change).checked_sub(1) {
                None => out.write(0, 1),
                Some(change) => self.size.write(1, 1, change, out),
            }
        }
    }

    fn read_whole(&mut self, bits: &mut BitReader<'_>) {
        let (mut sum, count_at) = (0_i64, self.counts.len().saturating_sub(1));
        for (index, count) in self.counts.iter_mut().enumerate() {
            let mut change = 0;
            if bits.peek() & 1 == 0 {
                bits.consume(1);
            } else {
                change = unzigzag(self.size.read(1, bits).wrapping_add(1));
            }
            sum = sum.wrapping_add(change);
            let change = if index == count_at { sum } else { change };
            *count = whole_or_zero(*count).wrapping_add(change) as f64;
        }
    }

    /// Each count by its XOR with the one before: a zero bit if that is zero, else a one and a window.
    fn write_floats(&mut self, histogram: &FloatHistogram, out: &mut BitWriter) {
        for (new, old) in counts(histogram).zip(&mut self.counts) {
            let xor = new.to_bits() ^ old.to_bits();
            *old = new;
            if xor == 0 {
                out.write(0, 1);
                continue;
            }
            let (leading, trailing) = (xor.leading_zeros(), xor.trailing_zeros());
            let meaningful = width(xor).saturating_sub(trailing);
            let shape = u64::from(leading) | u64::from(meaningful.saturating_sub(1)) << LEADING_BITS;
            out.write(1 | shape << 1, 1_u32.saturating_add(LEADING_BITS).saturating_add(MEANINGFUL_BITS));
            out.write(xor.wrapping_shr(trailing), meaningful);
        }
    }

    fn read_floats(&mut self, bits: &mut BitReader<'_>) {
        for count in &mut self.counts {
            if bits.take(1) == 0 {
                continue;
            }
            let leading = u32::try_from(bits.take(LEADING_BITS)).unwrap_or(0);
            let meaningful = u32::try_from(bits.take(MEANINGFUL_BITS)).unwrap_or(0).saturating_add(1);
            let trailing = 64_u32.saturating_sub(leading).saturating_sub(meaningful);
            let xor = bits.take(meaningful).wrapping_shl(trailing);
            *count = f64::from_bits(count.to_bits() ^ xor);
        }
    }

    /// The histogram that was written or read last.
    fn histogram(&self) -> FloatHistogram {
        let at = |index: usize| self.counts.get(index).copied().unwrap_or(0.0);
        let last = self.counts.len().saturating_sub(1);
        let totals = Totals { zero_count: at(0), count: at(last), sum: f64::from_bits(self.stream.value) };
        let buckets = self.counts.get(1..last).unwrap_or_default();
        let (positive, negative) = buckets.split_at_checked(self.layout.positive_len()).unwrap_or_default();
        FloatHistogram::compose(&self.layout, self.hint, totals, positive.to_vec(), negative.to_vec())
    }
}

/// Zero count, positive buckets, negative buckets, count.
fn counts(histogram: &FloatHistogram) -> impl Iterator<Item = f64> + '_ {
    let buckets = histogram.positive_counts().iter().chain(histogram.negative_counts()).copied();
    core::iter::once(histogram.zero_count()).chain(buckets).chain([histogram.count()])
}

/// Appends what `new` buckets hold according to `old` ones: their `counts`, and zero in buckets that are new.
fn carry(old: &[Run], counts: &[f64], new: &[Run], into: &mut Vec<f64>) {
    let mut known = old.iter().flat_map(|run| run.start..run.end()).zip(counts).peekable();
    for index in new.iter().flat_map(|run| run.start..run.end()) {
        while known.next_if(|(at, _)| *at < index).is_some() {}
        into.push(known.next_if(|(at, _)| *at == index).map_or(0.0, |(_, count)| *count));
    }
}

fn write_layout(layout: &Layout, out: &mut BitWriter) {
    let mut bytes = Writer::new();
    layout.write(&mut bytes);
    out.write(bytes.len() as u64 & mask(LENGTH_BITS), LENGTH_BITS);
    for byte in bytes.as_bytes() {
        out.write(u64::from(*byte), 8);
    }
}

fn read_layout(bits: &mut BitReader<'_>) -> Result<Layout, Corruption> {
    let len = usize::try_from(bits.take(LENGTH_BITS)).unwrap_or(usize::MAX);
    if bits.remaining() / 8 < len {
        return Err(bits.corruption(CorruptionKind::Truncated { field: "layout" }));
    }
    let bytes: Vec<u8> = (0..len).map(|_| u8::try_from(bits.take(8)).unwrap_or(0)).collect();
    let mut reader = Reader::new("layout of a histogram", &bytes);
    let layout = Layout::read(&mut reader)?;
    reader.finish()?;
    // Every bucket takes at least a bit in the histogram that follows.
    if layout.len() > bits.remaining() {
        return Err(bits.corruption(CorruptionKind::Truncated { field: "counts" }));
    }
    Ok(layout)
}

/// Number of histograms in the chunk, from its header.
///
/// # Errors
/// The header is damaged.
pub fn count(bytes: &[u8]) -> Result<usize, Corruption> {
    match bytes {
        [] => Ok(0),
        _ => super::Header::read(SECTION, Encoding::Histogram, bytes).map(|header| header.count),
    }
}

/// Appends the histograms of a chunk to `into`. Bytes of length zero are a chunk without samples.
///
/// # Errors
/// The bytes are no chunk; `into` is then as it was.
pub fn decode(bytes: &[u8], into: &mut SampleColumns) -> Result<(), Corruption> {
    decode_range(bytes, TimeRange::ALL, into)
}

/// Appends the histograms of a chunk within `range` to `into`. Equal neighbours are one histogram, shared.
///
/// # Errors
/// As for [`decode`]. What lies behind the range is not looked at.
pub fn decode_range(bytes: &[u8], range: TimeRange, into: &mut SampleColumns) -> Result<(), Corruption> {
    if bytes.is_empty() {
        return Ok(());
    }
    let before = into.len();
    let header = super::Header::read(SECTION, Encoding::Histogram, bytes)?;
    decode_histograms(&header, range, into).inspect_err(|_| into.truncate(before))
}

fn decode_histograms(
    header: &super::Header<'_>,
    range: TimeRange,
    into: &mut SampleColumns,
) -> Result<(), Corruption> {
    let mut bits = BitReader::new(SECTION, header.stream);
    let mut last = Last::new(header.timestamp, header.value);
    let mut shared: Option<Arc<FloatHistogram>> = None;
    for index in 0..header.count {
        let before = last.stream.time;
        if index > 0 && last.stream.read_time(&mut bits) <= before {
            return Err(bits.corruption(CorruptionKind::Rule { rule: "timestamps do not ascend" }));
        }
        if last.stream.time > range.end() {
            return bits.check("samples");
        }
        if last.read(&mut bits)? {
            shared = None;
            // Nothing is built of histograms that are not there.
            bits.check("histogram")?;
        }
        if last.stream.time >= range.start() {
            let histogram = shared.get_or_insert_with(|| Arc::new(last.histogram()));
            into.push_histogram(last.stream.time, Arc::clone(histogram));
        }
    }
    bits.finish("samples")
}

#[cfg(test)]
pub(crate) mod tests;
