//! The golden file: bytes that every later version must still read.

use super::fixture::{chunks, file, fleet};
use std::path::PathBuf;
use tsdb_core::Labels;
use tsdb_index::IndexReader;

pub(crate) fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/fleet.idx")
}

pub(crate) fn bytes() -> Vec<u8> {
    std::fs::read(path()).unwrap()
}

/// The series in the golden file.
pub(crate) fn series() -> Vec<Labels> {
    fleet(3)
}

#[test]
fn the_golden_file_is_read_and_written_the_same() {
    let written = file(&series());
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(path(), &written).unwrap();
    }
    let golden = bytes();
    let reader = IndexReader::open(&golden[..]).unwrap();
    reader.check().unwrap();
    let mut found = Vec::new();
    for (number, labels) in (0..).zip(&series()) {
        assert_eq!(reader.labels(number).unwrap(), *labels);
        reader.cursor().chunks(number, &mut found).unwrap();
        assert_eq!(found, chunks(number));
    }
    assert_eq!(golden, written, "this version writes other bytes than before");
}

#[test]
fn the_header_is_what_the_specification_says() {
    let golden = bytes();
    assert_eq!(&golden[..8], b"tsdbidx\n");
    assert_eq!(golden[8..12], [1, 0, 0, 0]);
    assert_eq!(&golden[golden.len() - 4..], b"xdi\n");
}
