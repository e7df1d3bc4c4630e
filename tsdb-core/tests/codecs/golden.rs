//! Bytes that earlier versions wrote are read for ever.
//!
//! A golden file is written once, with `UPDATE_GOLDEN=1` in the environment and only if it does not exist yet; a
//! missing one fails the test. The writer may find better encodings; the files it wrote before stay readable.

use crate::inputs::{Input, bits, histogram_inputs, inputs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::chunk::histogram::{self, HistogramChunk};
use tsdb_core::chunk::starts::{self, StartsWriter};
use tsdb_core::chunk::xor::{self, XorChunk};
use tsdb_core::histogram::{FloatHistogram, FloatParts, Span};
use tsdb_core::pack::{Frame, FrameWriter, Times, TimesWriter, Values, ValuesWriter};
use tsdb_core::sample::SampleColumns;

/// The golden file `name`; `encode` makes it where that was asked for.
fn golden(name: &str, encode: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let path = path(name);
    if !path.exists() && std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, encode()).unwrap();
    }
    stored(name)
}

/// The golden file `name`, which has to be there.
pub(crate) fn stored(name: &str) -> Vec<u8> {
    let path = path(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name)
}

fn chunk(input: &Input) -> Vec<u8> {
    let mut chunk = XorChunk::new();
    for (timestamp, value) in input.columns.timestamps.iter().zip(&input.columns.values) {
        chunk.push(*timestamp, *value).unwrap();
    }
    chunk.into_bytes()
}

#[test]
fn chunks_of_version_1_are_read() {
    for input in inputs() {
        let bytes = golden(&format!("chunk-{}.bin", input.name), || chunk(&input));
        let mut into = SampleColumns::new();
        xor::decode(&bytes, &mut into).unwrap();
        assert_eq!(bits(&into), bits(&input.columns), "{}", input.name);
    }
}

#[test]
fn frames_of_version_1_are_read() {
    let inputs = inputs();
    let bytes = golden("frame.bin", || {
        let mut writer = FrameWriter::new();
        for input in &inputs {
            writer.push(&input.columns.timestamps, &input.columns.values).unwrap();
        }
        writer.finish()
    });
    let frame = Frame::open(&bytes).unwrap();
    assert_eq!(frame.len(), inputs.len());
    for (input, slot) in inputs.iter().zip(0..) {
        let mut into = SampleColumns::new();
        frame.read(slot, &mut into).unwrap();
        assert_eq!(bits(&into), bits(&input.columns), "{}", input.name);
    }
}

#[test]
fn times_and_values_of_version_1_are_read() {
    let inputs = inputs();
    let (mut times, mut values) = (TimesWriter::new(), ValuesWriter::new());
    for input in &inputs {
        let time = times.intern(&input.columns.timestamps).unwrap();
        values.push(time, &input.columns.values).unwrap();
    }
    let (times, values) = (golden("times.bin", || times.finish()), golden("values.bin", || values.finish()));
    let (times, values) = (Times::open(&times).unwrap(), Values::open(&values).unwrap());
    for (input, slot) in inputs.iter().zip(0..) {
        let mut into = SampleColumns::new();
        times.read(values.time(slot).unwrap(), &mut into.timestamps).unwrap();
        values.read(slot, &mut into.values).unwrap();
        assert_eq!(bits(&into), bits(&input.columns), "{}", input.name);
    }
}

/// The histograms of `input` alone.
fn histograms(input: &Input) -> SampleColumns {
    let mut columns = SampleColumns::new();
    for (timestamp, histogram) in input.columns.timestamps.iter().zip(&input.columns.histograms) {
        if let Some(histogram) = histogram {
            columns.push_histogram(*timestamp, Arc::clone(histogram));
        }
    }
    columns
}

fn histogram_chunk(columns: &SampleColumns) -> Vec<u8> {
    let mut chunk = HistogramChunk::new();
    for (timestamp, histogram) in columns.timestamps.iter().zip(columns.histograms.iter().flatten()) {
        chunk.push(*timestamp, histogram).unwrap();
    }
    chunk.into_bytes()
}

