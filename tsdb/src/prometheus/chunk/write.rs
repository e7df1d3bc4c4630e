//! Writing the samples of a series as chunks: where one ends and the next begins, and the bytes of each.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::super::bits::BitWriter;
use super::Encoding;
use super::float::XorFloat;
use super::layout::Layout;
use super::xor::XorWriter;
use std::ops::Range;
use tsdb_core::histogram::{FloatHistogram, ResetHint};
use tsdb_core::sample::SampleColumns;
use tsdb_core::{TimeRange, Timestamp};

/// Samples of a chunk, as Prometheus has them.
const SAMPLES: u16 = 120;
/// A chunk is ended when it has so many bytes, histograms not before there are [`MIN_HISTOGRAMS`].
const TARGET_BYTES: usize = 1024;
/// The longest a number and its time get, in bytes.
const MAX_SAMPLE_BYTES: usize = 19;
const MIN_HISTOGRAMS: u16 = 10;
/// Counts up to this are the same as integers and as floats.
const MAX_WHOLE: f64 = (1_u64 << 53) as f64;

/// A finished chunk.
#[derive(Debug)]
pub(in super::super) struct Cut {
    pub(in super::super) encoding: Encoding,
    pub(in super::super) data: Vec<u8>,
    /// From its first sample to its last.
    pub(in super::super) range: TimeRange,
    pub(in super::super) samples: u16,
}

/// How the histograms of a series are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Form {
    /// All counts are integers.
    Integers,
    /// Some count is none.
    Floats,
}

impl Form {
    /// The form that loses nothing of `columns`.
    pub(in super::super) fn of(columns: &SampleColumns) -> Self {
        let whole = |histogram: &FloatHistogram| {
            let counts = histogram.positive_counts().iter().chain(histogram.negative_counts());
            counts.chain(&[histogram.count(), histogram.zero_count()]).all(|count| is_whole(*count))
        };
        let mut histograms = columns.histograms.iter().flatten();
        if histograms.all(|histogram| histogram.is_stale() || whole(histogram)) {
            Self::Integers
        } else {
            Self::Floats
        }
    }
}

fn is_whole(count: f64) -> bool {
    (0.0..=MAX_WHOLE).contains(&count) && count.fract() == 0.0 && count.is_sign_positive()
}

#[expect(clippy::cast_possible_truncation, reason = "checked by `is_whole`; stale markers count nothing")]
fn whole(count: f64) -> i64 {
    count as i64
}

/// Calls `out` with the chunks that hold the samples of `columns` at the positions `within`, in order of time.
pub(in super::super) fn encode<E>(
    columns: &SampleColumns,
    within: Range<usize>,
    form: Form,
    mut out: impl FnMut(Cut) -> Result<(), E>,
) -> Result<(), E> {
    let mut open: Option<Open> = None;
    for position in within {
        let (Some(time), Some(value)) = (columns.timestamps.get(position), columns.values.get(position))
        else {
            break;
        };
        let histogram = columns.histogram(position).map(|histogram| &**histogram);
        if open.as_ref().is_some_and(|open| !open.takes(histogram))
            && let Some(full) = open.take()
        {
            out(full.finish())?;
        }
        let chunk = open.get_or_insert_with(|| Open::begin(*time, histogram, form));
        match (&mut chunk.writer, histogram) {
            (Writer::Numbers(writer), None) => writer.push(*time, *value),
            (Writer::Histograms(writer), Some(histogram)) => writer.push(*time, histogram),
            // What the chunk does not take is not offered to it.
            _ => {}
        }
        chunk.last = *time;
        chunk.samples = chunk.samples.saturating_add(1);
    }
    open.map_or(Ok(()), |open| out(open.finish()))
}

/// A chunk that is being written.
struct Open {
    writer: Writer,
    first: Timestamp,
    last: Timestamp,
    samples: u16,
}

enum Writer {
    Numbers(XorWriter),
    Histograms(HistogramWriter),
}

impl Open {
    fn begin(first: Timestamp, histogram: Option<&FloatHistogram>, form: Form) -> Self {
        let writer = match histogram {
            None => Writer::Numbers(XorWriter::new()),
            Some(histogram) => Writer::Histograms(HistogramWriter::new(histogram, form)),
        };
        Self { writer, first, last: first, samples: 0 }
    }

    /// Can the next sample, a number or `histogram`, be in this chunk?
    fn takes(&self, histogram: Option<&FloatHistogram>) -> bool {
        if self.samples >= SAMPLES {
            return false;
        }
        match (&self.writer, histogram) {
            (Writer::Numbers(writer), None) => writer.len().saturating_add(MAX_SAMPLE_BYTES) <= TARGET_BYTES,
            (Writer::Histograms(writer), Some(histogram)) => {
                let has_room = writer.bits.len() < TARGET_BYTES || self.samples < MIN_HISTOGRAMS;
                has_room && writer.takes(histogram)
            }
            _ => false,
        }
    }

    fn finish(self) -> Cut {
        let (encoding, data) = match self.writer {
            Writer::Numbers(writer) => (Encoding::Xor, writer.finish()),
            Writer::Histograms(writer) => writer.finish(self.samples),
        };
        let range = TimeRange::new(self.first, self.last).unwrap_or(TimeRange::ALL);
        Cut { encoding, data, range, samples: self.samples }
    }
}

/// Writes the histograms of a chunk one by one.
struct HistogramWriter {
    bits: BitWriter,
    hint: ResetHint,
    layout: Layout,
    is_stale: bool,
    time: Timestamp,
    distance: i64,
    is_first: bool,
    counts: Counts,
}

