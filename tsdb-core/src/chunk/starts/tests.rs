//! What columns of start timestamps promise.

use super::*;
use alloc::vec;
use proptest::prelude::*;

const FIRST: Timestamp = 1_700_000_000_000;

fn times(count: usize) -> Vec<Timestamp> {
    (FIRST..).step_by(15_000).take(count).collect()
}

fn encode(times: &[Timestamp], starts: &[Timestamp]) -> Vec<u8> {
    let mut writer = StartsWriter::new();
    for (time, start) in times.iter().zip(starts) {
        writer.push(*time, *start);
    }
    writer.to_bytes()
}

fn assert_round_trip(times: &[Timestamp], starts: &[Timestamp]) -> usize {
    let bytes = encode(times, starts);
    let mut into = vec![77];
    decode(&bytes, times, &mut into).unwrap();
    assert_eq!(into[1..], *starts);
    assert!(bytes.len() <= max_bytes(times.len()));
    bytes.len()
}

#[test]
fn unknown_starts_take_nothing() {
    assert_eq!(assert_round_trip(&times(500), &[NO_START; 500]), 0);
}

#[test]
fn a_start_that_stays_is_told_once() {
    assert!(assert_round_trip(&times(8000), &[FIRST - 123_456; 8000]) <= 7);
}

#[test]
fn starts_that_are_the_time_before_take_nothing_each() {
    let times = times(8000);
    let starts: Vec<_> = times.iter().map(|time| time - 15_000).collect();
    assert!(assert_round_trip(&times, &starts) <= 7);
}

#[test]
fn a_restart_takes_a_few_bytes() {
    let starts: Vec<_> =
        (0..1000).map(|index| if index < 400 { FIRST - 1 } else { FIRST + 400 * 15_000 - 7 }).collect();
    assert!(assert_round_trip(&times(1000), &starts) <= 9);
}

#[test]
fn starts_that_begin_late_are_as_if_they_had_been_written_from_the_beginning() {
    let (times, starts) = (times(5), [NO_START, NO_START, NO_START, 42, 42]);
    let mut late = StartsWriter::unknown(3, times[2]);
    assert!(late.to_bytes().is_empty());
    late.push(times[3], 42);
    late.push(times[4], 42);
    assert_eq!(late.to_bytes(), encode(&times, &starts));
}

#[test]
fn a_writer_that_was_cleared_is_as_new() {
    let mut writer = StartsWriter::new();
    writer.push(10, 5);
    writer.clear();
    assert!(writer.to_bytes().is_empty());
    writer.push(20, 5);
    assert_eq!(writer.to_bytes(), encode(&[20], &[5]));
}

#[test]
fn damage_is_refused_and_leaves_the_column() {
    let times = times(5);
    let bytes = encode(&times, &[1, 1, times[1], 9, 9]);
    for damaged in
        [&bytes[..bytes.len() - 1], &[bytes.as_slice(), &[0]].concat(), &[0, 1], &[3 << 2 | 3], &[5 << 2 | 1]]
    {
        let mut into = vec![77];
        assert!(decode(damaged, &times, &mut into).is_err(), "{damaged:?}");
        assert_eq!(into, [77]);
    }
}

proptest! {
    #[test]
    fn every_start_comes_back(
        times in prop::collection::btree_set(any::<i64>(), 0..60),
        kinds in prop::collection::vec((0_u8..8, any::<i64>()), 60),
    ) {
        let times: Vec<_> = times.into_iter().collect();
        let mut starts: Vec<Timestamp> = Vec::new();
        for (index, (kind, drawn)) in kinds.into_iter().take(times.len()).enumerate() {
            starts.push(match (kind, index.checked_sub(1)) {
                (0..3, Some(before)) => starts[before],
                (3..6, Some(before)) => times[before],
                (6, _) => NO_START,
                _ => drawn,
            });
        }
        assert_round_trip(&times, &starts);
    }

    #[test]
    fn any_bytes_are_decoded_without_panic(bytes: Vec<u8>, count in 0_usize..100) {
        let times = times(count);
        let mut into = Vec::new();
        if decode(&bytes, &times, &mut into).is_ok() {
            prop_assert_eq!(into.len(), count);
        }
    }
}
