//! The wire form of a label set: its bytes in a remote-write 1.0 `TimeSeries` message.
//!
//! A sequence of `labels` fields (field 1, length-delimited), each a `Label { name = 1, value = 2 }`, in order of
//! name. Senders that sort their labels, as the protocol asks, produce exactly these bytes, so a store that knows
//! its series by a hash of this form recognises them without looking at a single label.
//! Source: Prometheus remote-write 1.0 specification; Protocol Buffers encoding.

use super::Labels;
use alloc::vec::Vec;

/// Appends the wire form of `labels` to `out`.
pub fn write_wire(labels: &Labels, out: &mut Vec<u8>) {
    for (name, value) in labels {
        write_wire_pair(name, value, out);
    }
}

/// Appends the wire form of one label to `out`. Bytes that are no UTF-8 make a form that no label set has.
pub fn write_wire_pair(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>, out: &mut Vec<u8>) {
    let (name, value) = (name.as_ref(), value.as_ref());
    if let Some((head, middle)) = short_tags(name.len(), value.len()) {
        out.reserve(6 + name.len() + value.len());
        out.extend_from_slice(&head);
        out.extend_from_slice(name);
        out.extend_from_slice(&middle);
        return out.extend_from_slice(value);
    }
    let body = 2 + varint_len(name.len()) + name.len() + varint_len(value.len()) + value.len();
    out.push(0x0a);
    push_varint(out, body);
    for (tag, text) in [(0x0a, name), (0x12, value)] {
        out.push(tag);
        push_varint(out, text.len());
        out.extend_from_slice(text);
    }
}

/// What stands before name and value if all lengths take one byte, as nearly all do.
fn short_tags(name: usize, value: usize) -> Option<([u8; 4], [u8; 2])> {
    let (name, value) = (u8::try_from(name).ok()?, u8::try_from(value).ok()?);
    let body = name.checked_add(value)?.checked_add(4).filter(|body| *body < 0x80)?;
    Some(([0x0a, body, 0x0a, name], [0x12, value]))
}

fn varint_len(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

fn push_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
