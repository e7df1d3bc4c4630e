//! What the bit streams promise.

use super::*;
use crate::error::CorruptionKind;
use alloc::vec::Vec;
use proptest::prelude::*;

#[test]
fn the_least_significant_bit_comes_first() {
    let mut writer = BitWriter::new();
    writer.write(1, 1);
    writer.write(0b10, 2);
    writer.write(0x1f, 6);
    assert_eq!(writer.as_bytes(), [0b1111_1101, 0]);
}

#[test]
fn a_field_behind_the_end_is_truncated() {
    let mut reader = BitReader::new("stream", &[0xff]);
    assert_eq!(reader.read(5, "a").unwrap(), 31);
    assert_eq!(reader.read(4, "b").unwrap_err().kind, CorruptionKind::Truncated { field: "b" });
    reader.consume(4);
    assert!(reader.check("c").is_err());
}

#[test]
fn padding_is_zero_and_less_than_a_byte() {
    let mut reader = BitReader::new("stream", &[0x01, 0x00]);
    reader.consume(1);
    assert!(matches!(
        reader.clone().finish("end").unwrap_err().kind,
        CorruptionKind::TrailingBytes { count: 1 }
    ));
    reader.consume(8);
    assert!(reader.finish("end").is_ok());
    assert!(BitReader::new("stream", &[0x01]).finish("end").is_err());
}

#[test]
fn masks_and_widths_cover_the_borders() {
    assert_eq!([mask(0), mask(1), mask(63), mask(64)], [0, 1, u64::MAX >> 1, u64::MAX]);
    assert_eq!([width(0), width(1), width(255), width(u64::MAX)], [0, 1, 8, 64]);
}

proptest! {
    #[test]
    fn fields_of_every_width_are_read_back(fields in prop::collection::vec((any::<u64>(), 0_u32..=64), 0..200)) {
        let mut writer = BitWriter::new();
        for (value, count) in &fields {
            writer.write(*value, *count);
        }
        let bytes: Vec<u8> = writer.into_bytes();
        let bits: u32 = fields.iter().map(|(_, count)| count).sum();
        prop_assert_eq!(bytes.len(), bits.div_ceil(8) as usize);
        let mut reader = BitReader::new("stream", &bytes);
        for (value, count) in &fields {
            prop_assert_eq!(reader.read(*count, "field").unwrap(), value & mask(*count));
        }
        prop_assert!(reader.finish("end").is_ok());
    }
}
