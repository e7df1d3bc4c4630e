//! Encodings of samples: any bytes are decoded or refused, and samples survive encoding bit by bit.
//!
//! The first byte chooses: bytes of a chunk, bytes of a frame, samples into a chunk, samples into a frame.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb_core::TimeRange;
use tsdb_core::chunk::xor::{self, XorChunk};
use tsdb_core::pack::{Frame, FrameWriter};
use tsdb_core::sample::SampleColumns;
use tsdb_fuzz::{Input, is_ordered, same, samples};

/// How many series of a hostile frame are read.
const SERIES: u32 = 64;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    match input.byte() % 4 {
        0 => decode_chunk(input.rest()),
        1 => decode_frame(input.rest()),
        2 => encode_chunk(input),
        _ => encode_frame(input),
    }
});

fn decode_chunk(bytes: &[u8]) {
    let mut columns = SampleColumns::new();
    if xor::decode(bytes, &mut columns).is_ok() {
        assert!(is_ordered(&columns));
        assert_eq!(xor::count(bytes), Ok(columns.len()));
        if let (Some(first), Some(last)) = (columns.timestamps.first(), columns.timestamps.last()) {
            let range =
                TimeRange::new(*first, first.midpoint(*last)).expect("the first is not after the last");
            let mut part = SampleColumns::new();
            assert_eq!(xor::decode_range(bytes, range, &mut part), Ok(()));
            columns.retain_range(range);
            assert!(same(&part, &columns));
        }
    } else {
        assert!(columns.is_empty(), "damage leaves the columns as they were");
    }
}

fn decode_frame(bytes: &[u8]) {
    let Ok(frame) = Frame::open(bytes) else { return };
    let mut columns = SampleColumns::new();
    for slot in 0..u32::try_from(frame.len()).unwrap_or(u32::MAX).min(SERIES) {
        if frame.read(slot, &mut columns).is_ok() {
            assert!(is_ordered(&columns));
            assert_eq!(frame.count(slot), Ok(columns.len()));
        }
        columns.clear();
    }
}

fn encode_chunk(input: Input<'_>) {
    let written = samples(input);
    let mut chunk = XorChunk::new();
    for (timestamp, value) in written.timestamps.iter().zip(&written.values) {
        assert_eq!(chunk.push(*timestamp, *value), Ok(()));
    }
    let mut read = SampleColumns::new();
    assert_eq!(xor::decode(chunk.as_bytes(), &mut read), Ok(()));
    assert!(same(&read, &written));
}

fn encode_frame(mut input: Input<'_>) {
    let mut writer = FrameWriter::new();
    let mut written = Vec::new();
    while !input.is_empty() && written.len() < SERIES as usize {
        let length = usize::from(input.byte());
        let columns = samples(Input::new(input.take(length)));
        if !columns.is_empty() {
            let slot = writer.push(&columns.timestamps, &columns.values).expect("a short series fits");
            assert_eq!(slot as usize, written.len());
            written.push(columns);
        }
    }
    let bytes = writer.finish();
    if written.is_empty() {
        return;
    }
    let frame = Frame::open(&bytes).expect("what was written opens");
    assert_eq!(frame.len(), written.len());
    for (slot, columns) in (0..).zip(&written) {
        let mut read = SampleColumns::new();
        assert_eq!(frame.read(slot, &mut read), Ok(()));
        assert!(same(&read, columns));
    }
}
