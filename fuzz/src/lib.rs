//! What several fuzz targets share: cutting input into pieces, and giving damaged files checksums that hold.
//!
//! A fuzzer cannot guess a checksum. Where a format has them, the targets take bytes without and seal them here, so
//! that what lies behind the checksums is reached. The layouts repeat those of the format documents.

use std::sync::Arc;
use tsdb_core::bytes::checksum;
use tsdb_core::histogram::{FloatHistogram, FloatParts, ResetHint, Span};
use tsdb_core::sample::SampleColumns;

/// Cuts pieces off the front of an input; beyond its end everything is zero or empty.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// All of `data`.
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// What is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Is nothing left?
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// The next two bytes as a number.
    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// The next eight bytes as a number.
    pub fn long(&mut self) -> u64 {
        self.take(8).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// The next `count` bytes, or what is left.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// CRC-32C bit by bit. Source: RFC 3720, appendix B.4.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(
            sum ^ u32::from(*byte),
            |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 },
        )
    })
}

/// An index of Prometheus whose symbols and series are `input`, cut into pieces; every checksum holds.
pub fn prometheus_index(mut input: Input<'_>) -> Vec<u8> {
    let sealed = |content: &[u8]| [content, &crc32c(content).to_be_bytes()].concat();
    let mut file = vec![0xba, 0xaa, 0xd7, 0x00, 2];
    let len = usize::from(input.byte());
    let symbols = input.take(len);
    file.extend_from_slice(&(symbols.len() as u32).to_be_bytes());
    file.extend(sealed(symbols));
    let series = file.len() as u64;
    while !input.is_empty() {
        file.resize(file.len().next_multiple_of(16), 0);
        let len = usize::from(input.byte() & 0x7f);
        let entry = input.take(len);
        file.push(entry.len() as u8);
        file.extend(sealed(entry));
    }
    let end = file.len() as u64;
    let places = [5, series, end, 0, end, end];
    file.extend(sealed(&places.map(u64::to_be_bytes).concat()));
    file
}

/// A file of chunks of Prometheus, which are `input`, cut into pieces; every checksum holds.
pub fn prometheus_chunks(mut input: Input<'_>) -> Vec<u8> {
    let mut file = vec![0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0];
    while !input.is_empty() {
        let len = usize::from(input.byte() & 0x7f);
        let content = input.take(len + 1);
        file.push(content.len().saturating_sub(1) as u8);
        file.extend_from_slice(content);
        file.extend_from_slice(&crc32c(content).to_be_bytes());
    }
    file
}

/// Samples in order of time, drawn from all of `input`: regular and irregular intervals, plain and odd values.
pub fn samples(mut input: Input<'_>) -> SampleColumns {
    let mut columns = SampleColumns::new();
    let mut timestamp = input.long().cast_signed();
    let mut value = 0.0_f64;
    while !input.is_empty() {
        let kind = input.byte();
        let step = match kind & 3 {
            0 => 15_000,
            1 => i64::from(input.byte()) + 1,
            2 => i64::from(input.short()) * 1000 + 1,
            _ => (input.long() >> 24).cast_signed().max(1),
        };
        value = match kind >> 2 & 3 {
            0 => value,
            1 => value + f64::from(input.byte()),
            2 => f64::from(input.short()) / 100.0,
            _ => f64::from_bits(input.long()),
        };
        let Some(next) = timestamp.checked_add(step) else { break };
        timestamp = next;
        columns.push(timestamp, value);
    }
    columns
}

