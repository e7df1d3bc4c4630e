//! Encodings of samples: any bytes are decoded or refused, and samples survive encoding bit by bit.
//!
//! The first byte chooses: bytes of a chunk, bytes of a frame, samples into a chunk, samples into a frame; the same of
//! histograms, and of start timestamps.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use tsdb_core::TimeRange;
use tsdb_core::chunk::histogram::{self, HistogramChunk};
use tsdb_core::chunk::starts::{self, StartsWriter};
use tsdb_core::chunk::xor::{self, XorChunk};
use tsdb_core::pack::{Frame, FrameWriter, fitting};
use tsdb_core::sample::SampleColumns;
use tsdb_fuzz::{Input, histograms, is_ordered, same, samples};

/// How many series of a hostile frame are read.
const SERIES: u32 = 64;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    match input.byte() % 8 {
        0 => decode_chunk(input.rest()),
        1 => decode_frame(input.rest()),
        2 => encode_chunk(input),
        3 => encode_frame(input),
        4 => decode_histograms(input.rest()),
        5 => encode_histograms(input),
        6 => encode_mixed(input),
        _ => decode_starts(input),
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
    assert_eq!(xor::decode(&chunk.to_bytes(), &mut read), Ok(()));
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

fn decode_histograms(bytes: &[u8]) {
    let mut columns = SampleColumns::new();
    if histogram::decode(bytes, &mut columns).is_ok() {
        assert!(is_ordered(&columns));
        assert_eq!(histogram::count(bytes), Ok(columns.len()));
        let mut chunk = HistogramChunk::new();
        for (timestamp, histogram) in columns.timestamps.iter().zip(columns.histograms.iter().flatten()) {
            assert_eq!(chunk.push(*timestamp, histogram), Ok(()));
        }
        let mut again = SampleColumns::new();
        assert_eq!(histogram::decode(chunk.as_bytes(), &mut again), Ok(()));
        assert_eq!(again.histograms, columns.histograms);
    } else {
        assert!(columns.is_empty(), "damage leaves the columns as they were");
    }
}

fn encode_histograms(input: Input<'_>) {
    let written = histograms(input);
    let mut chunk = HistogramChunk::new();
    let mut expected = SampleColumns::new();
    for (timestamp, histogram) in written.timestamps.iter().zip(&written.histograms) {
        let Some(histogram) = histogram else { continue };
        assert_eq!(chunk.push(*timestamp, histogram), Ok(()));
        expected.push_histogram(*timestamp, Arc::clone(histogram));
    }
    let mut read = SampleColumns::new();
    assert_eq!(histogram::decode(chunk.as_bytes(), &mut read), Ok(()));
    assert!(same(&read, &expected) && read.histograms == expected.histograms);
}

fn encode_mixed(input: Input<'_>) {
    let written = histograms(input);
    if written.is_empty() {
        return;
    }
    let fits = fitting(written.as_slices());
    let mut writer = FrameWriter::new();
    writer.push_samples(written.as_slices().split_at(fits).0).expect("what fits is taken");
    let bytes = writer.finish();
    let mut read = SampleColumns::new();
    let frame = Frame::open(&bytes).expect("what was written opens");
    assert_eq!(frame.read(0, &mut read), Ok(()));
    let mut expected = written;
    expected.truncate(fits);
    assert!(same(&read, &expected));
    assert_eq!((read.histograms, read.starts), (expected.histograms, expected.starts));
}

fn decode_starts(mut input: Input<'_>) {
    let count = usize::from(input.byte());
    let timestamps: Vec<i64> = (0..).step_by(1000).take(count).collect();
    let mut starts = Vec::new();
    if starts::decode(input.rest(), &timestamps, &mut starts).is_ok() {
        let mut writer = StartsWriter::new();
        for (timestamp, start) in timestamps.iter().zip(&starts) {
            writer.push(*timestamp, *start);
        }
        let mut again = Vec::new();
        assert_eq!(starts::decode(&writer.to_bytes(), &timestamps, &mut again), Ok(()));
        assert_eq!(again, starts);
    } else {
        assert!(starts.is_empty(), "damage leaves the column as it was");
    }
}
