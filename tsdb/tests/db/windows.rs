//! Windows are as good as what they were made of: what could not be read when they were made is said of them, and made
//! good when it can be read; and windows that are damaged themselves cost nothing while their samples are there.

use super::fixture::*;
use super::repair::mend;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tsdb::fs::{Fs, SimFs};
use tsdb::tier::{Fate, ObjectStore, SimStore, Tier};
use tsdb::{Db, Options, Queryable, RollupLevel, TimeRange};
use tsdb_core::read::{SampleColumns, SelectHints, WindowEnds};
use tsdb_core::testing::ManualClock;

/// 288 windows of a second are a block of them.
const SPAN: i64 = 288 * WINDOW;
const DAY: i64 = 86_400_000;

fn options_at(clock: &Arc<ManualClock>, rollups: Vec<RollupLevel>) -> Options {
    Options {
        block_range_ms: 50_000,
        rollups,
        out_of_order_window_ms: 10 * SPAN,
        block_cache_bytes: 0,
        clock: Arc::clone(clock) as Arc<_>,
        ..options()
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(4 * SPAN))
}

fn levels() -> Vec<RollupLevel> {
    vec![RollupLevel::new(WINDOW, 0, None)]
}

/// Three series with two samples a second in the first span, all of it in blocks.
fn fill(db: &Db) {
    for t in (1..SPAN).step_by(500) {
        append_all(db, &[(0, t, t as f64), (1, t, -1.0), (2, t, 0.5)]);
    }
    db.flush().unwrap();
}

/// A disk with samples and no windows.
fn samples_only(clock: &Arc<ManualClock>) -> SimFs {
    let fs = SimFs::new();
    let db = open_with(&fs, options_at(clock, Vec::new())).unwrap();
    fill(&db);
    db.close().unwrap();
    fs
}

/// A disk with samples and windows.
fn samples_and_windows(clock: &Arc<ManualClock>) -> SimFs {
    let fs = samples_only(clock);
    let db = open_with(&fs, options_at(clock, levels())).unwrap();
    db.maintain().unwrap();
    assert_eq!(db.stats().rollups_made, 1);
    db.close().unwrap();
    fs
}

/// What `function` over each window of the first span is answered: by series, the windows that have an answer.
fn windows_of(db: &Db, function: &'static str) -> (BTreeMap<String, BTreeSet<i64>>, Vec<String>) {
    let range = TimeRange::new(1, SPAN).unwrap();
    let hints = SelectHints {
        step_ms: WINDOW,
        window_ms: WINDOW,
        function: Some(function),
        ends: Some(WindowEnds { first: WINDOW, step_ms: WINDOW }),
        ..SelectHints::over(range)
    };
    let querier = db.querier(range).unwrap();
    let set = querier.select(&[], &hints).unwrap();
    let (mut found, mut columns, mut weights) = (BTreeMap::new(), SampleColumns::new(), Vec::new());
    for index in 0..set.len() {
        set.read_weighted(index, &mut columns, &mut weights).unwrap();
        let ends: BTreeSet<i64> = columns.timestamps.iter().map(|t| (t + WINDOW - 1) / WINDOW).collect();
        found.insert(set.labels(index).to_string(), ends);
    }
    (found, set.warnings())
}

fn is_whole(db: &Db) -> bool {
    let (found, _) = windows_of(db, "last_over_time");
    found.len() == 3 && found.values().all(|ends| ends.len() == 288)
}

fn told(db: &Db) -> Vec<String> {
    windows_of(db, "last_over_time").1
}

/// The first segments of the blocks of samples, or of those of windows, oldest first.
fn segments(fs: &SimFs, of_windows: bool) -> Vec<PathBuf> {
    let described = fs.files().into_iter().filter(|path| path.ends_with("meta.json"));
    let wanted = described.filter(|path| {
        let text = String::from_utf8(fs.read(path).unwrap()).unwrap();
        text.contains("rollup") == of_windows && !path.starts_with("/data/quarantine")
    });
    wanted.map(|path| path.with_file_name("chunks").join("000001")).collect()
}

fn reopen(fs: &SimFs, clock: &Arc<ManualClock>) -> Db {
    maintained(open_with(fs, options_at(clock, levels())).unwrap())
}

