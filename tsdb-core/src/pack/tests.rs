//! What packed columns promise, on drawn columns.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "an overflow fails the test"
)]

use super::*;
use crate::sample::SampleColumns;
use crate::{STALE_NAN, Timestamp};
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Packs the series into one frame, reads them back and compares; gives the frame's length.
fn round_trip(series: &[(Vec<Timestamp>, Vec<f64>)]) -> usize {
    let mut writer = FrameWriter::new();
    for (slot, (timestamps, values)) in series.iter().enumerate() {
        assert_eq!(writer.push(timestamps, values).unwrap() as usize, slot);
    }
    let bytes = writer.finish();
    let samples = series.iter().map(|(timestamps, _)| timestamps.len()).sum();
    assert!(bytes.len() <= max_frame_bytes(series.len(), samples), "{} bytes", bytes.len());
    let frame = Frame::open(&bytes).unwrap();
    assert_eq!(frame.len(), series.len());
    let mut into = SampleColumns::new();
    // In reverse: a slot is read without those before it.
    for (slot, (timestamps, values)) in series.iter().enumerate().rev() {
        into.clear();
        into.push(-1, -1.0);
        frame.read(slot as u32, &mut into).unwrap();
        assert_eq!(frame.count(slot as u32).unwrap(), timestamps.len());
        assert_eq!(&into.timestamps[1..], timestamps);
        assert_eq!(bits(&into.values[1..]), bits(values));
        let range = frame.range(slot as u32).unwrap();
        assert_eq!((range.start(), range.end()), (timestamps[0], timestamps[timestamps.len() - 1]));
    }
    bytes.len()
}

fn regular(count: usize) -> Vec<Timestamp> {
    (0..count as i64).map(|index| 1_700_000_000_000 + index * 15_000).collect()
}

#[test]
fn a_constant_at_a_regular_interval_takes_no_byte_per_sample() {
    assert!(round_trip(&[(regular(100_000), vec![42.5; 100_000])]) < 100);
}

#[test]
fn a_stale_marker_at_the_end_costs_a_few_bytes() {
    let mut values: Vec<f64> = (0..1000).map(|index| f64::from(index % 7) / 10.0).collect();
    let without = round_trip(&[(regular(1000), values.clone())]);
    values[999] = STALE_NAN;
    assert!(round_trip(&[(regular(1000), values)]) <= without + 15);
}

#[test]
fn a_value_that_changes_now_and_then_takes_a_bit_and_the_bytes_of_its_changes() {
    let mut level = 5e7;
    let values: Vec<f64> = (0..8000_u32)
        .map(|index| {
            let drawn = index.wrapping_mul(2_654_435_761) >> 10;
            if drawn % 3 == 0 {
                level += f64::from(drawn % 30_000) - 15_000.0;
            }
            level
        })
        .collect();
    let changes = values.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(round_trip(&[(regular(8000), values)]) <= 8000 / 8 + 2 * changes + 100);
}

#[test]
fn a_mask_with_ones_behind_the_end_is_refused() {
    let mut writer = ValuesWriter::new();
    writer.push(0, &[1.0, 1.0, 7.0, 7.0, 9.0]).unwrap();
    let mut bytes = writer.finish();
    let mask = bytes.len() - 1;
    assert_eq!(bytes[mask], 0b1_0100);
    for damaged in [0b11_0100, 0b1_1100] {
        bytes[mask] = damaged;
        assert!(Values::open(&bytes).unwrap().read(0, &mut vec![]).is_err());
    }
    bytes[mask] = 0b0_0101;
    let mut into = vec![];
    Values::open(&bytes).unwrap().read(0, &mut into).unwrap();
    assert_eq!(into, [7.0, 7.0, 9.0, 9.0, 9.0]);
}

#[test]
fn series_of_one_scrape_share_their_timestamps() {
    let timestamps: Vec<_> = regular(500).into_iter().map(|at| at + at % 1009 % 8).collect();
    let mut writer = FrameWriter::new();
    for slot in 0..10 {
        writer.push(&timestamps, &vec![f64::from(slot); 500]).unwrap();
    }
    let bytes = writer.finish();
    assert_eq!(Frame::open(&bytes).unwrap().times().len(), 1);
}

#[test]
fn a_writer_is_empty_and_usable_after_finish() {
    let mut writer = FrameWriter::new();
    writer.push(&[1, 2], &[1.0, 2.0]).unwrap();
    let first = writer.finish();
    assert!(writer.is_empty());
    writer.push(&[1, 2], &[1.0, 2.0]).unwrap();
    assert_eq!(writer.finish(), first);
}

#[test]
fn times_apart_from_values_are_read_by_number() {
    let (mut times, mut values) = (TimesWriter::new(), ValuesWriter::new());
    let (a, b) = (times.intern(&[1, 2, 3]).unwrap(), times.intern(&[5, 9]).unwrap());
    assert_eq!(times.intern(&[1, 2, 3]).unwrap(), a);
    values.push(b, &[0.5, 0.25]).unwrap();
    let (times, values) = (times.finish(), values.finish());
    let (times, values) = (Times::open(&times).unwrap(), Values::open(&values).unwrap());
    let (mut timestamps, mut floats) = (vec![], vec![]);
    times.read(values.time(0).unwrap(), &mut timestamps).unwrap();
    values.read(0, &mut floats).unwrap();
    assert_eq!((timestamps, floats), (vec![5, 9], vec![0.5, 0.25]));
}

