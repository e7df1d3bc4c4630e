//! What each durability promises, and what exactly it does not.

use super::fixture::*;
use std::time::Duration;
use tsdb::fs::{Fault, Loss, SimFs};
use tsdb::{Db, Durability, Options};

/// Batches in a life.
const BATCHES: i64 = 24;

/// How far a life got.
#[derive(Debug, Default)]
struct Known {
    attempted: i64,
    acknowledged: i64,
    /// Acknowledged before the last sync that succeeded.
    synced: i64,
}

fn open_as(fs: &SimFs, durability: Durability) -> Result<Db, tsdb::Error> {
    open_with(fs, Options { durability, ..options() })
}

/// One sender; what the background thread would do comes now and then.
fn live(fs: &SimFs, durability: Durability, known: &mut Known) -> Result<(), Box<dyn std::error::Error>> {
    let db = open_as(fs, durability)?;
    for number in 0..BATCHES {
        known.attempted = number + 1;
        append(&db, &[(0, number * 100, number as f64), (1, number * 100, number as f64)])?;
        known.acknowledged = number + 1;
        if durability == Durability::EveryCommit {
            known.synced = known.acknowledged;
        }
        match number % 8 {
            3 => {
                db.sync()?;
                known.synced = known.acknowledged;
            }
            7 => db.maintain()?,
            _ => {}
        }
    }
    db.close()?;
    Ok(())
}

/// Which batches are there, each of them whole.
fn found(fs: &SimFs, durability: Durability) -> Vec<i64> {
    let found = contents(&open_as(fs, durability).unwrap());
    let times = |series: usize| -> Vec<i64> {
        found.get(&labels(series)).map_or(Vec::new(), |samples| samples.keys().copied().collect())
    };
    assert_eq!(times(0), times(1), "half a batch");
    times(0).into_iter().map(|time| time / 100).collect()
}

fn stop_everywhere(durability: Durability) {
    let fs = SimFs::new();
    live(&fs, durability, &mut Known::default()).unwrap();
    for stop in 0..fs.op_count() {
        let fs = SimFs::new();
        fs.inject(stop, Fault::Crash);
        let mut known = Known::default();
        assert!(live(&fs, durability, &mut known).is_err());
        for loss in [Loss::Everything, Loss::Nothing, Loss::Random(stop as u64), Loss::Random(!stop as u64)] {
            let found = found(&fs.after_power_cut(loss), durability);
            let what = format!("{durability:?}, stopped at {stop}, {loss:?}: {known:?}, {found:?}");
            assert!((0..known.synced).all(|number| found.contains(&number)), "{what}");
            assert!(found.iter().all(|number| *number < known.attempted), "{what}");
        }
    }
}

#[test]
fn every_commit_loses_nothing_acknowledged_in_a_power_cut() {
    stop_everywhere(Durability::EveryCommit);
}

#[test]
fn interval_loses_in_a_power_cut_at_most_what_came_after_the_last_sync_and_whole_batches_only() {
    stop_everywhere(Durability::Interval(Duration::from_millis(200)));
}

#[test]
fn lazy_loses_in_a_power_cut_at_most_what_came_after_the_last_sync_and_whole_batches_only() {
    stop_everywhere(Durability::Lazy);
}

#[test]
fn a_killed_process_loses_nothing_acknowledged_under_any_durability() {
    let interval = Durability::Interval(Duration::from_millis(200));
    for durability in [Durability::EveryCommit, interval, Durability::Lazy] {
        let fs = SimFs::new();
        let db = open_as(&fs, durability).unwrap();
        for number in 0..BATCHES {
            append_all(&db, &[(0, number * 100, 1.0), (1, number * 100, 1.0)]);
            assert_eq!(found(&fs.process_killed(), durability).len() as i64, number + 1, "{durability:?}");
        }
    }
}
