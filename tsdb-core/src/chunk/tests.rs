//! What chunks promise, on drawn samples.
#![expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]

use super::PushError;
use super::xor::{MAX_SAMPLES, XorChunk, count, decode, decode_range, max_chunk_bytes};
use crate::sample::SampleColumns;
use crate::{STALE_NAN, TimeRange, Timestamp};
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

fn filled(samples: &[(Timestamp, f64)]) -> XorChunk {
    let mut chunk = XorChunk::new();
    for (timestamp, value) in samples {
        chunk.push(*timestamp, *value).unwrap();
    }
    chunk
}

fn bits(samples: &[(Timestamp, f64)]) -> Vec<(Timestamp, u64)> {
    samples.iter().map(|(timestamp, value)| (*timestamp, value.to_bits())).collect()
}

fn columns_bits(columns: &SampleColumns) -> Vec<(Timestamp, u64)> {
    columns.timestamps.iter().copied().zip(columns.values.iter().map(|value| value.to_bits())).collect()
}

fn scraped(values: impl IntoIterator<Item = f64>) -> Vec<(Timestamp, f64)> {
    values.into_iter().zip(0..).map(|(value, index)| (1_700_000_000_000 + index * 15_000, value)).collect()
}

fn assert_round_trip(samples: &[(Timestamp, f64)]) -> usize {
    let chunk = filled(samples);
    let mut into = SampleColumns::new();
    into.push(-7, -7.0);
    decode(&chunk.to_bytes(), &mut into).unwrap();
    assert_eq!(columns_bits(&into)[1..], bits(samples));
    assert_eq!(count(&chunk.to_bytes()).unwrap(), samples.len());
    let bytes = chunk.into_bytes();
    assert!(bytes.len() <= max_chunk_bytes(samples.len()), "{} bytes", bytes.len());
    bytes.len()
}

#[test]
fn an_open_chunk_stays_within_a_cache_line() {
    assert!(size_of::<XorChunk>() <= 64, "{}", size_of::<XorChunk>());
}

#[test]
fn an_empty_chunk_decodes_to_nothing() {
    assert_eq!(assert_round_trip(&[]), 0);
    assert_eq!(XorChunk::new().first_timestamp(), None);
}

#[test]
fn a_chunk_can_be_read_after_every_push() {
    let samples = scraped((0..200).map(|index| f64::from(index * index) / 4.0));
    let mut chunk = XorChunk::new();
    for (index, (timestamp, value)) in samples.iter().enumerate() {
        chunk.push(*timestamp, *value).unwrap();
        let mut into = SampleColumns::new();
        decode(&chunk.to_bytes(), &mut into).unwrap();
        assert_eq!(columns_bits(&into), bits(&samples[..=index]));
        assert_eq!((chunk.len(), chunk.last_timestamp()), (index + 1, Some(*timestamp)));
        assert_eq!((chunk.first_timestamp(), chunk.last_value()), (Some(samples[0].0), Some(*value)));
    }
}

#[test]
fn an_unchanged_value_at_a_regular_interval_takes_two_bits() {
    assert!(assert_round_trip(&scraped(vec![0.1; 4000])) <= 19 + 5 + 1000);
}

#[test]
fn small_steps_of_counters_and_decimals_take_few_bits() {
    let counter = (0..1000).scan(1e9, |sum, index| {
        *sum += f64::from(index * 7 % 13);
        Some(*sum)
    });
    assert!(assert_round_trip(&scraped(counter)) < 1100);
    assert!(
        assert_round_trip(&scraped((0..1000).map(|index| f64::from(5000 + index * 7 % 13) / 100.0))) < 1100
    );
}

#[test]
fn modes_change_back_and_forth() {
    let odd =
        [1.0, 2.0, STALE_NAN, 3.0, 4.5, 1.0 / 3.0, 0.25, f64::INFINITY, -0.0, 0.0, 1e300, 7.0, 7.0, 8.0, 8.5];
    assert_round_trip(&scraped(odd.into_iter().cycle().take(300)));
}

#[test]
fn a_sample_that_is_not_later_is_refused_and_changes_nothing() {
    let mut chunk = filled(&[(5, 1.0), (9, 2.0)]);
    let before = chunk.to_bytes();
    assert_eq!(chunk.push(9, 3.0), Err(PushError::NotAscending { timestamp: 9, last: 9 }));
    assert_eq!(chunk.to_bytes(), before);
}

#[test]
fn a_full_chunk_takes_no_more() {
    let mut chunk = filled(&scraped(vec![1.0; MAX_SAMPLES]));
    assert_eq!(chunk.push(i64::MAX, 1.0), Err(PushError::Full { limit: MAX_SAMPLES }));
    assert_eq!(chunk.len(), MAX_SAMPLES);
}

#[test]
fn the_whole_of_time_fits() {
    assert_round_trip(&[
        (i64::MIN, 0.0),
        (i64::MIN + 1, 1.0),
        (0, 2.0),
        (i64::MAX - 1, 3.0),
        (i64::MAX, 4.0),
    ]);
    assert_round_trip(&[(i64::MIN, 0.0), (i64::MAX, f64::NAN)]);
}

