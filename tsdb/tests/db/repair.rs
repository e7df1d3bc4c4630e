//! Verification finds every damage and names file, place and loss; repair saves what can be read and deletes nothing.

use super::fixture::*;
use super::late::copy_blocks;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb::block::Loss;
use tsdb::fs::{Fault, Fs, SimFs};
use tsdb::repair::{Repair, Step, repair};
use tsdb::verify::{Verdict, verify};
use tsdb::{Appendable, Error, Labels, Queryable, TimeRange};
use tsdb_core::histogram::{FloatHistogram, FloatParts};
use tsdb_core::read::{SampleColumns, SelectHints};

/// A disk with two blocks, a checkpoint and a head, and what it holds.
fn disk() -> (SimFs, Contents) {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    for from in [0, 1000, 2000] {
        let samples: Vec<Sample> = (0..5)
            .flat_map(|series| (0..8).map(move |k| (series, from + k * 100, (from + k) as f64 * 1.1)))
            .collect();
        append_all(&db, &samples);
        if from < 2000 {
            db.flush().unwrap();
        }
    }
    let all = contents(&db);
    db.close().unwrap();
    (fs, all)
}

fn check(fs: &SimFs) -> Result<Verdict, Error> {
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    verify(&shared, Path::new(DIR), &mut |_| {})
}

pub(crate) fn mend(fs: &SimFs) -> Result<Repair, Error> {
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    repair(&shared, Path::new(DIR), &mut |_| {})
}

fn files(fs: &SimFs) -> Vec<PathBuf> {
    fs.files().into_iter().filter(|path| !path.ends_with("LOCK")).collect()
}

#[test]
fn a_sound_directory_has_no_findings_and_repair_does_nothing() {
    let (fs, all) = disk();
    let verdict = check(&fs).unwrap();
    assert_eq!(verdict.findings, []);
    assert!(verdict.blocks == 2 && verdict.log_segments > 0 && verdict.log_records > 0, "{verdict:?}");
    let before = files(&fs);
    assert_eq!(mend(&fs).unwrap().steps, []);
    assert_eq!(files(&fs), before);
    assert_eq!(contents(&open(&fs).unwrap()), all);
}

#[test]
fn progress_ends_with_all_bytes() {
    let (fs, _) = disk();
    let shared: Arc<dyn Fs> = Arc::new(fs);
    let mut seen = Vec::new();
    verify(&shared, Path::new(DIR), &mut |progress| seen.push(progress.clone())).unwrap();
    let last = seen.last().unwrap();
    assert!(last.done == last.total && last.total > 1000 && seen.is_sorted_by_key(|p| p.done), "{seen:?}");
}

#[test]
fn a_repair_of_the_log_says_how_much_of_it_is_read() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    append_all(&db, &[(0, 1, 1.0), (0, 2, 2.0)]);
    drop(db);
    fs.flip(&Path::new(DIR).join("wal/000001"), 40 + 8 + 3, 1).unwrap();
    let shared: Arc<dyn Fs> = Arc::new(fs);
    let mut seen = Vec::new();
    let done = repair(&shared, Path::new(DIR), &mut |progress| seen.push(progress.clone())).unwrap();
    assert!(done.steps.contains(&Step::RenewedLog), "{done:?}");
    let reads: Vec<_> = seen.iter().filter(|one| one.now == "reads the log").collect();
    assert!(reads.last().is_some_and(|last| last.done == last.total && last.total > 0), "{seen:?}");
    assert!(reads.is_sorted_by_key(|one| one.done), "{reads:?}");
    assert_eq!(seen.last().unwrap().now, "makes blocks of the log");
}

#[test]
fn samples_whose_series_is_lost_are_found_whatever_blocks_there_are() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    append_all(&db, &[(0, 1, 1.0), (0, 2, 2.0)]);
    drop(db);
    // The record of the series begins behind the headers of the segment and of its fragment.
    fs.flip(&Path::new(DIR).join("wal/000001"), 40 + 8 + 3, 1).unwrap();
    let homeless = |fs: &SimFs| {
        let lost = check(fs).unwrap().findings.into_iter().map(|finding| finding.lost);
        lost.filter(|lost| *lost == Loss::Samples { chunks: 0, samples: 2 }).count()
    };
    assert_eq!(homeless(&fs), 1);
    let elsewhere = SimFs::new();
    let db = open(&elsewhere).unwrap();
    append_all(&db, &[(1, 5000, 1.0)]);
    db.flush().unwrap();
    copy_blocks(&elsewhere, &fs);
    assert_eq!(homeless(&fs), 1);
}

