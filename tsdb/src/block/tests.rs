//! Blocks: what is written comes back, a crash leaves all or nothing, damage costs what it touches and is named.

use super::segment::FrameRef;
use super::*;
use crate::fs::{Fault, Fs, Loss, OsFs, SimFs};
use crate::names;
use crate::tombstones::Intervals;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tsdb_core::block::BlockId;
use tsdb_core::histogram::{FloatHistogram, FloatParts, ResetHint, Span};
use tsdb_core::read::Projection;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Labels, MatchOp, Matcher, NO_START, STALE_NAN, TimeRange, Timestamp};

const ID: BlockId = BlockId(0x019a_0000_0000_1234_5678_9abc_def0_1234);
const START: Timestamp = 1_700_000_000_000;

type Series = (Labels, SampleColumns);

/// Series of `targets`, each target with a clock of its own; counters, decimals, full-precision floats, constants.
fn fleet(targets: usize, samples: usize) -> Vec<Series> {
    let mut all = Vec::new();
    for target in 0..targets {
        let jitter = |n: usize| ((n * 7919 + target * 104_729) % 41) as i64;
        let timestamps: Vec<Timestamp> =
            (0..samples).map(|n| START + target as i64 * 911 + n as i64 * 15_000 + jitter(n)).collect();
        for (kind, name) in ["bytes_total", "load", "ratio", "up"].into_iter().enumerate() {
            let value = |n: usize| match kind {
                0 => (n * n % 1000 + n * 137 + target) as f64,
                1 => (n * 31 % 97) as f64 / 100.0,
                2 => ((n + target) as f64).sin(),
                _ => 1.0,
            };
            let mut values: Vec<f64> = (0..samples).map(value).collect();
            if let Some(last) = values.last_mut().filter(|_| target % 5 == 4) {
                *last = STALE_NAN;
            }
            let timestamps = timestamps.clone();
            all.push((labels(name, target), SampleColumns { timestamps, values, ..SampleColumns::new() }));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn labels(name: &str, target: usize) -> Labels {
    let instance = format!("host-{target:04}");
    Labels::from_pairs([("__name__", name), ("instance", &instance), ("job", "node")]).unwrap()
}

/// The fleet, and for each target a series of histograms and one of all kinds of samples.
fn every_kind(targets: usize, samples: usize) -> Vec<Series> {
    let mut all = fleet(targets, samples);
    for target in 0..targets {
        let numbers =
            all.iter().find(|(known, _)| *known == labels("bytes_total", target)).unwrap().1.clone();
        let (mut histograms, mut mixed) = (SampleColumns::new(), SampleColumns::new());
        for (n, (timestamp, value)) in numbers.timestamps.iter().zip(&numbers.values).enumerate() {
            histograms.push_histogram(*timestamp, histogram(target, n));
            match n / 5 % 2 {
                0 => mixed.push(*timestamp, *value),
                _ => mixed.push_histogram(*timestamp, histogram(target, n)),
            }
            mixed.set_start(if n % 7 < 4 { START - 5_000 } else { NO_START });
        }
        all.push((labels("latency", target), histograms));
        all.push((labels("mixed", target), mixed));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// Whole counts in exponential buckets or broken ones in custom buckets; the buckets change now and then.
fn histogram(target: usize, n: usize) -> Arc<FloatHistogram> {
    let custom = target % 2 == 1;
    let buckets = 2 + n / 8 % 3;
    let count = |bucket: usize| (n * (bucket + 3) + target) as f64 + if custom { 0.5 } else { 0.0 };
    let parts = FloatParts {
        reset_hint: if n == 0 { ResetHint::Unknown } else { ResetHint::NotReset },
        schema: if custom { -53 } else { 3 },
        count: (0..buckets).map(count).sum(),
        sum: n as f64 * 0.1,
        positive_spans: vec![Span { offset: 1, length: buckets as u32 }],
        positive_counts: (0..buckets).map(count).collect(),
        bounds: if custom { [0.1, 0.5, 1.0, 2.5, 5.0].into() } else { [].into() },
        ..FloatParts::default()
    };
    Arc::new(FloatHistogram::new(parts).unwrap())
}

fn write(fs: &dyn Fs, series: &[Series], segment_bytes: u64) -> Result<PathBuf, BlockError> {
    let mut writer =
        BlockWriter::with_segment_bytes(fs, Path::new("data"), BlockSpec::first_level(ID), segment_bytes)?;
    for (labels, samples) in series {
        writer.add_samples(labels, samples.as_slices())?;
    }
    writer.finish()?;
    Ok(Path::new("data").join(Block::dir_name(ID)))
}

fn open(fs: &(impl Fs + Clone + 'static), dir: &Path) -> Result<Block, BlockError> {
    Block::open(&shared(fs), dir, Arc::new(FrameCache::new(1 << 20)))
}

fn verify(fs: &(impl Fs + Clone + 'static), dir: &Path) -> Result<Vec<Damage>, BlockError> {
    super::verify(&shared(fs), dir)
}

fn shared(fs: &(impl Fs + Clone + 'static)) -> Arc<dyn Fs> {
    Arc::new(fs.clone())
}

/// Everything, bit by bit.
fn bits(columns: &SampleColumns) -> impl PartialEq + std::fmt::Debug + use<> {
    let values: Vec<u64> = columns.values.iter().map(|value| value.to_bits()).collect();
    let SampleColumns { timestamps, histograms, starts, .. } = columns.clone();
    (timestamps, values, histograms, starts)
}

/// Asserts that the block serves `series` within `range`; returns how many series could not be read.
fn assert_serves(block: &Block, series: &[Series], range: TimeRange) -> usize {
    let mut damage = Vec::new();
    let selected = block.select(&[], range, &Projection::All, &mut damage).unwrap();
    assert!(damage.is_empty(), "{damage:?}");
    let mut unread = 0;
    let mut columns = SampleColumns::new();
    let mut found = selected.iter();
    for (labels, samples) in series {
        let mut wanted = samples.clone();
        wanted.retain_range(range);
        if wanted.is_empty() {
            continue;
        }
        let series = found.next().unwrap();
        assert_eq!(series.labels, *labels);
        columns.clear();
        match block.read(&series.chunks, &series.deleted, range, &mut columns) {
            Ok(()) => assert_eq!(bits(&columns), bits(&wanted), "{labels}"),
            Err(_) => {
                assert!(columns.is_empty());
                unread += 1;
            }
        }
    }
    assert_eq!(found.next(), None);
    unread
}

#[test]
fn a_far_block_reads_its_files_when_it_is_asked_and_again_after_it_let_them_go() {
    let fs = SimFs::new();
    let series = every_kind(3, 40);
    let dir = write(&fs, &series, 2_000).unwrap();
    let meta = open(&fs, &dir).unwrap().meta().clone();
    let cache = || Arc::new(FrameCache::new(1 << 20));
    let far = Block::far(&shared(&fs), &dir, meta.clone(), cache(), Duration::ZERO);
    assert_eq!(assert_serves(&far, &series, TimeRange::ALL), 0);
    // Used since the last call: kept.
    far.release();
    far.release();
    assert_eq!(assert_serves(&far, &series, TimeRange::ALL), 0);
    let missing = Block::far(&shared(&fs), Path::new("nowhere"), meta, cache(), Duration::ZERO);
    let error = missing.find(&[]).unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
}

#[test]
fn what_is_written_comes_back() {
    let fs = SimFs::new();
    let series = every_kind(60, 200);
    let dir = write(&fs, &series, u64::MAX).unwrap();
    assert_eq!(verify(&fs, &dir).unwrap(), []);
    let block = open(&fs, &dir).unwrap();
    assert_eq!(block.warnings(), [] as [&str; 0]);
    assert_eq!(assert_serves(&block, &series, TimeRange::ALL), 0);
    let part = TimeRange::new(START + 600_000, START + 1_200_000).unwrap();
    assert_eq!(assert_serves(&block, &series, part), 0);
    assert_eq!(assert_serves(&block, &series, TimeRange::instant(START)), 0);
    let meta = block.meta();
    assert_eq!((meta.id, meta.level, &*meta.sources), (ID, 1, &[ID][..]));
    assert_eq!((meta.stats.series, meta.stats.samples, meta.stats.chunks), (360, 72_000, 360));
    assert!(meta.range.contains(START) && meta.range.end() > START + 199 * 15_000);
    let cache = Arc::new(FrameCache::new(0));
    assert_eq!(assert_serves(&Block::open(&shared(&fs), &dir, cache).unwrap(), &series, TimeRange::ALL), 0);
}

#[test]
fn labels_that_nobody_asks_for_are_not_loaded() {
    let fs = SimFs::new();
    let series = fleet(12, 20);
    let block = open(&fs, &write(&fs, &series, u64::MAX).unwrap()).unwrap();
    for names in [vec![], vec!["__name__"], vec!["instance", "none"]] {
        let asked = Projection::Only(names.iter().map(|name| (*name).to_owned()).collect());
        let selected = block.select(&[], TimeRange::ALL, &asked, &mut Vec::new()).unwrap();
        assert_eq!(selected.len(), series.len());
        for (found, (labels, ..)) in selected.iter().zip(&series) {
            assert_eq!(found.labels, labels.filter(|name| names.contains(&name)));
        }
    }
}

#[test]
fn a_block_of_many_segments_and_long_series_comes_back() {
    let fs = SimFs::new();
    let series = fleet(12, 20_000);
    let dir = write(&fs, &series, 100_000).unwrap();
    assert!(fs.list(&dir.join(names::CHUNKS_DIR)).unwrap().len() > 3);
    assert_eq!(verify(&fs, &dir).unwrap(), []);
    let block = open(&fs, &dir).unwrap();
    assert_eq!(assert_serves(&block, &series, TimeRange::ALL), 0);
    let late = TimeRange::new(START + 19_000 * 15_000, START + 19_010 * 15_000).unwrap();
    assert_eq!(assert_serves(&block, &series, late), 0);
    let up = [Matcher::new(MatchOp::Equal, "__name__", "up").unwrap()];
    let selected = block.select(&up, late, &Projection::All, &mut Vec::new()).unwrap();
    assert!(selected.iter().all(|series| series.chunks.len() == 1), "only the chunk that holds the range");
}

#[test]
fn histograms_of_very_many_buckets_are_cut_into_several_chunks() {
    let fs = SimFs::new();
    let mut samples = SampleColumns::new();
    for n in 0..60_i32 {
        // No two have a bucket in common.
        let parts = FloatParts {
            positive_spans: vec![Span { offset: n * 30_000, length: 30_000 }],
            positive_counts: vec![1.0; 30_000],
            ..FloatParts::default()
        };
        samples.push_histogram(n.into(), Arc::new(FloatHistogram::new(parts).unwrap()));
    }
    let series = [(labels("wide", 0), samples)];
    let dir = write(&fs, &series, u64::MAX).unwrap();
    assert_eq!(verify(&fs, &dir).unwrap(), []);
    let block = open(&fs, &dir).unwrap();
    assert!(block.meta().stats.chunks > 5);
    assert_eq!(assert_serves(&block, &series, TimeRange::ALL), 0);
}

#[test]
fn series_of_one_target_share_their_timestamps() {
    let fs = SimFs::new();
    let dir = write(&fs, &fleet(100, 480), u64::MAX).unwrap();
    let size = |name: &str| fs.size(&dir.join(name)).unwrap() as f64;
    let per_sample = (size("chunks/000001") + size("index")) / (400.0 * 480.0);
    println!("{per_sample:.3} B a sample in all, {} B of index", size("index"));
    assert!(per_sample < 3.0, "{per_sample}: a quarter of the series are full-precision floats");
}

#[test]
fn labels_are_listed() {
    let fs = SimFs::new();
    let dir = write(&fs, &fleet(3, 5), u64::MAX).unwrap();
    let block = open(&fs, &dir).unwrap();
    assert_eq!(block.label_names(&[]).unwrap(), ["__name__", "instance", "job"]);
    let first = [Matcher::new(MatchOp::Equal, "instance", "host-0001").unwrap()];
    assert_eq!(block.label_values("__name__", &first).unwrap(), ["bytes_total", "load", "ratio", "up"]);
    assert_eq!(block.label_values("instance", &first).unwrap(), ["host-0001"]);
}

#[test]
fn a_block_without_series_is_not_published() {
    let fs = SimFs::new();
    let mut writer = BlockWriter::create(&fs, Path::new("data"), BlockSpec::first_level(ID)).unwrap();
    writer.add(&Labels::empty(), &[], &[]).unwrap();
    assert_eq!(writer.finish().unwrap(), None);
    assert_eq!(fs.list(Path::new("data")).unwrap(), []);
}

#[test]
fn what_is_no_series_of_a_block_is_refused() {
    let fs = SimFs::new();
    let labels = |name| Labels::from_pairs([("__name__", name)]).unwrap();
    let mut writer = BlockWriter::create(&fs, Path::new("data"), BlockSpec::first_level(ID)).unwrap();
    writer.add(&labels("b"), &[1], &[1.0]).unwrap();
    assert!(matches!(writer.add(&labels("a"), &[1], &[1.0]), Err(BlockError::Series { .. })));
    assert!(matches!(writer.add(&labels("c"), &[2, 1], &[1.0, 1.0]), Err(BlockError::Samples { .. })));
    assert!(matches!(writer.add(&labels("c"), &[1, 2], &[1.0]), Err(BlockError::Samples { .. })));
}

#[test]
fn a_crash_at_any_operation_leaves_the_whole_block_or_none() {
    let series = every_kind(4, 30);
    let counter = SimFs::new();
    write(&counter, &series, 1500).unwrap();
    for fault in [Fault::Crash, Fault::OutOfSpace, Fault::Io] {
        for at in 0..counter.op_count() {
            for seed in 0..3 {
                let fs = SimFs::new();
                fs.inject(at, fault);
                let written = write(&fs, &series, 1500);
                let disk = fs.after_power_cut(Loss::Random(seed));
                let dir = Path::new("data").join(Block::dir_name(ID));
                if disk.exists(&dir).unwrap() {
                    let block = open(&disk, &dir).unwrap();
                    assert_eq!(assert_serves(&block, &series, TimeRange::ALL), 0);
                    assert_eq!(verify(&disk, &dir).unwrap(), []);
                } else {
                    assert!(written.is_err(), "published and gone: {fault:?} at {at}");
                }
            }
        }
    }
}

#[test]
fn a_damaged_frame_costs_its_series_and_no_others() {
    let fs = SimFs::new();
    let series = fleet(300, 400);
    let dir = write(&fs, &series, u64::MAX).unwrap();
    let block = open(&fs, &dir).unwrap();
    let chunks = block.select(&[], TimeRange::ALL, &Projection::All, &mut Vec::new()).unwrap();
    let frame = chunks[700].chunks[0].frame;
    let hit = chunks.iter().filter(|series| series.chunks[0].frame == frame).count();
    drop(block);
    let segment = dir.join("chunks/000001");
    fs.flip(&segment, FrameRef(frame).offset() as usize + 50, 4).unwrap();
    let block = open(&fs, &dir).unwrap();
    assert_eq!(block.warnings(), [] as [&str; 0], "frames are checked when they are read");
    assert_eq!(assert_serves(&block, &series, TimeRange::ALL), hit);
    assert!(hit < series.len() / 2);
    let error = block
        .read(&chunks[700].chunks, &Intervals::NONE, TimeRange::ALL, &mut SampleColumns::new())
        .unwrap_err();
    assert!(error.to_string().contains("chunks/000001: segment is damaged"), "{error}");
    let damage = verify(&fs, &dir).unwrap();
    assert!(!damage.is_empty() && damage.iter().all(|damage| damage.path == segment), "{damage:?}");
}

#[test]
fn a_damaged_or_missing_segment_costs_its_series_and_is_named() {
    let series = fleet(80, 2_000);
    for missing in [false, true] {
        let fs = SimFs::new();
        let dir = write(&fs, &series, 30_000).unwrap();
        let last = fs.list(&dir.join(names::CHUNKS_DIR)).unwrap().pop().unwrap().name;
        let segment = dir.join(names::CHUNKS_DIR).join(&last);
        if missing {
            fs.remove_file(&segment).unwrap();
        } else {
            let end = fs.size(&segment).unwrap() as usize;
            fs.flip(&segment, end - 3, 1).unwrap();
        }
        let block = open(&fs, &dir).unwrap();
        if missing {
            // Nothing in the directory says that there was one more; the samples say it.
            assert_eq!(block.warnings(), [] as [&str; 0]);
        } else {
            assert!(block.warnings()[0].contains(&last), "{:?}", block.warnings());
        }
        let unread = assert_serves(&block, &series, TimeRange::ALL);
        assert!(0 < unread && unread < series.len(), "{unread}");
        assert!(!verify(&fs, &dir).unwrap().is_empty());
    }
}

#[test]
fn a_damaged_description_is_made_anew() {
    let fs = SimFs::new();
    let series = fleet(5, 20);
    let dir = write(&fs, &series, u64::MAX).unwrap();
    let path = dir.join(names::META);
    let meta = open(&fs, &dir).unwrap().meta().clone();
    let text = String::from_utf8(fs.read(&path).unwrap()).unwrap();
    let other_time = text.replace("\"minTime\": 17", "\"minTime\": 16");
    assert_ne!(other_time, text);
    for damaged in [&other_time, &text[..40], "{}", ""] {
        fs.overwrite(&path, damaged.as_bytes()).unwrap();
        let block = open(&fs, &dir).unwrap();
        let mut expected = meta.clone();
        // The index does not tell kinds apart: all samples may be histograms.
        expected.stats.histograms = meta.stats.samples;
        assert_eq!(block.meta(), &expected);
        assert!(block.warnings()[0].contains("described anew"), "{:?}", block.warnings());
        assert_eq!(assert_serves(&block, &series, TimeRange::ALL), 0);
        assert_eq!(verify(&fs, &dir).unwrap()[0].path, path);
    }
}

#[test]
fn an_unknown_version_is_refused_by_its_number() {
    let fs = SimFs::new();
    let dir = write(&fs, &fleet(2, 3), u64::MAX).unwrap();
    let refused = |file: &str, change: &dyn Fn(&[u8]) -> Vec<u8>| {
        let path = dir.join(file);
        let before = fs.read(&path).unwrap();
        fs.overwrite(&path, &change(&before)).unwrap();
        let error = open(&fs, &dir).unwrap_err();
        fs.overwrite(&path, &before).unwrap();
        match error {
            BlockError::UnknownVersion { path: named, found: 9, .. } => assert_eq!(named, path),
            other => panic!("{other}"),
        }
    };
    let ninth_byte = |bytes: &[u8]| {
        let mut changed = bytes.to_vec();
        changed[8] = 9;
        changed
    };
    refused("index", &ninth_byte);
    refused("chunks/000001", &ninth_byte);
    refused("meta.json", &|bytes| {
        String::from_utf8(bytes.to_vec()).unwrap().replace("\"version\": 1", "\"version\": 9").into_bytes()
    });
}

/// The golden block: read by every later version.
fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/block").join(Block::dir_name(ID))
}

#[test]
fn the_golden_block_is_read() {
    let series = every_kind(3, 24);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        let parent = golden().parent().unwrap().to_path_buf();
        OsFs.remove_dir_all(&golden()).unwrap();
        let mut writer = BlockWriter::create(&OsFs, &parent, BlockSpec::first_level(ID)).unwrap();
        for (labels, samples) in &series {
            writer.add_samples(labels, samples.as_slices()).unwrap();
        }
        writer.finish().unwrap();
    }
    assert_eq!(verify(&OsFs, &golden()).unwrap(), []);
    assert_eq!(assert_serves(&open(&OsFs, &golden()).unwrap(), &series, TimeRange::ALL), 0);
}

/// Copies the golden block, changes one of its files and asks everything: verification must find the damage, and what
/// is served must be right.
fn assert_found(file: &str, change: &dyn Fn(&mut Vec<u8>), what: &str) {
    let fs = SimFs::new();
    let dir = Path::new("data").join(Block::dir_name(ID));
    fs.create_dir_all(&dir.join(names::CHUNKS_DIR)).unwrap();
    for name in ["index", "chunks/000001", "meta.json"] {
        let mut bytes = OsFs.read(&golden().join(name)).unwrap();
        if name == file {
            change(&mut bytes);
        }
        let copy = fs.create_new(&dir.join(name)).unwrap();
        copy.append(&bytes).unwrap();
    }
    let verdict = verify(&fs, &dir);
    assert!(!verdict.is_ok_and(|damage| damage.is_empty()), "{file}: {what} is not found");
    let series = every_kind(3, 24);
    let Ok(block) = open(&fs, &dir) else { return };
    let mut damage = Vec::new();
    let Ok(selected) = block.select(&[], TimeRange::ALL, &Projection::All, &mut damage) else { return };
    let mut columns = SampleColumns::new();
    for found in selected {
        let (_, wanted) = series.iter().find(|(labels, _)| *labels == found.labels).unwrap();
        columns.clear();
        if block.read(&found.chunks, &found.deleted, TimeRange::ALL, &mut columns).is_ok() {
            assert_eq!(bits(&columns), bits(wanted), "{file}: {what} is served");
        }
    }
}

#[test]
fn every_flipped_bit_is_found_and_none_is_served() {
    for file in ["index", "chunks/000001"] {
        let len = OsFs.size(&golden().join(file)).unwrap() as usize;
        for at in 0..len {
            let bit = 1 << (at % 8);
            assert_found(file, &|bytes| bytes[at] ^= bit, &format!("bit {bit:#x} of byte {at}"));
        }
    }
}

#[test]
fn every_truncation_is_found_and_none_is_served() {
    for file in ["index", "chunks/000001"] {
        let len = OsFs.size(&golden().join(file)).unwrap() as usize;
        for keep in (0..len).step_by(3) {
            assert_found(file, &|bytes| bytes.truncate(keep), &format!("the end after {keep} bytes"));
        }
    }
}

#[test]
fn a_cache_keeps_its_bound() {
    let fs = SimFs::new();
    let series = fleet(300, 400);
    let dir = write(&fs, &series, u64::MAX).unwrap();
    let cache = Arc::new(FrameCache::new(4 << 20));
    let block = Block::open(&shared(&fs), &dir, Arc::clone(&cache)).unwrap();
    assert_eq!(assert_serves(&block, &series, TimeRange::ALL), 0);
    assert!(0 < cache.bytes() && cache.bytes() <= 4 << 20, "{}", cache.bytes());
    cache.forget(ID);
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn deleted_samples_are_in_no_answer_and_series_without_any_vanish() {
    let fs = SimFs::new();
    let series = every_kind(3, 24);
    let dir = write(&fs, &series, u64::MAX).unwrap();
    let block = open(&fs, &dir).unwrap();
    let is = |name: &str, value: &str| Matcher::new(MatchOp::Equal, name, value).unwrap();
    let middle = TimeRange::new(START + 60_000, START + 200_000).unwrap();
    block.delete(&[is("__name__", "load")], TimeRange::ALL).unwrap();
    block.delete(&[is("instance", "host-0001")], middle).unwrap();
    block.delete(&[is("__name__", "mixed")], TimeRange::new(0, START + 100_000).unwrap()).unwrap();
    let mut expected = series.clone();
    expected.retain(|(labels, _)| labels.metric_name() != "load");
    for (labels, samples) in &mut expected {
        let mut deleted = Intervals::NONE;
        if labels.get("instance") == Some("host-0001") {
            deleted = deleted.with(middle);
        }
        if labels.metric_name() == "mixed" {
            deleted = deleted.with(TimeRange::new(0, START + 100_000).unwrap());
        }
        deleted.remove_from(samples, 0);
    }
    // Once as it was deleted, and once as the files tell it.
    for block in [block, open(&fs, &dir).unwrap()] {
        assert_eq!(assert_serves(&block, &expected, TimeRange::ALL), 0);
        let names = block.label_values("__name__", &[]).unwrap();
        assert_eq!(names, ["bytes_total", "latency", "mixed", "ratio", "up"]);
        let load = [is("__name__", "load")];
        assert_eq!(block.label_values("instance", &load).unwrap(), [] as [&str; 0]);
        assert_eq!(block.label_names(&load).unwrap(), [] as [&str; 0]);
        let mut visited = Vec::new();
        let visit = |labels, chunks: &[tsdb_index::ChunkRef], deleted: &Intervals| {
            let mut columns = SampleColumns::new();
            block.read(chunks, deleted, TimeRange::ALL, &mut columns)?;
            visited.push((labels, bits(&columns)));
            Ok::<_, tsdb_core::read::ReadError>(())
        };
        block.for_each_series(visit).unwrap();
        let wanted: Vec<_> =
            expected.iter().map(|(labels, samples)| (labels.clone(), bits(samples))).collect();
        assert_eq!(visited, wanted);
    }
}
