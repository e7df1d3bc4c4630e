//! Damage of every kind: never a panic, never an answer that hides it.

use super::{fixture, golden};
use tsdb_core::error::CorruptionKind;
use tsdb_core::{Corruption, MatchOp};
use tsdb_index::IndexReader;

/// Opens the file and asks it everything.
fn ask_everything(file: &[u8]) -> Result<(), Corruption> {
    let reader = IndexReader::open(file)?;
    let mut outcome = reader.check();
    let mut note = |result: Result<(), Corruption>| {
        if outcome.is_ok() {
            outcome = result;
        }
    };
    let mut cursor = reader.cursor();
    let mut chunks = Vec::new();
    for series in (0..reader.series_count().min(300)).step_by(31) {
        note(cursor.labels(series).map(drop));
        note(cursor.chunks(series, &mut chunks));
    }
    for pattern in ["GET|PUT", "P.*", ".*T"] {
        note(reader.select(&[fixture::matcher("method", MatchOp::Regex, pattern)]).map(drop));
    }
    note(reader.label_values("instance", None).map(drop));
    outcome
}

#[test]
fn every_truncation_is_found() {
    let golden = golden::bytes();
    for len in 0..golden.len() {
        assert!(ask_everything(&golden[..len]).is_err(), "the first {len} bytes");
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let mut file = golden::bytes();
    for at in 0..file.len() {
        for bit in 0..8 {
            file[at] ^= 1 << bit;
            assert!(ask_everything(&file).is_err(), "bit {bit} of byte {at}");
            file[at] ^= 1 << bit;
        }
    }
}

#[test]
fn another_version_is_refused_by_its_number() {
    let mut file = golden::bytes();
    file[8] = 2;
    let Err(refusal) = IndexReader::open(file) else { panic!("opened") };
    assert_eq!(refusal.kind, CorruptionKind::Unknown { field: "version", value: 2 });
}

#[test]
fn trailing_bytes_are_refused() {
    let mut file = golden::bytes();
    file.push(0);
    assert!(IndexReader::open(file).is_err());
}

#[test]
fn damage_in_one_page_leaves_the_others_readable() {
    let series = fixture::fleet(200);
    let mut file = fixture::file(&series);
    let reader = IndexReader::open(&file[..]).unwrap();
    let number = reader.series_count() - 1;
    assert_eq!(reader.labels(number).unwrap(), series[number as usize]);
    // The first page holds the first series.
    file[100] ^= 1;
    let reader = IndexReader::open(&file[..]).unwrap();
    assert!(reader.check().is_err());
    assert!(reader.labels(0).is_err());
    assert_eq!(reader.labels(number).unwrap(), series[number as usize]);
    let zone = [fixture::matcher("zone", MatchOp::Equal, "eu-west-1a")];
    assert!(!reader.select(&zone).unwrap().is_empty());
}
