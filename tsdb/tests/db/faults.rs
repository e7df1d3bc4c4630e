//! Full disks and I/O errors: the engine lives on and loses nothing.

use super::fixture::*;
use tsdb::fs::{Fault, Loss, Op, SimFs};
use tsdb::{Db, Durability, ErrorKind, Options};

/// A life in which everything that fails is tried again, as a sender and the background thread do.
fn live(fs: &SimFs) -> Contents {
    let mut expected = Contents::new();
    let db = retry(|| open(fs));
    for round in 0..12_i64 {
        let samples: Vec<Sample> = (0..4)
            .flat_map(|series| (0..3).map(move |k| (series, round * 300 + k * 100, round as f64)))
            .collect();
        let report = retry(|| append(&db, &samples));
        assert_eq!(report.refused, [], "a sender that tries again finds everything taken");
        note(&mut expected, &samples, &report);
        retry(|| db.maintain());
        if round == 6 {
            retry(|| db.flush());
        }
        assert_eq!(contents(&db), expected);
    }
    retry(|| db.sync());
    expected
}

fn retry<T, E: std::fmt::Display>(mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let mut outcome = attempt();
    for _ in 0..3 {
        match outcome {
            Ok(value) => return value,
            Err(_) => outcome = attempt(),
        }
    }
    outcome.unwrap_or_else(|error| panic!("still failing: {error}"))
}

fn inject_everywhere(fault: Fault) {
    let fs = SimFs::new();
    live(&fs);
    for at in 0..fs.op_count() {
        let fs = SimFs::new();
        fs.inject(at, fault);
        let expected = live(&fs);
        for loss in [Loss::Everything, Loss::Nothing] {
            let db = open(&fs.after_power_cut(loss)).unwrap();
            assert_eq!(contents(&db), expected, "{fault:?} at operation {at}, {loss:?}");
        }
    }
}

#[test]
fn a_disk_that_is_full_for_one_operation_costs_a_repetition_and_nothing_else() {
    inject_everywhere(Fault::OutOfSpace);
}

#[test]
fn an_io_error_at_any_operation_costs_a_repetition_and_nothing_else() {
    inject_everywhere(Fault::Io);
}

#[test]
fn what_an_earlier_run_left_unsynced_is_written_anew_if_it_does_not_sync() {
    let fs = SimFs::new();
    let lazy = open_with(&fs, Options { durability: Durability::Lazy, ..options() }).unwrap();
    append_all(&lazy, &[(0, 1, 1.0), (1, 1, 2.0), (3, 1, 0.5)]);
    let expected = with(&contents(&lazy), &[(0, 2, 3.0)]);
    let killed = fs.process_killed();
    drop(lazy);
    for fault in [Fault::OutOfSpace, Fault::Io] {
        let mut rewritten = 0;
        for at in 0.. {
            let fs = killed.process_killed();
            let db = open(&fs).unwrap();
            let before = fs.op_count();
            fs.inject(before + at, fault);
            retry(|| append(&db, &[(0, 2, 3.0)]));
            let operations = fs.ops().split_off(before);
            rewritten += usize::from(operations.contains(&Op::Rename));
            assert_eq!(contents(&db), expected);
            let disk = fs.after_power_cut(Loss::Everything);
            assert_eq!(contents(&open(&disk).unwrap()), expected, "{fault:?} at operation {at}");
            if at > operations.len() {
                break;
            }
        }
        assert_eq!(rewritten, 1, "{fault:?}: when the sync of the old segment failed");
    }
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_recovers_by_itself() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    append_all(&db, &[(0, 1, 1.0), (1, 1, 2.0)]);
    let before = contents(&db);
    fs.set_capacity(Some(0));
    for attempt in 0..3 {
        let error = append(&db, &[(0, 2, 1.0), (2, 2, 1.0)]).unwrap_err();
        assert!(error.temporary, "attempt {attempt}: {error}");
    }
    assert_eq!(db.flush().unwrap_err().kind(), ErrorKind::Temporary);
    assert_between(&contents(&db), &before, &with(&before, &[(0, 2, 1.0), (2, 2, 1.0)]), "while full");
    assert_eq!(db.stats().failed_commits, 3);
    fs.set_capacity(None);
    append_all(&db, &[(0, 3, 1.0), (2, 3, 1.0)]);
    db.flush().unwrap();
    let found = contents(&db);
    drop(db);
    let db: Db = open(&fs.after_power_cut(Loss::Everything)).unwrap();
    assert_eq!(contents(&db), found);
    let wanted = with(&before, &[(0, 3, 1.0), (2, 3, 1.0)]);
    assert_between(&found, &wanted, &with(&wanted, &[(0, 2, 1.0), (2, 2, 1.0)]), "afterwards");
}

fn with(contents: &Contents, samples: &[Sample]) -> Contents {
    let mut contents = contents.clone();
    for (series, timestamp, value) in samples {
        contents.entry(labels(*series)).or_default().insert(*timestamp, value.to_bits());
    }
    contents
}