#[test]
fn a_database_in_use_is_refused() {
    let (fs, _) = disk();
    let _db = open(&fs).unwrap();
    assert!(matches!(check(&fs), Err(Error::Locked { .. })));
    assert!(matches!(mend(&fs), Err(Error::Locked { .. })));
}

#[test]
fn a_database_in_use_checks_itself_while_it_goes_on() {
    let (fs, all) = disk();
    let db = open(&fs).unwrap();
    append_all(&db, &[(7, 5_000, 1.0)]);
    let before = files(&fs);
    let mut seen = 0;
    let verdict = db.verify(&mut |progress| seen = seen.max(progress.done)).unwrap();
    assert_eq!((verdict.blocks, verdict.findings, verdict.torn), (2, vec![], vec![]));
    assert!(seen > 1_000 && verdict.log_records > 0);
    assert!(before.iter().all(|file| fs.exists(file).unwrap()), "nothing is gone");
    let segment = before.iter().find(|file| file.ends_with("chunks/000001")).unwrap();
    fs.flip(segment, 40, 0x10).unwrap();
    let found = db.verify(&mut |_| {}).unwrap().findings;
    assert_eq!(
        found.iter().map(|finding| &finding.path).collect::<BTreeSet<_>>(),
        [segment].into(),
        "{found:?}"
    );
    append_all(&db, &[(7, 5_001, 2.0)]);
    drop(db);
    assert!(!fs.files().iter().any(|file| file.to_string_lossy().contains("snapshots")), "{:?}", fs.files());
    fs.flip(segment, 40, 0x10).unwrap();
    let db = open(&fs).unwrap();
    let found = contents(&db);
    assert!(all.iter().all(|(labels, samples)| found.get(labels) == Some(samples)));
}

/// Flips a byte, checks that verification finds it, repairs, and checks what is left and that nothing is gone.
fn flip_and_mend(fs: &SimFs, all: &Contents, path: &Path, offset: usize) {
    let (fs, what) = (fs.process_killed(), format!("{} at {offset}", path.display()));
    fs.flip(path, offset, 0x10).unwrap();
    let readable = contents(&open(&fs.process_killed()).unwrap());
    let verdict = check(&fs).unwrap_or_else(|error| panic!("{what}: {error}"));
    if readable != *all {
        let mut found = verdict.findings.iter().chain(&verdict.torn);
        let finding = found.find(|finding| finding.lost != Loss::Nothing);
        assert!(finding.is_some_and(|f| f.path.starts_with(DIR)), "{what}: {:?}", verdict.findings);
    }
    let damaged = fs.read(path).unwrap();
    let mended = mend(&fs).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(mended.before, verdict, "{what}");
    if verdict.findings.iter().any(|finding| finding.is_foreign) {
        assert_eq!(
            (mended.steps, check(&fs).unwrap()),
            (vec![], verdict),
            "{what}: another version may read it"
        );
        return;
    }
    assert_eq!(check(&fs).unwrap().findings, [], "{what}: {:?}", mended.steps);
    let db = open(&fs).unwrap();
    assert_eq!(contents(&db), readable, "{what}");
    assert_eq!(db.stats().warnings.len(), verdict.torn.len(), "{what}: {:?}", db.stats().warnings);
    if !verdict.findings.is_empty() {
        let kept = fs.files().iter().any(|file| fs.read(file).unwrap() == damaged);
        assert!(kept, "{what}: the damaged file is kept");
    }
}

#[test]
fn after_a_repair_all_that_could_be_read_is_there_and_sound_whatever_byte_was_flipped() {
    let (fs, all) = disk();
    for path in files(&fs).into_iter().filter(|path| !path.ends_with("VERSION")) {
        let len = fs.size(&path).unwrap() as usize;
        for offset in (0..len).step_by(len.div_ceil(40)) {
            flip_and_mend(&fs, &all, &path, offset);
        }
    }
}