#[test]
fn memory_grows_in_small_steps() {
    let mut chunk = XorChunk::new();
    for index in 0..2000 {
        chunk.push(index * 15_000 + index * index % 7, (index * 37 % 1001) as f64).unwrap();
        let (held, used) = (chunk.heap_bytes(), chunk.byte_len());
        assert!(held <= used + used / 4 + 32, "{held} bytes for {used}");
    }
}

#[test]
fn a_count_that_cannot_be_is_refused_before_memory_is_taken() {
    let mut bytes = filled(&[(1, 1.0)]).into_bytes();
    bytes[1..3].copy_from_slice(&[0xff, 0xff]);
    let mut into = SampleColumns::new();
    assert!(decode(&bytes, &mut into).is_err());
    assert_eq!(into.timestamps.capacity(), 0);
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        2 => any::<u64>().prop_map(f64::from_bits),
        4 => (-300_i64..300).prop_map(|n| n as f64),
        4 => (-100_000_i64..100_000).prop_map(|n| n as f64 / 1000.0),
        2 => (any::<i64>(), 0_u32..64).prop_map(|(n, shift)| (n >> shift) as f64),
        2 => prop::sample::select(vec![0.0, -0.0, f64::NAN, STALE_NAN, f64::INFINITY, 5e-324, f64::MAX, 1e15, 0.1]),
    ]
}

fn samples() -> impl Strategy<Value = Vec<(Timestamp, f64)>> {
    let times = prop_oneof![
        prop::collection::btree_set(any::<i64>(), 1..200),
        prop::collection::btree_set(0_i64..10_000, 1..200),
    ];
    (times, prop::collection::vec(any_value(), 200))
        .prop_map(|(times, values)| times.into_iter().zip(values).collect())
}

/// What is added to `chunk` comes back behind what it has.
fn assert_goes_on(mut chunk: XorChunk, samples: &[(Timestamp, f64)]) {
    let mut expected = SampleColumns::new();
    chunk.decode(&mut expected).unwrap();
    for (timestamp, value) in samples {
        if chunk.push(*timestamp, *value).is_ok() {
            expected.push(*timestamp, *value);
        }
    }
    let mut found = SampleColumns::new();
    decode(&chunk.to_bytes(), &mut found).unwrap();
    assert_eq!(columns_bits(&found), columns_bits(&expected));
}

proptest! {
    #[test]
    fn every_sample_comes_back_bit_for_bit(samples in samples()) {
        assert_round_trip(&samples);
    }

    #[test]
    fn a_range_gives_what_lies_in_it(samples in samples(), ends in any::<(u8, u8)>()) {
        let pick = |at: u8| samples[usize::from(at) % samples.len()].0;
        let (a, b) = (pick(ends.0), pick(ends.1));
        let range = TimeRange::new(a.min(b), a.max(b)).unwrap();
        let expected: Vec<_> = samples.iter().copied().filter(|(at, _)| range.contains(*at)).collect();
        let mut into = SampleColumns::new();
        decode_range(&filled(&samples).to_bytes(), range, &mut into).unwrap();
        prop_assert_eq!(columns_bits(&into), bits(&expected));
    }

    #[test]
    fn any_bytes_are_decoded_without_panic(mut bytes: Vec<u8>, further in samples()) {
        if let Some(tag) = bytes.first_mut() {
            *tag = 1;
        }
        let mut into = SampleColumns::new();
        let decoded = decode(&bytes, &mut into);
        let taken_up = XorChunk::from_bytes(&bytes);
        prop_assert_eq!(decoded.err(), taken_up.as_ref().err().cloned());
        if let Ok(chunk) = taken_up {
            prop_assert_eq!(chunk.to_bytes(), bytes);
            assert_goes_on(chunk, &further);
        }
    }

    #[test]
    fn a_chunk_taken_up_from_its_bytes_goes_on_where_it_stood(samples in samples(), at: u8) {
        let (before, behind) = samples.split_at(usize::from(at) % samples.len());
        let bytes = filled(before).to_bytes();
        let chunk = XorChunk::from_bytes(&bytes).unwrap();
        prop_assert_eq!(chunk.to_bytes(), bytes);
        assert_goes_on(chunk, behind);
    }

    #[test]
    fn a_flipped_byte_is_refused_or_makes_another_chunk(samples in samples(), at: u16, flip in 1..=u8::MAX) {
        let mut bytes = filled(&samples).to_bytes();
        let at = usize::from(at) % bytes.len();
        bytes[at] ^= flip;
        let mut into = SampleColumns::new();
        match XorChunk::from_bytes(&bytes) {
            Ok(chunk) => {
                chunk.decode(&mut into).unwrap();
                prop_assert_eq!(chunk.len(), into.len());
                assert_goes_on(chunk, &samples);
            }
            Err(_) => prop_assert!(decode(&bytes, &mut into).is_err()),
        }
    }
}
