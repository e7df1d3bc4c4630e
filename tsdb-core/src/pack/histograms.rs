//! Columns of native histograms: their layouts once, then each bucket through time, like a series of its own.
//!
//! All histograms of a column are laid over the union of their buckets, so that a bucket that comes later does not cut
//! the others. A bucket that a histogram does not have stands there with the count it had before, which costs nothing.

use super::columns::Columns;
use super::values::{ValuesWriter, read_column};
use super::{MAX_CELLS, PackError};
use crate::Corruption;
use crate::bytes::{Reader, Writer};
use crate::histogram::{
    FloatHistogram, Layout, ResetHint, Run, Totals, max_layout_bytes, to_whole, whole_or_zero,
};
use crate::sample::{SampleColumns, SampleSlices};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The counts are whole: what is stored of the count of all observations is what the buckets do not explain.
const WHOLE: u8 = 1;

/// Layouts of a column take about this many bytes at most, so that a frame stays one that can be unpacked.
const MAX_LAYOUT_BYTES: usize = 16 << 20;

/// The buckets that some of several layouts have.
#[derive(Debug, Clone, Default)]
struct Union {
    /// Ascending runs that do not touch: positive (or custom) buckets, negative buckets.
    sides: [Vec<Run>; 2],
}

impl Union {
    /// Adds the buckets of `layout`.
    fn add(&mut self, layout: &Layout) {
        for (side, runs) in self.sides.iter_mut().zip(layout.runs()) {
            if side.as_slice() != runs {
                side.extend_from_slice(runs);
                side.sort_unstable_by_key(|run| run.start);
                side.dedup_by(|next, run| {
                    let touches = next.start <= run.end();
                    if touches {
                        run.length = run.end().max(next.end()).abs_diff(run.start);
                    }
                    touches
                });
            }
        }
    }

    /// Number of buckets.
    fn len(&self) -> usize {
        self.sides.iter().flatten().map(|run| run.length as usize).fold(0, usize::saturating_add)
    }

    /// Where the buckets of `layout` are among all: first and number of those of each run. All of them must be here.
    fn places(&self, layout: &Layout) -> Vec<(usize, usize)> {
        let mut places = Vec::new();
        let mut before = 0_usize;
        for (side, runs) in self.sides.iter().zip(layout.runs()) {
            let mut all = side.iter().peekable();
            for run in runs {
                while let Some(passed) = all.next_if(|within| within.end() <= run.start) {
                    before = before.saturating_add(passed.length as usize);
                }
                let within = all.peek().map_or(0, |within| run.start.abs_diff(within.start));
                places.push((before.saturating_add(within as usize), run.length as usize));
            }
            before = all.fold(before, |before, passed| before.saturating_add(passed.length as usize));
        }
        places
    }
}

/// The number of samples from the first on that one column takes: all, unless they are too many or histograms of very
/// many buckets. 0 if the first alone is too large.
pub(super) fn fitting(samples: SampleSlices<'_>) -> usize {
    let (mut union, mut last, mut histograms, mut layouts) = (Union::default(), None, 0_usize, 0_usize);
    let limit = samples.len().min(super::MAX_SAMPLES);
    for index in 0..limit {
        let Some(histogram) = samples.histogram(index) else { continue };
        if last.is_none_or(|last: &Arc<FloatHistogram>| !histogram.same_layout(last)) {
            union.add(&histogram.layout());
            layouts =
                layouts.saturating_add(max_layout_bytes(histogram.bucket_count(), histogram.bounds().len()));
        }
        if layouts > MAX_LAYOUT_BYTES && index > 0 {
            return index;
        }
        last = Some(histogram);
        histograms = histograms.saturating_add(1);
        if union.len().saturating_mul(histograms) > MAX_CELLS {
            return index;
        }
    }
    limit
}

/// Histograms taken apart, ready to be written as columns.
#[derive(Debug, Default)]
pub(super) struct Parts {
    layouts: Vec<Layout>,
    /// Number of a layout, and of how many histograms.
    runs: Vec<(usize, usize)>,
    histograms: Vec<Arc<FloatHistogram>>,
    /// Bucket by bucket the counts of all histograms.
    cells: Vec<f64>,
    /// Counts in all, or what the buckets do not explain of them.
    counts: Vec<f64>,
    whole: bool,
}

