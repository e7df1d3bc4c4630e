//! Damaged bytes: every truncation and every flipped bit of every golden file is an error or other samples, never a
//! panic and never more memory than the limits say.

use crate::golden::stored;
use crate::inputs::{histogram_inputs, inputs};
use tsdb_core::chunk::{histogram, starts, xor};
use tsdb_core::pack::{Frame, MAX_SAMPLES, Times, Values};
use tsdb_core::sample::SampleColumns;

/// All copies of `bytes` with one bit flipped.
fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len() * 8).map(|bit| {
        let mut copy = bytes.to_vec();
        copy[bit / 8] ^= 1 << (bit % 8);
        copy
    })
}

fn assert_bounded(into: &SampleColumns, limit: usize) {
    assert_eq!(into.timestamps.len(), into.values.len());
    assert!(into.timestamps.capacity() <= limit && into.values.capacity() <= limit);
}

#[test]
fn a_truncated_chunk_is_an_error_and_leaves_the_columns() {
    for input in inputs() {
        let bytes = stored(&format!("chunk-{}.bin", input.name));
        for len in 1..bytes.len() {
            let mut into = input.columns.clone();
            assert!(xor::decode(&bytes[..len], &mut into).is_err(), "{} cut to {len}", input.name);
            assert_eq!(into.len(), input.columns.len());
        }
    }
}

#[test]
fn a_chunk_with_bytes_behind_it_is_an_error() {
    for input in inputs() {
        let mut bytes = stored(&format!("chunk-{}.bin", input.name));
        bytes.push(0);
        assert!(xor::decode(&bytes, &mut SampleColumns::new()).is_err(), "{}", input.name);
    }
}

#[test]
fn a_flipped_bit_of_a_chunk_does_no_harm() {
    for input in inputs() {
        let bytes = stored(&format!("chunk-{}.bin", input.name));
        for copy in flips(&bytes) {
            let mut into = SampleColumns::new();
            let result = xor::decode(&copy, &mut into);
            assert_bounded(&into, bytes.len() * 4);
            assert!(into.timestamps.is_sorted_by(|a, b| a < b));
            assert!(result.is_ok() || into.is_empty());
        }
    }
}

#[test]
fn a_truncated_chunk_of_histograms_is_an_error_and_leaves_the_columns() {
    for input in histogram_inputs() {
        let bytes = stored(&format!("histograms-{}.bin", input.name));
        for len in 1..bytes.len() {
            let mut into = input.columns.clone();
            assert!(histogram::decode(&bytes[..len], &mut into).is_err(), "{} cut to {len}", input.name);
            assert_eq!(into.len(), input.columns.len());
            assert!(into.histograms == input.columns.histograms && into.starts == input.columns.starts);
        }
    }
}

#[test]
fn a_flipped_bit_of_a_chunk_of_histograms_does_no_harm() {
    for input in histogram_inputs() {
        let bytes = stored(&format!("histograms-{}.bin", input.name));
        for copy in flips(&bytes) {
            let mut into = SampleColumns::new();
            let result = histogram::decode(&copy, &mut into);
            // Columns that grow double.
            assert_bounded(&into, bytes.len() * 8);
            assert!(into.timestamps.is_sorted_by(|a, b| a < b));
            assert!(result.is_ok() || into.is_empty());
            // Every bucket takes a bit at least.
            let buckets = into.histograms.iter().flatten().map(|histogram| histogram.bucket_count());
            assert!(buckets.max().unwrap_or(0) <= bytes.len() * 8);
        }
    }
}

#[test]
fn damaged_start_timestamps_do_no_harm() {
    for input in histogram_inputs() {
        let bytes = stored(&format!("starts-{}.bin", input.name));
        let cuts = (1..bytes.len()).map(|len| bytes[..len].to_vec());
        for copy in flips(&bytes).chain(cuts) {
            let mut into = Vec::new();
            let result = starts::decode(&copy, &input.columns.timestamps, &mut into);
            assert_eq!(into.len(), if result.is_ok() { input.columns.len() } else { 0 });
        }
    }
}

#[test]
fn a_flipped_bit_of_a_frame_of_histograms_does_no_harm() {
    let bytes = stored("histograms-frame.bin");
    for copy in flips(&bytes) {
        if let Ok(frame) = Frame::open(&copy) {
            read_all(&frame);
        }
    }
    assert!((0..bytes.len()).all(|len| Frame::open(&bytes[..len]).is_err()));
}

/// Reads every slot there is and one more.
fn read_all(frame: &Frame<'_>) {
    for slot in 0..=frame.len() {
        let mut into = SampleColumns::new();
        let slot = u32::try_from(slot).unwrap();
        let result = frame.read(slot, &mut into);
        assert_bounded(&into, MAX_SAMPLES);
        assert!(into.timestamps.is_sorted_by(|a, b| a < b));
        assert!(result.is_ok() || into.is_empty());
        let _any = (frame.count(slot), frame.range(slot), frame.time_column(slot));
    }
}

#[test]
fn a_truncated_frame_does_not_open() {
    let bytes = stored("frame.bin");
    for len in 0..bytes.len() {
        assert!(Frame::open(&bytes[..len]).is_err(), "cut to {len}");
    }
}

#[test]
fn a_flipped_bit_of_a_frame_does_no_harm() {
    let bytes = stored("frame.bin");
    // Planes are nothing but residuals; of their many bits, one in seven stands for all.
    let planes = Frame::open(&bytes).unwrap().cuts().next().unwrap();
    for (number, copy) in flips(&bytes).enumerate() {
        if (number / 8 < planes || number % 7 == 0)
            && let Ok(frame) = Frame::open(&copy)
        {
            read_all(&frame);
        }
    }
}

#[test]
fn truncated_or_flipped_times_and_values_do_no_harm() {
    let (times, values) = (stored("times.bin"), stored("values.bin"));
    assert!((0..times.len()).all(|len| Times::open(&times[..len]).is_err()));
    assert!((0..values.len()).all(|len| Values::open(&values[..len]).is_err()));
    for copy in flips(&times).step_by(5) {
        let Ok(times) = Times::open(&copy) else { continue };
        for number in 0..times.len() {
            let mut into = Vec::new();
            let _any = times.read(u32::try_from(number).unwrap(), &mut into);
            assert!(into.capacity() <= MAX_SAMPLES);
        }
    }
    for copy in flips(&values).step_by(5) {
        let Ok(values) = Values::open(&copy) else { continue };
        for number in 0..values.len() {
            let mut into = Vec::new();
            let _any = values.read(u32::try_from(number).unwrap(), &mut into);
            assert!(into.capacity() <= MAX_SAMPLES);
        }
    }
}

#[test]
fn one_format_is_not_read_as_another() {
    let frame = stored("frame.bin");
    assert!(Times::open(&frame).is_err() && Values::open(&frame).is_err());
    assert!(xor::decode(&stored("times.bin"), &mut SampleColumns::new()).is_err());
}
