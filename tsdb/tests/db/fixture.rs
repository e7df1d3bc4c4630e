//! A database on a simulated disk, and a map to compare it with.

use super::kinds;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tsdb::fs::SimFs;
use tsdb::{Appendable, Db, Durability, Error, Labels, Matcher, Options, Queryable, TimeRange, Timestamp};
use tsdb_core::read::{Querier, SampleColumns, SelectHints, SeriesSet};
use tsdb_core::testing::ManualClock;
use tsdb_core::write::{AppendReport, CommitError};

pub(crate) const DIR: &str = "/data";
/// Width of blocks in the tests, ms.
pub(crate) const WINDOW: i64 = 1000;

/// Values by series and time, bit by bit.
pub(crate) type Contents = BTreeMap<Labels, BTreeMap<Timestamp, u64>>;
pub(crate) type Sample = (usize, Timestamp, f64);

/// Settings for tests: small blocks, nothing in the background, a clock that is far ahead of all samples but does
/// not expire them.
pub(crate) fn options() -> Options {
    Options {
        durability: Durability::EveryCommit,
        block_range_ms: WINDOW,
        retention_ms: None,
        future_skew_ms: None,
        out_of_order_window_ms: 0,
        background: false,
        clock: Arc::new(ManualClock::at(1_000_000)),
        ..Options::default()
    }
}

pub(crate) fn open(fs: &SimFs) -> Result<Db, Error> {
    open_with(fs, options())
}

pub(crate) fn open_with(fs: &SimFs, options: Options) -> Result<Db, Error> {
    Db::open_on(Arc::new(fs.clone()), Path::new(DIR), options)
}

pub(crate) fn labels(series: usize) -> Labels {
    let pairs =
        [("__name__", "metric"), ("parity", ["even", "odd"][series % 2]), ("series", &series.to_string())];
    Labels::from_pairs(pairs).unwrap()
}

/// Appends one batch.
pub(crate) fn append(db: &Db, samples: &[Sample]) -> Result<AppendReport, CommitError> {
    let mut appender = db.appender();
    for (series, timestamp, value) in samples {
        let reference = appender.series(&labels(*series)).unwrap();
        kinds::push(&mut *appender, reference, *series, *timestamp, *value);
    }
    appender.commit()
}

/// Appends one batch of which nothing may be refused.
pub(crate) fn append_all(db: &Db, samples: &[Sample]) {
    let report = append(db, samples).unwrap();
    assert_eq!((report.accepted, report.refused), (samples.len() as u64, vec![]));
}

/// Puts the samples that were accepted into `contents`.
pub(crate) fn note(contents: &mut Contents, samples: &[Sample], report: &AppendReport) {
    assert_eq!(report.accepted as usize + report.refused.len(), samples.len());
    for (position, (series, timestamp, value)) in samples.iter().enumerate() {
        if report.refused.iter().all(|refused| refused.position != position) {
            contents.entry(labels(*series)).or_default().insert(*timestamp, value.to_bits());
        }
    }
}

/// All that the database answers.
pub(crate) fn contents(db: &Db) -> Contents {
    contents_of(&*db.querier(TimeRange::ALL).unwrap(), &[], TimeRange::ALL)
}

pub(crate) fn contents_of(querier: &dyn Querier, matchers: &[Matcher], range: TimeRange) -> Contents {
    let set = querier.select(matchers, &SelectHints::over(range)).unwrap();
    if !querier.may_hold_histograms() {
        assert!(!holds_histograms(&*set), "histograms where there are certainly none");
    }
    read(&*set)
}

fn holds_histograms(set: &dyn SeriesSet) -> bool {
    let mut columns = SampleColumns::new();
    (0..set.len()).any(|index| {
        set.read(index, &mut columns).unwrap();
        !columns.histograms.is_empty()
    })
}

/// All samples of a set. Labels and timestamps must be unique; series without samples are left out.
pub(crate) fn read(set: &dyn SeriesSet) -> Contents {
    let mut contents = Contents::new();
    let mut columns = SampleColumns::new();
    for index in 0..set.len() {
        set.read(index, &mut columns).unwrap();
        assert!(columns.timestamps.is_sorted_by(|a, b| a < b), "{:?}", columns.timestamps);
        let values = kinds::numbers(&set.labels(index), &columns);
        let samples: BTreeMap<_, _> = columns.timestamps.iter().copied().zip(values).collect();
        if !samples.is_empty() {
            assert!(
                contents.insert(set.labels(index), samples).is_none(),
                "{} comes twice",
                set.labels(index)
            );
        }
    }
    contents
}

/// The samples of `contents` within `range` of the series that `keep` wants.
pub(crate) fn part(contents: &Contents, range: TimeRange, keep: impl Fn(&Labels) -> bool) -> Contents {
    let kept = contents.iter().filter(|(labels, _)| keep(labels)).map(|(labels, samples)| {
        let within = samples.range(range.start()..=range.end()).map(|(t, v)| (*t, *v)).collect();
        (labels.clone(), within)
    });
    kept.filter(|(_, samples): &(_, BTreeMap<_, _>)| !samples.is_empty()).collect()
}

/// Moves the samples within `range` of the series that `is_meant` out of `contents`.
pub(crate) fn take_out(
    contents: &mut Contents,
    range: TimeRange,
    is_meant: impl Fn(&Labels) -> bool,
) -> Contents {
    let taken = part(contents, range, &is_meant);
    for (labels, samples) in contents.iter_mut().filter(|(labels, _)| is_meant(labels)) {
        samples.retain(|timestamp, _| !range.contains(*timestamp));
        assert!(samples.iter().all(|(timestamp, _)| !range.contains(*timestamp)), "{labels}");
    }
    contents.retain(|_, samples| !samples.is_empty());
    taken
}

/// Asserts that everything in `wanted` is in `found`, and everything in `found` is in `wanted` or `possible`.
pub(crate) fn assert_between(found: &Contents, wanted: &Contents, possible: &Contents, what: &str) {
    for (labels, samples) in wanted {
        for (timestamp, value) in samples {
            let got = found.get(labels).and_then(|samples| samples.get(timestamp));
            assert_eq!(got, Some(value), "{what}: {labels} at {timestamp}");
        }
    }
    for (labels, samples) in found {
        for (timestamp, value) in samples {
            let has =
                |contents: &Contents| contents.get(labels).and_then(|s| s.get(timestamp)) == Some(value);
            assert!(has(wanted) || has(possible), "{what}: nobody wrote {labels} at {timestamp}");
        }
    }
}
