//! Typed records: what goes in comes out, and damaged records are refused without a panic.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use proptest::prelude::*;
use tsdb::record::{
    Border, Decoded, ExemplarSeries, ExemplarsEncoder, HistogramsEncoder, MAX_SAMPLE_BYTES, RecordSink,
    SamplesEncoder, SeriesEncoder, decode, encode_border, encode_late, encode_metadata, encode_named,
};
use tsdb_core::histogram::{FloatHistogram, FloatParts, ResetHint, Span};
use tsdb_core::metadata::{Metadata, MetricType};
use tsdb_core::{Exemplar, Labels, NO_START, STALE_NAN, SeriesRef};

/// Notes everything it is told.
#[derive(Debug, Default, PartialEq)]
struct Notes {
    series: Vec<(u32, Labels)>,
    samples: Vec<(u32, i64, u64)>,
    started: Vec<(u32, i64, i64, u64)>,
    histograms: Vec<(u32, i64, i64, FloatHistogram)>,
    exemplars: Vec<(u64, ExemplarSeries, Exemplar)>,
    metadata: Vec<(String, Metadata)>,
    batches: Vec<Vec<Vec<u8>>>,
    late: Vec<Option<u64>>,
    borders: Vec<Border>,
}

impl Notes {
    fn len(&self) -> usize {
        let samples = self.samples.len() + self.started.len() + self.histograms.len();
        samples + self.series.len() + self.exemplars.len()
    }
}

impl RecordSink for Notes {
    fn series(&mut self, series: SeriesRef, labels: &[(&str, &str)]) {
        let labels = Labels::from_sorted_pairs(labels.iter().copied()).expect("decoded labels are sorted");
        self.series.push((series.0, labels));
    }

    fn sample(&mut self, series: SeriesRef, timestamp: i64, value: f64) {
        self.samples.push((series.0, timestamp, value.to_bits()));
    }

    fn started_sample(&mut self, series: SeriesRef, timestamp: i64, start: i64, value: f64) {
        self.started.push((series.0, timestamp, start, value.to_bits()));
    }

    fn histogram(&mut self, series: SeriesRef, timestamp: i64, start: i64, histogram: FloatHistogram) {
        self.histograms.push((series.0, timestamp, start, histogram));
    }

    fn exemplar(&mut self, number: u64, series: &ExemplarSeries, exemplar: Exemplar) {
        self.exemplars.push((number, series.clone(), exemplar));
    }

    fn metadata(&mut self, metric: &str, metadata: Metadata) {
        self.metadata.push((metric.to_owned(), metadata));
    }

    fn late(&mut self, generation: Option<u64>) {
        self.late.push(generation);
    }

    fn border(&mut self, border: Border) {
        self.borders.push(border);
    }

