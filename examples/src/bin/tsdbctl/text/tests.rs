//! What is written is read back; what is no line of the form is refused with the place.

use super::*;
use tsdb_core::histogram::{FloatParts, ResetHint, Span};
use tsdb_core::metadata::Metadata;
use tsdb_core::{NO_START, STALE_NAN};

const EXACT: [Extent; 2] = [
    Extent { dialect: Dialect::Openmetrics, is_strict: false },
    Extent { dialect: Dialect::Prometheus, is_strict: false },
];

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

fn written(sample: &Sample, extent: Extent) -> String {
    let mut line = Vec::new();
    write_sample(sample, extent, &mut line).unwrap();
    String::from_utf8(line).unwrap()
}

fn comes_back(sample: &Sample) {
    for extent in EXACT {
        let line = written(sample, extent);
        let read = parse_line(line.trim_end_matches('\n'), extent.dialect);
        assert_eq!(read, Ok(Line::Sample(Box::new(sample.clone()))), "{line}");
    }
}

fn sample(value: Value) -> Sample {
    let labels = labels(&[("__name__", "m"), ("a", "x")]);
    Sample { labels, timestamp: 1_700_000_000_123, start: NO_START, value, exemplars: Vec::new() }
}

#[test]
fn every_number_comes_back_bit_by_bit() {
    let nans =
        [STALE_NAN, f64::NAN, f64::from_bits(0xfff0_0000_0000_0001), f64::from_bits(0x7ff8_0000_0000_0001)];
    let others = [
        0.0,
        -0.0,
        0.1,
        1e300,
        -1e-300,
        5e-324,
        f64::MIN_POSITIVE,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    nans.into_iter().chain(others).for_each(|value| comes_back(&sample(Value::Number(value))));
}

#[test]
fn every_time_comes_back() {
    for timestamp in [i64::MIN, i64::MIN + 1, -1, 0, 1, 999, -1500, i64::MAX] {
        comes_back(&Sample { timestamp, start: -timestamp.saturating_add(7), ..sample(Value::Number(1.0)) });
    }
}

#[test]
fn every_name_and_value_comes_back() {
    for pairs in [
        &[("__name__", "m")][..],
        &[("__name__", "m:n"), ("a", "x\\\"\n,} # \u{e9}"), ("b", "\\n")],
        &[("__name__", "my.metric"), ("label with blanks", "1")],
        &[("__name__", "\u{1f600} \"\\ #")],
    ] {
        comes_back(&Sample { labels: labels(pairs), ..sample(Value::Number(1.0)) });
    }
}

#[test]
fn histograms_of_every_kind_come_back() {
    let exponential = FloatParts {
        schema: 3,
        count: 12.5,
        sum: -18.25,
        zero_count: 2.0,
        zero_threshold: 1e-128,
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }],
        positive_counts: vec![4.0, 0.0, 1.5],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        negative_counts: vec![5.0],
        ..FloatParts::default()
    };
    let custom = FloatParts {
        schema: -53,
        count: 3.0,
        sum: f64::NAN,
        positive_spans: vec![Span { offset: 1, length: 1 }],
        positive_counts: vec![3.0],
        bounds: [0.1, 2.5].into(),
        reset_hint: ResetHint::Gauge,
        ..FloatParts::default()
    };
    let stale = FloatParts { sum: STALE_NAN, ..FloatParts::default() };
    for parts in [exponential, custom, stale, FloatParts::default()] {
        comes_back(&sample(Value::Histogram(Arc::new(FloatHistogram::new(parts).unwrap()))));
    }
}

#[test]
fn exemplars_come_back_and_have_the_time_of_their_sample_if_they_have_none() {
    let exemplar = |id: &str, timestamp| Exemplar { labels: labels(&[("trace", id)]), timestamp, value: 0.5 };
    let exemplars =
        vec![exemplar("a b", 7), exemplar("}", 8), Exemplar { labels: Labels::empty(), ..exemplar("", 9) }];
    comes_back(&Sample { exemplars, ..sample(Value::Number(1.0)) });
    let line = parse_line("m 5 1.5 # {trace=\"x\"} 0.5", Dialect::Openmetrics);
    let Ok(Line::Sample(read)) = line else { panic!("{line:?}") };
    assert_eq!(read.exemplars, [exemplar("x", 1500)]);
}

