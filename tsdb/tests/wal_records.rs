//! Typed records: what goes in comes out, and damaged records are refused without a panic.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use proptest::prelude::*;
use tsdb::record::{
    Decoded, MAX_SAMPLE_BYTES, RecordSink, SamplesEncoder, SeriesEncoder, decode, encode_metadata,
};
use tsdb_core::metadata::{Metadata, MetricType};
use tsdb_core::{Labels, SeriesRef};

/// Notes everything it is told.
#[derive(Debug, Default, PartialEq)]
struct Notes {
    series: Vec<(u32, Labels)>,
    samples: Vec<(u32, i64, u64)>,
    metadata: Vec<(String, Metadata)>,
}

impl RecordSink for Notes {
    fn series(&mut self, series: SeriesRef, labels: &[(&str, &str)]) {
        let labels = Labels::from_sorted_pairs(labels.iter().copied()).expect("decoded labels are sorted");
        self.series.push((series.0, labels));
    }

    fn sample(&mut self, series: SeriesRef, timestamp: i64, value: f64) {
        self.samples.push((series.0, timestamp, value.to_bits()));
    }

    fn metadata(&mut self, metric: &str, metadata: Metadata) {
        self.metadata.push((metric.to_owned(), metadata));
    }
}

fn samples_record(samples: &[(u32, i64, u64)]) -> Vec<u8> {
    let mut encoder = SamplesEncoder::new();
    samples.iter().for_each(|&(series, at, bits)| encoder.push(SeriesRef(series), at, f64::from_bits(bits)));
    assert_eq!(encoder.len(), samples.len());
    let mut out = Vec::new();
    encoder.finish(&mut out);
    assert!(encoder.is_empty());
    out
}

fn series_record(series: &[(u32, Labels)]) -> Vec<u8> {
    let mut encoder = SeriesEncoder::new();
    series.iter().for_each(|(series, labels)| encoder.push(SeriesRef(*series), labels));
    let mut out = Vec::new();
    encoder.finish(&mut out);
    out
}

fn notes(record: &[u8]) -> (Decoded, Notes) {
    let mut notes = Notes::default();
    (decode(record, &mut notes).unwrap(), notes)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

/// One record of each kind.
fn specimens() -> Vec<Vec<u8>> {
    let series = [
        (0, labels(&[("__name__", "up"), ("job", "a")])),
        (1, labels(&[("__name__", "up"), ("job", "b")])),
        (9, labels(&[("__name__", "up"), ("instance", "x"), ("job", "b")])),
    ];
    let samples = [(0, 1_000, 1.5_f64.to_bits()), (1, 1_000, 0), (9, 1_015, f64::NAN.to_bits())];
    let mut metadata = Vec::new();
    let described =
        Metadata { metric_type: MetricType::Counter, unit: "bytes".into(), help: "All of them.".into() };
    encode_metadata("read_bytes_total", &described, &mut metadata);
    vec![series_record(&series), samples_record(&samples), metadata]
}

#[test]
fn a_scrape_of_known_series_costs_nine_bytes_a_sample_at_most() {
    let scrape: Vec<_> = (0..1_000).map(|series| (series, 1_775_643_330_000, 42)).collect();
    assert!(samples_record(&scrape).len() < 8 * scrape.len() + 32);
}

#[test]
fn instances_of_one_metric_share_their_labels() {
    let label = |instance: u32| {
        labels(&[
            ("__name__", "a_long_metric_name_total"),
            ("instance", &instance.to_string()),
            ("job", "a_long_job"),
        ])
    };
    let series: Vec<_> = (0..100).map(|i| (i, label(i))).collect();
    assert!(series_record(&series).len() < 100 * 10);
}

#[test]
fn an_encoder_without_contents_writes_nothing() {
    assert!(samples_record(&[]).is_empty());
    assert!(series_record(&[]).is_empty());
}

#[test]
fn an_encoder_can_be_used_again() {
    let mut encoder = SamplesEncoder::new();
    let mut records = Vec::new();
    for _ in 0..2 {
        encoder.push(SeriesRef(7), -5, 1.0);
        encoder.push(SeriesRef(8), -5, 2.0);
        let mut out = Vec::new();
        encoder.finish(&mut out);
        records.push(out);
    }
    assert_eq!(records[0], records[1]);
    let mut encoder = SeriesEncoder::new();
    let mut records = Vec::new();
    for _ in 0..2 {
        encoder.push(SeriesRef(7), &labels(&[("a", "b")]));
        let mut out = Vec::new();
        encoder.finish(&mut out);
        records.push(out);
    }
    assert_eq!(records[0], records[1]);
}

#[test]
fn a_record_with_an_unknown_tag_is_named_and_skipped() {
    assert_eq!(notes(&[200, 1, 2, 3]), (Decoded::UnknownTag(200), Notes::default()));
    assert!(decode(&[], &mut Notes::default()).is_err());
}

#[test]
fn metadata_round_trips_for_every_type() {
    use MetricType::*;
    for metric_type in [Unknown, Counter, Gauge, Histogram, GaugeHistogram, Summary, Info, Stateset] {
        let metadata = Metadata { metric_type, unit: String::new(), help: "\u{fc}\n".into() };
        let mut record = Vec::new();
        encode_metadata("m", &metadata, &mut record);
        let (kind, notes) = notes(&record);
        assert_eq!((kind, notes.metadata), (Decoded::Metadata, vec![("m".to_owned(), metadata)]));
    }
}

#[test]
fn every_truncation_is_refused() {
    for record in specimens() {
        for len in 0..record.len() {
            assert!(decode(&record[..len], &mut Notes::default()).is_err(), "{len} of {record:?}");
        }
    }
}

#[test]
fn trailing_bytes_are_refused() {
    for mut record in specimens() {
        record.push(0);
        assert!(decode(&record, &mut Notes::default()).is_err());
    }
}

#[test]
fn no_flipped_bit_makes_the_decoder_panic_or_hand_out_more_than_there_are_bytes() {
    for record in specimens() {
        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut notes = Notes::default();
            drop(decode(&flipped, &mut notes));
            assert!(notes.samples.len() + notes.series.len() <= record.len());
        }
    }
}

