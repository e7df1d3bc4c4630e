//! What chunks of histograms promise, on drawn histograms.
#![expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]

use super::*;
use crate::STALE_NAN;
use crate::histogram::{FloatParts, Span};
use alloc::vec;
use proptest::prelude::*;

/// A whole count, most often a small one; sometimes one that integers and floats do not share.
fn any_count() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (0_u32..50).prop_map(f64::from),
        2 => (0_u64..=1 << 53).prop_map(|count| count as f64),
        1 => Just(-0.0),
    ]
}

/// Any bits but those of a number below zero.
fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.0..1e6,
        1 => any::<u64>().prop_map(f64::from_bits).prop_filter("not negative", |count| count.is_nan() || *count >= 0.0),
        1 => prop::sample::select(vec![STALE_NAN, f64::INFINITY, 5e-324]),
    ]
}

fn any_spans() -> impl Strategy<Value = Vec<Span>> {
    let span = (0_i32..4, 0_u32..5).prop_map(|(offset, length)| Span { offset, length });
    (-20_i32..20, prop::collection::vec(span, 0..4)).prop_map(|(start, mut spans)| {
        if let Some(first) = spans.first_mut() {
            first.offset = start;
        }
        spans
    })
}

fn any_hint() -> impl Strategy<Value = ResetHint> {
    prop::sample::select(vec![ResetHint::Unknown, ResetHint::Reset, ResetHint::NotReset, ResetHint::Gauge])
}

fn buckets(spans: &[Span]) -> usize {
    spans.iter().map(|span| span.length as usize).sum()
}

/// An exponential histogram.
fn any_exponential(counts: BoxedStrategy<f64>) -> impl Strategy<Value = FloatHistogram> {
    let shape = (
        any_hint(),
        -4_i32..=8,
        prop::sample::select(vec![0.0, -0.0, 1e-128, 0.5]),
        any_spans(),
        any_spans(),
    );
    let totals = (counts.clone(), counts.clone(), any::<u64>().prop_map(f64::from_bits));
    (shape, totals, prop::collection::vec(counts, 64)).prop_map(|(shape, totals, counts)| {
        let (reset_hint, schema, zero_threshold, positive_spans, negative_spans) = shape;
        let (positive, negative) = (buckets(&positive_spans), buckets(&negative_spans));
        let parts = FloatParts {
            reset_hint,
            schema,
            zero_threshold,
            zero_count: totals.0,
            count: totals.1,
            sum: totals.2,
            positive_counts: counts[..positive].to_vec(),
            negative_counts: counts[positive..positive + negative].to_vec(),
            positive_spans,
            negative_spans,
            bounds: Arc::default(),
        };
        FloatHistogram::new(parts).unwrap()
    })
}

fn any_custom(counts: BoxedStrategy<f64>) -> impl Strategy<Value = FloatHistogram> {
    let bounds = prop::collection::btree_set(-1000_i32..1000, 1..6);
    (any_hint(), bounds, prop::collection::vec(counts, 8), any::<u64>()).prop_map(
        |(reset_hint, bounds, counts, sum)| {
            let bounds: Arc<[f64]> = bounds.into_iter().map(|bound| f64::from(bound) / 8.0).collect();
            let length = u32::try_from(bounds.len()).unwrap();
            let parts = FloatParts {
                reset_hint,
                schema: -53,
                count: counts[7],
                sum: f64::from_bits(sum),
                positive_spans: vec![Span { offset: 1, length }],
                positive_counts: counts[..bounds.len()].to_vec(),
                bounds,
                ..FloatParts::default()
            };
            FloatHistogram::new(parts).unwrap()
        },
    )
}

/// Histograms of all kinds.
pub(crate) fn any_histogram() -> impl Strategy<Value = FloatHistogram> {
    prop_oneof![
        6 => any_exponential(any_count().boxed()),
        2 => any_exponential(any_float().boxed()),
        1 => any_custom(any_count().boxed()),
        1 => any_custom(any_float().boxed()),
    ]
}

/// A sequence of histograms, with neighbours that are equal or differ in their counts alone.
pub(crate) fn any_histograms() -> impl Strategy<Value = Vec<Arc<FloatHistogram>>> {
    let step = prop_oneof![
        2 => any_histogram().prop_map(|histogram| (Some(histogram), 0)),
        6 => (1_u64..8).prop_map(|more| (None, more)),
        2 => Just((None, 0)),
    ];
    prop::collection::vec(step, 1..40).prop_map(|steps| {
        let mut last = FloatHistogram::new(FloatParts::default()).unwrap();
        let next = |(new, more): (Option<FloatHistogram>, u64)| {
            last = new.unwrap_or_else(|| grown(&last, more));
            Arc::new(last.clone())
        };
        steps.into_iter().map(next).collect()
    })
}