/// Settings for very many series: what was read is kept.
fn cached(clock: &Arc<ManualClock>, rollups: Vec<RollupLevel>) -> Options {
    Options { block_cache_bytes: 8 << 20, ..options_at(clock, rollups) }
}

fn reopen_cached(fs: &SimFs, clock: &Arc<ManualClock>) -> Db {
    maintained(open_with(fs, cached(clock, levels())).unwrap())
}

fn maintained(db: Db) -> Db {
    (0..3).for_each(|_| drop(db.maintain()));
    db
}

#[test]
fn windows_of_a_damaged_block_say_so_and_are_made_anew_when_it_can_be_read() {
    let clock = clock();
    let fs = samples_only(&clock);
    let damaged = segments(&fs, false)[1].clone();
    fs.flip(&damaged, 40, 0x10).unwrap();
    let db = reopen(&fs, &clock);
    assert!(!is_whole(&db));
    assert!(!told(&db).is_empty(), "samples or windows: what is missing is told");
    assert_eq!(db.stats().rollups_made, 1, "made once, not again and again");
    db.close().unwrap();
    drop(db);
    // Without the samples the answer comes from the windows and must say it as well.
    let short = Options { retention_ms: Some(50_000), ..options_at(&clock, levels()) };
    let aged = open_with(&fs.process_killed(), Options { max_expired_percent: 100, ..short }).unwrap();
    append_all(&aged, &[(0, 3 * SPAN, 1.0)]);
    (0..4).for_each(|_| drop(aged.maintain()));
    let (found, warnings) = windows_of(&aged, "last_over_time");
    assert!(found.values().any(|ends| ends.len() > 100 && ends.len() < 288), "{found:?}");
    assert!(warnings.iter().any(|told| told.contains("lack")), "{warnings:?}");
    // The disk comes to its senses.
    fs.flip(&damaged, 40, 0x10).unwrap();
    let db = reopen(&fs, &clock);
    assert_eq!((is_whole(&db), told(&db)), (true, vec![]));
    assert_eq!(db.stats().rollups_made, 1);
}

#[test]
fn no_windows_are_made_while_object_storage_is_away_and_they_are_when_it_is_back() {
    let clock = clock();
    let (fs, store) = (SimFs::new(), Arc::new(SimStore::new()));
    let mut tier = Tier::new(Arc::clone(&store) as Arc<dyn ObjectStore>, 0).unwrap();
    tier.keep_local_ms = 0;
    tier.compaction = false;
    tier.retry.attempts = 1;
    (tier.retry.first, tier.retry.most) = (Duration::ZERO, Duration::ZERO);
    tier.interval = Duration::from_millis(1);
    let with = |rollups| Options { tier: Some(tier.clone()), ..options_at(&clock, rollups) };
    let db = open_with(&fs, with(Vec::new())).unwrap();
    fill(&db);
    (0..3).for_each(|_| db.ship().unwrap());
    assert_eq!(db.stats().blocks, 0);
    db.close().unwrap();
    drop(db);
    let db = open_with(&fs, with(levels())).unwrap();
    let calls = std::sync::atomic::AtomicUsize::new(0);
    store.set_script(move |call| {
        let is_samples = call.action == "get" && call.key.contains("chunks");
        let number = calls.fetch_add(usize::from(is_samples), std::sync::atomic::Ordering::SeqCst);
        if is_samples && number > 8 { Fate::Fails } else { Fate::Succeeds }
    });
    (0..3).for_each(|_| drop(db.maintain()));
    assert_eq!(db.stats().rollups_made, 0);
    store.clear_script();
    clock.set(4 * SPAN + 3_600_000);
    (0..3).for_each(|_| drop(db.maintain()));
    assert_eq!((db.stats().rollups_made, is_whole(&db), told(&db)), (1, true, vec![]));
}

#[test]
fn windows_of_what_cannot_be_read_for_a_day_are_made_of_the_rest_and_say_so() {
    let clock = clock();
    let fs = samples_only(&clock);
    let db = open_with(&fs, options_at(&clock, levels())).unwrap();
    let torn = segments(&fs, false)[1].clone();
    fs.make_unreadable(&torn, 20..400);
    drop(db.maintain());
    clock.set(4 * SPAN + DAY + 1);
    (0..3).for_each(|_| drop(db.maintain()));
    assert_eq!(db.stats().rollups_made, 1);
    assert!(!is_whole(&db) && !told(&db).is_empty());
}

