//! Damaged files: what is left is served, what is missing is named, nothing is deleted.

use super::fixture::*;
use std::path::{Path, PathBuf};
use tsdb::fs::{Fs, SimFs};
use tsdb::{Queryable, TimeRange};
use tsdb_core::read::SelectHints;

/// A disk with two blocks and a head, and what it holds.
fn disk() -> (SimFs, Contents) {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    let samples = |from: i64| -> Vec<Sample> {
        (0..5)
            .flat_map(|series| (0..8).map(move |k| (series, from + k * 100, (from + k) as f64 * 1.1)))
            .collect()
    };
    append_all(&db, &samples(0));
    db.flush().unwrap();
    append_all(&db, &samples(1000));
    db.flush().unwrap();
    append_all(&db, &samples(2000));
    let all = contents(&db);
    db.close().unwrap();
    (fs, all)
}

fn block_files(fs: &SimFs, name: &str) -> Vec<PathBuf> {
    let files = fs.files().into_iter().filter(|path| !path.starts_with("/data/wal"));
    files.filter(|path| path.to_string_lossy().contains(name)).collect()
}

fn size(fs: &SimFs, path: &Path) -> usize {
    fs.size(path).unwrap() as usize
}

#[test]
fn a_flipped_byte_anywhere_in_a_block_costs_at_most_that_block() {
    let (fs, all) = disk();
    let elsewhere = part(&all, TimeRange::new(1000, 9000).unwrap(), |_| true);
    let victims = ["chunks", "index", "meta.json"].map(|name| block_files(&fs, name)[0].clone());
    for path in victims {
        for offset in 0..size(&fs, &path) {
            fs.flip(&path, offset, 0x10).unwrap();
            let what = format!("{} at {offset}", path.display());
            let db = open(&fs).unwrap_or_else(|error| panic!("{what}: {error}"));
            let found = contents(&db);
            assert_between(&found, &elsewhere, &all, &what);
            if found != all {
                assert_ne!(db.stats().warnings, [""; 0], "{what}");
            }
            drop(db);
            fs.flip(&path, offset, 0x10).unwrap();
        }
    }
    let db = open(&fs).unwrap();
    assert_eq!((contents(&db), db.stats().warnings), (all, vec![]));
}

#[test]
fn a_query_over_damaged_samples_says_what_is_missing() {
    let (fs, all) = disk();
    let path = block_files(&fs, "chunks")[0].clone();
    fs.flip(&path, 40, 0xff).unwrap();
    let db = open(&fs).unwrap();
    let querier = db.querier(TimeRange::ALL).unwrap();
    let set = querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
    let found = read(&*set);
    assert_between(&found, &part(&all, TimeRange::new(1000, 9000).unwrap(), |_| true), &all, "damaged");
    assert_ne!(found, all);
    let warnings = set.warnings();
    assert!(warnings.iter().any(|warning| warning.contains("chunks")), "{warnings:?}");
    assert_eq!(db.stats().warnings, warnings);
}

#[test]
fn a_block_without_an_index_is_set_aside_and_stays() {
    let (fs, all) = disk();
    let index = block_files(&fs, "index")[1].clone();
    let files = fs.files().len();
    fs.remove_file(&index).unwrap();
    let db = open(&fs).unwrap();
    let [warning] = &db.stats().warnings[..] else { panic!("{:?}", db.stats().warnings) };
    assert!(warning.contains("is set aside"), "{warning}");
    // Answers that lack its samples say so; those about other times do not.
    for (range, lacks) in [(TimeRange::ALL, true), (TimeRange::new(0, 999).unwrap(), false)] {
        let querier = db.querier(range).unwrap();
        let set = querier.select(&[], &SelectHints::over(range)).unwrap();
        let said: &[String] = if lacks { std::slice::from_ref(warning) } else { &[] };
        assert_eq!((&set.warnings()[..], &querier.warnings()[..]), (said, said));
    }
    let gone = TimeRange::new(1000, 1999).unwrap();
    let expected: Contents = all
        .into_iter()
        .map(|(labels, samples)| (labels, samples.into_iter().filter(|(t, _)| !gone.contains(*t)).collect()))
        .collect();
    assert_eq!(contents(&db), expected);
    db.maintain().unwrap();
    db.flush().unwrap();
    assert!(fs.files().len() >= files - 1);
}

