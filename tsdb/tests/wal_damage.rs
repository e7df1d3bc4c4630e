//! The log and damaged files: what is sound is replayed, what is not is named, nothing is deleted.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb::fs::{Fs, SimFs};
use tsdb::record::{
    Border, ChunksEncoder, Decoded, Delete, ExemplarSeries, ExemplarsEncoder, HistogramsEncoder, RecordSink,
    SamplesEncoder, SeriesEncoder, decode, encode_border, encode_delete, encode_late, encode_metadata,
    encode_named, encode_newest, encode_retired,
};
use tsdb::wal::{Damage, DamageKind, FORMAT_VERSION, ReplayReport, Wal, WalError, WalOptions};
use tsdb_core::chunk::xor::XorChunk;
use tsdb_core::histogram::{FloatHistogram, FloatParts, ResetHint, Span};
use tsdb_core::metadata::{Metadata, MetricType};
use tsdb_core::pack::ValuesWriter;
use tsdb_core::{Exemplar, Labels, MatchOp, Matcher, SeriesRef, TimeRange};

const DIR: &str = "/wal";
const HEADER: usize = 40;
const PAGE: usize = 32 << 10;

fn try_open(fs: &SimFs) -> Result<(Wal, Vec<Vec<u8>>, ReplayReport), WalError> {
    let mut replayed = Vec::new();
    let mut on_record = |_, record: &[u8]| replayed.push(record.to_vec());
    let (wal, report) =
        Wal::open(Arc::new(fs.clone()), Path::new(DIR), WalOptions::default(), &mut on_record)?;
    Ok((wal, replayed, report))
}

fn open(fs: &SimFs) -> (Wal, Vec<Vec<u8>>, ReplayReport) {
    try_open(fs).unwrap()
}

fn segment(number: u64) -> PathBuf {
    Path::new(DIR).join(format!("{number:06}"))
}

/// A log with one segment for each list of records.
fn log_of(segments: &[&[&[u8]]]) -> SimFs {
    let fs = SimFs::new();
    let (wal, ..) = open(&fs);
    for records in segments {
        wal.append(records).unwrap();
        wal.rotate().unwrap();
    }
    fs
}

fn append(fs: &SimFs, bytes: &[u8]) {
    fs.open_append(&segment(1)).unwrap().append(bytes).unwrap();
}

fn only_damage(report: &ReplayReport) -> &Damage {
    match report.damage.as_slice() {
        [damage] => damage,
        other => panic!("one damage expected: {other:?}"),
    }
}

fn is_subsequence(part: &[Vec<u8>], whole: &[Vec<u8>]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|record| rest.any(|candidate| candidate == record))
}

#[test]
fn a_last_record_torn_at_any_byte_is_dropped_alone() {
    let fs = log_of(&[&[b"first", b"second", b"the third"]]);
    let whole = fs.read(&segment(1)).unwrap();
    let third = whole.len() - 8 - b"the third".len();
    for len in third + 1..whole.len() {
        fs.overwrite(&segment(1), &whole[..len]).unwrap();
        let (wal, replayed, report) = open(&fs);
        assert_eq!(replayed, [b"first".to_vec(), b"second".to_vec()], "cut at {len}");
        let expected = Damage { segment: 1, bytes: third as u64..len as u64, kind: DamageKind::TornTail };
        assert_eq!(*only_damage(&report), expected);
        assert!(DamageKind::TornTail.is_expected_after_crash());
        // The next run writes behind it and does not stumble over it again.
        wal.append(&[b"fourth"]).unwrap();
        drop(wal);
        let (_, replayed, report) = open(&fs);
        assert_eq!(replayed.last().unwrap(), b"fourth");
        assert_eq!(report.damage, []);
        fs.remove_file(&segment(2)).unwrap();
    }
}

#[test]
fn a_torn_record_of_many_pages_is_dropped_alone() {
    let fs = log_of(&[&[b"first", &[7; 4 * PAGE]]]);
    let whole = fs.read(&segment(1)).unwrap();
    for len in (HEADER + 14..whole.len()).step_by(997) {
        fs.overwrite(&segment(1), &whole[..len]).unwrap();
        let (_, replayed, report) = open(&fs);
        assert_eq!(replayed, [b"first".to_vec()]);
        assert_eq!(only_damage(&report).kind, DamageKind::TornTail);
    }
}

