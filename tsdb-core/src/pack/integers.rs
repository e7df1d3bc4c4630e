//! Chooses a model for a column of integers and turns the column into small residuals.
//!
//! Every column ends up here: timestamps as they are, values after [`scale`](super::scale) made integers of them.
//! All arithmetic wraps modulo 2^64, so any column of `i64` has residuals under any model.

use super::planes::{MAX_WIDTH, byte_width};
use alloc::vec::Vec;

/// How the integers of a column follow from its residuals; `docs/pack-format.md` gives the formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Model {
    /// How often the column was differenced: 0, 1 or 2.
    pub(super) order: u8,
    /// The first integer.
    pub(super) first: i64,
    /// What all differences from the first are multiples of, at least 1.
    pub(super) factor: i64,
    /// Slope per sample for order 0, the first difference for order 2.
    pub(super) step: i64,
    /// For order 0, the median distance from the line, which is subtracted from all.
    pub(super) middle: i64,
}

/// A differenced model must promise a tenth less than plain deltas to be taken: equal deltas of neighbouring series
/// are found by the compressor behind us, and that is worth more than a little entropy. Measured.
const ADVANTAGE_PERCENT: u64 = 110;

/// At a cost of 24 bits per probe residuals are noise, and deltas of neighbours are never equal.
const COST_OF_NOISE: u64 = (PROBES as u64) * (24 << 8);

/// Residuals that an estimate looks at, evenly spread.
const PROBES: usize = 128;

/// What a byte costs besides its entropy, in 256ths of a bit.
const COST_OF_BYTE: u64 = 32;

/// At a cost of half a bit per probe, in 256ths, deltas are almost all zero and no other model is tried.
const COST_OF_STANDSTILL: u64 = (PROBES as u64) << 7;

/// Working memory of the chooser, reused from column to column.
#[derive(Debug, Default)]
pub(super) struct Chooser {
    /// Is the first model good enough?
    hasty: bool,
    units: Vec<i64>,
    candidate: Vec<i64>,
    best: Vec<i64>,
}

impl Chooser {
    /// A chooser that always takes plain deltas.
    pub(super) fn hasty() -> Self {
        Self { hasty: true, ..Self::default() }
    }

    /// The cheapest model of `column` and its residuals. `sloped` columns may rise along a line, as times do.
    pub(super) fn choose(&mut self, column: &[i64], sloped: bool) -> (Model, &[i64]) {
        let first = column.first().copied().unwrap_or(0);
        let factor = common_factor(column, first);
        self.units.clear();
        let distances = column.iter().map(|x| x.wrapping_sub(first));
        match factor {
            // Mostly; a division takes longer than all else that happens to an integer here.
            1 => self.units.extend(distances),
            // `checked_div` only misses a zero divisor and MIN / -1, and the factor is at least 1.
            _ => self.units.extend(distances.map(|x| x.checked_div(factor).unwrap_or(0))),
        }

        let delta = Model { order: 1, first, factor, step: 0, middle: 0 };
        residuals(&delta, &self.units, &mut self.best);
        if self.hasty {
            return (delta, &self.best);
        }
        let mut chosen = (cost(&self.best), delta);
        if !sloped && chosen.0 <= COST_OF_STANDSTILL {
            return (delta, &self.best);
        }
        let line = self.line(delta, sloped);
        for model in [line, self.differences(delta)] {
            residuals(&model, &self.units, &mut self.candidate);
            let cost = cost(&self.candidate);
            let percent = if cost >= COST_OF_NOISE { 100 } else { ADVANTAGE_PERCENT };
            if cost.saturating_mul(percent) < chosen.0.saturating_mul(100) {
                chosen = (cost, model);
                core::mem::swap(&mut self.best, &mut self.candidate);
            }
        }
        (chosen.1, &self.best)
    }

    /// Order 0: distances from a line, or from the median.
    fn line(&mut self, base: Model, sloped: bool) -> Model {
        let last = i128::try_from(self.units.len().saturating_sub(1)).unwrap_or(0);
        let rise = self.units.last().map_or(0, |last| i128::from(*last));
        // To the nearest integer: (2 rise + last) / (2 last), rounded down.
        let doubled = rise.saturating_mul(2).saturating_add(last);
        let slope = doubled.checked_div_euclid(last.saturating_mul(2)).filter(|_| sloped).unwrap_or(0);
        let step = i64::try_from(slope).unwrap_or(0);
        let flat = Model { order: 0, step, middle: 0, ..base };
        residuals(&flat, &self.units, &mut self.candidate);
        Model { middle: median(&self.candidate), ..flat }
    }

    /// Order 2: differences of differences.
    fn differences(&self, base: Model) -> Model {
        Model { order: 2, step: self.units.get(1).copied().unwrap_or(0), ..base }
    }
}

/// The largest number that divides all distances from `first`; 1 if they are all zero or the number is no `i64`.
fn common_factor(column: &[i64], first: i64) -> i64 {
    let mut factor = 0_u64;
    for value in column {
        factor = gcd(value.wrapping_sub(first).unsigned_abs(), factor);
        if factor == 1 {
            break;
        }
    }
    i64::try_from(factor).unwrap_or(1).max(1)
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    a
}

/// Fills `into` with what `model` leaves of the column in units of its factor.
fn residuals(model: &Model, units: &[i64], into: &mut Vec<i64>) {
    into.clear();
    match model.order {
        0 => into.extend(units.iter().zip(0_i64..).map(|(unit, index)| {
            unit.wrapping_sub(model.step.wrapping_mul(index)).wrapping_sub(model.middle)
        })),
        1 => {
            let mut before = 0;
            into.extend(units.iter().map(|unit| {
                let delta = unit.wrapping_sub(before);
                before = *unit;
                delta
            }));
        }
        _ => {
            // As if the first integer had been reached by the first slope.
            let (mut before, mut slope) = (model.step.wrapping_neg(), model.step);
            into.extend(units.iter().map(|unit| {
                let delta = unit.wrapping_sub(before);
                let change = delta.wrapping_sub(slope);
                (before, slope) = (*unit, delta);
                change
            }));
        }
    }
}

