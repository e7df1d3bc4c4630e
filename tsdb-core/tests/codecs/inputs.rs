//! Series for the tests of the codecs: drawn once from a fixed generator, so that golden files stay what they are.

use std::sync::Arc;
use tsdb_core::histogram::{FloatHistogram, FloatParts, ResetHint, Span};
use tsdb_core::sample::SampleColumns;
use tsdb_core::{STALE_NAN, Timestamp};

/// A series and what it is like.
pub(crate) struct Input {
    pub(crate) name: &'static str,
    pub(crate) columns: SampleColumns,
}

/// One series of each kind that the codecs treat in a way of its own.
pub(crate) fn inputs() -> Vec<Input> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut inputs = vec![
        input("single", vec![1234], vec![-0.5]),
        input("constant", regular(150), vec![0.1; 150]),
        input("counter", regular(150), summed((0..150).map(|_| random.below(90) as f64))),
        input("wide_counter", regular(150), summed((0..150).map(|_| random.below(5_000_000) as f64))),
        input("pages", regular(150), (0..150).map(|_| 4096.0 * random.below(100_000) as f64).collect()),
        input(
            "gauge",
            jittered(150, &mut random),
            (0..150).map(|_| random.below(2000) as f64 / 100.0).collect(),
        ),
        input("line", regular(150), (0..150).map(|index| 3.0 + 7.0 * f64::from(index * index)).collect()),
        input("rare_jump", regular(150), (0..150).map(|index| f64::from(index / 40) * 1e6).collect()),
        input("fraction", regular(150), summed((0..150).map(|_| random.unit()))),
        input("ratio", jittered(150, &mut random), (0..150).map(|_| 1.0 / (1.0 + random.unit())).collect()),
        input("extremes", wild_times(&mut random), (0..60).map(|_| f64::from_bits(random.bits())).collect()),
    ];
    let mut stale: Vec<f64> = (0..150).map(|index| f64::from(index % 11) / 4.0).collect();
    stale[70] = f64::NAN;
    stale[149] = STALE_NAN;
    inputs.push(input("stale", regular(150), stale));
    let odd =
        [1.0, -0.0, 0.0, STALE_NAN, 4.5, 1.0 / 3.0, f64::INFINITY, 1e300, 7.0, 7.0, 8.25, 5e-324, -1e15];
    inputs.push(input("mixed", regular(130), odd.into_iter().cycle().take(130).collect()));
    inputs
}

/// Series with histograms: of integers whose buckets become more, of floats, of custom buckets among numbers.
pub(crate) fn histogram_inputs() -> Vec<Input> {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut parts = FloatParts { schema: 2, zero_threshold: 1e-128, ..FloatParts::default() };
    parts.positive_spans = vec![Span { offset: -3, length: 2 }, Span { offset: 2, length: 3 }];
    parts.negative_spans = vec![Span { offset: 0, length: 2 }];
    (parts.positive_counts, parts.negative_counts) = (vec![0.0; 5], vec![0.0; 2]);
    let mut integers = SampleColumns::new();
    for index in 0..40 {
        if index == 20 {
            parts.positive_spans[1].length += 1;
            parts.positive_counts.push(0.0);
        }
        parts.reset_hint = if index == 0 { ResetHint::Unknown } else { ResetHint::NotReset };
        let more = random.below(20) as f64;
        parts.positive_counts[usize::try_from(index % 5).unwrap()] += more;
        parts.negative_counts[0] += 1.0;
        parts.count += more + 1.0;
        parts.sum += more / 8.0;
        push_parts(&mut integers, index, &parts);
        integers.set_start(1_775_643_300_000);
    }
    parts.reset_hint = ResetHint::Gauge;
    let mut floats = SampleColumns::new();
    for index in 0..30 {
        parts.positive_counts.iter_mut().for_each(|count| *count = random.unit());
        parts.count = f64::from_bits(random.bits() >> 2);
        parts.zero_count = if index == 7 { f64::NAN } else { 0.25 };
        push_parts(&mut floats, index, &parts);
    }
    let mut mixed = SampleColumns::new();
    for index in 0..30 {
        if index % 7 < 2 {
            mixed.push(1_775_643_330_000 + index * 15_000, random.below(100) as f64);
        } else {
            let custom = FloatParts {
                schema: -53,
                count: index as f64,
                sum: if index == 26 { STALE_NAN } else { 0.5 },
                positive_spans: vec![Span { offset: 1, length: 2 }],
                positive_counts: vec![index as f64, 0.0],
                bounds: [-0.0, 0.5].into(),
                ..FloatParts::default()
            };
            push_parts(&mut mixed, index, &custom);
        }
        mixed.set_start(1_775_643_330_000 + (index - 1) * 15_000);
    }
    let named = |name, columns| Input { name, columns };
    vec![named("integers", integers), named("floats", floats), named("mixed", mixed)]
}

fn push_parts(columns: &mut SampleColumns, index: i64, parts: &FloatParts) {
    let histogram = FloatHistogram::new(parts.clone()).unwrap();
    columns.push_histogram(1_775_643_330_000 + index * 15_000, Arc::new(histogram));
}

/// Bit patterns, to compare what equality of floats does not.
pub(crate) fn bits(columns: &SampleColumns) -> Vec<(Timestamp, u64)> {
    columns.timestamps.iter().copied().zip(columns.values.iter().map(|value| value.to_bits())).collect()
}

fn input(name: &'static str, timestamps: Vec<Timestamp>, values: Vec<f64>) -> Input {
    assert_eq!(timestamps.len(), values.len(), "{name}");
    Input { name, columns: SampleColumns { timestamps, values, ..SampleColumns::new() } }
}

fn regular(count: i64) -> Vec<Timestamp> {
    (0..count).map(|index| 1_775_643_330_000 + index * 15_000).collect()
}

fn jittered(count: i64, random: &mut Random) -> Vec<Timestamp> {
    regular(count).into_iter().map(|at| at + random.below(8).cast_signed()).collect()
}

fn wild_times(random: &mut Random) -> Vec<Timestamp> {
    let mut times: Vec<_> = (0..58).map(|_| random.bits().cast_signed()).collect();
    times.extend([i64::MIN, i64::MAX]);
    times.sort_unstable();
    times
}

fn summed(steps: impl Iterator<Item = f64>) -> Vec<f64> {
    let sum = |sum: &mut f64, step: f64| {
        *sum += step;
        Some(*sum)
    };
    steps.scan(1000.0, sum).collect()
}

/// xorshift64* (Vigna 2016).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.bits() >> 11) % bound
    }

    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