#[test]
fn blank_or_foreign_bytes_at_the_end_are_a_torn_tail() {
    for tail in [vec![0; 10], vec![0; 3 * PAGE], vec![0xff; 100_000], b"tsdb-wal tsdb-wal".to_vec()] {
        let fs = log_of(&[&[b"first", b"second"]]);
        append(&fs, &tail);
        let (_, replayed, report) = open(&fs);
        assert_eq!(replayed.len(), 2);
        assert_eq!(only_damage(&report).kind, DamageKind::TornTail);
    }
}

#[test]
fn a_flip_in_a_payload_costs_that_record_only() {
    let fs = log_of(&[&[b"first", b"second", b"third"]]);
    let at = HEADER + (8 + 5) + 8;
    fs.flip(&segment(1), at, 0x10).unwrap();
    let (_, replayed, report) = open(&fs);
    assert_eq!(replayed, [b"first".to_vec(), b"third".to_vec()]);
    let expected = Damage { segment: 1, bytes: 53..67, kind: DamageKind::Corrupt };
    assert_eq!(*only_damage(&report), expected);
    assert_eq!(expected.to_string(), "log segment 1 is corrupt (bytes 53 to 67)");
}

#[test]
fn a_flip_in_a_length_costs_the_rest_of_its_page_at_most() {
    let small: Vec<Vec<u8>> = (0..200_u8).map(|i| vec![i; 1_000]).collect();
    let slices: Vec<&[u8]> = small.iter().map(Vec::as_slice).collect();
    let fs = log_of(&[&slices]);
    fs.flip(&segment(1), HEADER + 4, 0x01).unwrap();
    let (_, replayed, report) = open(&fs);
    assert_eq!(replayed, small[33..]);
    assert!(only_damage(&report).bytes.end < PAGE as u64 + 1_008);
}

#[test]
fn a_flip_in_any_byte_keeps_all_records_of_other_pages() {
    let records: Vec<Vec<u8>> = (0..30_u8).map(|i| vec![i; 100 + 700 * usize::from(i)]).collect();
    let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let fs = log_of(&[&slices[..15], &slices[15..]]);
    for number in [1, 2] {
        let len = fs.read(&segment(number)).unwrap().len();
        for at in (0..len).step_by(211).chain(0..HEADER).chain((PAGE..len).step_by(PAGE)) {
            fs.flip(&segment(number), at, 0x80).unwrap();
            let (_, replayed, report) = open(&fs);
            assert!(is_subsequence(&replayed, &records), "flip at {at}");
            let lost = records.len() - replayed.len();
            // The small records share one page with each other; of the larger ones a page holds a few.
            assert!(lost <= 12, "a flip at {at} of segment {number} costs {lost} records");
            assert!(!report.damage.is_empty() || lost == 0, "a flip at {at} costs {lost} records in silence");
            fs.flip(&segment(number), at, 0x80).unwrap();
        }
    }
    assert_eq!(open(&fs).1, records);
}

#[test]
fn a_damaged_header_is_named_and_its_records_are_read() {
    let fs = log_of(&[&[b"a"], &[b"b"], &[b"c"]]);
    for at in 0..HEADER {
        fs.flip(&segment(2), at, 0x01).unwrap();
        let (_, replayed, report) = open(&fs);
        assert_eq!(replayed, [b"a".to_vec(), b"b".to_vec(), b"c".to_vec()], "flip at {at}");
        assert_eq!(*only_damage(&report), Damage { segment: 2, bytes: 0..40, kind: DamageKind::Header });
        fs.flip(&segment(2), at, 0x01).unwrap();
    }
}

