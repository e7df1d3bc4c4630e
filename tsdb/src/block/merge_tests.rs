//! Merged blocks hold what their sources hold, copied or written anew.

use super::merge::{MergeError, MergeInput, MergeOptions, Pace, merge};
use super::*;
use crate::fs::{Fs, SimFs};
use crate::tombstones::Tombstones;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tsdb_core::block::{BlockId, BlockMeta};
use tsdb_core::histogram::{FloatHistogram, FloatParts};
use tsdb_core::read::{Projection, SampleColumns};
use tsdb_core::{Labels, TimeRange, Timestamp};
use tsdb_index::RoaringBitmap;

const DIR: &str = "data";

/// A number by its bits, or the count of a histogram.
type Value = Result<u64, u32>;
type Content = BTreeMap<Labels, BTreeMap<Timestamp, Value>>;

struct NoHurry;

impl Pace for NoHurry {
    fn advance(&self, _bytes: u64) -> bool {
        true
    }
}

fn labels(number: usize) -> Labels {
    let (pod, kind) = (format!("pod-{}", number / 3), ["a", "b", "c"][number % 3]);
    let mut pairs = vec![("__name__", kind), ("pod", pod.as_str())];
    if number.is_multiple_of(5) {
        pairs.push(("zone", "z"));
    }
    Labels::from_pairs(pairs).unwrap()
}

fn columns(samples: &BTreeMap<Timestamp, Value>) -> SampleColumns {
    let mut columns = SampleColumns::new();
    for (timestamp, value) in samples {
        match value {
            Ok(bits) => columns.push(*timestamp, f64::from_bits(*bits)),
            Err(count) => {
                let parts = FloatParts { count: f64::from(*count), ..FloatParts::default() };
                columns.push_histogram(*timestamp, Arc::new(FloatHistogram::new(parts).unwrap()));
            }
        }
    }
    columns.renew_reset_hints();
    columns
}

fn write(fs: &SimFs, id: u128, content: &Content) -> BlockMeta {
    let mut writer =
        BlockWriter::with_segment_bytes(fs, Path::new(DIR), BlockSpec::first_level(BlockId(id)), 4000)
            .unwrap();
    for (labels, samples) in content {
        writer.add_samples(labels, columns(samples).as_slices()).unwrap();
    }
    writer.finish().unwrap().unwrap()
}

fn open(fs: &SimFs, id: u128) -> Block {
    let dir = Path::new(DIR).join(Block::dir_name(BlockId(id)));
    let fs: Arc<dyn Fs> = Arc::new(fs.clone());
    Block::open(&fs, &dir, Arc::new(FrameCache::new(1 << 20))).unwrap()
}

fn read(block: &Block) -> Content {
    let mut content = Content::new();
    let selected = block.select(&[], TimeRange::ALL, &Projection::All, &mut Vec::new()).unwrap();
    let mut into = SampleColumns::new();
    for series in selected {
        into.clear();
        block.read(&series.chunks, &series.deleted, TimeRange::ALL, &mut into).unwrap();
        let mut renewed = into.clone();
        renewed.renew_reset_hints();
        assert_eq!(into.histograms, renewed.histograms, "resets are known as in one go");
        let value = |at: usize| match into.histogram(at) {
            Some(histogram) => Err(histogram.count() as u32),
            None => Ok(into.values[at].to_bits()),
        };
        let samples = into.timestamps.iter().enumerate().map(|(at, timestamp)| (*timestamp, value(at)));
        content.insert(series.labels, samples.collect());
    }
    content.retain(|_, samples| !samples.is_empty());
    content
}

/// Which samples are deleted of a source.
fn delete(content: &mut Content, range: TimeRange, every: usize) -> Tombstones {
    let chosen: RoaringBitmap = (0..content.len() as u32).step_by(every).collect();
    for (_, samples) in content.iter_mut().step_by(every) {
        samples.retain(|timestamp, _| !range.contains(*timestamp));
    }
    Tombstones::default().with(&chosen, range, |_, _| Ok::<_, ()>(false)).unwrap()
}

#[derive(Debug, Clone, Copy)]
struct Way {
    keep_first: bool,
    long_chunk: u64,
}

/// Merges `sources` and compares the result with a map.
fn check(sources: &[Content], deletes: &[Option<(TimeRange, usize)>], way: Way) {
    let fs = SimFs::new();
    let mut expected = Content::new();
    let mut inputs = Vec::new();
    for (number, source) in (1..).zip(sources) {
        write(&fs, number, source);
        let mut left = source.clone();
        let deleted = deletes.get(inputs.len()).copied().flatten();
        let tombstones = deleted.map(|(range, every)| delete(&mut left, range, every)).unwrap_or_default();
        for (labels, samples) in left {
            let known = expected.entry(labels).or_default();
            for (timestamp, value) in samples {
                match known.entry(timestamp) {
                    std::collections::btree_map::Entry::Occupied(_) if way.keep_first => {}
                    entry => drop(entry.insert_entry(value)),
                }
            }
        }
        inputs.push(MergeInput { block: open(&fs, number), tombstones: Arc::new(tombstones) });
    }
    expected.retain(|_, samples| !samples.is_empty());
    let spec = BlockSpec { level: 2, ..BlockSpec::first_level(BlockId(99)) };
    let Way { keep_first, long_chunk } = way;
    let options = MergeOptions { pace: &NoHurry, keep_first, segment_bytes: 3000, long_chunk };
    let merged = merge(&fs, Path::new(DIR), spec, &inputs, &options).unwrap();
    assert_eq!(merged.is_none(), expected.is_empty());
    let Some(merged) = merged else { return };
    let meta = merged.publish().unwrap();
    let block = open(&fs, 99);
    assert_eq!(block.warnings(), [""; 0]);
    assert_eq!(read(&block), expected);
    let samples: Vec<&Value> = expected.values().flat_map(BTreeMap::values).collect();
    assert_eq!(meta.stats.series, expected.len() as u64);
    assert_eq!(meta.stats.samples, samples.len() as u64);
    assert_eq!(meta.stats.histograms, samples.iter().filter(|value| value.is_err()).count() as u64);
    let dir = Path::new(DIR).join(Block::dir_name(BlockId(99)));
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    assert_eq!(verify(&shared, &dir).unwrap(), []);
}