#[test]
fn whole_windows_are_not_replaced_by_windows_of_what_is_damaged_since() {
    let clock = clock();
    let fs = samples_and_windows(&clock);
    let damaged = segments(&fs, false)[1].clone();
    fs.flip(&damaged, 40, 0x10).unwrap();
    let db = reopen(&fs, &clock);
    assert_eq!((is_whole(&db), told(&db)), (true, vec![]));
    // A late sample would have them made anew.
    append_all(&db, &[(0, 2, 4711.0)]);
    db.flush().unwrap();
    (0..3).for_each(|_| drop(db.maintain()));
    let windows = segments(&fs, true);
    assert_eq!(windows.len(), 1);
    db.close().unwrap();
    drop(db);
    fs.flip(&damaged, 40, 0x10).unwrap();
    let db = reopen(&fs, &clock);
    assert_ne!(segments(&fs, true), windows, "now they are");
    assert_eq!((is_whole(&db), told(&db)), (true, vec![]));
}

/// The greatest value of the first series in window number `number`.
fn greatest(db: &Db, number: i64) -> f64 {
    let range = TimeRange::new(1, SPAN).unwrap();
    let hints = SelectHints {
        step_ms: WINDOW,
        window_ms: WINDOW,
        function: Some("max_over_time"),
        ends: Some(WindowEnds { first: WINDOW, step_ms: WINDOW }),
        ..SelectHints::over(range)
    };
    let set = db.querier(range).unwrap().select(&[], &hints).unwrap();
    let (mut columns, mut weights) = (SampleColumns::new(), Vec::new());
    let index = (0..set.len()).find(|index| set.labels(*index) == labels(0)).unwrap();
    set.read_weighted(index, &mut columns, &mut weights).unwrap();
    let within = columns.timestamps.iter().zip(&columns.values);
    let within = within.filter(|(time, _)| (**time + WINDOW - 1) / WINDOW == number);
    within.map(|(_, value)| *value).fold(f64::MIN, f64::max)
}

#[test]
fn a_late_sample_is_in_the_next_answer_whether_windows_answer_for_its_time_or_not() {
    let clock = clock();
    let fs = samples_and_windows(&clock);
    let db = reopen(&fs, &clock);
    append_all(&db, &[(0, 60_002, 400_000.0)]);
    assert_eq!((greatest(&db, 60), greatest(&db, 61), greatest(&db, 62)), (59_501.0, 400_000.0, 61_501.0));
    db.flush().unwrap();
    assert_eq!((greatest(&db, 60), greatest(&db, 61), greatest(&db, 62)), (59_501.0, 400_000.0, 61_501.0));
}

#[test]
fn windows_answer_for_the_times_of_damaged_samples_though_late_ones_came_and_samples_answer_for_the_rest() {
    let clock = clock();
    let fs = samples_and_windows(&clock);
    // The samples behind 50 s.
    let damaged = segments(&fs, false)[1].clone();
    fs.flip(&damaged, 40, 0x10).unwrap();
    let db = reopen(&fs, &clock);
    let late = |time| {
        append_all(&db, &[(0, time, 400_000.0)]);
        db.flush().unwrap();
        (0..3).for_each(|_| drop(db.maintain()));
    };
    late(2);
    assert_eq!((is_whole(&db), told(&db)), (true, vec![]));
    assert_eq!(greatest(&db, 1), 400_000.0);
    // What came late for the times of the damaged ones is in no answer, and that is told.
    append_all(&db, &[(0, 60_002, 400_000.0)]);
    let warnings = told(&db);
    assert!(warnings.len() == 1 && warnings[0].contains("lacks samples that came late"), "{warnings:?}");
    assert!(is_whole(&db));
    late(60_003);
    assert!(is_whole(&db));
    let warnings = told(&db);
    assert!(warnings.len() == 1 && warnings[0].contains("lacks what came late"), "{warnings:?}");
    assert_eq!((greatest(&db, 1), greatest(&db, 61)), (400_000.0, 60_501.0));
    db.close().unwrap();
    drop(db);
    fs.flip(&damaged, 40, 0x10).unwrap();
    let db = reopen(&fs, &clock);
    assert_eq!((is_whole(&db), told(&db)), (true, vec![]));
    assert_eq!((greatest(&db, 1), greatest(&db, 61)), (400_000.0, 400_000.0));
}