#[test]
fn a_missing_segment_is_named_and_the_others_are_read() {
    let fs = log_of(&[&[b"a"], &[b"b"], &[b"c"], &[b"d"]]);
    fs.remove_file(&segment(2)).unwrap();
    fs.remove_file(&segment(3)).unwrap();
    let (_, replayed, report) = open(&fs);
    assert_eq!(replayed, [b"a".to_vec(), b"d".to_vec()]);
    let missing = only_damage(&report);
    assert_eq!(
        *missing,
        Damage { segment: 2, bytes: 0..0, kind: DamageKind::MissingSegments { through: 3 } }
    );
    assert_eq!(missing.to_string(), "log segments 2 to 3 are missing");
}

#[test]
fn an_emptied_segment_is_named_as_what_it_is() {
    let fs = log_of(&[&[b"a"], &[b"b"], &[b"c"]]);
    let whole = fs.read(&segment(2)).unwrap();
    for (len, expected) in [(0, DamageKind::EmptySegment), (10, DamageKind::Header)] {
        fs.overwrite(&segment(2), &whole[..len]).unwrap();
        let (_, replayed, report) = open(&fs);
        assert_eq!(replayed, [b"a".to_vec(), b"c".to_vec()]);
        let kinds: Vec<_> = report.damage.iter().map(|damage| damage.kind).collect();
        assert_eq!(kinds, [expected, DamageKind::Truncated]);
    }
}

#[test]
fn a_segment_shorter_than_its_successor_says_is_named() {
    let fs = log_of(&[&[b"first", b"second"], &[b"third"]]);
    let whole = fs.read(&segment(1)).unwrap();
    fs.overwrite(&segment(1), &whole[..HEADER + 13]).unwrap();
    let (_, replayed, report) = open(&fs);
    assert_eq!(replayed, [b"first".to_vec(), b"third".to_vec()]);
    let expected = Damage { segment: 1, bytes: 53..67, kind: DamageKind::Truncated };
    assert_eq!(*only_damage(&report), expected);
}

#[test]
fn a_torn_last_segment_without_records_is_a_trace_of_a_crash() {
    let fs = log_of(&[&[b"a"], &[b"b"]]);
    let whole = fs.read(&segment(2)).unwrap();
    for len in 0..=HEADER {
        fs.overwrite(&segment(2), &whole[..len]).unwrap();
        let (_, replayed, report) = open(&fs);
        assert_eq!(replayed, [b"a".to_vec()]);
        assert!(
            report.damage.iter().all(|damage| damage.kind.is_expected_after_crash()),
            "{:?}",
            report.damage
        );
        assert_eq!(report.damage.is_empty(), len == HEADER);
    }
}

#[test]
fn a_version_from_the_future_is_refused_by_name_and_left_alone() {
    let fs = log_of(&[&[b"a"]]);
    let mut bytes = fs.read(&segment(1)).unwrap();
    bytes[8] = 9;
    let sum = tsdb_core::bytes::checksum(&bytes[..36]);
    bytes[36..40].copy_from_slice(&sum.to_le_bytes());
    fs.overwrite(&segment(1), &bytes).unwrap();
    let error = try_open(&fs).unwrap_err();
    assert!(matches!(error, WalError::UnknownVersion { found: 9, newest: FORMAT_VERSION, .. }));
    assert_eq!(error.to_string(), "log segment /wal/000001 has format version 9; this version reads up to 1");
    assert_eq!(fs.read(&segment(1)).unwrap(), bytes);
}

#[test]
fn a_page_that_cannot_be_read_costs_its_records_only() {
    let records: Vec<Vec<u8>> = (0..200_u8).map(|i| vec![i; 1_000]).collect();
    let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let fs = log_of(&[&slices]);
    fs.make_unreadable(&segment(1), 2 * PAGE as u64 + 5..2 * PAGE as u64 + 6);
    let (_, replayed, report) = open(&fs);
    assert!(is_subsequence(&replayed, &records));
    assert!(replayed.len() >= records.len() - 35);
    let damage = only_damage(&report);
    assert_eq!(damage.kind, DamageKind::Unreadable);
    assert!(damage.bytes.start <= 2 * PAGE as u64 && damage.bytes.end >= 3 * PAGE as u64);
}