/// Samples as [`samples`] draws them, most of them with a histogram instead of the number, some with a start timestamp.
pub fn histograms(mut input: Input<'_>) -> SampleColumns {
    let mut columns = SampleColumns::new();
    let mut parts = FloatParts::default();
    let mut timestamp = 0;
    while !input.is_empty() {
        timestamp += i64::from(input.byte()) + 1;
        match input.byte() % 8 {
            0 => columns.push(timestamp, f64::from(input.byte())),
            1 => {
                let (offset, length) = (i32::from(input.byte()), u32::from(input.byte()) % 32);
                parts.schema = i32::from(input.byte() % 13) - 4;
                parts.positive_spans = vec![Span { offset: offset - 128, length }];
                parts.positive_counts = vec![0.0; length as usize];
                parts.reset_hint = [ResetHint::Unknown, ResetHint::Gauge][usize::from(input.byte() & 1)];
            }
            2 => parts.sum = f64::from_bits(input.long()),
            3 => parts.zero_count = f64::from_bits(input.long() >> 1),
            _ => parts.count += f64::from(input.byte()),
        }
        for count in &mut parts.positive_counts {
            *count += f64::from(input.byte() >> 4);
        }
        if let Ok(histogram) = FloatHistogram::new(parts.clone())
            && columns.timestamps.last() != Some(&timestamp)
        {
            columns.push_histogram(timestamp, Arc::new(histogram));
        }
        columns.set_start(i64::from(input.byte()));
    }
    columns
}

/// Are `left` and `right` the same bits?
pub fn same(left: &SampleColumns, right: &SampleColumns) -> bool {
    let bits = |columns: &SampleColumns| columns.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    left.timestamps == right.timestamps && bits(left) == bits(right)
}

/// Is `columns` what every reader of samples promises: equal lengths, timestamps strictly ascending?
pub fn is_ordered(columns: &SampleColumns) -> bool {
    columns.timestamps.len() == columns.values.len() && columns.timestamps.is_sorted_by(|a, b| a < b)
}

const PAGE: usize = 32_768;
const SEGMENT_HEADER: usize = 40;

/// A segment of the write-ahead log numbered `number` that follows one of number `number - 1` ending at
/// `previous_end`, with valid checksums. Its fragments are cut from `input`: a byte for the part, one for the length
/// and some more for the payload. The high bit of the part breaks the checksum, the next one fills the page.
pub fn wal_segment(mut input: Input<'_>, number: u64, previous_end: u64) -> Vec<u8> {
    let mut out = b"tsdb-wal".to_vec();
    out.extend(1_u32.to_le_bytes());
    out.extend(number.to_le_bytes());
    out.extend((number - 1).to_le_bytes());
    out.extend(previous_end.to_le_bytes());
    out.extend(checksum(&out).to_le_bytes());
    assert_eq!(out.len(), SEGMENT_HEADER);
    while !input.is_empty() {
        let part = input.byte();
        let length = usize::from(input.byte());
        let mut payload = input.take(length).to_vec();
        if part & 0x40 != 0 {
            payload.resize((PAGE - out.len() % PAGE).saturating_sub(8), 0);
        }
        if PAGE - out.len() % PAGE < 8 + payload.len() {
            out.resize(out.len().next_multiple_of(PAGE), 0);
        }
        let mut place = number.to_le_bytes().to_vec();
        place.extend((out.len() as u64).to_le_bytes());
        let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
        let mut fragment = length.to_le_bytes().to_vec();
        fragment.extend([part & 7, part >> 3 & 1]);
        fragment.append(&mut payload);
        let sum = checksum(&fragment) ^ checksum(&place) ^ u32::from(part >> 7);
        out.extend(sum.to_le_bytes());
        out.append(&mut fragment);
    }
    out
}

/// Gives the index file `file` checksums that hold, in place.
pub fn seal_index(file: &mut [u8]) {
    const PAGE: usize = 4096;
    const FOOTER: usize = 16 * 8 + 3 * 4;
    let Some(body) = file.len().checked_sub(FOOTER) else { return };
    let payload = (0..=body).rev().find(|payload| payload + payload.div_ceil(PAGE) * 4 <= body).unwrap_or(0);
    let (pages, rest) = file.split_at_mut(payload);
    let (table, footer) = rest.split_at_mut(body - payload);
    for (page, place) in pages.chunks(PAGE).zip(table.chunks_exact_mut(4)) {
        place.copy_from_slice(&checksum(page).to_le_bytes());
    }
    footer[14 * 8..15 * 8].copy_from_slice(&(payload as u64).to_le_bytes());
    footer[16 * 8..16 * 8 + 4].copy_from_slice(&checksum(table).to_le_bytes());
    let sum = checksum(&footer[..FOOTER - 8]);
    footer[FOOTER - 8..FOOTER - 4].copy_from_slice(&sum.to_le_bytes());
}
