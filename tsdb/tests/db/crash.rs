//! The machine stops at every single operation on the disk.

use super::fixture::*;
use super::kinds;
use std::path::PathBuf;
use tsdb::fs::{Fault, Loss, SimFs};
use tsdb::{Appendable, Db, Error, Matcher, Options, TimeRange};
use tsdb_core::MatchOp;
use tsdb_core::metadata::{Metadata, MetricType};

/// Late samples are taken, and series that stop leave the head early.
fn open(fs: &SimFs) -> Result<Db, Error> {
    let (idle_series_ms, min_idle_series) = (400, 1);
    let (out_of_order_window_ms, checkpoint_log_bytes) = (100_000, 1000);
    open_with(
        fs,
        Options {
            out_of_order_window_ms,
            checkpoint_log_bytes,
            idle_series_ms,
            min_idle_series,
            ..options()
        },
    )
}

/// What a run knew when it ended.
#[derive(Default)]
struct Known {
    /// Acknowledged.
    acknowledged: Contents,
    /// Sent, and not acknowledged.
    attempted: Contents,
}

/// A life of a database with everything in it: new series, cuts, a flush, series that end, deletes, a checkpoint, a
/// reopening.
/// Ends early when the machine stops.
fn live(fs: &SimFs, known: &mut Known) -> Result<(), Box<dyn std::error::Error>> {
    let mut db = open(fs)?;
    for round in 0..14_i64 {
        let samples: Vec<Sample> = (0..4)
            .filter(|series| *series != 3 || round % 5 < 2)
            .flat_map(|series| {
                (0..3).map(move |k| (series, round * 300 + k * 100 + series as i64, round as f64))
            })
            .collect();
        commit(&db, &samples, known)?;
        // Some of these times are in the head, others in blocks.
        let late: Vec<Sample> = (0..2).map(|k| (k, round * 300 - 250 - 900 * k as i64, -1.0)).collect();
        commit(&db, &late, known)?;
        if round % 3 == 2 {
            delete(&db, round, known)?;
        }
        if round == 10 {
            db.clean_tombstones()?;
        }
        db.maintain()?;
        if round == 6 {
            db.flush()?;
        }
        if round == 9 {
            db.close()?;
            db = open(fs)?;
        }
    }
    db.maintain()?;
    db.close()?;
    Ok(())
}

/// Deletes of the even series what the last rounds wrote, in blocks and in the head.
fn delete(db: &Db, round: i64, known: &mut Known) -> Result<(), Error> {
    let range = TimeRange::new((round - 5) * 300 + 150, round * 300 + 50).unwrap();
    let even = Matcher::new(MatchOp::Equal, "parity", "even").unwrap();
    let deleted = db.delete(&[even], range);
    let is_even = |labels: &tsdb::Labels| labels.get("parity") == Some("even");
    let gone = take_out(&mut known.acknowledged, range, is_even);
    take_out(&mut known.attempted, range, is_even);
    if deleted.is_err() {
        // Nobody knows.
        for (labels, samples) in gone {
            known.attempted.entry(labels).or_default().extend(samples);
        }
    }
    deleted
}

fn commit(db: &Db, samples: &[Sample], known: &mut Known) -> Result<(), Box<dyn std::error::Error>> {
    let mut appender = db.appender();
    let help = Metadata { metric_type: MetricType::Gauge, help: "Says nothing.".into(), unit: String::new() };
    appender.set_metadata("metric", help);
    for (series, timestamp, value) in samples {
        let reference = appender.series(&labels(*series))?;
        kinds::push(&mut *appender, reference, *series, *timestamp, *value);
    }
    match appender.commit() {
        Ok(report) => note(&mut known.acknowledged, samples, &report),
        Err(error) => {
            for (series, timestamp, value) in samples {
                known.attempted.entry(labels(*series)).or_default().insert(*timestamp, value.to_bits());
            }
            return Err(error.into());
        }
    }
    Ok(())
}

/// Opens what is left and checks it; then goes on living with it and checks again.
fn recover(fs: &SimFs, known: &Known, what: &str) {
    let db = open(fs).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = contents(&db);
    assert_between(&found, &known.acknowledged, &known.attempted, what);
    if !known.acknowledged.is_empty() {
        assert_eq!(db.metadata().len(), 1, "{what}");
    }
    let mut expected = found;
    for round in 0..3 {
        let samples: Vec<Sample> = (2..6).map(|series| (series, 10_000 + round * 900, 7.0)).collect();
        append_all(&db, &samples);
        samples.iter().for_each(|(series, t, v)| {
            expected.entry(labels(*series)).or_default().insert(*t, v.to_bits());
        });
        db.maintain().unwrap();
        assert_eq!(contents(&db), expected, "{what}");
    }
    db.flush().unwrap();
    drop(db);
    let db = open(fs).unwrap();
    assert_eq!(contents(&db), expected, "{what}");
    let warnings = db.stats().warnings;
    assert!(
        warnings
            .iter()
            .all(|warning| warning.contains("ends inside a record") || warning.contains("is empty")),
        "{what}: {warnings:?}"
    );
}

fn operations() -> usize {
    let fs = SimFs::new();
    let mut known = Known::default();
    live(&fs, &mut known).unwrap();
    let is_checkpoint = |path: &PathBuf| path.to_string_lossy().contains("checkpoint");
    assert!(fs.files().iter().any(is_checkpoint), "the life has everything in it");
    recover(&fs.after_power_cut(Loss::Everything), &known, "no crash");
    fs.op_count()
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_every_operation() {
    let operations = operations();
    assert!(operations > 150, "the life has {operations} operations");
    for stop in 0..operations {
        let fs = SimFs::new();
        fs.inject(stop, Fault::Crash);
        let mut known = Known::default();
        assert!(live(&fs, &mut known).is_err(), "operation {stop} is on the way");
        for loss in [Loss::Everything, Loss::Nothing, Loss::Random(stop as u64), Loss::Random(!stop as u64)] {
            recover(&fs.after_power_cut(loss), &known, &format!("stopped at operation {stop}, {loss:?}"));
        }
    }
}

#[test]
fn a_second_power_cut_during_recovery_loses_nothing_either() {
    let operations = operations();
    for stop in (0..operations).step_by(7) {
        let fs = SimFs::new();
        fs.inject(stop, Fault::Crash);
        let mut known = Known::default();
        assert!(live(&fs, &mut known).is_err());
        let disk = fs.after_power_cut(Loss::Random(stop as u64));
        let before = disk.op_count();
        drop(open(&disk.after_power_cut(Loss::Nothing)));
        for again in 0..12 {
            let disk = fs.after_power_cut(Loss::Random(stop as u64));
            disk.inject(before + again, Fault::Crash);
            let opened = open(&disk).map(|db| db.maintain());
            drop(opened);
            let what = format!("stopped at {stop}, again {again} operations later");
            recover(&disk.after_power_cut(Loss::Random(again as u64)), &known, &what);
        }
    }
}