#[test]
fn a_record_inside_a_record_is_never_taken_for_one() {
    // A client writes a whole segment, valid fragments and all, into a label.
    let forged = log_of(&[&[b"forged", b"forged", b"forged"]]).read(&segment(1)).unwrap();
    let mut payload = vec![0; PAGE - HEADER - 8];
    payload.extend(&forged);
    let fs = log_of(&[&[&payload, b"honest"]]);
    let len = fs.read(&segment(1)).unwrap().len();
    for at in (0..len).step_by(41) {
        fs.flip(&segment(1), at, 0x04).unwrap();
        let (_, replayed, _) = open(&fs);
        assert!(replayed.iter().all(|record| *record == payload || record == b"honest"), "flip at {at}");
        fs.flip(&segment(1), at, 0x04).unwrap();
    }
}

#[test]
fn replay_deletes_and_changes_nothing() {
    let fs = log_of(&[&[b"a"], &[b"b"]]);
    fs.flip(&segment(1), HEADER + 3, 0xff).unwrap();
    append(&fs, b"garbage");
    let before: Vec<_> = fs.files().iter().map(|path| fs.read(path).unwrap()).collect();
    drop(open(&fs));
    let after: Vec<_> = fs.files().iter().map(|path| fs.read(path).unwrap()).collect();
    assert_eq!(before, after);
}

#[test]
fn foreign_files_in_the_directory_are_left_alone() {
    let fs = log_of(&[&[b"a"]]);
    for name in ["000002.tmp", "checkpoint", "2"] {
        fs.create_new(&Path::new(DIR).join(name)).unwrap().append(b"x").unwrap();
    }
    let (_, replayed, report) = open(&fs);
    assert_eq!((replayed.len(), report.damage.len()), (1, 0));
}

/// The records of the worked example in the specification.
fn worked_example() -> Vec<Vec<u8>> {
    let mut series = SeriesEncoder::new();
    let mut samples = SamplesEncoder::new();
    for (number, job, value) in [(0, "a", 1.0), (1, "b", 0.0)] {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", job)]).unwrap();
        series.push(SeriesRef(number), &labels);
        samples.push(SeriesRef(number), 1_000, value);
    }
    let mut records = vec![Vec::new(), Vec::new()];
    series.finish(&mut records[0]);
    samples.finish(&mut records[1]);
    records
}

fn log_of_worked_example() -> SimFs {
    let records = worked_example();
    log_of(&[&[&records[0], &records[1]]])
}

/// The bytes of the only block in the section on the worked example: hexadecimal, with notes behind `;`.
fn bytes_in_specification() -> Vec<u8> {
    let text = include_str!("../docs/wal-format.md");
    let example = text.split("## Worked example").nth(1).unwrap().split("```").nth(1).unwrap();
    let lines = example.lines().skip(1).map(|line| line.split(';').next().unwrap());
    lines.flat_map(str::split_whitespace).map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

#[test]
fn the_worked_example_of_the_specification_is_what_is_written() {
    let written = log_of_worked_example().read(&segment(1)).unwrap();
    let hex: Vec<_> = written.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(written, bytes_in_specification(), "written: {}", hex.join(" "));
}

fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/wal")
}

/// Three segments: the worked example; records across pages; samples of the other kinds and a torn tail.
fn golden_records() -> Vec<Vec<u8>> {
    let mut records = worked_example();
    records.extend([vec![0xab; 3], vec![0xcd; PAGE], Vec::new(), b"last".to_vec()]);
    records.extend(other_kinds());
    records
}

