//! Bytes that earlier versions wrote are read for ever.
//!
//! A golden file is written once, with `UPDATE_GOLDEN=1` in the environment and only if it does not exist yet; a
//! missing one fails the test. The writer may find better encodings; the files it wrote before stay readable.

use crate::inputs::{Input, bits, inputs};
use std::path::{Path, PathBuf};
use tsdb_core::chunk::xor::{self, XorChunk};
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