#[test]
fn a_lost_index_costs_the_block_which_is_kept() {
    let (fs, all) = disk();
    let index = files(&fs).into_iter().find(|path| path.ends_with("index")).unwrap();
    fs.remove_file(&index).unwrap();
    let verdict = check(&fs).unwrap();
    assert_eq!((&verdict.findings[0].path, verdict.findings[0].lost), (&index, Loss::Block));
    let mended = mend(&fs).unwrap();
    let [Step::MovedAside { from, to }] = &mended.steps[..] else { panic!("{:?}", mended.steps) };
    assert_eq!(Some(from.as_path()), index.parent());
    assert!(to.starts_with("/data/quarantine") && fs.exists(&to.join("chunks/000001")).unwrap());
    let db = open(&fs).unwrap();
    assert_eq!(contents(&db), part(&all, TimeRange::new(1000, 9000).unwrap(), |_| true));
    assert_eq!(db.stats().warnings, [""; 0]);
}

#[test]
fn a_repair_that_is_interrupted_anywhere_can_be_repeated() {
    let damage = |fs: &SimFs| {
        let chunks = files(fs).into_iter().find(|path| path.ends_with("chunks/000001")).unwrap();
        fs.flip(&chunks, 40, 0xff).unwrap();
        let log = files(fs)
            .into_iter()
            .rfind(|path| path.starts_with("/data/wal/0"))
            .unwrap_or_else(|| files(fs).into_iter().rfind(|path| path.starts_with("/data/wal")).unwrap());
        fs.flip(&log, 50, 0xff).unwrap();
    };
    let (fs, _) = disk();
    damage(&fs);
    let wanted = contents(&open(&fs.process_killed()).unwrap());
    let first = fs.op_count();
    mend(&fs).unwrap();
    for at in first..fs.op_count() {
        let (fs, _) = disk();
        damage(&fs);
        fs.inject(at, Fault::Crash);
        assert!(mend(&fs).is_err(), "operation {at} is on the way");
        let fs = fs.process_killed();
        mend(&fs).unwrap_or_else(|error| panic!("stopped at {at}: {error}"));
        let db = open(&fs).unwrap();
        assert_eq!(contents(&db), wanted, "stopped at {at}");
        drop(db);
        assert_eq!(check(&fs).unwrap().findings, [], "stopped at {at}");
    }
}

/// All series with samples: labels, samples.
fn columns(db: &tsdb::Db) -> Vec<(Labels, SampleColumns)> {
    let querier = db.querier(TimeRange::ALL).unwrap();
    let set = querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
    let mut all = Vec::new();
    for index in 0..set.len() {
        let mut samples = SampleColumns::new();
        set.read(index, &mut samples).unwrap();
        if !samples.is_empty() {
            all.push((set.labels(index), samples));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn a_rebuilt_block_keeps_histograms_and_start_timestamps() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    // Enough numbers, none like another, to fill frames of their own before that of the histogram.
    for series in 0..40 {
        let mut batch = db.appender();
        let name = format!("a{series:02}");
        let number = batch.series(&Labels::from_pairs([("__name__", name.as_str())]).unwrap()).unwrap();
        (0..900).for_each(|t| batch.append(number, t, ((series * 1000 + t) as f64).sin()));
        batch.commit().unwrap();
    }
    let mut batch = db.appender();
    let started = batch.series(&labels(0)).unwrap();
    batch.append(started, 500, 1.5);
    batch.set_start(400);
    let series = batch.series(&labels(1)).unwrap();
    let parts = FloatParts { count: 3.0, zero_count: 3.0, sum: 7.5, ..FloatParts::default() };
    batch.append_histogram(series, 500, FloatHistogram::new(parts).unwrap()).unwrap();
    batch.commit().unwrap();
    db.flush().unwrap();
    let before = columns(&db);
    db.close().unwrap();
    let chunks = files(&fs).into_iter().find(|path| path.ends_with("chunks/000001")).unwrap();
    fs.flip(&chunks, 40, 0xff).unwrap();
    let step = mend(&fs).unwrap().steps.remove(0);
    assert!(matches!(step, Step::Rebuilt { .. }), "{step:?}");
    assert_eq!(check(&fs).unwrap().findings, []);
    let after = columns(&open(&fs).unwrap());
    assert!((2..before.len()).contains(&after.len()), "{} of {}", after.len(), before.len());
    assert!(after.iter().any(|(_, samples)| !samples.histograms.is_empty()));
    assert!(after.iter().any(|(_, samples)| !samples.starts.is_empty()));
    // A histogram's place among the numbers is not a number, which equals nothing.
    let text =
        |all: Vec<_>| all.into_iter().map(|series| format!("{series:?}")).collect::<BTreeSet<String>>();
    assert!(text(after).is_subset(&text(before)));
}
