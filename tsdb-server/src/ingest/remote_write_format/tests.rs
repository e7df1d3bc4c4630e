//! The decoder against a plain encoder, and against damage.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a plain encoder of test input; the rules are for decoding"
)]

use super::*;
use crate::Limit;
use proptest::prelude::*;
use tsdb_core::error::CorruptionKind;
use tsdb_core::labels::write_wire_pair;

/// Everything that a body holds, copied out.
#[derive(Debug, Default, PartialEq)]
struct Found {
    series: Vec<(Labels, Vec<Sample>)>,
    metadata: Vec<(String, Metadata)>,
    exemplars: usize,
    histograms: usize,
}

impl Sink for Found {
    fn series(&mut self, series: TimeSeries<'_>) -> Result<(), Corruption> {
        let labels = match decode_labels(series.labels_wire()) {
            Ok(labels) => labels,
            Err(LabelsError::Damaged(damage)) => return Err(damage),
            Err(LabelsError::Fault(_)) => Labels::empty(),
        };
        self.series.push((labels, series.samples().collect::<Result<_, _>>()?));
        for exemplar in series.exemplars() {
            let exemplar = exemplar?;
            drop(exemplar.decode(exemplar.timestamp(), Limit::at(128)));
            self.exemplars += 1;
        }
        for histogram in series.histograms() {
            drop(histogram?.decode());
            self.histograms += 1;
        }
        assert_eq!(
            (series.exemplar_count(), series.histogram_count()),
            (series.exemplars().count(), series.histograms().count())
        );
        Ok(())
    }

    fn metadata(&mut self, metric: &str, metadata: Metadata) {
        self.metadata.push((metric.to_owned(), metadata));
    }
}

