//! What a database says may have changed holds everything that did.

#![expect(clippy::unwrap_used, reason = "clippy exempts test functions, not what they call")]

use proptest::prelude::*;
use std::collections::BTreeMap;
use tsdb::{Appendable, ChangeMark, Db, Durability, Options, Queryable, RollupLevel};
use tsdb_core::read::{SampleColumns, SelectHints};
use tsdb_core::{Labels, MatchOp, Matcher, TimeRange};

const MINUTE: i64 = 60_000;

#[derive(Debug, Clone)]
enum Step {
    /// Samples of some series, each at so many minutes.
    Write(Vec<(u8, i64)>),
    /// Of the series, from one minute to another.
    Delete(u8, i64, i64),
    Flush,
    Compact,
    Maintain,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = proptest::collection::vec((0u8..3, 0i64..600), 1..6).prop_map(Step::Write);
    let step = prop_oneof![
        6 => write,
        1 => (0u8..3, 0i64..600, 0i64..100).prop_map(|(series, from, len)| Step::Delete(series, from, from + len)),
        1 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => Just(Step::Maintain),
    ];
    proptest::collection::vec(step, 1..25)
}

fn name(series: u8) -> String {
    format!("m{series}")
}

fn carry_out(db: &Db, step: &Step, value: f64) {
    match step {
        Step::Write(samples) => {
            let mut batch = db.appender();
            for (series, minute) in samples {
                let series = batch
                    .series(&Labels::from_pairs([("__name__", name(*series).as_str())]).unwrap())
                    .unwrap();
                batch.append(series, minute * MINUTE, value);
            }
            batch.commit().unwrap();
        }
        Step::Delete(series, from, to) => {
            let matcher = Matcher::new(MatchOp::Equal, "__name__", name(*series)).unwrap();
            db.delete(&[matcher], TimeRange::new(from * MINUTE, to * MINUTE).unwrap()).unwrap();
        }
        Step::Flush => db.flush().unwrap(),
        Step::Compact => db.compact().unwrap(),
        Step::Maintain => db.maintain().unwrap(),
    }
}

type All = BTreeMap<(String, i64), u64>;

fn read(db: &Db) -> All {
    let querier = db.querier(TimeRange::ALL).unwrap();
    let set = querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
    let (mut all, mut columns) = (All::new(), SampleColumns::new());
    for index in 0..set.len() {
        set.read(index, &mut columns).unwrap();
        let name = set.labels(index).metric_name().to_owned();
        for (time, value) in columns.timestamps.iter().zip(&columns.values) {
            all.insert((name.clone(), *time), value.to_bits());
        }
    }
    all
}

fn options() -> Options {
    Options {
        background: false,
        durability: Durability::Lazy,
        out_of_order_window_ms: 10_000 * MINUTE,
        future_skew_ms: None,
        ..Options::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_difference_lies_within_what_may_have_changed(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path(), options()).unwrap();
        let mut seen: Vec<(ChangeMark, All)> = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            seen.push((db.change_mark(), read(&db)));
            carry_out(&db, step, number as f64);
        }
        let now = read(&db);
        for (mark, before) in &seen {
            let changed = db.changed_since(*mark);
            for key in before.keys().chain(now.keys()).filter(|key| before.get(*key) != now.get(*key)) {
                prop_assert!(!changed.spares(TimeRange::instant(key.1)), "{key:?} beyond {changed:?}");
            }
        }
    }
}

#[test]
fn what_only_moves_is_no_change() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), options()).unwrap();
    for minute in 0..600 {
        carry_out(&db, &Step::Write(vec![(0, minute)]), 1.0);
    }
    let mark = db.change_mark();
    for step in [Step::Flush, Step::Compact, Step::Maintain] {
        carry_out(&db, &step, 0.0);
    }
    assert!(db.changed_since(mark).spares(TimeRange::ALL));
    carry_out(&db, &Step::Write(vec![(0, 600)]), 1.0);
    let changed = db.changed_since(mark);
    assert_eq!((changed.from, changed.until), (Some(600 * MINUTE), None));
}

#[test]
fn what_retention_takes_is_a_change_of_the_past_alone() {
    let dir = tempfile::tempdir().unwrap();
    let clock = std::sync::Arc::new(tsdb_core::testing::ManualClock::at(0));
    let mut options = options();
    options.clock = std::sync::Arc::<tsdb_core::testing::ManualClock>::clone(&clock);
    options.retention_ms = Some(600 * MINUTE);
    options.rollups = Vec::<RollupLevel>::new();
    let db = Db::open(dir.path(), options).unwrap();
    carry_out(&db, &Step::Write(vec![(0, 1)]), 1.0);
    clock.set(10 * MINUTE);
    db.flush().unwrap();
    clock.set(3_000 * MINUTE);
    carry_out(&db, &Step::Write(vec![(0, 2_999)]), 1.0);
    let mark = db.change_mark();
    for round in 1..5 {
        db.maintain().unwrap();
        clock.set((3_000 + 61 * round) * MINUTE);
    }
    assert_eq!(read(&db).len(), 1, "the block is gone");
    let changed = db.changed_since(mark);
    assert!(changed.until.is_some_and(|until| until >= MINUTE), "{changed:?}");
    assert!(changed.spares(TimeRange::instant(2_999 * MINUTE)), "{changed:?}");
}