/// The histogram after some more observations.
fn grown(histogram: &FloatHistogram, more: u64) -> FloatHistogram {
    let mut parts = histogram.to_parts();
    for (bucket, index) in parts.positive_counts.iter_mut().zip(0..) {
        *bucket += (more * index % 5) as f64;
        parts.count += (more * index % 5) as f64;
    }
    parts.sum += more as f64;
    FloatHistogram::new(parts).unwrap()
}

fn scraped(histograms: &[Arc<FloatHistogram>]) -> SampleColumns {
    let mut columns = SampleColumns::new();
    for (histogram, index) in histograms.iter().zip(0..) {
        columns.push_histogram(1_700_000_000_000 + index * 15_000, Arc::clone(histogram));
    }
    columns
}

fn filled(columns: &SampleColumns) -> HistogramChunk {
    let mut chunk = HistogramChunk::new();
    for (timestamp, histogram) in columns.timestamps.iter().zip(&columns.histograms) {
        chunk.push(*timestamp, histogram.as_ref().unwrap()).unwrap();
    }
    chunk
}

/// Equality of layouts is that of numbers; here zeros have signs.
pub(crate) fn assert_same(read: &SampleColumns, written: &SampleColumns) {
    assert_eq!(read.timestamps, written.timestamps);
    assert_eq!(read.histograms, written.histograms);
    let values =
        |columns: &SampleColumns| columns.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(values(read), values(written));
    for (read, written) in read.histograms.iter().flatten().zip(written.histograms.iter().flatten()) {
        assert!(read.has_layout(&written.layout()));
    }
}

fn assert_round_trip(columns: &SampleColumns) -> usize {
    let chunk = filled(columns);
    let mut into = SampleColumns::new();
    into.push(-7, -7.0);
    decode(chunk.as_bytes(), &mut into).unwrap();
    assert_eq!(into.len(), columns.len() + 1);
    into.retain_range(TimeRange::new(0, i64::MAX).unwrap());
    assert_same(&into, columns);
    assert_eq!(count(chunk.as_bytes()), Ok(columns.len()));
    assert_eq!(chunk.last_histogram().as_ref(), columns.histograms.last().and_then(Option::as_deref));
    assert_eq!(chunk.last_timestamp(), columns.timestamps.last().copied());
    assert_eq!(chunk.first_timestamp(), columns.timestamps.first().copied());
    let histograms = || columns.histograms.iter().flatten();
    let buckets = histograms().map(|histogram| histogram.bucket_count()).max().unwrap_or(0);
    let bounds = histograms().map(|histogram| histogram.bounds().len()).max().unwrap_or(0);
    let len = chunk.into_bytes().len();
    assert!(len <= max_chunk_bytes(columns.len(), buckets, bounds));
    len
}

/// A histogram of integers as a service has it: 40 buckets, some of them busy.
pub(crate) fn latencies(scrapes: u64) -> SampleColumns {
    let mut parts = FloatParts {
        schema: 3,
        zero_threshold: 1e-128,
        positive_spans: vec![Span { offset: -30, length: 40 }],
        positive_counts: vec![0.0; 40],
        ..FloatParts::default()
    };
    let mut histograms = Vec::new();
    for scrape in 0..scrapes {
        for (bucket, index) in parts.positive_counts.iter_mut().zip(0..) {
            let distance: u64 = 20_u64.abs_diff(index);
            let more = if distance < 8 { (scrape * 7 + index * 13) % (40 >> distance).max(2) } else { 0 };
            *bucket += more as f64;
            parts.count += more as f64;
            parts.sum += more as f64 / 64.0;
        }
        histograms.push(Arc::new(FloatHistogram::new(parts.clone()).unwrap()));
    }
    scraped(&histograms)
}

#[test]
fn an_empty_chunk_decodes_to_nothing() {
    assert_eq!(assert_round_trip(&SampleColumns::new()), 0);
}

#[test]
fn a_histogram_of_integers_takes_a_bit_per_idle_bucket_and_a_few_per_busy_one() {
    let bytes = assert_round_trip(&latencies(120));
    assert!(bytes <= 120 * 18, "{bytes} bytes");
}