#[test]
fn a_flipped_byte_in_the_log_costs_single_records() {
    let (fs, all) = disk();
    let in_blocks = part(&all, TimeRange::new(0, 1999).unwrap(), |_| true);
    let logs: Vec<PathBuf> = fs.files().into_iter().filter(|path| path.starts_with("/data/wal")).collect();
    for path in logs {
        for offset in (0..size(&fs, &path)).step_by(3) {
            fs.flip(&path, offset, 0x04).unwrap();
            let what = format!("{} at {offset}", path.display());
            match open(&fs) {
                Ok(db) => {
                    let found = contents(&db);
                    assert_between(&found, &in_blocks, &all, &what);
                    if found != all {
                        assert_ne!(db.stats().warnings, [""; 0], "{what}");
                    }
                }
                Err(error) => panic!("{what}: {error}"),
            }
            fs.flip(&path, offset, 0x04).unwrap();
        }
    }
}

#[test]
fn blocks_are_cut_and_checkpoints_written_where_the_log_is_damaged() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    (0..40).for_each(|number| append_all(&db, &[(number as usize % 3, number * 100, 1.0)]));
    db.close().unwrap();
    let log = fs.files().into_iter().find(|path| path.ends_with("wal/000001")).unwrap();
    let len = size(&fs, &log);
    let mut single_losses = 0;
    for offset in (len / 3..len).step_by(17) {
        let fs = fs.process_killed();
        fs.flip(&log, offset, 0x40).unwrap();
        let db = open(&fs).unwrap();
        let told = db.stats().warnings;
        let [warning] = &told[..] else { panic!("{offset}: {told:?}") };
        assert!(warning.contains("log segment 1") && warning.contains("(bytes "), "{warning}");
        let readable = contents(&db);
        let count = |contents: &Contents| contents.values().map(|samples| samples.len()).sum::<usize>();
        // Only a flip in a length costs what follows, and no more of that than the rest of a page.
        single_losses += usize::from(count(&readable) == 39);
        assert!(count(&readable) >= 10, "{offset}");
        append_all(&db, &[(0, 10_000, 1.0)]);
        db.flush().unwrap();
        db.maintain().unwrap();
        let after = contents(&db);
        assert_eq!(count(&after), count(&readable) + 1);
        drop(db);
        let db = open(&fs).unwrap();
        assert_eq!((contents(&db), db.stats().warnings), (after, vec![]), "{offset}: all of it is in blocks");
    }
    assert!(single_losses > 30, "{single_losses}");
}

/// Opens the database and reads everything; what was found and what was said to be wrong.
fn open_and_read(fs: &SimFs) -> Result<(Contents, Vec<String>), tsdb::Error> {
    let db = open(fs)?;
    let querier = db.querier(TimeRange::ALL).unwrap();
    let set = querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
    let found = read(&*set);
    Ok((found, db.stats().warnings))
}

#[test]
fn a_read_that_fails_once_costs_nothing() {
    let (fs, all) = disk();
    let reads = fs.process_killed();
    open_and_read(&reads).unwrap();
    assert!(reads.read_count() > 20);
    for at in 0..reads.read_count() {
        let fs = fs.process_killed();
        fs.fail_reads(at..at + 1);
        assert_eq!(open_and_read(&fs).unwrap(), (all.clone(), vec![]), "read {at}");
    }
}

#[test]
fn a_read_that_fails_again_costs_what_it_was_to_read_and_is_named() {
    let (fs, all) = disk();
    let reads = fs.process_killed();
    open_and_read(&reads).unwrap();
    for at in 0..reads.read_count() {
        let fs = fs.process_killed();
        fs.fail_reads(at..at + 2);
        match open_and_read(&fs) {
            Ok((found, warnings)) => {
                assert_between(&found, &Contents::new(), &all, &format!("read {at}"));
                let named = |warning: &String| warning.contains("/data/") || warning.contains("log segment ");
                assert!(found == all || warnings.iter().any(named), "read {at}: {warnings:?}");
            }
            Err(error) => assert!(error.to_string().contains("/data/VERSION"), "read {at}: {error}"),
        }
        let fs = fs.process_killed();
        assert_eq!(open_and_read(&fs).unwrap(), (all.clone(), vec![]), "after read {at}");
    }
}