#[test]
fn a_strict_line_has_what_openmetrics_has_words_for() {
    let strict = Extent { dialect: Dialect::Openmetrics, is_strict: true };
    let exemplar = |timestamp| Exemplar { labels: labels(&[("t", "x")]), timestamp, value: 0.5 };
    let rich =
        Sample { start: 5, exemplars: vec![exemplar(1), exemplar(2)], ..sample(Value::Number(f64::NAN)) };
    assert_eq!(written(&rich, strict), "m{a=\"x\"} NaN 1700000000.123 # {t=\"x\"} 0.5 0.002\n");
    let histogram = FloatHistogram::new(FloatParts::default()).unwrap();
    assert_eq!(written(&sample(Value::Histogram(Arc::new(histogram))), strict), "");
    assert_eq!(written(&sample(Value::Number(STALE_NAN)), strict), "");
}

#[test]
fn descriptions_come_back() {
    let metadata =
        Metadata { metric_type: MetricType::Counter, unit: "seconds".into(), help: "a \"b\"\n\\c".into() };
    for dialect in [Dialect::Openmetrics, Dialect::Prometheus] {
        for family in ["m", "my metric"] {
            let mut text = Vec::new();
            write_description(family, &metadata, dialect, &mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            let read: Vec<Line> = text.lines().map(|line| parse_line(line, dialect).unwrap()).collect();
            let expected = [
                Line::Type(family.into(), MetricType::Counter),
                Line::Unit(family.into(), "seconds".into()),
                Line::Help(family.into(), metadata.help.clone()),
            ];
            assert_eq!(read, expected, "{text}");
        }
    }
    assert_eq!(
        parse_line("# TYPE m untyped", Dialect::Prometheus),
        Ok(Line::Type("m".into(), MetricType::Unknown))
    );
    assert!(parse_line("# TYPE m countre", Dialect::Prometheus).is_err());
    assert_eq!(parse_line("# just a remark", Dialect::Prometheus), Ok(Line::Blank));
}

#[test]
fn lines_that_are_no_samples_are_refused_with_the_place() {
    for line in [
        "m",
        "m 1",
        "m{a=\"b\" 1 2",
        "m{a=b} 1 2",
        "m{a=\"b} 1 2",
        "m{a} 1 2",
        "m x 2",
        "m 1 x",
        "m 1 2 3",
        "{} 1 2",
        "{a=\"b\"} 1 2",
        "m{\"n\"} 1 2",
        "m NaN(0x0) 2",
        "m NaN(2) 2",
        "m {} 1",
        "m {count:1} 1",
        "m {count:1,sum:1,schema:99} 1",
        "m {count:1,sum:1,schema:0,positive_spans:[0:9]} 1",
        "m {count:1,sum:1,schema:0,what:1} 1",
        "m {count:-1,sum:1,schema:0} 1",
        "m {count:1,sum:1,schema:0 1",
        "m 1 2 # x",
        "m 1 2 # {a=\"b\"}",
        "m 1 1e300",
        "m 1 2 st@",
        "m{a=\"1\",a=\"2\"} 1 2",
    ] {
        assert!(parse_line(line, Dialect::Openmetrics).is_err(), "{line}");
    }
    assert_eq!(
        parse_line("m 1", Dialect::Openmetrics),
        Err(LineError::Expected { expected: "a timestamp", at: 3 })
    );
}

#[test]
fn no_cut_and_no_flipped_byte_makes_the_reader_panic() {
    let line = "m{a=\"x\\n\",\"b c\"=\"y\"} {count:9,sum:1e2,schema:3,zero_count:1,positive_spans:[1:2],positive_buckets:[3,5]} \
                1.5 st@1 # {t=\"x\"} 0.5 1.25 # {} 1";
    assert!(parse_line(line, Dialect::Openmetrics).is_ok());
    for at in 0..line.len() {
        drop(parse_line(&line[..at], Dialect::Openmetrics));
        for bit in 0..7 {
            let mut bytes = line.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            drop(parse_line(&String::from_utf8(bytes).unwrap(), Dialect::Openmetrics));
        }
    }
}