#[test]
fn a_histogram_that_does_not_change_takes_two_bits_and_is_read_as_one() {
    let one = latencies(1).histograms[0].clone().unwrap();
    let columns = scraped(&vec![one; 4001]);
    assert!(assert_round_trip(&columns) <= 1000 + 120);
    let mut into = SampleColumns::new();
    decode(filled(&columns).as_bytes(), &mut into).unwrap();
    let first = into.histograms[0].as_ref().unwrap();
    assert!(into.histograms.iter().flatten().all(|histogram| Arc::ptr_eq(histogram, first)));
}

#[test]
fn a_chunk_can_be_read_after_every_push() {
    let columns = latencies(30);
    let mut chunk = HistogramChunk::new();
    for (index, (timestamp, histogram)) in columns.timestamps.iter().zip(&columns.histograms).enumerate() {
        chunk.push(*timestamp, histogram.as_ref().unwrap()).unwrap();
        let mut into = SampleColumns::new();
        decode(chunk.as_bytes(), &mut into).unwrap();
        let mut expected = columns.clone();
        expected.truncate(index + 1);
        assert_same(&into, &expected);
    }
}

#[test]
fn a_histogram_that_is_not_later_is_refused_and_changes_nothing() {
    let columns = latencies(2);
    let mut chunk = filled(&columns);
    let before = chunk.as_bytes().to_vec();
    let (timestamp, histogram) = (columns.timestamps[1], columns.histograms[0].clone().unwrap());
    let refused = chunk.push(timestamp, &histogram);
    assert_eq!(refused, Err(PushError::NotAscending { timestamp, last: timestamp }));
    assert_eq!(chunk.as_bytes(), before);
}

#[test]
fn a_full_chunk_takes_no_more() {
    let one = latencies(1).histograms[0].clone().unwrap();
    let mut chunk = filled(&scraped(&vec![one.clone(); MAX_SAMPLES]));
    assert_eq!(chunk.push(i64::MAX, &one), Err(PushError::Full { limit: MAX_SAMPLES }));
}

#[test]
fn a_layout_of_more_buckets_than_bits_is_refused_before_memory_is_taken() {
    let parts = FloatParts {
        positive_spans: vec![Span { offset: 0, length: 60_000 }],
        positive_counts: vec![0.0; 60_000],
        ..FloatParts::default()
    };
    let chunk = filled(&scraped(&[Arc::new(FloatHistogram::new(parts).unwrap())]));
    let bytes = chunk.into_bytes();
    assert!(decode(&bytes, &mut SampleColumns::new()).is_ok());
    assert!(decode(&bytes[..200], &mut SampleColumns::new()).is_err());
}

proptest! {
    #[test]
    fn every_histogram_comes_back_bit_for_bit(histograms in any_histograms()) {
        assert_round_trip(&scraped(&histograms));
    }

    #[test]
    fn a_range_gives_what_lies_in_it(histograms in any_histograms(), ends in any::<(u8, u8)>()) {
        let columns = scraped(&histograms);
        let pick = |at: u8| columns.timestamps[usize::from(at) % columns.len()];
        let (a, b) = (pick(ends.0), pick(ends.1));
        let range = TimeRange::new(a.min(b), a.max(b)).unwrap();
        let mut into = SampleColumns::new();
        decode_range(filled(&columns).as_bytes(), range, &mut into).unwrap();
        let mut expected = columns;
        expected.retain_range(range);
        assert_same(&into, &expected);
    }

    #[test]
    fn any_bytes_are_decoded_without_panic(mut bytes: Vec<u8>) {
        if let Some(tag) = bytes.first_mut() {
            *tag = 2;
        }
        let mut into = SampleColumns::new();
        let _ignored = decode(&bytes, &mut into);
    }

    #[test]
    fn damage_does_no_harm(histograms in any_histograms(), flip: prop::sample::Index, cut: prop::sample::Index) {
        let mut bytes = filled(&scraped(&histograms)).into_bytes();
        let bit = flip.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut into = SampleColumns::new();
        let result = decode(&bytes, &mut into);
        prop_assert!(result.is_ok() || into.is_empty());
        prop_assert!(into.timestamps.is_sorted_by(|a, b| a < b));
        let _ignored = decode(&bytes[..cut.index(bytes.len())], &mut into);
    }
}