#[test]
fn bad_sectors_under_an_open_block_are_named_by_file_and_offset() {
    let (fs, all) = disk();
    for name in ["chunks", "index"] {
        let fs = fs.process_killed();
        let uncached = tsdb::Options { block_cache_bytes: 0, ..options() };
        let db = tsdb::Db::open_on(std::sync::Arc::new(fs.clone()), DIR, uncached).unwrap();
        let path = block_files(&fs, name)[0].clone();
        fs.make_unreadable(&path, 12..4000);
        let querier = db.querier(TimeRange::ALL).unwrap();
        let set = querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
        let elsewhere = part(&all, TimeRange::new(1000, 9000).unwrap(), |_| true);
        assert_between(&read(&*set), &elsewhere, &all, name);
        let [warning] = &set.warnings()[..] else { panic!("{:?}", set.warnings()) };
        assert!(warning.contains(&path.display().to_string()), "{warning}");
        assert!(warning.contains("at byte ") && warning.contains("simulated read error"), "{warning}");
    }
}

#[test]
fn a_file_that_is_cut_short_under_an_open_block_is_an_error_and_not_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let db = tsdb::Db::open(dir.path(), options()).unwrap();
    append_all(&db, &[(0, 1, 1.5), (1, 1, 2.5)]);
    db.flush().unwrap();
    append_all(&db, &[(0, 2000, 3.5)]);
    let block = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let block = block.into_iter().find(|path| path.join("meta.json").exists()).unwrap();
    for file in ["chunks/000001", "index"] {
        std::fs::OpenOptions::new().write(true).open(block.join(file)).unwrap().set_len(20).unwrap();
    }
    let querier = db.querier(TimeRange::ALL).unwrap();
    let set = querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
    assert_eq!(read(&*set).values().map(|samples| samples.len()).sum::<usize>(), 1, "that of the head");
    assert!(set.warnings()[0].contains("ends inside"), "{:?}", set.warnings());
}

#[test]
fn names_and_values_that_are_missing_are_told() {
    let (fs, _) = disk();
    let uncached = tsdb::Options { block_cache_bytes: 0, ..options() };
    let db = tsdb::Db::open_on(std::sync::Arc::new(fs.clone()), DIR, uncached).unwrap();
    let index = block_files(&fs, "index")[0].clone();
    let querier = db.querier(TimeRange::ALL).unwrap();
    let whole = querier.label_values("series", &[]).unwrap();
    assert_eq!((whole.len(), querier.warnings()), (5, vec![]));
    fs.flip(&index, 14, 0xff).unwrap();
    for _ in 0..3 {
        let querier = db.querier(TimeRange::ALL).unwrap();
        assert_eq!(querier.label_values("series", &[]).unwrap(), whole, "the others have them too");
        let [warning] = &querier.warnings()[..] else { panic!("{:?}", querier.warnings()) };
        assert!(warning.contains(&index.display().to_string()), "{warning}");
    }
    assert_eq!(db.stats().warnings.len(), 1, "once a file: {:?}", db.stats().warnings);
}

#[test]
fn a_file_with_many_damaged_places_is_counted_once() {
    let (fs, _) = disk();
    let db = open(&fs).unwrap();
    for chunks in block_files(&fs, "chunks") {
        let mut bytes = fs.read(&chunks).unwrap();
        bytes.iter_mut().skip(12).for_each(|byte| *byte ^= 0x55);
        fs.overwrite(&chunks, &bytes).unwrap();
    }
    for _ in 0..3 {
        contents(&db);
    }
    assert_eq!(db.stats().warnings.len(), 2, "{:?}", db.stats().warnings);
}