impl Parts {
    /// Takes the histograms among `samples` apart.
    pub(super) fn new(samples: SampleSlices<'_>) -> Result<Self, PackError> {
        let mut parts = Self::default();
        let mut union = Union::default();
        for histogram in (0..samples.len()).filter_map(|index| samples.histogram(index)) {
            if parts.add_layout(histogram) {
                union.add(&histogram.layout());
            }
            parts.histograms.push(Arc::clone(histogram));
        }
        let cells = union.len().saturating_mul(parts.histograms.len());
        if cells > MAX_CELLS {
            return Err(PackError::TooManyBuckets { cells, limit: MAX_CELLS });
        }
        parts.fill_cells(&union);
        parts.fill_counts();
        Ok(parts)
    }

    /// Notes the layout of the next histogram; true if it is a new one.
    fn add_layout(&mut self, histogram: &FloatHistogram) -> bool {
        if let Some((number, run)) = self.runs.last_mut()
            && self.layouts.get(*number).is_some_and(|layout| histogram.has_layout(layout))
        {
            *run = run.saturating_add(1);
            return false;
        }
        let known = self.layouts.iter().position(|layout| histogram.has_layout(layout));
        self.runs.push((known.unwrap_or(self.layouts.len()), 1));
        if known.is_none() {
            self.layouts.push(histogram.layout());
        }
        known.is_none()
    }

    fn fill_cells(&mut self, union: &Union) {
        let count = self.histograms.len();
        self.cells.resize(union.len().saturating_mul(count), 0.0);
        let mut histograms = self.histograms.iter().enumerate();
        for (number, run) in &self.runs {
            let places = self.layouts.get(*number).map(|layout| union.places(layout)).unwrap_or_default();
            for (index, histogram) in histograms.by_ref().take(*run) {
                for column in self.cells.chunks_mut(count.max(1)) {
                    if let Some([before, now]) =
                        index.checked_sub(1).and_then(|at| column.get_mut(at..=index))
                    {
                        *now = *before;
                    }
                }
                let counts = histogram.positive_counts().iter().chain(histogram.negative_counts());
                for (bucket, value) in buckets(&places).zip(counts) {
                    let place = bucket.saturating_mul(count).saturating_add(index);
                    if let Some(cell) = self.cells.get_mut(place) {
                        *cell = *value;
                    }
                }
            }
        }
    }

    fn fill_counts(&mut self) {
        let surplus = |histogram: &Arc<FloatHistogram>| surplus(histogram);
        match self.histograms.iter().map(surplus).collect() {
            Some(surpluses) => (self.counts, self.whole) = (surpluses, true),
            None => self.counts.extend(self.histograms.iter().map(|histogram| histogram.count())),
        }
    }

    /// Writes the record behind its tag.
    pub(super) fn write(&self, samples: SampleSlices<'_>, out: &mut ValuesWriter) {
        write_presence(samples, out);
        let record = out.record();
        record.varint(self.layouts.len() as u64);
        self.layouts.iter().for_each(|layout| layout.write(record));
        if self.layouts.len() > 1 {
            for (number, run) in &self.runs {
                record.varint(*number as u64);
                record.varint(*run as u64);
            }
        }
        self.write_hints(record);
        record.u8(if self.whole { WHOLE } else { 0 });
        let column = |of: fn(&FloatHistogram) -> f64| -> Vec<f64> {
            self.histograms.iter().map(|histogram| of(histogram)).collect()
        };
        out.write_column(&column(FloatHistogram::sum));
        out.write_column(&column(FloatHistogram::zero_count));
        out.write_column(&self.counts);
        if !self.cells.is_empty() {
            out.write_column(&self.cells);
        }
    }

    fn write_hints(&self, record: &mut Writer) {
        for run in self.histograms.chunk_by(|a, b| a.reset_hint() == b.reset_hint()) {
            let hint = run.first().map_or(0, |histogram| histogram.reset_hint().code());
            record.varint((run.len() as u64) << 2 | u64::from(hint));
        }
    }
}

/// The places of all buckets, in order.
fn buckets(places: &[(usize, usize)]) -> impl Iterator<Item = usize> + '_ {
    places.iter().flat_map(|(first, len)| *first..first.saturating_add(*len))
}

/// The count of a histogram of whole numbers less what its buckets hold.
fn surplus(histogram: &Arc<FloatHistogram>) -> Option<f64> {
    let buckets = histogram.positive_counts().iter().chain(histogram.negative_counts());
    let mut rest = to_whole(histogram.count())?.wrapping_sub(to_whole(histogram.zero_count())?);
    for count in buckets {
        rest = rest.wrapping_sub(to_whole(*count)?);
    }
    let rest = rest as f64;
    to_whole(rest).map(|_| rest)
}