/// What the next histogram is told from.
enum Counts {
    /// Count, zero count, the buckets; and the sum.
    Integers(Vec<(i64, i64)>, XorFloat),
    /// Count, zero count, sum, the buckets.
    Floats(Vec<XorFloat>),
}

impl HistogramWriter {
    fn new(first: &FloatHistogram, form: Form) -> Self {
        let layout = if first.is_stale() { Layout::default() } else { Layout::of(first) };
        // Number of samples and flags come when they are known.
        let mut bits = BitWriter::after(vec![0; 3]);
        layout.write(&mut bits);
        Self {
            bits,
            hint: first.reset_hint(),
            layout,
            is_stale: false,
            time: 0,
            distance: 0,
            is_first: true,
            counts: match form {
                Form::Integers => Counts::Integers(Vec::new(), XorFloat::first(0.0)),
                Form::Floats => Counts::Floats(Vec::new()),
            },
        }
    }

    /// Readers take it that no counter was reset within a chunk, and that nothing follows a stale marker.
    fn takes(&self, histogram: &FloatHistogram) -> bool {
        let is_gauge = |hint| hint == ResetHint::Gauge;
        if histogram.is_stale() {
            return true;
        }
        let continues = match histogram.reset_hint() {
            ResetHint::NotReset => !is_gauge(self.hint),
            ResetHint::Gauge => is_gauge(self.hint),
            ResetHint::Unknown | ResetHint::Reset => false,
        };
        continues && !self.is_stale && Layout::of(histogram) == self.layout
    }

    fn push(&mut self, time: Timestamp, histogram: &FloatHistogram) {
        let distance = if self.is_first { 0 } else { time.wrapping_sub(self.time) };
        let told = if self.is_first { time } else { distance.wrapping_sub(self.distance) };
        self.bits.varbit_int(told);
        self.is_stale = histogram.is_stale();
        match &mut self.counts {
            Counts::Integers(counts, sum) if self.is_first => {
                first_integers(histogram, counts, sum, &mut self.bits);
            }
            Counts::Integers(counts, sum) => integers(histogram, counts, sum, &mut self.bits),
            Counts::Floats(counts) if self.is_first => {
                for value in floats(histogram) {
                    self.bits.bits(value.to_bits(), 64);
                    counts.push(XorFloat::first(value));
                }
            }
            Counts::Floats(counts) => {
                for (value, before) in floats(histogram).zip(counts) {
                    before.write(value, &mut self.bits);
                }
            }
        }
        (self.time, self.distance, self.is_first) = (time, distance, false);
    }

    fn finish(self, samples: u16) -> (Encoding, Vec<u8>) {
        let flags = match self.hint {
            ResetHint::Unknown => 0,
            ResetHint::NotReset => 1,
            ResetHint::Reset => 2,
            ResetHint::Gauge => 3_u8,
        };
        let encoding = match self.counts {
            Counts::Integers(..) => Encoding::Histogram,
            Counts::Floats(_) => Encoding::FloatHistogram,
        };
        let mut data = self.bits.finish();
        if let Some([high, low, header]) = data.first_chunk_mut() {
            [*high, *low] = samples.to_be_bytes();
            *header = flags << 6;
        }
        (encoding, data)
    }
}

/// Count, zero count, sum and buckets; of a stale marker only that it is one.
fn floats(histogram: &FloatHistogram) -> impl Iterator<Item = f64> {
    let is_stale = histogram.is_stale();
    let (count, zero) = if is_stale { (0.0, 0.0) } else { (histogram.count(), histogram.zero_count()) };
    let buckets = histogram.positive_counts().iter().chain(histogram.negative_counts()).copied();
    [count, zero, histogram.sum()].into_iter().chain(buckets.filter(move |_| !is_stale))
}

/// The buckets of both sides, each as the difference to the one before.
fn deltas(histogram: &FloatHistogram) -> impl Iterator<Item = i64> {
    let side = |counts: &[f64]| {
        let mut before = 0;
        let deltas = counts.iter().map(|count| {
            let delta = whole(*count).wrapping_sub(before);
            before = whole(*count);
            delta
        });
        deltas.collect::<Vec<_>>()
    };
    let positive = side(histogram.positive_counts());
    positive.into_iter().chain(side(histogram.negative_counts())).filter(|_| !histogram.is_stale())
}

fn first_integers(
    histogram: &FloatHistogram,
    counts: &mut Vec<(i64, i64)>,
    sum: &mut XorFloat,
    bits: &mut BitWriter,
) {
    let is_stale = histogram.is_stale();
    for count in [histogram.count(), histogram.zero_count()] {
        let count = if is_stale { 0 } else { whole(count) };
        bits.varbit_uint(count.cast_unsigned());
        counts.push((count, 0));
    }
    bits.bits(histogram.sum().to_bits(), 64);
    *sum = XorFloat::first(histogram.sum());
    for delta in deltas(histogram) {
        bits.varbit_int(delta);
        counts.push((delta, 0));
    }
}

fn integers(histogram: &FloatHistogram, counts: &mut [(i64, i64)], sum: &mut XorFloat, bits: &mut BitWriter) {
    if histogram.is_stale() {
        // Nobody looks at what it counts.
        bits.bits(0, 2);
        return sum.write(histogram.sum(), bits);
    }
    let totals = [whole(histogram.count()), whole(histogram.zero_count())];
    let tell = |(value, place): (i64, &mut (i64, i64)), bits: &mut BitWriter| {
        let change = value.wrapping_sub(place.0);
        bits.varbit_int(change.wrapping_sub(place.1));
        *place = (value, change);
    };
    let mut places = counts.iter_mut();
    totals.into_iter().zip(places.by_ref()).for_each(|told| tell(told, bits));
    sum.write(histogram.sum(), bits);
    deltas(histogram).zip(places).for_each(|told| tell(told, bits));
}
