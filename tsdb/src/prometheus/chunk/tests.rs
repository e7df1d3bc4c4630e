//! What is written is read back; what is damaged is refused.
#![expect(clippy::arithmetic_side_effects, reason = "tests may overflow, which fails them")]

use super::super::bits::BitWriter;
use super::*;
use proptest::prelude::*;
use std::convert::Infallible;
use std::sync::Arc;
use tsdb_core::histogram::{FloatHistogram, FloatParts, ResetHint, Span};
use tsdb_core::sample::STALE_NAN;

/// The chunks of `columns` and what they say.
fn through_chunks(columns: &SampleColumns) -> (Vec<Cut>, SampleColumns) {
    let mut chunks = Vec::new();
    let written = encode(columns, 0..columns.len(), Form::of(columns), |cut| {
        chunks.push(cut);
        Ok::<_, Infallible>(())
    });
    written.unwrap();
    let mut read = SampleColumns::new();
    for chunk in &chunks {
        let before = read.len();
        decode(chunk.encoding as u8, &chunk.data, &mut read).unwrap();
        assert_eq!(read.len() - before, usize::from(chunk.samples));
        assert_eq!(read.timestamps[before], chunk.range.start());
        assert_eq!(read.timestamps.last(), Some(&chunk.range.end()));
    }
    (chunks, read)
}

fn bits(columns: &SampleColumns) -> (Vec<i64>, Vec<u64>, Vec<String>) {
    let values = columns.values.iter().map(|value| value.to_bits()).collect();
    let histograms = columns.histograms.iter().map(|histogram| match histogram {
        Some(histogram) if histogram.is_stale() => "stale".to_owned(),
        other => format!("{other:?}"),
    });
    (columns.timestamps.clone(), values, histograms.collect())
}

fn histogram(count: f64, hint: ResetHint) -> Arc<FloatHistogram> {
    let parts = FloatParts {
        reset_hint: hint,
        schema: 3,
        zero_threshold: 2.0_f64.powi(-128),
        zero_count: 1.0,
        count: count * 3.0 + 1.0,
        sum: count * 1.5,
        positive_spans: vec![Span { offset: -3, length: 1 }, Span { offset: 4, length: 1 }],
        positive_counts: vec![count, count],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        negative_counts: vec![count],
        ..FloatParts::default()
    };
    Arc::new(FloatHistogram::new(parts).unwrap())
}

fn stale() -> Arc<FloatHistogram> {
    Arc::new(FloatHistogram::new(FloatParts { sum: STALE_NAN, ..FloatParts::default() }).unwrap())
}

fn custom(bounds: &[f64]) -> Arc<FloatHistogram> {
    let parts = FloatParts {
        schema: -53,
        count: 5.0,
        sum: 4.0,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_counts: vec![2.0, 3.0],
        bounds: bounds.into(),
        ..FloatParts::default()
    };
    Arc::new(FloatHistogram::new(parts).unwrap())
}

#[test]
fn chunks_of_numbers_have_120_samples() {
    let mut columns = SampleColumns::new();
    (0..250).for_each(|n| columns.push(n * 15_000, n as f64));
    let (chunks, read) = through_chunks(&columns);
    assert_eq!(chunks.iter().map(|chunk| chunk.samples).collect::<Vec<_>>(), [120, 120, 10]);
    assert_eq!(bits(&read), bits(&columns));
}

#[test]
fn a_chunk_ends_where_the_kind_the_layout_or_the_counter_changes() {
    let mut columns = SampleColumns::new();
    columns.push(1, 1.0);
    columns.push_histogram(2, histogram(5.0, ResetHint::Unknown));
    columns.push_histogram(3, histogram(6.0, ResetHint::NotReset));
    columns.push_histogram(4, histogram(2.0, ResetHint::Reset));
    columns.push_histogram(5, stale());
    columns.push_histogram(6, stale());
    columns.push_histogram(7, histogram(9.0, ResetHint::NotReset));
    columns.push_histogram(8, custom(&[0.001, 33_554.43]));
    columns.push_histogram(9, custom(&[-1.0, 1e300]));
    columns.push_histogram(10, histogram(1.0, ResetHint::Gauge));
    columns.push_histogram(11, histogram(0.0, ResetHint::Gauge));
    columns.push_histogram(12, stale());
    columns.push(13, 2.0);
    let (chunks, read) = through_chunks(&columns);
    assert_eq!(bits(&read), bits(&columns));
    let samples: Vec<u16> = chunks.iter().map(|chunk| chunk.samples).collect();
    assert_eq!(samples, [1, 2, 3, 1, 1, 1, 3, 1]);
    assert!(chunks.iter().all(|chunk| chunk.encoding != Encoding::FloatHistogram));
}

#[test]
fn counts_that_are_no_integers_make_chunks_of_floats() {
    let mut columns = SampleColumns::new();
    columns.push_histogram(1, stale());
    for n in 1..30 {
        columns.push_histogram(1 + n, histogram(n as f64 * 0.7, ResetHint::NotReset));
    }
    columns.push_histogram(50, stale());
    let (chunks, read) = through_chunks(&columns);
    assert_eq!(bits(&read), bits(&columns));
    assert!(chunks.iter().all(|chunk| chunk.encoding == Encoding::FloatHistogram));
}

