//! Merging files gives the file that a writer of all series would have written.

use super::fixture;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::convert::Infallible;
use tsdb_core::{Labels, TimeRange};
use tsdb_index::{ChunkRef, IndexMerger, IndexReader, IndexWriter, InputDamage, RoaringBitmap};

type Series = BTreeMap<Labels, Vec<ChunkRef>>;

fn file(series: &Series) -> Vec<u8> {
    let mut writer = IndexWriter::new();
    for (labels, chunks) in series {
        writer.add(labels, chunks).unwrap();
    }
    writer.finish()
}

/// Merges the files of `sources`, without those series that `is_removed` names.
fn merged(sources: &[Series], is_removed: impl Fn(usize, &Labels) -> bool) -> Result<Vec<u8>, InputDamage> {
    let files: Vec<Vec<u8>> = sources.iter().map(file).collect();
    let readers: Vec<_> = files.iter().map(|file| IndexReader::open(&file[..]).unwrap()).collect();
    merge_readers(&readers, |input| {
        let numbered = (0_u32..).zip(sources[input].keys());
        numbered.filter(|(_, labels)| is_removed(input, labels)).map(|(number, _)| number).collect()
    })
}

fn merge_readers(
    readers: &[IndexReader<&[u8]>],
    removed: impl Fn(usize) -> RoaringBitmap,
) -> Result<Vec<u8>, InputDamage> {
    let inputs = readers.iter().enumerate().map(|(input, reader)| (reader, removed(input))).collect();
    let mut merger = IndexMerger::new(inputs)?;
    let (mut out, mut parts) = (Vec::new(), Vec::new());
    while merger.next(&mut parts)? {
        let mut chunks: Vec<ChunkRef> = parts.iter().map(|part| part.chunk).collect();
        chunks.sort_by_key(|chunk| chunk.range.start());
        merger.push(&chunks).unwrap();
        let drained: Result<(), Infallible> = merger.drain(&mut |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            Ok(())
        });
        drained.unwrap();
    }
    let mut rest = Vec::new();
    merger.finish(&mut |bytes: &[u8]| {
        rest.extend_from_slice(bytes);
        Ok::<(), InputDamage>(())
    })?;
    out.extend(rest);
    Ok(out)
}

/// What a writer writes that is given everything.
fn expected(sources: &[Series], is_removed: impl Fn(usize, &Labels) -> bool) -> Vec<u8> {
    let mut all = Series::new();
    for (input, source) in sources.iter().enumerate() {
        for (labels, chunks) in source.iter().filter(|(labels, _)| !is_removed(input, labels)) {
            all.entry(labels.clone()).or_default().extend(chunks);
        }
    }
    all.values_mut().for_each(|chunks| chunks.sort_by_key(|chunk| chunk.range.start()));
    file(&all)
}

fn chunk(input: usize, number: u32) -> ChunkRef {
    let start = input as i64 * 1000 + i64::from(number % 3);
    let range = TimeRange::new(start, start + 900).unwrap();
    let frame = ((input as u64) << 48) + u64::from(number / 7) * 100;
    ChunkRef { frame, slot: number % 7, range, samples: 60, times: number % 5 }
}

fn source(input: usize, labels: impl IntoIterator<Item = Labels>) -> Series {
    let sorted: std::collections::BTreeSet<Labels> = labels.into_iter().collect();
    (0..).zip(sorted).map(|(number, labels)| (labels, vec![chunk(input, number)])).collect()
}

#[test]
fn a_fleet_that_changes_over_time_is_merged() {
    let fleet = fixture::fleet(200);
    let part = |input: usize, from: usize, to: usize| source(input, fleet[from..to].iter().cloned());
    let sources = [part(0, 0, fleet.len() / 2), part(1, fleet.len() / 3, fleet.len()), part(2, 5, 6)];
    let keep_all = |_: usize, _: &Labels| false;
    let merged = merged(&sources, keep_all).unwrap();
    assert!(merged == expected(&sources, keep_all));
    IndexReader::open(&merged[..]).unwrap().check().unwrap();
}

#[test]
fn values_and_names_that_no_series_has_any_more_are_left_out() {
    let fleet = fixture::fleet(40);
    let sources = [source(0, fleet.iter().cloned()), source(1, fleet.iter().skip(10).cloned())];
    let is_removed = |_: usize, labels: &Labels| labels.get("zone") != Some("eu-west-1a");
    assert!(merged(&sources, is_removed).unwrap() == expected(&sources, is_removed));
}

#[test]
fn damage_names_the_source() {
    let fleet = fixture::fleet(100);
    let files = [file(&source(0, fleet.iter().cloned())), file(&source(1, fleet.iter().cloned()))];
    let mut damaged = files[1].clone();
    damaged[100] ^= 1;
    let readers = [IndexReader::open(&files[0][..]).unwrap(), IndexReader::open(&damaged[..]).unwrap()];
    assert_eq!(merge_readers(&readers, |_| RoaringBitmap::new()).unwrap_err().input, 1);
}

proptest! {
    #[test]
    fn merging_is_writing_everything(
        sources in prop::collection::vec(
            prop::collection::vec(
                prop::collection::btree_map("[a-d]", "[a-f]{1,3}", 1..4), 1..60), 1..5),
        removed in any::<u64>(),
    ) {
        let labels = |pairs: &BTreeMap<String, String>| {
            Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))).unwrap()
        };
        let sources: Vec<Series> = sources
            .iter()
            .enumerate()
            .map(|(input, all)| source(input, all.iter().map(labels)))
            .collect();
        let is_removed = |input: usize, labels: &Labels| {
            let sum = labels.to_string().bytes().fold(input as u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
            removed % 3 == 0 && (removed >> (sum % 61)) & 1 == 1
        };
        let merged = merged(&sources, is_removed).unwrap();
        prop_assert!(merged == expected(&sources, is_removed));
    }
}
