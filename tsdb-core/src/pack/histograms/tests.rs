//! What packed columns of histograms and start timestamps promise, on drawn samples.
#![expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]

use super::*;
use crate::chunk::histogram::tests::{any_histograms, assert_same, latencies};
use crate::error::CorruptionKind;
use crate::histogram::{FloatParts, Span};
use crate::pack::{Frame, FrameWriter, Times, TimesWriter, Values, max_frame_bytes, max_more_bytes};
use crate::{TimeRange, Timestamp};
use alloc::vec;
use proptest::prelude::*;

fn packed(series: &[SampleColumns]) -> Vec<u8> {
    let mut writer = FrameWriter::new();
    for (columns, slot) in series.iter().zip(0_u32..) {
        assert_eq!(writer.push_samples(columns.as_slices()), Ok(slot));
    }
    writer.finish()
}

fn assert_round_trip(series: &[SampleColumns]) -> usize {
    let bytes = packed(series);
    let frame = Frame::open(&bytes).unwrap();
    for (slot, columns) in (0..).zip(series).collect::<Vec<(u32, _)>>().into_iter().rev() {
        let mut into = SampleColumns::new();
        frame.read(slot, &mut into).unwrap();
        assert_same(&into, columns);
        assert_eq!(into.starts, columns.starts);
        let mut values = vec![-1.0];
        assert_eq!(frame.values().read(slot, &mut values), Ok(columns.len()));
        assert!(same_bits(&values[1..], &columns.values));
    }
    bytes.len()
}

fn any_columns() -> impl Strategy<Value = SampleColumns> {
    let kinds = prop::collection::vec((0_u8..6, any::<bool>(), any::<i64>()), 40);
    (any_histograms(), kinds, 0_u8..4).prop_map(|(histograms, kinds, knows)| {
        let mut columns = SampleColumns::new();
        for ((histogram, (kind, changes, drawn)), index) in histograms.into_iter().zip(kinds).zip(1..) {
            if kind == 0 {
                columns.push(index * 1000, f64::from_bits(drawn.cast_unsigned()));
            } else {
                columns.push_histogram(index * 1000, histogram);
            }
            match knows {
                1 => columns.set_start(500),
                2 if changes => columns.set_start(index * 1000 - 1000),
                3 => columns.set_start(drawn),
                _ => {}
            }
        }
        columns
    })
}

#[test]
fn a_histogram_of_integers_takes_less_than_a_byte_per_bucket() {
    let columns = latencies(480);
    let bytes = assert_round_trip(&[columns]);
    assert!(bytes <= 480 * 42, "{bytes} bytes");
}

#[test]
fn a_histogram_that_does_not_change_takes_a_few_bytes_and_is_read_as_one() {
    let one = latencies(1).histograms[0].clone().unwrap();
    let mut columns = SampleColumns::new();
    for index in 0..4000 {
        columns.push_histogram(index * 1000, Arc::clone(&one));
    }
    assert!(assert_round_trip(&[columns.clone()]) < 150);
    let bytes = packed(&[columns]);
    let mut into = SampleColumns::new();
    Frame::open(&bytes).unwrap().read(0, &mut into).unwrap();
    let first = into.histograms[0].as_ref().unwrap();
    assert!(into.histograms.iter().flatten().all(|histogram| Arc::ptr_eq(histogram, first)));
}

#[test]
fn start_timestamps_that_follow_a_rule_take_no_byte_per_sample() {
    let mut with = SampleColumns::new();
    for index in 1..8000 {
        with.push(index * 1000, index as f64);
        with.set_start(500);
    }
    let without = SampleColumns { starts: Vec::new(), ..with.clone() };
    let cost = assert_round_trip(&[with]) - assert_round_trip(&[without]);
    assert!(cost <= 10, "{cost} bytes");
}

fn wide(buckets: u32, first: i32) -> Arc<FloatHistogram> {
    let parts = FloatParts {
        positive_spans: vec![Span { offset: first, length: buckets }],
        positive_counts: vec![1.0; buckets as usize],
        ..FloatParts::default()
    };
    Arc::new(FloatHistogram::new(parts).unwrap())
}