#[test]
fn the_newer_encoding_of_numbers_is_read_with_its_start_timestamps() {
    // The first start is known, and starts stand behind the samples from number 4 on.
    let mut bits = BitWriter::after(vec![0, 6, 0x80 | 4]);
    bits.varint(1000);
    bits.bits(1.0_f64.to_bits(), 64);
    bits.varint(400);
    // A second later, unchanged; the same again; a stale marker.
    bits.uvarint(1000);
    bits.bits(0, 1);
    bits.bits(0, 1);
    bits.bits(0b11111, 5);
    // A millisecond less than a second later, 2.0; its start.
    bits.bits(0b110, 3);
    bits.bits(0x1fff, 13);
    let changed = 2.0_f64.to_bits() ^ 1.0_f64.to_bits();
    let (leading, trailing) = (changed.leading_zeros().min(31), changed.trailing_zeros());
    let width = 64 - leading - trailing;
    bits.bits(0b110, 3);
    bits.bits(leading.into(), 5);
    bits.bits(width.into(), 6);
    bits.bits(changed >> trailing, width);
    bits.varbit_int(3000);
    // The same distances again.
    bits.bits(0, 1);
    bits.varbit_int(0);
    let mut columns = SampleColumns::new();
    decode(4, &bits.finish(), &mut columns).unwrap();
    assert_eq!(columns.timestamps, [1000, 2000, 3000, 4000, 4999, 5998]);
    assert_eq!(columns.starts, [600, 600, 600, 600, 1000, 1999]);
    let values: Vec<u64> = columns.values.iter().map(|value| value.to_bits()).collect();
    assert_eq!(values, [1.0, 1.0, 1.0, STALE_NAN, 2.0, 2.0].map(f64::to_bits));
}

#[test]
fn histograms_with_start_timestamps_are_read() {
    let mut columns = SampleColumns::new();
    columns.push_histogram(1000, histogram(5.0, ResetHint::Gauge));
    let (chunks, _) = through_chunks(&columns);
    let data = &chunks[0].data;
    // Flags and count share a field; the third byte says that the first start is known.
    let mut with_starts = vec![0xc0, 1, 0x80];
    with_starts.extend_from_slice(&data[3..]);
    // The example ends at the border of a byte, or within one: both ways its padding is cut off bit by bit.
    let found = (0..8).find_map(|padding| {
        let mut bits = BitWriter::after(with_starts[..3].to_vec());
        let mut reader = BitReader::new("bits", &with_starts[3..]);
        while reader.remaining_bits() > padding {
            bits.bits(reader.bits(1).unwrap(), 1);
        }
        bits.varint(250);
        let mut read = SampleColumns::new();
        decode(5, &bits.finish(), &mut read).ok().filter(|()| read.starts == [750]).map(|()| read)
    });
    assert_eq!(found.unwrap().histograms, columns.histograms);
}

#[test]
fn unknown_encodings_are_named() {
    let error = decode(0xff, &[0, 0], &mut SampleColumns::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "chunk is damaged at byte 0: encoding of a chunk 0xff is unknown to this version"
    );
}

#[test]
fn a_chunk_with_more_buckets_than_bits_is_refused_before_anything_is_allocated() {
    let mut bits = BitWriter::after(vec![0, 1, 0]);
    bits.bits(0, 8);
    bits.varbit_int(0);
    bits.varbit_uint(1);
    bits.varbit_uint(65_000);
    bits.varbit_int(0);
    bits.varbit_uint(0);
    assert!(decode(2, &bits.finish(), &mut SampleColumns::new()).is_err());
}

/// Every kind of chunk that is written.
fn examples() -> Vec<(u8, Vec<u8>)> {
    let mut columns = SampleColumns::new();
    (0..20).for_each(|n| columns.push(n * 1003, (n * n) as f64 / 7.0));
    (20..40).for_each(|n| columns.push_histogram(n * 1003, histogram(n as f64, ResetHint::NotReset)));
    let mut floats = SampleColumns::new();
    (0..20).for_each(|n| floats.push_histogram(n * 999, histogram(n as f64 / 3.0, ResetHint::NotReset)));
    floats.push_histogram(90_000, custom(&[0.5, 1.0]));
    let chunks = [columns, floats].map(|columns| through_chunks(&columns).0);
    chunks.into_iter().flatten().map(|chunk| (chunk.encoding as u8, chunk.data)).collect()
}

#[test]
fn chunks_cut_anywhere_or_with_any_bit_flipped_are_read_without_panic() {
    for (encoding, data) in examples() {
        for len in 0..data.len().saturating_sub(1) {
            assert!(decode(encoding, &data[..len], &mut SampleColumns::new()).is_err(), "{encoding} {len}");
        }
        for bit in 0..data.len() * 8 {
            let mut flipped = data.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            for encoding in 0..8 {
                drop(decode(encoding, &flipped, &mut SampleColumns::new()));
            }
        }
    }
}

proptest! {
    #[test]
    fn numbers_survive_bit_for_bit(
        first in -1_000_000_000_000_000_i64..1_000_000_000_000_000,
        steps in proptest::collection::vec((1_i64..10_000_000_000, 0_u32..40, any::<u64>(), 0_u32..64), 0..300),
    ) {
        let mut columns = SampleColumns::new();
        let mut time = first;
        for (step, shift, value, keep) in steps {
            time += (step >> shift).max(1);
            columns.push(time, f64::from_bits(value >> keep));
        }
        let (_, read) = through_chunks(&columns);
        prop_assert_eq!(bits(&read), bits(&columns));
    }

    #[test]
    fn any_bytes_are_read_or_refused(encoding in 0_u8..8, data in proptest::collection::vec(any::<u8>(), 0..400)) {
        drop(decode(encoding, &data, &mut SampleColumns::new()));
    }
}