/// How many series the windows on disk are of.
fn series_of_windows(fs: &SimFs) -> u64 {
    let of = |segment: PathBuf| {
        let description = segment.parent().unwrap().with_file_name("meta.json");
        let text = String::from_utf8(fs.read(&description).unwrap()).unwrap();
        let (_, count) = text.split_once("\"numSeries\": ").unwrap();
        count.split([',', '\n']).next().unwrap().parse::<u64>().unwrap()
    };
    segments(fs, true).into_iter().map(of).sum()
}

#[test]
fn a_part_of_the_index_that_cannot_be_read_for_a_day_costs_its_series_their_windows_and_no_others() {
    const SERIES: usize = 4096;
    const PAGE: u64 = 4096;
    let all = SimFs::new();
    let db = open_with(&all, options_at(&clock(), Vec::new())).unwrap();
    append_all(&db, &(0..SERIES).map(|series| (series, 1_000, 1.0)).collect::<Vec<_>>());
    db.flush().unwrap();
    db.close().unwrap();
    drop(db);
    let index = segments(&all, false)[0].parent().unwrap().with_file_name("index");
    // Records of series, and values of a label.
    for page in [1, 2, 7] {
        let (fs, clock) = (all.process_killed(), clock());
        let db = open_with(&fs, options_at(&clock, levels())).unwrap();
        fs.make_unreadable(&index, page * PAGE..(page + 1) * PAGE);
        drop(db.maintain());
        assert_eq!(db.stats().rollups_made, 0, "it may be readable later");
        clock.set(4 * SPAN + DAY + 1);
        drop(db.maintain());
        let series = series_of_windows(&fs);
        let is_part = series > SERIES as u64 / 2 && series < SERIES as u64;
        assert!(is_part && !series.is_multiple_of(1024), "page {page}: {series} series");
        assert!(!told(&db).is_empty());
    }
}

/// Samples of very many series behind `time`: more than one frame of a block.
fn many(time: i64) -> Vec<Sample> {
    (0..12_000_usize).map(|k| (3 + k % 400, time + k as i64 / 400 * WINDOW, (k * k) as f64 * 0.37)).collect()
}

#[test]
fn windows_that_lack_some_samples_are_not_replaced_by_windows_that_lack_more_of_them() {
    let clock = clock();
    let fs = SimFs::new();
    let db = open_with(&fs, cached(&clock, Vec::new())).unwrap();
    append_all(&db, &many(70_000));
    db.flush().unwrap();
    db.close().unwrap();
    drop(db);
    let samples = segments(&fs, false)[0].clone();
    fs.flip(&samples, 40, 0x10).unwrap();
    drop(reopen_cached(&fs, &clock));
    let (windows, series) = (segments(&fs, true), series_of_windows(&fs));
    assert!((50..400).contains(&series), "{series} series");
    fs.flip(&samples, fs.size(&samples).unwrap() as usize * 3 / 4, 0x10).unwrap();
    let db = reopen_cached(&fs, &clock);
    append_all(&db, &[(0, 2, 1.0)]);
    db.flush().unwrap();
    (0..3).for_each(|_| drop(db.maintain()));
    assert_eq!(segments(&fs, true), windows);
    db.close().unwrap();
    drop(db);
    // What is damaged again as it was is no reason to leave out what came late.
    fs.flip(&samples, fs.size(&samples).unwrap() as usize * 3 / 4, 0x10).unwrap();
    drop(reopen_cached(&fs, &clock));
    assert_ne!(segments(&fs, true), windows);
    assert_eq!(series_of_windows(&fs), series + 1);
}

#[test]
fn windows_answer_for_what_a_repair_could_not_save_though_late_samples_came() {
    let clock = clock();
    let fs = samples_only(&clock);
    let db = open_with(&fs, cached(&clock, levels())).unwrap();
    append_all(&db, &many(SPAN - 30 * WINDOW));
    db.flush().unwrap();
    (0..3).for_each(|_| db.maintain().unwrap());
    let (before, _) = windows_of(&db, "last_over_time");
    assert_eq!(before.len(), 403);
    db.close().unwrap();
    drop(db);
    let damaged = segments(&fs, false).pop().unwrap();
    fs.flip(&damaged, 40, 0x10).unwrap();
    mend(&fs).unwrap();
    let db = reopen_cached(&fs, &clock);
    append_all(&db, &[(0, 2, 4711.0)]);
    db.flush().unwrap();
    (0..3).for_each(|_| drop(db.maintain()));
    assert_eq!(windows_of(&db, "last_over_time"), (before, vec![]));
}