#[test]
fn histograms_of_very_many_buckets_are_cut() {
    let mut columns = SampleColumns::new();
    for index in 0..100 {
        // Each has half of its buckets in common with the one before.
        columns.push_histogram(index, wide(60_000, i32::try_from(index % 2).unwrap() * 30_000));
    }
    let samples = columns.as_slices();
    let fits = fitting(samples);
    assert_eq!(fits, MAX_CELLS / 90_000);
    let mut writer = ValuesWriter::new();
    assert!(matches!(writer.push_samples(0, samples), Err(PackError::TooManyBuckets { .. })));
    assert!(writer.is_empty());
    assert_eq!(writer.push_samples(0, samples.split_at(fits).0), Ok(0));
    assert_eq!(fitting(samples.split_at(fits - 1).0), fits - 1);
}

#[test]
fn samples_within_a_range_are_appended_behind_others_of_any_kind() {
    let mut numbers = SampleColumns::new();
    let mut mixed = SampleColumns::new();
    for index in 0..6 {
        numbers.push(index, index as f64);
        mixed.push(10 + index, 0.5);
    }
    mixed.push_histogram(16, wide(2, 0));
    mixed.set_start(12);
    let (mut times, mut values) = (TimesWriter::new(), ValuesWriter::new());
    for columns in [&numbers, &mixed] {
        let time = times.intern(&columns.timestamps).unwrap();
        values.push_samples(time, columns.as_slices()).unwrap();
    }
    let (times, values) = (times.finish(), values.finish());
    let (times, values) = (Times::open(&times).unwrap(), Values::open(&values).unwrap());
    let read = |slot, range, into: &mut SampleColumns| {
        let mut timestamps: Vec<Timestamp> = Vec::new();
        times.read(values.time(slot).unwrap(), &mut timestamps).unwrap();
        values.read_samples(slot, &timestamps, range, into).unwrap();
        assert_eq!(
            values.read_samples(slot, &timestamps[1..], range, into).unwrap_err().kind,
            CorruptionKind::Rule { rule: "columns differ in length" }
        );
    };
    let mut into = SampleColumns::new();
    read(1, TimeRange::new(11, 13).unwrap(), &mut into);
    assert!(into.histograms.is_empty() && into.starts.is_empty());
    read(1, TimeRange::new(15, 99).unwrap(), &mut into);
    let mut expected = mixed.clone();
    expected.timestamps.retain(|timestamp| ![10, 14].contains(timestamp));
    expected.values.drain(..2);
    expected.histograms.drain(..2);
    expected.starts.drain(..2);
    assert_same(&into, &expected);
    assert_eq!(into.starts, expected.starts);
    into.truncate(2);
    read(1, TimeRange::new(16, 16).unwrap(), &mut into);
    read(0, TimeRange::ALL, &mut into);
    assert_eq!(into.starts, [0, 0, 12, 0, 0, 0, 0, 0, 0]);
    assert_eq!(into.histograms.iter().map(Option::is_some).filter(|is| *is).count(), 1);
    assert_eq!(into.histograms.len(), into.len());
}

proptest! {
    #[test]
    fn every_sample_comes_back_bit_for_bit(series in prop::collection::vec(any_columns(), 1..4)) {
        let len = assert_round_trip(&series);
        let (mut samples, mut cells, mut buckets, mut bounds) = (0, 0, 0, 0);
        for columns in &series {
            samples += columns.len();
            let mut union = Union::default();
            for histogram in columns.histograms.iter().flatten() {
                union.add(&histogram.layout());
                buckets = buckets.max(histogram.bucket_count());
                bounds = bounds.max(histogram.bounds().len());
            }
            cells += union.len() * columns.len();
            prop_assert_eq!(fitting(columns.as_slices()), columns.len());
        }
        let most = max_frame_bytes(series.len(), samples) + max_more_bytes(series.len(), samples, cells, buckets, bounds);
        prop_assert!(len <= most, "{} bytes", len);
    }

    #[test]
    fn damage_does_no_harm(columns in any_columns(), flips in prop::collection::vec(any::<prop::sample::Index>(), 1..4)) {
        let mut bytes = packed(&[columns]);
        for flip in flips {
            let bit = flip.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        if let Ok(frame) = Frame::open(&bytes) {
            let mut into = SampleColumns::new();
            into.push(-5, 1.0);
            let result = frame.read(0, &mut into);
            prop_assert!(result.is_ok() || into.len() == 1);
            prop_assert!(into.values.len() == into.len());
            prop_assert!(into.histograms.is_empty() || into.histograms.len() == into.len());
            prop_assert!(into.starts.is_empty() || into.starts.len() == into.len());
        }
    }
}