/// Series of a fleet between two times, 10 ms apart.
fn fleet(series: impl Iterator<Item = usize>, times: std::ops::Range<i64>) -> Content {
    let samples = |number: usize| {
        times.clone().map(move |at| (at * 10, Ok((((at * 7) % 13) as f64 + number as f64).to_bits())))
    };
    series.map(|number| (labels(number), samples(number).collect())).collect()
}

#[test]
fn blocks_that_follow_one_another_are_copied() {
    for long_chunk in [0, u64::MAX] {
        let sources = [fleet(0..40, 0..50), fleet(20..60, 50..120), fleet(10..11, 120..130)];
        check(&sources, &[], Way { keep_first: true, long_chunk });
    }
}

#[test]
fn what_is_copied_is_not_compressed_anew_and_what_lies_over_it_is() {
    let fs = SimFs::new();
    let sources = [fleet(0..3000, 0..60), fleet(0..3000, 60..120), fleet(5..6, 30..31)];
    let metas: Vec<BlockMeta> = (1..).zip(&sources).map(|(id, source)| write(&fs, id, source)).collect();
    let inputs: Vec<MergeInput> =
        (1..=3).map(|id| MergeInput { block: open(&fs, id), tombstones: Arc::default() }).collect();
    let options = MergeOptions { pace: &NoHurry, keep_first: true, segment_bytes: 1 << 20, long_chunk: 2 };
    let spec = BlockSpec::first_level(BlockId(9));
    let meta = merge(&fs, Path::new(DIR), spec, &inputs, &options).unwrap().unwrap().publish().unwrap();
    assert_eq!(meta.stats.samples, metas[0].stats.samples + metas[1].stats.samples);
    // Were all written anew, there would be one chunk a series.
    assert!(meta.stats.chunks > 5000, "{:?}", meta.stats);
    assert!(meta.stats.chunks <= 6000, "{:?}", meta.stats);
}

#[test]
fn a_long_series_is_cut_into_chunks_again() {
    let sources = [fleet(0..2, 0..9_000), fleet(0..2, 9_000..20_000)];
    check(&sources, &[], Way { keep_first: true, long_chunk: u64::MAX });
}

#[test]
fn a_merge_that_is_stopped_leaves_nothing_behind() {
    struct Stops(AtomicU64);
    impl Pace for Stops {
        fn advance(&self, _bytes: u64) -> bool {
            self.0.fetch_add(1, Ordering::Relaxed) < 1
        }
    }
    let fs = SimFs::new();
    write(&fs, 1, &fleet(0..600, 0..3));
    let before = fs.files();
    let inputs = [MergeInput { block: open(&fs, 1), tombstones: Arc::default() }];
    let pace = Stops(AtomicU64::new(0));
    let spec = BlockSpec::first_level(BlockId(2));
    let merged = merge(&fs, Path::new(DIR), spec, &inputs, &MergeOptions::new(&pace, true));
    assert!(matches!(merged, Err(MergeError::Stopped)));
    assert_eq!(fs.files(), before);
}

fn any_source() -> impl Strategy<Value = Content> {
    let value = prop_oneof![4 => (0..9_u64).prop_map(|n| Ok((n as f64 / 10.0).to_bits())), 1 => (0..50_u32).prop_map(Err)];
    let samples = (
        prop_oneof![Just(0_i64), Just(100), 0..150_i64],
        prop::collection::btree_map(0..100_i64, value, 1..12),
    );
    let samples = samples.prop_map(|(offset, samples)| -> BTreeMap<_, _> {
        samples.into_iter().map(|(at, value)| (at + offset, value)).collect()
    });
    prop::collection::btree_map((0..30_usize).prop_map(labels), samples, 1..20)
}

fn any_delete() -> impl Strategy<Value = Option<(TimeRange, usize)>> {
    prop::option::of(
        (0..200_i64, 0..150_i64, 1..4_usize)
            .prop_map(|(start, len, every)| (TimeRange::new(start, start + len).unwrap(), every)),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn merging_is_insertion_into_a_map(
        sources in prop::collection::vec(any_source(), 1..5),
        deletes in prop::collection::vec(any_delete(), 0..5),
        keep_first: bool,
        long_chunk in prop_oneof![Just(0_u64), Just(5), Just(u64::MAX)],
    ) {
        check(&sources, &deletes, Way { keep_first, long_chunk });
    }
}