/// The width in bytes at which residuals cost least, wider ones being exceptions of their length and two bytes.
pub(super) fn best_width(residuals: &[i64]) -> usize {
    let mut by_width = [0_usize; MAX_WIDTH + 1];
    for residual in residuals {
        if let Some(count) = by_width.get_mut(byte_width(*residual)) {
            *count = count.saturating_add(1);
        }
    }
    let exceptions = |width: usize| -> usize {
        let wider = by_width.iter().enumerate().skip(width.saturating_add(1));
        wider.map(|(bytes, count)| count.saturating_mul(bytes.saturating_add(2))).sum()
    };
    let bytes = |width: usize| residuals.len().saturating_mul(width).saturating_add(exceptions(width));
    (0..=MAX_WIDTH).min_by_key(|width| bytes(*width)).unwrap_or(MAX_WIDTH)
}

/// A column is sparse if more than one residual in this many is zero. With fewer, the mask costs more than they.
const SPARSE_ZEROS: usize = 6;
/// And if more than one residual in this many is not zero. With fewer, they are exceptions. Both measured.
const SPARSE_OTHERS: usize = 64;

/// Is it better to tell in a bit for each residual whether it is zero, and to store the others alone?
pub(super) fn is_sparse(residuals: &[i64]) -> bool {
    let zeros = residuals.iter().filter(|residual| **residual == 0).count();
    let others = residuals.len().saturating_sub(zeros);
    zeros.saturating_mul(SPARSE_ZEROS) > residuals.len()
        && others.saturating_mul(SPARSE_OTHERS) > residuals.len()
}

/// Some of the residuals, evenly spread, and how many they are.
fn probe(residuals: &[i64]) -> ([i64; PROBES], usize) {
    let mut probes = [0; PROBES];
    let stride = residuals.len().div_ceil(PROBES).max(1);
    let mut count = 0_usize;
    for (probe, residual) in probes.iter_mut().zip(residuals.iter().step_by(stride)) {
        *probe = *residual;
        count = count.saturating_add(1);
    }
    (probes, count)
}

/// About the median.
fn median(residuals: &[i64]) -> i64 {
    let (mut probes, count) = probe(residuals);
    match probes.get_mut(..count) {
        Some(probes @ [_, ..]) => *probes.select_nth_unstable(probes.len() / 2).1,
        _ => 0,
    }
}

/// About the bits that the probes take after entropy coding of their byte planes and of a mask, in 256ths.
fn cost(residuals: &[i64]) -> u64 {
    let (mut probes, count) = probe(residuals);
    let probes = probes.get_mut(..count).unwrap_or_default();
    if !is_sparse(probes) {
        return cost_of_stored(probes);
    }
    probes.sort_unstable_by_key(|residual| *residual == 0);
    let kept = probes.partition_point(|residual| *residual != 0);
    let zeros = probes.len().saturating_sub(kept);
    let log = |count: usize| u64::from(log2(u32::try_from(count).unwrap_or(u32::MAX)));
    let bits = |count: usize| log(probes.len()).saturating_sub(log(count)).saturating_mul(count as u64);
    let mask = bits(zeros)
        .saturating_add(bits(kept))
        .saturating_add((probes.len() as u64).saturating_mul(COST_OF_BYTE) / 8);
    mask.saturating_add(cost_of_stored(probes.get(..kept).unwrap_or_default()))
}

/// As [`cost`], without a mask.
fn cost_of_stored(probes: &[i64]) -> u64 {
    let width = best_width(probes);
    let exceptions = probes.iter().map(|residual| byte_width(*residual)).filter(|bytes| *bytes > width);
    let exception_bits = exceptions.map(|bytes| (bytes as u64).saturating_add(2).saturating_mul(8 << 8));
    let plane_bits = (0..width).map(|plane| entropy(probes, plane.saturating_mul(8)));
    // A byte is not free even where all are equal: it is moved, and matched.
    let bytes = (probes.len() as u64).saturating_mul(width as u64).saturating_mul(COST_OF_BYTE);
    exception_bits.chain(plane_bits).chain([bytes]).fold(0, u64::saturating_add)
}

/// The entropy of the bytes at `shift`, in 256ths of bits, summed sample by sample so that short columns are cheap.
fn entropy(residuals: &[i64], shift: usize) -> u64 {
    let mut counts = [0_u32; 256];
    let byte = |residual: i64| residual.to_le_bytes().get(shift >> 3).map_or(0, |byte| usize::from(*byte));
    for residual in residuals {
        if let Some(count) = counts.get_mut(byte(*residual)) {
            *count = count.saturating_add(1);
        }
    }
    let all = log2(u32::try_from(residuals.len()).unwrap_or(u32::MAX));
    let bits = |residual: &i64| all.saturating_sub(log2(counts.get(byte(*residual)).copied().unwrap_or(1)));
    residuals.iter().map(|residual| u64::from(bits(residual))).fold(0, u64::saturating_add)
}

/// The binary logarithm in 256ths, linear between powers of two; 0 for 0.
fn log2(value: u32) -> u32 {
    let exponent = value.checked_ilog2().unwrap_or(0);
    let fraction = (u64::from(value) << 8 >> exponent) & 0xff;
    (exponent << 8) | u32::try_from(fraction).unwrap_or(0)
}