/// Writes which samples are histograms and which are numbers, and the numbers.
fn write_presence(samples: SampleSlices<'_>, out: &mut ValuesWriter) {
    let is_histogram = |index: &usize| samples.histogram(*index).is_some();
    let numbers: Vec<f64> = (0..samples.len())
        .filter(|index| !is_histogram(index))
        .filter_map(|index| samples.values().get(index).copied())
        .collect();
    let record = out.record();
    record.varint(numbers.len() as u64);
    if numbers.is_empty() {
        return;
    }
    let (mut run, mut histograms) = (0_u64, true);
    for index in 0..samples.len() {
        if is_histogram(&index) != histograms {
            record.varint(run);
            (run, histograms) = (0, !histograms);
        }
        run = run.saturating_add(1);
    }
    record.varint(run);
    out.write_column(&numbers);
}

/// Reads the record of `count` samples behind its tag and appends values and histograms to `into`.
pub(super) fn read<'a>(
    columns: &Columns<'a>,
    record: &mut Reader<'a>,
    count: usize,
    into: &mut SampleColumns,
) -> Result<(), Corruption> {
    let presence = read_presence(columns, record, count)?;
    let histograms = count.saturating_sub(presence.numbers.len());
    let mut histograms = read_histograms(columns, record, histograms)?.into_iter();
    let mut numbers = presence.numbers.iter();
    into.histograms.resize(into.values.len(), None);
    into.values.reserve(count);
    into.histograms.reserve(count);
    for (run, are_histograms) in presence.runs.iter().zip([true, false].into_iter().cycle()) {
        if are_histograms {
            into.histograms.extend(histograms.by_ref().take(*run).map(Some));
            into.values.resize(into.values.len().saturating_add(*run), crate::STALE_NAN);
        } else {
            into.values.extend(numbers.by_ref().take(*run));
            into.histograms.resize(into.values.len(), None);
        }
    }
    Ok(())
}

struct Presence {
    /// Lengths of runs of histograms and of numbers, in turn.
    runs: Vec<usize>,
    numbers: Vec<f64>,
}

fn read_presence<'a>(
    columns: &Columns<'a>,
    record: &mut Reader<'a>,
    count: usize,
) -> Result<Presence, Corruption> {
    let numbers = record.varint("number of numbers")?;
    let mut presence = Presence { runs: Vec::new(), numbers: Vec::new() };
    match usize::try_from(numbers) {
        Ok(0) => presence.runs.push(count),
        Ok(numbers) if numbers < count => {
            let (mut left, mut of_numbers) = (count, 0_usize);
            while left > 0 {
                let field = "run of samples of a kind";
                let run = record.varint(field)?;
                let length =
                    usize::try_from(run).ok().filter(|length| *length > 0 || presence.runs.is_empty());
                let (Some(length), Some(rest)) = (length, length.and_then(|length| left.checked_sub(length)))
                else {
                    return Err(record.invalid(field, run));
                };
                if !presence.runs.len().is_multiple_of(2) {
                    of_numbers = of_numbers.saturating_add(length);
                }
                left = rest;
                presence.runs.push(length);
            }
            if of_numbers != numbers {
                return Err(record.invalid("number of numbers", numbers as u64));
            }
            read_column(columns, record, numbers, &mut presence.numbers)?;
        }
        _ => return Err(record.invalid("number of numbers", numbers)),
    }
    Ok(presence)
}

/// The columns of histograms as they are read.
struct Matrix {
    sums: Vec<f64>,
    zero_counts: Vec<f64>,
    counts: Vec<f64>,
    cells: Vec<f64>,
    whole: bool,
}

fn read_histograms<'a>(
    columns: &Columns<'a>,
    record: &mut Reader<'a>,
    count: usize,
) -> Result<Vec<Arc<FloatHistogram>>, Corruption> {
    let (layouts, union) = read_layouts(record, count)?;
    let runs = if layouts.len() > 1 {
        read_layout_runs(record, layouts.len(), count)?
    } else {
        alloc::vec![(0, count)]
    };
    let hints = read_hints(record, count)?;
    let flags = record.u8("flags of histograms")?;
    if flags > WHOLE {
        return Err(record.invalid("flags of histograms", u64::from(flags)));
    }
    let mut matrix = Matrix {
        sums: Vec::new(),
        zero_counts: Vec::new(),
        counts: Vec::new(),
        cells: Vec::new(),
        whole: flags == WHOLE,
    };
    read_column(columns, record, count, &mut matrix.sums)?;
    read_column(columns, record, count, &mut matrix.zero_counts)?;
    read_column(columns, record, count, &mut matrix.counts)?;
    if union.len() > 0 {
        read_column(columns, record, union.len().saturating_mul(count), &mut matrix.cells)?;
    }
    let mut built = Builder {
        matrix: &matrix,
        count,
        hints: &hints,
        row: Vec::new(),
        histograms: Vec::with_capacity(count),
    };
    for (number, run) in runs {
        if let Some(layout) = layouts.get(number) {
            built.add_run(layout, &union.places(layout), run);
        }
    }
    Ok(built.histograms)
}