    fn named_batch(&mut self, records: &[&[u8]]) {
        self.batches.push(records.iter().map(|record| record.to_vec()).collect());
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

fn started_record(samples: &[(u32, i64, i64, u64)]) -> Vec<u8> {
    let mut encoder = SamplesEncoder::new();
    for (series, at, start, bits) in samples {
        match *start {
            NO_START => encoder.push(SeriesRef(*series), *at, f64::from_bits(*bits)),
            start => encoder.push_started(SeriesRef(*series), *at, start, f64::from_bits(*bits)),
        }
    }
    let mut out = Vec::new();
    encoder.finish(&mut out);
    out
}

fn histograms_record(histograms: &[(u32, i64, i64, FloatHistogram)]) -> Vec<u8> {
    let mut encoder = HistogramsEncoder::new();
    for (series, at, start, histogram) in histograms {
        encoder.push(SeriesRef(*series), *at, *start, histogram);
    }
    assert_eq!(encoder.len(), histograms.len());
    let mut out = Vec::new();
    encoder.finish(&mut out);
    assert!(encoder.is_empty());
    out
}

fn exemplars_record(exemplars: &[(u64, ExemplarSeries, Exemplar)]) -> Vec<u8> {
    let mut encoder = ExemplarsEncoder::new();
    exemplars.iter().for_each(|(number, series, exemplar)| encoder.push(*number, series.clone(), exemplar));
    assert_eq!(encoder.len(), exemplars.len());
    let mut out = Vec::new();
    encoder.finish(&mut out);
    assert!(encoder.is_empty());
    out
}

/// Two spans above zero and one below.
fn exponential(counts: [f64; 3]) -> FloatParts {
    FloatParts {
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 2.0,
        count: 2.0 + counts.iter().sum::<f64>(),
        sum: 18.5,
        positive_spans: vec![Span { offset: -2, length: 1 }, Span { offset: 4, length: 1 }],
        positive_counts: vec![counts[0], counts[1]],
        negative_spans: vec![Span { offset: 7, length: 1 }],
        negative_counts: vec![counts[2]],
        ..FloatParts::default()
    }
}

fn custom() -> FloatParts {
    FloatParts {
        reset_hint: ResetHint::Gauge,
        schema: -53,
        count: 7.5,
        sum: f64::NAN,
        positive_spans: vec![Span { offset: 1, length: 2 }],
        positive_counts: vec![5.25, 2.25],
        bounds: [0.5, 1.0, 2.5].into(),
        ..FloatParts::default()
    }
}

fn histogram(parts: FloatParts) -> FloatHistogram {
    FloatHistogram::for_evaluation(parts).unwrap()
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
    let started = [(0, 1_000, NO_START, 0), (1, 1_000, 500, 1.5_f64.to_bits()), (9, 1_015, 500, 1)];
    let stale = FloatParts { sum: STALE_NAN, ..FloatParts::default() };
    let histograms = [
        (0, 1_000, NO_START, histogram(exponential([1.0, 3.0, 5.0]))),
        (1, 1_000, 900, histogram(exponential([300.0, 2.0, 0.0]))),
        (1, 1_015, 900, histogram(custom())),
        (9, 1_015, NO_START, histogram(stale)),
    ];
    let trace = |id: &str| labels(&[("trace_id", id)]);
    let exemplar = |id, timestamp| Exemplar { labels: trace(id), timestamp, value: 0.25 };
    let registered = ExemplarSeries::Registered(SeriesRef(9));
    let labelled = ExemplarSeries::Labelled(labels(&[("__name__", "up"), ("job", "b")]));
    let exemplars = [
        (300, registered.clone(), exemplar("a", 1_015)),
        (301, registered, exemplar("b", 1_010)),
        (302, labelled, Exemplar { labels: Labels::empty(), timestamp: -7, value: f64::NAN }),
    ];
    let mut records = vec![
        series_record(&series),
        samples_record(&samples),
        metadata,
        started_record(&started),
        histograms_record(&histograms),
        exemplars_record(&exemplars),
    ];
    let mut named = Vec::new();
    encode_named(&records, &mut named);
    records.push(named);
    let (mut late, mut border) = (Vec::new(), Vec::new());
    encode_late(300, &records[3], &mut late);
    encode_border(Border { from: -1_000, cut: 300, flushed: 7 }, &mut border);
    records.extend([late, border]);
    records
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
    assert!(histograms_record(&[]).is_empty());
    assert!(exemplars_record(&[]).is_empty());
}

#[test]
fn histograms_of_whole_counts_that_share_their_buckets_take_a_few_bytes() {
    let one = histogram(exponential([100.0, 90.0, 80.0]));
    let scrape: Vec<_> = (0..100).map(|series| (series, 1_775_643_330_000, NO_START, one.clone())).collect();
    assert!(histograms_record(&scrape).len() < 100 * 18 + 64);
}

#[test]
fn a_record_of_samples_without_start_timestamps_has_no_column_for_them() {
    let samples = [(0, 1_000, NO_START, 5), (1, 1_000, NO_START, 6)];
    assert_eq!(started_record(&samples), samples_record(&samples.map(|(s, t, _, v)| (s, t, v))));
    let mut encoder = SamplesEncoder::new();
    encoder.push_started(SeriesRef(0), 1_000, NO_START, 1.0);
    let mut out = Vec::new();
    encoder.finish(&mut out);
    assert_eq!(notes(&out).1.samples.len(), 1);
}

#[test]
fn the_first_histogram_of_a_record_cannot_share_the_layout_of_one_before() {
    let record = histograms_record(&[(0, 1_000, NO_START, histogram(exponential([1.0; 3])))]);
    let flags = record.len() - histogram_len();
    assert_eq!(record[flags], 4);
    let mut damaged = record;
    damaged[flags] |= 8;
    assert!(decode(&damaged, &mut Notes::default()).is_err());
}

/// Bytes of the body of a record of one `exponential([1.0; 3])`.
fn histogram_len() -> usize {
    // Flags, schema, threshold, two spans above zero and one below, sum, two totals, three counts.
    1 + 1 + 8 + (1 + 2 * 2) + (1 + 2) + 8 + 2 + 3
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
fn a_named_batch_hands_out_its_records_as_they_are() {
    let records = vec![series_record(&[(0, labels(&[("a", "b")]))]), samples_record(&[(0, 5, 1)]), vec![]];
    let mut record = Vec::new();
    encode_named(&records, &mut record);
    let (kind, notes) = notes(&record);
    assert_eq!((kind, notes.batches), (Decoded::NamedBatch, vec![records]));
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
            assert!(notes.len() <= record.len());
        }
    }
}

#[test]
fn hostile_lengths_are_refused() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for tag in [1, 2, 3, 4, 5, 6, 16] {
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

/// Few layouts, so that neighbours share them; whole, broken and odd counts.
fn any_histogram() -> impl Strategy<Value = FloatHistogram> {
    let count = prop_oneof![
        (0_u32..100).prop_map(f64::from),
        Just(9_007_199_254_740_992.0),
        Just(9_007_199_254_740_994.0),
        Just(-0.0),
        any::<f64>(),
    ];
    let whole = (0_u32..5000).prop_map(f64::from).boxed();
    let counts =
        prop_oneof![3 => proptest::collection::vec(whole, 6), 1 => proptest::collection::vec(count, 6)];
    let hint = prop_oneof![
        Just(ResetHint::Unknown),
        Just(ResetHint::Reset),
        Just(ResetHint::NotReset),
        Just(ResetHint::Gauge)
    ];
    (counts, hint, any::<f64>(), 0..4_u8).prop_map(|(counts, reset_hint, sum, layout)| {
        let parts = match layout {
            0 => FloatParts::default(),
            1 => FloatParts { positive_counts: counts[..2].to_vec(), ..custom() },
            schema => FloatParts {
                schema: i32::from(schema),
                zero_count: counts[3],
                positive_counts: counts[..2].to_vec(),
                negative_counts: counts[2..3].to_vec(),
                ..exponential([0.0; 3])
            },
        };
        histogram(FloatParts { reset_hint, sum, count: counts[5], ..parts })
    })
}

fn any_histograms() -> impl Strategy<Value = Vec<(u32, i64, i64, FloatHistogram)>> {
    let start = prop_oneof![Just(NO_START), any::<i64>()];
    proptest::collection::vec((0_u32..50, any::<i64>(), start, any_histogram()), 1..30)
}

fn any_exemplars() -> impl Strategy<Value = Vec<(u64, ExemplarSeries, Exemplar)>> {
    let set = || {
        proptest::collection::btree_map("[a-d]{1,2}", "[xyz]{1,3}", 0..3)
            .prop_map(|map| Labels::from_pairs(map.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap())
    };
    let series = prop_oneof![
        (0..3_u32).prop_map(|number| ExemplarSeries::Registered(SeriesRef(number))),
        any::<u32>().prop_map(|number| ExemplarSeries::Registered(SeriesRef(number))),
        set().prop_map(ExemplarSeries::Labelled),
    ];
    let exemplar = (set(), any::<i64>(), any::<f64>()).prop_map(|(labels, timestamp, value)| Exemplar {
        labels,
        timestamp,
        value,
    });
    let exemplars = proptest::collection::vec((series, exemplar), 1..30);
    (exemplars, 0..u64::MAX / 2).prop_map(|(exemplars, first)| {
        (first..).zip(exemplars).map(|(number, (series, exemplar))| (number, series, exemplar)).collect()
    })
}

proptest! {
    #[test]
    fn started_samples_round_trip(
        samples in proptest::collection::vec((0_u32..50, 0_i64..5, 0_i64..3, any::<u64>()), 1..100),
    ) {
        let record = started_record(&samples);
        prop_assert!(record.len() <= samples.len() * MAX_SAMPLE_BYTES + 32);
        let (kind, notes) = notes(&record);
        let plain = notes.samples.iter().map(|(series, at, bits)| (*series, *at, NO_START, *bits));
        let found: Vec<_> = plain.chain(notes.started.iter().copied()).collect();
        prop_assert_eq!((kind, found), (Decoded::Samples, samples));
    }

    #[test]
    fn histograms_round_trip_bit_for_bit(histograms in any_histograms()) {
        let record = histograms_record(&histograms);
        prop_assert_eq!(notes(&record), (Decoded::Histograms, Notes { histograms, ..Notes::default() }));
    }

    #[test]
    fn exemplars_round_trip(exemplars in any_exemplars()) {
        let record = exemplars_record(&exemplars);
        prop_assert_eq!(notes(&record), (Decoded::Exemplars, Notes { exemplars, ..Notes::default() }));
    }

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
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), tag in 0_u8..8) {
        let mut record = vec![tag];
        record.extend(bytes);
        drop(decode(&record, &mut Notes::default()));
    }
}