fn starts_column(columns: &SampleColumns) -> Vec<u8> {
    let mut starts = StartsWriter::new();
    for (index, timestamp) in columns.timestamps.iter().enumerate() {
        starts.push(*timestamp, columns.start(index));
    }
    starts.to_bytes()
}

#[test]
fn chunks_of_histograms_of_version_1_are_read() {
    for input in histogram_inputs() {
        let expected = histograms(&input);
        let bytes = golden(&format!("histograms-{}.bin", input.name), || histogram_chunk(&expected));
        let mut into = SampleColumns::new();
        histogram::decode(&bytes, &mut into).unwrap();
        assert_eq!((&into.timestamps, &into.histograms), (&expected.timestamps, &expected.histograms));
    }
}

#[test]
fn start_timestamps_of_version_1_are_read() {
    for input in histogram_inputs() {
        let columns = &input.columns;
        let bytes = golden(&format!("starts-{}.bin", input.name), || starts_column(columns));
        let mut into = Vec::new();
        starts::decode(&bytes, &columns.timestamps, &mut into).unwrap();
        let expected: Vec<_> = (0..columns.len()).map(|index| columns.start(index)).collect();
        assert_eq!(into, expected, "{}", input.name);
    }
}

#[test]
fn frames_of_histograms_of_version_1_are_read() {
    let inputs = histogram_inputs();
    let bytes = golden("histograms-frame.bin", || {
        let mut writer = FrameWriter::new();
        for input in &inputs {
            writer.push_samples(input.columns.as_slices()).unwrap();
        }
        writer.finish()
    });
    let frame = Frame::open(&bytes).unwrap();
    for (input, slot) in inputs.iter().zip(0..) {
        let mut into = SampleColumns::new();
        frame.read(slot, &mut into).unwrap();
        assert_eq!(bits(&into), bits(&input.columns), "{}", input.name);
        assert_eq!((&into.histograms, &into.starts), (&input.columns.histograms, &input.columns.starts));
    }
}

#[test]
fn the_worked_example_of_histograms_is_what_is_written() {
    let mut parts = FloatParts {
        count: 5.0,
        sum: 9.5,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive_counts: vec![1.0, 0.0, 4.0],
        ..FloatParts::default()
    };
    let mut chunk = HistogramChunk::new();
    chunk.push(1000, &FloatHistogram::new(parts.clone()).unwrap()).unwrap();
    (parts.count, parts.sum, parts.positive_counts[1]) = (7.0, 11.0, 2.0);
    chunk.push(2000, &FloatHistogram::new(parts).unwrap()).unwrap();
    let example = worked_example(include_str!("../../docs/chunk-format.md"), "Worked example of histograms");
    assert_eq!(chunk.into_bytes(), example);
}

/// The hexadecimal lines that follow `heading` in a specification.
fn worked_example(specification: &str, heading: &str) -> Vec<u8> {
    let (_, example) = specification.split_once(heading).expect("the heading is there");
    let (_, block) = example.split_once("```text\n").expect("an example is there");
    let (block, _) = block.split_once("```").expect("the example ends");
    let bytes = block.lines().flat_map(|line| {
        let (hex, _) = line.split_once("  ").unwrap_or((line, ""));
        hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).expect("two digits")).collect::<Vec<_>>()
    });
    bytes.collect()
}

#[test]
fn the_worked_example_of_the_chunk_format_is_what_is_written() {
    let mut chunk = XorChunk::new();
    for (timestamp, value) in [(1000, 1.0), (2000, 3.0), (3000, 3.0), (4001, 3.5)] {
        chunk.push(timestamp, value).unwrap();
    }
    let example = worked_example(include_str!("../../docs/chunk-format.md"), "Worked example");
    assert_eq!(chunk.into_bytes(), example);
}

#[test]
fn the_worked_example_of_the_pack_format_is_what_is_written() {
    let mut writer = FrameWriter::new();
    let timestamps = [1000, 2000, 3000];
    writer.push(&timestamps, &[1.5, 1.5, 1.5]).unwrap();
    writer.push(&timestamps, &[0.1, 0.3, 0.4]).unwrap();
    let example = worked_example(include_str!("../../docs/pack-format.md"), "Worked example");
    assert_eq!(writer.finish(), example);
}