fn read_layouts(record: &mut Reader<'_>, count: usize) -> Result<(Vec<Layout>, Union), Corruption> {
    // Schema, zero threshold and three numbers.
    let number = record.count(12, "number of layouts")?;
    if number == 0 || number > count {
        return Err(record.invalid("number of layouts", number as u64));
    }
    let mut union = Union::default();
    let mut layouts = Vec::with_capacity(number);
    for _ in 0..number {
        let layout = Layout::read(record)?;
        union.add(&layout);
        layouts.push(layout);
    }
    match union.len().saturating_mul(count) {
        0..=MAX_CELLS => Ok((layouts, union)),
        cells => Err(record.invalid("counts of histograms", cells as u64)),
    }
}

fn read_layout_runs(
    record: &mut Reader<'_>,
    layouts: usize,
    count: usize,
) -> Result<Vec<(usize, usize)>, Corruption> {
    let (mut left, mut runs) = (count, Vec::new());
    while left > 0 {
        let number = record.varint("number of a layout")?;
        let run = record.varint("run of a layout")?;
        match (usize::try_from(number), usize::try_from(run)) {
            (Ok(known), Ok(length)) if known < layouts && (1..=left).contains(&length) => {
                runs.push((known, length));
                left = left.saturating_sub(length);
            }
            _ => return Err(record.invalid("run of a layout", run)),
        }
    }
    Ok(runs)
}

fn read_hints(record: &mut Reader<'_>, count: usize) -> Result<Vec<ResetHint>, Corruption> {
    let mut hints = Vec::with_capacity(count);
    while hints.len() < count {
        let run = record.varint("run of reset hints")?;
        let end = usize::try_from(run >> 2).ok().filter(|length| *length > 0);
        match end.map(|length| length.saturating_add(hints.len())) {
            Some(end) if end <= count => hints.resize(end, ResetHint::from_code(run)),
            _ => return Err(record.invalid("run of reset hints", run)),
        }
    }
    Ok(hints)
}

/// Puts histograms together again.
struct Builder<'a> {
    matrix: &'a Matrix,
    count: usize,
    hints: &'a [ResetHint],
    /// The buckets of the histogram built last.
    row: Vec<f64>,
    histograms: Vec<Arc<FloatHistogram>>,
}

impl Builder<'_> {
    /// Adds the next `run` histograms, which have this layout. Equal neighbours are one histogram, shared.
    fn add_run(&mut self, layout: &Layout, places: &[(usize, usize)], run: usize) {
        for within in 0..run {
            let index = self.histograms.len();
            let before = core::mem::take(&mut self.row);
            let cell = |bucket: usize| {
                let place = bucket.saturating_mul(self.count).saturating_add(index);
                self.matrix.cells.get(place).copied().unwrap_or(0.0)
            };
            self.row.extend(buckets(places).map(cell));
            let totals = self.totals(index);
            let same = self.histograms.last().filter(|last| {
                within > 0
                    && self.hints.get(index) == Some(&last.reset_hint())
                    && same_bits(&before, &self.row)
                    && same_bits(
                        &[last.sum(), last.zero_count(), last.count()],
                        &[totals.sum, totals.zero_count, totals.count],
                    )
            });
            let histogram = same.cloned().unwrap_or_else(|| {
                let (positive, negative) =
                    self.row.split_at_checked(layout.positive_len()).unwrap_or_default();
                let hint = self.hints.get(index).copied().unwrap_or_default();
                Arc::new(FloatHistogram::compose(layout, hint, totals, positive.to_vec(), negative.to_vec()))
            });
            self.histograms.push(histogram);
        }
    }

    fn totals(&self, index: usize) -> Totals {
        let at = |column: &[f64]| column.get(index).copied().unwrap_or(0.0);
        let (sum, zero_count, stored) =
            (at(&self.matrix.sums), at(&self.matrix.zero_counts), at(&self.matrix.counts));
        let explained = |sum: i64, count: &f64| sum.wrapping_add(whole_or_zero(*count));
        let count = if self.matrix.whole {
            [stored, zero_count].iter().chain(&self.row).fold(0, explained) as f64
        } else {
            stored
        };
        Totals { zero_count, count, sum }
    }
}

fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

#[cfg(test)]
mod tests;