#[test]
fn cuts_ascend_within_the_frame() {
    let mut writer = FrameWriter::new();
    let values: Vec<f64> = (0..500).map(|index| f64::from(index * index % 1009)).collect();
    writer.push(&regular(500), &values).unwrap();
    writer.push(&regular(400), &values[..400].iter().map(|v| 1.0 / (v + 2.0)).collect::<Vec<_>>()).unwrap();
    let bytes = writer.finish();
    let cuts: Vec<_> = Frame::open(&bytes).unwrap().cuts().collect();
    assert!(cuts.len() > 4 && cuts.is_sorted() && cuts.iter().all(|cut| *cut <= bytes.len()), "{cuts:?}");
}

#[test]
fn columns_that_are_no_series_are_refused() {
    let mut writer = FrameWriter::new();
    assert_eq!(writer.push(&[1], &[]).unwrap_err(), PackError::UnequalColumns { timestamps: 1, values: 0 });
    assert_eq!(writer.push(&[3, 4, 4], &[0.0; 3]).unwrap_err(), PackError::NotAscending { index: 2 });
    assert_eq!(writer.push(&[], &[]).unwrap_err(), PackError::SampleCount { count: 0, limit: MAX_SAMPLES });
    let long = regular(MAX_SAMPLES + 1);
    assert_eq!(
        writer.push(&long, &vec![0.0; long.len()]).unwrap_err(),
        PackError::SampleCount { count: MAX_SAMPLES + 1, limit: MAX_SAMPLES }
    );
    assert!(writer.is_empty());
}

#[test]
fn a_slot_beyond_the_last_is_an_error() {
    let mut writer = FrameWriter::new();
    writer.push(&[1], &[1.0]).unwrap();
    let bytes = writer.finish();
    let frame = Frame::open(&bytes).unwrap();
    let mut into = SampleColumns::new();
    assert!(frame.read(1, &mut into).is_err() && frame.read(u32::MAX, &mut into).is_err());
}

#[test]
fn the_worst_series_keeps_its_documented_size() {
    let mut state = 1_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for count in [1_usize, 2, 17, 300, 5000] {
        let values: Vec<f64> = (0..count).map(|_| f64::from_bits(random())).collect();
        let mut timestamps: Vec<i64> = (0..count).map(|_| random().cast_signed()).collect();
        timestamps.sort_unstable();
        timestamps.dedup();
        let values = values[..timestamps.len()].to_vec();
        round_trip(&[(timestamps, values)]);
    }
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => any::<u64>().prop_map(f64::from_bits),
        3 => (-1000_i64..1000).prop_map(|n| n as f64),
        3 => (-100_000_i64..100_000).prop_map(|n| n as f64 / 1000.0),
        1 => prop::sample::select(vec![0.0, -0.0, f64::NAN, STALE_NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324,
            f64::MAX, f64::MIN_POSITIVE, (1_u64 << 53) as f64, ((1_u64 << 51) - 1) as f64, -((1_u64 << 51) as f64)]),
    ]
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    let mixed = prop::collection::vec(any_value(), 1..300);
    let integers =
        prop::collection::vec((any::<i64>(), 0_u32..64).prop_map(|(n, s)| (n >> s) as f64), 1..300);
    let fractions = (0_i32..60, prop::collection::vec(any::<i32>(), 1..300))
        .prop_map(|(shift, n)| n.into_iter().map(|n| f64::from(n) / 2_f64.powi(shift)).collect());
    let sums = prop::collection::vec(0.0_f64..1.0, 1..300).prop_map(|steps| {
        steps
            .iter()
            .scan(0.0, |sum, step| {
                *sum += step;
                Some(*sum)
            })
            .collect()
    });
    let mostly_decimal = (prop::collection::vec(0_u32..100_000, 200), any_value(), 0_usize..200, 0_i32..9)
        .prop_map(|(n, odd, at, places)| {
            let mut values: Vec<f64> = n.into_iter().map(|n| f64::from(n) / 10_f64.powi(places)).collect();
            values[at] = odd;
            values
        });
    prop_oneof![mixed, integers, fractions, sums, mostly_decimal]
}

fn timestamps(count: usize) -> impl Strategy<Value = Vec<Timestamp>> {
    let wild = prop::collection::btree_set(any::<i64>(), count).prop_map(|set| set.into_iter().collect());
    let steps = (any::<i32>(), 1_i64..100_000, 0_i64..50, prop::collection::vec(any::<u16>(), count));
    let scraped = steps.prop_map(|(start, interval, jitter, random)| {
        let at = |(index, random): (usize, u16)| {
            i64::from(start)
                + index as i64 * (interval + jitter)
                + i64::from(random) % (jitter + 1).min(interval)
        };
        random.into_iter().enumerate().map(at).collect()
    });
    prop_oneof![wild, scraped]
}

fn series() -> impl Strategy<Value = (Vec<Timestamp>, Vec<f64>)> {
    values().prop_flat_map(|values| (timestamps(values.len()), Just(values)))
}

proptest! {
    #[test]
    fn every_series_comes_back_bit_for_bit(series in prop::collection::vec(series(), 0..40)) {
        round_trip(&series);
    }

    #[test]
    fn a_hasty_writer_loses_nothing_either(series in series()) {
        let mut writer = ValuesWriter::hasty();
        writer.push(0, &series.1).unwrap();
        let bytes = writer.finish();
        let mut into = Vec::new();
        Values::open(&bytes).unwrap().read(0, &mut into).unwrap();
        prop_assert_eq!(bits(&into), bits(&series.1));
    }

    #[test]
    fn any_bytes_are_opened_and_read_without_panic(mut bytes: Vec<u8>, tag in 0_u8..4) {
        bytes.insert(0, tag);
        let mut into = SampleColumns::new();
        if let Ok(frame) = Frame::open(&bytes) {
            for slot in 0..frame.len() {
                let _ignored = frame.read(slot as u32, &mut into);
            }
        }
    }
}