/// Samples with start timestamps, histograms, exemplars, late samples, a border, a named batch.
fn other_kinds() -> [Vec<u8>; 6] {
    let mut records = [const { Vec::new() }; 6];
    let mut samples = SamplesEncoder::new();
    samples.push(SeriesRef(0), 2_000, 2.0);
    samples.push_started(SeriesRef(1), 2_000, 500, 0.5);
    samples.finish(&mut records[0]);
    let exponential = FloatParts {
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: 7.0,
        sum: 4.5,
        positive_spans: vec![Span { offset: -2, length: 1 }, Span { offset: 4, length: 1 }],
        positive_counts: vec![3.0, 1.0],
        negative_spans: vec![Span { offset: 7, length: 1 }],
        negative_counts: vec![2.0],
        ..FloatParts::default()
    };
    let custom = FloatParts {
        reset_hint: ResetHint::Gauge,
        schema: -53,
        count: 2.5,
        sum: 9.0,
        positive_spans: vec![Span { offset: 1, length: 1 }],
        positive_counts: vec![2.5],
        bounds: [1.0, 5.0].into(),
        ..FloatParts::default()
    };
    let mut histograms = HistogramsEncoder::new();
    for (number, start, parts) in [(0, 0, exponential.clone()), (1, 500, exponential), (1, 500, custom)] {
        let histogram = FloatHistogram::new(parts).unwrap();
        histograms.push(SeriesRef(number), 2_000 + start, start, &histogram);
    }
    histograms.finish(&mut records[1]);
    let labels = |name, value| Labels::from_pairs([(name, value)]).unwrap();
    let exemplar = |id, timestamp| Exemplar { labels: labels("trace_id", id), timestamp, value: 0.25 };
    let mut exemplars = ExemplarsEncoder::new();
    let registered = ExemplarSeries::Registered(SeriesRef(1));
    exemplars.push(7, registered.clone(), &exemplar("a", 2_000));
    exemplars.push(8, registered, &exemplar("b", 2_100));
    exemplars.push(9, ExemplarSeries::Labelled(labels("__name__", "gone")), &exemplar("c", 1_000));
    exemplars.finish(&mut records[2]);
    let [started, _, _, late, border, named] = &mut records;
    encode_late(3, started, late);
    encode_border(Border { from: 1_500, cut: 2, flushed: 1 }, border);
    encode_named(&worked_example(), named);
    records
}

fn build_golden() -> SimFs {
    let records = golden_records();
    let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let fs = log_of(&[&slices[..2], &slices[2..5], &slices[5..]]);
    fs.open_append(&segment(3)).unwrap().append(&[1, 2, 3]).unwrap();
    fs
}

fn load_golden() -> SimFs {
    let fs = SimFs::new();
    fs.create_dir_all(Path::new(DIR)).unwrap();
    for number in 1..=3 {
        let bytes = fs::read(golden_dir().join(format!("{number:06}"))).expect("golden file");
        fs.create_new(&segment(number)).unwrap().append(&bytes).unwrap();
    }
    fs
}

/// Writes the golden files only when `UPDATE_GOLDEN=1` asks for it.
#[test]
fn a_log_written_by_version_1_is_read() {
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        let built = build_golden();
        fs::create_dir_all(golden_dir()).unwrap();
        for path in built.files() {
            fs::write(golden_dir().join(path.file_name().unwrap()), built.read(&path).unwrap()).unwrap();
        }
    }
    let (_, replayed, report) = open(&load_golden());
    assert_eq!(replayed, golden_records());
    assert_eq!(only_damage(&report).kind, DamageKind::TornTail);
}

#[test]
fn the_same_log_is_written_today() {
    let (golden, today) = (load_golden(), build_golden());
    for number in 1..=3 {
        assert_eq!(golden.read(&segment(number)).unwrap(), today.read(&segment(number)).unwrap());
    }
}

