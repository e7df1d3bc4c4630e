//! What the byte reader promises.

use super::*;
use crate::error::CorruptionKind;
use alloc::vec::Vec;
use proptest::prelude::*;
use std::string::String;

#[test]
fn numbers_are_little_endian() {
    let mut writer = Writer::new();
    writer.u16(0x0102);
    writer.u32(0x0304_0506);
    writer.u64(0x0708_090a_0b0c_0d0e);
    assert_eq!(writer.as_bytes(), [2, 1, 6, 5, 4, 3, 14, 13, 12, 11, 10, 9, 8, 7]);
}

#[test]
fn the_checksum_is_the_low_half_of_xxh3() {
    assert_eq!(checksum(b""), 0x38d3_94c2);
}

#[test]
fn an_error_names_the_field_and_its_offset_and_leaves_the_cursor() {
    let mut reader = Reader::new("thing", &[1, 2, 3]);
    reader.u8("tag").unwrap();
    let error = reader.u32("size").unwrap_err();
    assert_eq!(error, crate::Corruption::new("thing", 1, CorruptionKind::Truncated { field: "size" }));
    assert_eq!(reader.position(), 1);
}

#[test]
fn left_over_bytes_are_an_error() {
    let reader = Reader::new("thing", &[1, 2, 3]);
    assert_eq!(reader.finish().unwrap_err().kind, CorruptionKind::TrailingBytes { count: 3 });
}

#[test]
fn a_varint_has_one_form_and_64_bits() {
    for bad in [
        &[0x80, 0x00][..],
        &[0xff, 0x80, 0x00],
        &[0xff; 10],
        &[0xff; 11],
        &[0x81; 10],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2],
    ] {
        assert!(matches!(
            Reader::new("thing", bad).varint("n").unwrap_err().kind,
            CorruptionKind::Invalid { .. }
        ));
    }
    assert!(matches!(
        Reader::new("thing", &[0xff; 9]).varint("n").unwrap_err().kind,
        CorruptionKind::Truncated { .. }
    ));
}

#[test]
fn a_length_beyond_the_input_is_refused() {
    let mut writer = Writer::new();
    writer.varint(u64::MAX);
    writer.bytes(b"abc");
    let bytes = writer.into_bytes();
    assert!(Reader::new("thing", &bytes).blob("text").is_err());
    assert!(Reader::new("thing", &bytes).count(1, "items").is_err());
}

#[test]
fn text_must_be_utf8() {
    let mut reader = Reader::new("thing", &[1, 0xff]);
    assert_eq!(reader.str("name").unwrap_err().kind, CorruptionKind::Utf8 { field: "name" });
}

#[test]
fn a_placeholder_is_overwritten_in_place() {
    let mut writer = Writer::new();
    writer.u32(0);
    writer.u8(9);
    writer.patch_u32(0, 7);
    writer.patch_u32(2, u32::MAX);
    assert_eq!(writer.into_bytes(), [7, 0, 0, 0, 9]);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(a: u64, b: i64, c: u64, text: String, blob: Vec<u8>) {
        let mut writer = Writer::new();
        writer.varint(a);
        writer.zigzag(b);
        writer.f64(f64::from_bits(c));
        writer.str(&text);
        writer.blob(&blob);
        writer.i64(b);
        let bytes = writer.into_bytes();
        let mut reader = Reader::new("thing", &bytes);
        prop_assert_eq!(reader.varint("a").unwrap(), a);
        prop_assert_eq!(reader.position(), varint_len(a));
        prop_assert_eq!(reader.zigzag("b").unwrap(), b);
        prop_assert_eq!(reader.f64("c").unwrap().to_bits(), c);
        prop_assert_eq!(reader.str("text").unwrap(), &text);
        prop_assert_eq!(reader.blob("blob").unwrap(), &blob[..]);
        prop_assert_eq!(reader.i64("b").unwrap(), b);
        prop_assert!(reader.finish().is_ok());
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
        let mut reader = Reader::new("thing", &bytes);
        while !reader.is_empty() {
            if reader.varint("n").is_err() && reader.str("text").is_err() && reader.u8("byte").is_err() {
                break;
            }
        }
    }
}