#[test]
fn hostile_lengths_are_refused() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for tag in 1..=3 {
        for skip in 0..4 {
            let mut record = vec![tag];
            record.extend_from_slice(&[1, 1, 1][..skip.min(3)]);
            record.extend_from_slice(&huge);
            assert!(decode(&record, &mut Notes::default()).is_err());
        }
    }
}

#[test]
fn labels_out_of_order_or_empty_are_refused() {
    let two = |a: &str, b: &str| {
        let mut record = vec![1, 1, 0, 2];
        for (name, value) in [(a, "x"), (b, "y")] {
            record.extend([2, name.len() as u8]);
            record.extend(name.bytes());
            record.push(value.len() as u8);
            record.extend(value.bytes());
        }
        record
    };
    assert!(decode(&two("a", "b"), &mut Notes::default()).is_ok());
    for (a, b) in [("b", "a"), ("a", "a"), ("", "a")] {
        assert!(decode(&two(a, b), &mut Notes::default()).is_err(), "{a:?} {b:?}");
    }
}

fn any_samples() -> impl Strategy<Value = Vec<(u32, i64, u64)>> {
    let wild = (any::<u32>(), any::<i64>(), any::<u64>());
    let tame = (0_u32..50, 0_i64..5, any::<u64>());
    prop_oneof![
        proptest::collection::vec(wild, 0..200),
        proptest::collection::vec(tame, 0..200),
        (any::<u32>(), 1_u32..300, any::<i64>()).prop_map(|(first, count, at)| {
            (0..count).map(|i| (first.wrapping_add(i), at, u64::from(i))).collect()
        }),
    ]
}

fn any_series() -> impl Strategy<Value = Vec<(u32, Labels)>> {
    let set = proptest::collection::btree_map("[a-d]{1,2}", "[xyz]{1,3}", 0..5)
        .prop_map(|map| Labels::from_pairs(map.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap());
    proptest::collection::vec((any::<u32>(), set), 0..30)
}

proptest! {
    #[test]
    fn samples_round_trip_bit_for_bit(samples in any_samples()) {
        let record = samples_record(&samples);
        prop_assert!(record.len() <= samples.len() * MAX_SAMPLE_BYTES + 32);
        if !samples.is_empty() {
            prop_assert_eq!(notes(&record), (Decoded::Samples, Notes { samples, ..Notes::default() }));
        }
    }

    #[test]
    fn series_round_trip(series in any_series()) {
        let record = series_record(&series);
        if !series.is_empty() {
            prop_assert_eq!(notes(&record), (Decoded::Series, Notes { series, ..Notes::default() }));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), tag in 0_u8..5) {
        let mut record = vec![tag];
        record.extend(bytes);
        drop(decode(&record, &mut Notes::default()));
    }
}