/// The kinds of records that the golden log above has not: metadata, a delete, retired series, chunks, the newest time.
fn later_kinds() -> [Vec<u8>; 5] {
    let mut records = [const { Vec::new() }; 5];
    let [metadata, delete, retired, chunks, newest] = &mut records;
    let told =
        Metadata { metric_type: MetricType::Counter, unit: "bytes".into(), help: "What was sent.".into() };
    encode_metadata("sent_bytes_total", &told, metadata);
    let matcher = |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap();
    let matchers = vec![
        matcher(MatchOp::Equal, "__name__", "up"),
        matcher(MatchOp::NotEqual, "job", ""),
        matcher(MatchOp::Regex, "instance", "a.*|b"),
        matcher(MatchOp::NotRegex, "zone", "[0-9]+"),
    ];
    let range = TimeRange::new(-5, 1_700_000_000_000).unwrap();
    encode_delete(&Delete { matchers, range, exemplars: 300 }, delete);
    encode_retired(&[0, 1, 500].map(SeriesRef), retired);
    let times: Vec<i64> = (0..120).map(|n| 1_700_000_000_000 + n * 15_000).collect();
    let values: Vec<f64> = (0..120).map(|n| f64::from(n * n % 91) / 10.0).collect();
    let (mut column, mut open) = (ValuesWriter::hasty(), XorChunk::new());
    column.push(0, &values).unwrap();
    open.push(1_700_009_000_000, 4.5).unwrap();
    let (column, mut encoder) = (column.finish(), ChunksEncoder::new());
    for number in [3, 4] {
        let sealed = [(&times[..], &column[..])].into_iter();
        encoder.push(SeriesRef(number), sealed, &open.to_bytes(), i64::from(number)).unwrap();
    }
    encoder.finish(chunks);
    encode_newest(1_700_009_000_000, newest);
    records
}

#[test]
fn records_of_the_later_kinds_are_read_and_written_the_same() {
    struct Deaf;
    impl RecordSink for Deaf {}
    let records = later_kinds();
    let today = log_of(&[&records.each_ref().map(Vec::as_slice)]).read(&segment(1)).unwrap();
    let path = golden_dir().with_file_name("wal-later").join("000001");
    if !path.exists() && std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &today).unwrap();
    }
    let golden = fs::read(path).expect("golden file");
    assert_eq!(golden, today, "this version writes other bytes than before");
    let disk = SimFs::new();
    disk.create_dir_all(Path::new(DIR)).unwrap();
    disk.create_new(&segment(1)).unwrap().append(&golden).unwrap();
    let (_, replayed, report) = open(&disk);
    assert_eq!((&replayed[..], &report.damage[..]), (&records[..], &[][..]));
    let kinds: Vec<Decoded> = replayed.iter().map(|record| decode(record, &mut Deaf).unwrap()).collect();
    let expected = [Decoded::Metadata, Decoded::Delete, Decoded::Retired, Decoded::Chunks, Decoded::Newest];
    assert_eq!(kinds, expected);
}

#[test]
fn no_truncation_or_flip_of_the_golden_log_panics_or_invents_a_record() {
    let fs = load_golden();
    let records = golden_records();
    for number in 1..=3 {
        let whole = fs.read(&segment(number)).unwrap();
        // All of the small files; of the large one the borders and a sample of the rest.
        let watched =
            |at: usize| whole.len() < 1_000 || at < 100 || at.abs_diff(PAGE) < 40 || at.is_multiple_of(2_003);
        for at in (0..whole.len()).filter(|at| watched(*at)) {
            fs.overwrite(&segment(number), &whole[..at]).unwrap();
            assert!(is_subsequence(&open(&fs).1, &records), "segment {number} cut at {at}");
            fs.overwrite(&segment(number), &whole).unwrap();
            for bit in 0..8 {
                fs.flip(&segment(number), at, 1 << bit).unwrap();
                assert!(is_subsequence(&open(&fs).1, &records), "segment {number}, bit {bit} of {at}");
                fs.flip(&segment(number), at, 1 << bit).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_bytes_are_no_log(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let fs = SimFs::new();
        fs.create_dir_all(Path::new(DIR)).unwrap();
        fs.create_new(&segment(1)).unwrap().append(&bytes).unwrap();
        prop_assert!(open(&fs).1.is_empty());
    }

    #[test]
    fn any_number_of_flips_leaves_a_subsequence(
        flips in proptest::collection::vec((0_usize..100_000, 1_u8..), 1..40),
    ) {
        let records: Vec<Vec<u8>> = (0..60_u8).map(|i| vec![i; 50 * usize::from(i)]).collect();
        let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let fs = log_of(&[&slices[..40], &slices[40..]]);
        for (at, mask) in flips {
            let number = 1 + (at % 2) as u64;
            let len = fs.read(&segment(number)).unwrap().len();
            fs.flip(&segment(number), at % len, mask).unwrap();
        }
        prop_assert!(is_subsequence(&open(&fs).1, &records));
    }
}