fn found(body: &[u8]) -> Result<Found, Corruption> {
    let mut found = Found::default();
    decode(body, &mut found).map(|()| found)
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn field(number: u64, content: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn label(name: &str, value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_wire_pair(name, value, &mut out);
    out
}

fn sample(value: f64, timestamp: i64) -> Vec<u8> {
    let body = [vec![0x09], value.to_le_bytes().to_vec(), vec![0x10], varint(timestamp as u64)].concat();
    field(2, &body)
}

/// Labels and samples as `(value, timestamp)`.
type TestSeries = (Vec<(String, String)>, Vec<(f64, i64)>);

fn body(series: &[TestSeries]) -> Vec<u8> {
    let mut out = Vec::new();
    for (labels, samples) in series {
        let mut message: Vec<u8> = labels.iter().flat_map(|(n, v)| label(n, v)).collect();
        message.extend(samples.iter().flat_map(|(v, t)| sample(*v, *t)));
        out.extend(field(1, &message));
    }
    out
}

fn set(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

#[test]
fn series_metadata_and_what_is_left_out() {
    let message =
        [label("__name__", "up"), label("job", "x"), sample(1.5, 10), sample(f64::NAN, -1)].concat();
    let extras = [field(3, b""), field(4, b""), field(4, b""), field(9, b"later")].concat();
    let metadata = [vec![0x08, 1], field(2, b"up"), field(4, b"Help."), field(5, b"s")].concat();
    let request = [field(1, &[message, extras].concat()), field(3, &metadata), field(7, b"later")].concat();
    let all = found(&request).unwrap();
    assert_eq!(
        all.series,
        [(set(&[("__name__", "up"), ("job", "x")]), vec![Sample::new(10, 1.5), Sample::new(-1, f64::NAN)])]
    );
    assert_eq!((all.exemplars, all.histograms), (1, 2));
    let expected = Metadata { metric_type: MetricType::Counter, unit: "s".into(), help: "Help.".into() };
    assert_eq!(all.metadata, [("up".to_owned(), expected)]);
}

#[test]
fn labels_in_the_usual_form_and_in_any_other_are_the_same_set() {
    let expected = set(&[("__name__", "up"), ("job", "\u{e9}x")]);
    let (name, job, value) = (label("__name__", "up"), field(1, b"job"), field(2, "\u{e9}x".as_bytes()));
    let usual = [name.clone(), label("job", "\u{e9}x")].concat();
    let value_first = [name.clone(), field(1, &[value.clone(), job.clone()].concat())].concat();
    let with_more = [name.clone(), field(1, &[job, value, field(7, b"?")].concat())].concat();
    for wire in [&usual, &value_first, &with_more] {
        assert_eq!(decode_labels(wire), Ok(expected.clone()));
    }
    for len in (1..usual.len()).filter(|len| *len != name.len()) {
        assert!(decode_labels(usual.get(..len).unwrap()).is_err(), "cut to {len}");
    }
    let cut_letter = [label("__name__", "up"), field(1, &[field(1, b"job"), field(2, b"\xc3")].concat())];
    assert_eq!(decode_labels(&cut_letter.concat()), Err(LabelsError::Fault(LabelFault::Utf8)));
}

#[test]
fn the_wire_of_sorted_labels_is_the_wire_form_of_the_set() {
    struct Wires(Vec<Vec<u8>>);
    impl Sink for Wires {
        fn series(&mut self, series: TimeSeries<'_>) -> Result<(), Corruption> {
            self.0.push(series.labels_wire().to_vec());
            Ok(())
        }
        fn metadata(&mut self, _: &str, _: Metadata) {}
    }
    let labels = [label("__name__", "up"), label("job", "x")].concat();
    let scattered = [label("__name__", "up"), sample(1.0, 1), label("job", "x")].concat();
    let late = [sample(1.0, 1), labels.clone()].concat();
    let request =
        [field(1, &[labels.clone(), sample(1.0, 1)].concat()), field(1, &scattered), field(1, &late)]
            .concat();
    let mut wires = Wires(Vec::new());
    decode(&request, &mut wires).unwrap();
    let mut expected = Vec::new();
    tsdb_core::labels::write_wire(&set(&[("__name__", "up"), ("job", "x")]), &mut expected);
    assert_eq!(wires.0, [expected.clone(), expected.clone(), expected]);
}

#[test]
fn absent_fields_are_zero_and_the_last_of_a_repeated_field_counts() {
    let empty_sample = field(2, b"");
    let twice = field(2, &[&[0x10, 1][..], &[0x10, 2]].concat());
    let all = found(&field(1, &[label("a", "b"), empty_sample, twice].concat())).unwrap();
    assert_eq!(all.series[0].1, [Sample::new(0, 0.0), Sample::new(2, 0.0)]);
}

#[test]
fn unsorted_labels_are_sorted_empty_ones_are_absent_and_faults_are_named() {
    let decoded = |parts: &[Vec<u8>]| decode_labels(&parts.concat());
    assert_eq!(
        decoded(&[label("b", "2"), label("a", "1"), label("c", "")]),
        Ok(set(&[("a", "1"), ("b", "2")]))
    );
    let duplicate = LabelFault::Duplicate { name: "a".into() };
    assert_eq!(decoded(&[label("a", "1"), label("a", "2")]), Err(duplicate.into()));
    assert_eq!(decoded(&[label("", "1")]), Err(LabelFault::EmptyName.into()));
    let bad = field(1, &[field(1, b"a"), field(2, b"\xff")].concat());
    assert_eq!(decode_labels(&bad), Err(LabelFault::Utf8.into()));
}

#[test]
fn bytes_that_are_no_write_request_say_what_is_wrong() {
    let series = |content: &[u8]| field(1, content);
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("endless varint", vec![0xff; 64], "longer than 64 bits"),
        ("endless length", [vec![0x0a], vec![0x80; 20]].concat(), "longer than 64 bits"),
        ("wrong wire type of a series", vec![0x08, 1], "TimeSeries has the wire type Varint, expected Bytes"),
        (
            "wrong wire type of samples",
            series(&[0x10, 1]),
            "samples has the wire type Varint, expected Bytes",
        ),
        (
            "wrong wire type of a value",
            series(&field(2, &[0x08, 1])),
            "value has the wire type Varint, expected Fixed64",
        ),
        ("group", vec![0x0b], "wire type"),
        ("field number 0", vec![0x02, 0], "field number"),
        ("length beyond the end", vec![0x0a, 5, 0], "ends inside"),
        ("double cut short", series(&field(2, &[0x09, 0, 0])), "ends inside"),
    ];
    for (name, bytes, message) in cases {
        let error = found(&bytes).expect_err(name).to_string();
        assert!(error.contains(message), "{name}: {error}");
    }
}

#[test]
fn a_length_near_the_largest_integer_does_not_overflow() {
    for length in [u64::MAX, u64::MAX - 1, i64::MAX as u64, u64::from(u32::MAX)] {
        let bytes = [vec![0x0a], varint(length), vec![0]].concat();
        let error = found(&bytes).unwrap_err();
        assert!(matches!(error.kind, CorruptionKind::Truncated { .. }), "{error}");
    }
}

fn requests() -> impl Strategy<Value = Vec<TestSeries>> {
    let labels = proptest::collection::btree_map("[a-z]{1,4}", "[a-z\u{e9}]{1,200}", 1..5);
    let samples = proptest::collection::vec((any::<f64>(), any::<i64>()), 0..4);
    proptest::collection::vec((labels.prop_map(|map| map.into_iter().collect()), samples), 0..5)
}

/// The same request in remote write 2.0.
fn body_2(series: &[TestSeries]) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut messages = Vec::new();
    for (labels, samples) in series {
        let mut refs = Vec::new();
        for text in labels.iter().flat_map(|(name, value)| [name, value]) {
            let known = symbols.iter().position(|symbol| symbol == text);
            let number = known.unwrap_or(symbols.len());
            if known.is_none() {
                symbols.push(text.clone());
            }
            refs.extend(varint(number as u64));
        }
        let samples: Vec<u8> = samples.iter().flat_map(|(v, t)| sample(*v, *t)).collect();
        messages.extend(field(5, &[field(1, &refs), samples].concat()));
    }
    let table: Vec<u8> = symbols.iter().flat_map(|symbol| field(4, symbol.as_bytes())).collect();
    [table, messages].concat()
}

fn found_2(body: &[u8]) -> Result<Found, RequestError> {
    let mut found = Found::default();
    let limits = SymbolLimits { max_symbols: Limit::at(1_000), max_label_bytes: Limit::at(100_000) };
    decode_version_2(body, limits, &mut found).map(|()| found)
}

proptest! {
    #[test]
    fn both_versions_carry_the_same(request in requests()) {
        prop_assert_eq!(found_2(&body_2(&request)).unwrap(), found(&body(&request)).unwrap());
    }

    #[test]
    fn damage_of_version_2_never_panics(request in requests(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let bytes = body_2(&request);
        for length in 0..bytes.len() {
            drop(found_2(&bytes[..length]));
        }
        let mut flipped = bytes.clone();
        flipped[at.index(bytes.len())] ^= 1 << bit;
        drop(found_2(&flipped));
    }

    #[test]
    fn noise_in_place_of_a_histogram_or_exemplar_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let inner = [label("__name__", "h"), field(3, &bytes), field(4, &bytes)].concat();
        drop(found(&field(1, &inner)));
    }

    #[test]
    fn what_is_encoded_is_found(request in requests()) {
        let all = found(&body(&request)).unwrap();
        let expected: Vec<(Labels, Vec<Sample>)> = request
            .iter()
            .map(|(labels, samples)| {
                let labels = Labels::from_pairs(labels.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap();
                (labels, samples.iter().map(|(v, t)| Sample::new(*t, *v)).collect())
            })
            .collect();
        prop_assert_eq!(all.series, expected);
    }

    #[test]
    fn damage_never_panics(request in requests(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let bytes = body(&request);
        for length in 0..bytes.len() {
            drop(found(&bytes[..length]));
        }
        if !bytes.is_empty() {
            let mut flipped = bytes.clone();
            flipped[at.index(bytes.len())] ^= 1 << bit;
            drop(found(&flipped));
        }
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        drop(found(&bytes));
    }
}