#[test]
fn a_plan_of_retention_says_which_samples_go_without_windows() {
    let clock = clock();
    for (fs, lacks_windows) in [(samples_only(&clock), true), (samples_and_windows(&clock), false)] {
        let db = open_with(&fs, options_at(&clock, Vec::new())).unwrap();
        append_all(&db, &[(0, 4 * SPAN - 1, 1.0)]);
        db.flush().unwrap();
        db.close().unwrap();
        drop(db);
        let kept = Options { retention_ms: Some(300_000), ..options_at(&clock, levels()) };
        let plan = tsdb::retention::plan(&fs, Path::new(DIR), &kept).unwrap();
        assert!(plan.steps.len() >= 4 && plan.steps.iter().all(|step| step.lacks_windows == lacks_windows));
    }
}

#[test]
fn what_a_repair_could_not_save_is_said_of_the_block_and_of_windows_made_of_it() {
    let clock = clock();
    let fs = samples_only(&clock);
    // A block of more than one frame.
    let db = open_with(&fs, options_at(&clock, Vec::new())).unwrap();
    let more = (1..1_500).map(|k| (k % 3, 60_000 + (k as i64) / 3 * 7 + 1, (k * k) as f64 * 0.37));
    append(&db, &more.collect::<Vec<_>>()).unwrap();
    append(&db, &(3..6_000).map(|k| (k, 70_000, (k * k) as f64 * 0.37)).collect::<Vec<_>>()).unwrap();
    db.flush().unwrap();
    db.close().unwrap();
    drop(db);
    let damaged = segments(&fs, false).pop().unwrap();
    fs.flip(&damaged, 40, 0x10).unwrap();
    mend(&fs).unwrap();
    let db = reopen(&fs, &clock);
    assert!(told(&db).iter().any(|told| told.contains("lack")), "{:?}", told(&db));
    let after = TimeRange::new(SPAN - 1000, SPAN).unwrap();
    let querier = db.querier(after).unwrap();
    assert_eq!(querier.select(&[], &SelectHints::over(after)).unwrap().warnings(), [""; 0]);
    assert_eq!(db.stats().rollups_made, 1);
}

#[test]
fn damaged_windows_cost_nothing_while_their_samples_are_there() {
    let clock = clock();
    let whole = samples_and_windows(&clock);
    let windows = segments(&whole, true)[0].clone();
    let index = windows.parent().unwrap().with_file_name("index");
    for file in [windows, index] {
        let size = whole.size(&file).unwrap() as usize;
        for at in (0..size).step_by((size / 20).max(1)) {
            let fs = whole.process_killed();
            let db = open_with(&fs, options_at(&clock, levels())).unwrap();
            fs.flip(&file, at, 0x10).unwrap();
            for function in ["last_over_time", "max_over_time", "quantile_over_time"] {
                let (found, warnings) = windows_of(&db, function);
                let whole = found.len() == 3 && found.values().all(|ends| ends.len() == 288);
                assert!(whole, "{function} with a flip at {at} of {}", file.display());
                assert_eq!(warnings, [""; 0], "nothing is missing: {function} with a flip at {at}");
            }
        }
    }
}

#[test]
fn damaged_windows_without_samples_are_told() {
    let clock = clock();
    let fs = samples_and_windows(&clock);
    for segment in segments(&fs, false) {
        fs.remove_dir_all(segment.parent().unwrap().parent().unwrap()).unwrap();
    }
    let windows = segments(&fs, true)[0].clone();
    fs.flip(&windows, 40, 0x10).unwrap();
    let db = open_with(&fs, options_at(&clock, levels())).unwrap();
    let told = db.left_out(TimeRange::ALL);
    assert!(told.len() == 1 && told[0].contains("from 1 to 288000 ms"), "{told:?}");
    let (_, warnings) = windows_of(&db, "last_over_time");
    assert!(warnings.iter().any(|told| told.contains("chunks")), "{warnings:?}");
}
