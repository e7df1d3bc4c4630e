//! The encoding of numbers that newer versions of Prometheus write if asked to: time and value share their prefix,
//! stale markers are short, start timestamps may stand behind each sample.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::super::bits::BitReader;
use super::float::XorFloat;
use super::starts::Starts;
use tsdb_core::sample::{STALE_NAN, SampleColumns};
use tsdb_core::{Corruption, is_stale_nan};

/// Appends the `count` samples behind the header of a chunk to `into`.
pub(super) fn decode(
    mut reader: BitReader<'_>,
    count: u16,
    mut starts: Starts,
    into: &mut SampleColumns,
) -> Result<(), Corruption> {
    if count == 0 {
        return Ok(());
    }
    let mut time = reader.varint()?;
    let first = reader.float()?;
    // A stale marker is no value to count changes from.
    let mut value = XorFloat::first(if is_stale_nan(first) { 0.0 } else { first });
    into.push(time, first);
    into.set_start(starts.read(0, time, time, &mut reader)?);
    let mut distance = 0;
    for number in 1..count {
        let previous = time;
        let is_stale = if number == 1 {
            distance = reader.uvarint()?.cast_signed();
            read_value(&mut value, &mut reader)?
        } else {
            let (change, is_stale) = joint(&mut value, &mut reader)?;
            distance = distance.wrapping_add(change);
            is_stale
        };
        time = time.wrapping_add(distance);
        into.push(time, if is_stale { STALE_NAN } else { value.value() });
        into.set_start(starts.read(number, time, previous, &mut reader)?);
    }
    Ok(())
}

/// Reads what time and value share: the change of the distance, and whether there is a stale marker.
fn joint(value: &mut XorFloat, reader: &mut BitReader<'_>) -> Result<(i64, bool), Corruption> {
    let width = match reader.ones(5)? {
        0 => return Ok((0, false)),
        1 => {
            match reader.bit()? {
                false => value.read_in_window(reader)?,
                true => value.read_new_window(reader)?,
            }
            return Ok((0, false));
        }
        2 => 13,
        3 => 20,
        4 => 64,
        _ => return Ok((0, true)),
    };
    let unused = 64_u32.saturating_sub(width);
    let change = reader.bits(width)?.wrapping_shl(unused).cast_signed() >> unused;
    Ok((change, read_value(value, reader)?))
}

/// Reads a value that may be unchanged; whether it is a stale marker, which changes nothing.
fn read_value(value: &mut XorFloat, reader: &mut BitReader<'_>) -> Result<bool, Corruption> {
    match reader.ones(3)? {
        0 => {}
        1 => value.read_in_window(reader)?,
        2 => value.read_new_window(reader)?,
        _ => return Ok(true),
    }
    Ok(false)
}
