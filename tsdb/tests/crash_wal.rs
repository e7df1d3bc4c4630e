//! The log under power cuts, full disks and I/O errors, at every single operation of random workloads.
//!
//! The model is a list of what was appended, what was acknowledged as durable and what may have been dropped. After
//! every fault the log is opened again and its replay compared with the model.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use tsdb::fs::{Fault, Loss, Op, SimFs};
use tsdb::wal::{DamageKind, Wal, WalOptions};

const DIR: &str = "/wal";

/// Small segments and a small queue, so that a short workload meets every path.
const OPTIONS: WalOptions = WalOptions { segment_bytes: 100_000, max_unsynced_bytes: 60_000 };

/// Records that can be recognised and checked, by number.
static RECORDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| (0..1_024).map(new_record).collect());

fn record(id: u64) -> &'static [u8] {
    &RECORDS[id as usize]
}

/// The number of the record, then bytes that follow from it.
fn new_record(id: u64) -> Vec<u8> {
    let mut draw = Draw(id.wrapping_mul(0x1234_5678_9abc_def1));
    let len = match draw.below(10) {
        0 => 20_000 + draw.below(50_000),
        1..=3 => draw.below(5_000),
        _ => draw.below(100),
    };
    let mut bytes = id.to_le_bytes().to_vec();
    bytes.extend((0..len).map(|_| draw.next() as u8));
    bytes
}

fn id_of(bytes: &[u8]) -> u64 {
    let id = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert!(bytes == record(id), "record {id} was replayed with other bytes");
    id
}

struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// What the caller of the log knows.
#[derive(Debug, Default, Clone)]
struct Model {
    next: u64,
    appended: BTreeSet<u64>,
    /// Appends that failed.
    refused: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
    /// Records in segments that were dropped or may have been.
    droppable: BTreeSet<u64>,
    dropped_below: u64,
    /// For every rotation: the number it returned and what was appended before it.
    rotations: Vec<(u64, BTreeSet<u64>)>,
}

impl Model {
    /// Whoever survives a power cut must hold what was acknowledged, nothing but what was appended, in order.
    fn check_after_crash(&self, replayed: &[u64], context: &str) {
        assert!(replayed.is_sorted_by(|a, b| a < b), "{context}: order or uniqueness is lost: {replayed:?}");
        let replayed: BTreeSet<u64> = replayed.iter().copied().collect();
        let lost: Vec<_> =
            self.acknowledged.difference(&replayed).filter(|id| !self.droppable.contains(id)).collect();
        assert!(lost.is_empty(), "{context}: acknowledged records are lost: {lost:?}");
        let possible: BTreeSet<u64> = self.appended.union(&self.refused).copied().collect();
        let invented: Vec<_> = replayed.difference(&possible).collect();
        assert!(invented.is_empty(), "{context}: records were invented: {invented:?}");
    }

    /// Without a crash the log holds exactly what was appended.
    fn check_complete(&self, replayed: &[u64], context: &str) {
        self.check_after_crash(replayed, context);
        let replayed: BTreeSet<u64> = replayed.iter().copied().collect();
        let refused: Vec<_> = replayed.intersection(&self.refused).collect();
        assert!(refused.is_empty(), "{context}: refused records came back: {refused:?}");
        let lost: Vec<_> =
            self.appended.difference(&replayed).filter(|id| !self.droppable.contains(id)).collect();
        assert!(lost.is_empty(), "{context}: appended records are lost: {lost:?}");
    }
}

fn open(fs: &SimFs) -> (Wal, Vec<u64>) {
    open_after_drop(fs, 0)
}

/// Opens the log after segments below `dropped_below` were dropped: if the directory could not be synced then, any
/// of them may still be there. No other segment may be missing.
fn open_after_drop(fs: &SimFs, dropped_below: u64) -> (Wal, Vec<u64>) {
    let mut replayed = Vec::new();
    let (wal, report) =
        Wal::open(Arc::new(fs.clone()), Path::new(DIR), OPTIONS, &mut |_, bytes| replayed.push(id_of(bytes)))
            .unwrap();
    let alarming = |kind| match kind {
        DamageKind::MissingSegments { through } => through >= dropped_below,
        DamageKind::Truncated | DamageKind::Unreadable => true,
        _ => false,
    };
    assert!(report.damage.iter().all(|damage| !alarming(damage.kind)), "{:?}", report.damage);
    assert_eq!(report.records, replayed.len() as u64);
    (wal, replayed)
}

/// Runs `steps` random operations; errors are noted in the model and the work goes on.
fn work(wal: &Wal, seed: u64, steps: usize, model: &mut Model) {
    let mut draw = Draw(seed);
    for _ in 0..steps {
        match draw.below(12) {
            0..=5 => append(wal, 1 + draw.below(4), model),
            6..=8 => {
                let before = model.appended.clone();
                if wal.sync().is_ok() {
                    model.acknowledged.extend(before);
                }
            }
            9 | 10 => {
                if let Ok(number) = wal.rotate() {
                    model.acknowledged.extend(model.appended.iter().copied());
                    model.rotations.push((number, model.appended.clone()));
                }
            }
            _ => {
                if model.rotations.len() > 1 {
                    let (number, covered) = model.rotations.swap_remove(0);
                    model.droppable.extend(covered);
                    model.dropped_below = number;
                    drop(wal.drop_segments_below(number));
                }
            }
        }
    }
}

fn append(wal: &Wal, count: u64, model: &mut Model) {
    let ids: Vec<u64> = (0..count).map(|i| model.next + i).collect();
    model.next += count;
    let records: Vec<&[u8]> = ids.iter().map(|&id| record(id)).collect();
    match wal.append(&records) {
        Ok(_) => model.appended.extend(ids),
        Err(_) => model.refused.extend(ids),
    }
}

fn run(fs: &SimFs, seed: u64, steps: usize) -> Model {
    let mut model = Model::default();
    // The log may not even open when the fault comes first.
    if let Ok((wal, _)) = Wal::open(Arc::new(fs.clone()), Path::new(DIR), OPTIONS, &mut |_, _| ()) {
        work(&wal, seed, steps, &mut model);
    }
    model
}

fn op_count(seed: u64, steps: usize) -> usize {
    let fs = SimFs::new();
    let model = run(&fs, seed, steps);
    assert!(model.refused.is_empty());
    fs.op_count()
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_acknowledged_and_invents_nothing() {
    for seed in 0..3 {
        for index in 0..op_count(seed, 60) {
            let fs = SimFs::new();
            fs.inject(index, Fault::Crash);
            let model = run(&fs, seed, 60);
            let draws = (0..4).map(|draw| Loss::Random(seed * 1_000_003 + index as u64 * 17 + draw));
            for loss in [Loss::Everything, Loss::Nothing].into_iter().chain(draws) {
                let (_, replayed) = open(&fs.after_power_cut(loss));
                model.check_after_crash(&replayed, &format!("seed {seed}, operation {index}, {loss:?}"));
            }
        }
    }
}

#[test]
fn what_was_replayed_is_durable_before_anything_that_builds_on_it() {
    for seed in 0..3 {
        for index in (0..op_count(seed, 40)).step_by(3) {
            let fs = SimFs::new();
            fs.inject(index, Fault::Crash);
            let mut model = run(&fs, seed, 40);
            // The process dies, the machine does not: nothing is lost, and nothing more is durable than before.
            let fs = fs.process_killed();
            let (wal, replayed) = open(&fs);
            let context = format!("seed {seed}, operation {index}");
            append(&wal, 2, &mut model);
            wal.sync().unwrap();
            model.acknowledged = replayed.into_iter().chain([model.next - 2, model.next - 1]).collect();
            drop(wal);
            let (_, again) = open(&fs.after_power_cut(Loss::Everything));
            model.check_after_crash(&again, &context);
            assert_eq!(again, Vec::from_iter(model.acknowledged.iter().copied()), "{context}");
        }
    }
}

#[test]
fn one_failing_operation_costs_nothing_but_its_own_records() {
    for fault in [Fault::OutOfSpace, Fault::Io] {
        for seed in 0..3 {
            for index in 0..op_count(seed, 60) {
                let fs = SimFs::new();
                fs.inject(index, fault);
                let context = format!("{fault:?} at operation {index}, seed {seed}");
                let mut model = Model::default();
                let opened = Wal::open(Arc::new(fs.clone()), Path::new(DIR), OPTIONS, &mut |_, _| ());
                let Ok((wal, _)) = opened else {
                    assert!(index < 2, "{context}: the log does not open");
                    continue;
                };
                work(&wal, seed, 60, &mut model);
                append(&wal, 1, &mut model);
                wal.sync().unwrap();
                assert!(model.appended.contains(&(model.next - 1)), "{context}: the log does not recover");
                drop(wal);
                for loss in [Loss::Nothing, Loss::Everything] {
                    let (_, replayed) = open_after_drop(&fs.after_power_cut(loss), model.dropped_below);
                    model.check_complete(&replayed, &format!("{context}, {loss:?}"));
                }
            }
        }
    }
}

#[test]
fn an_error_followed_by_a_power_cut_loses_nothing_acknowledged() {
    for seed in 0..3 {
        let count = op_count(seed, 40);
        for first in (0..count).step_by(2) {
            for distance in [1, 2, 3, 5, 9] {
                let fs = SimFs::new();
                fs.inject(first, Fault::Io);
                fs.inject(first + distance, Fault::Crash);
                let model = run(&fs, seed, 40);
                for loss in [Loss::Everything, Loss::Random(first as u64)] {
                    let (_, replayed) = open_after_drop(&fs.after_power_cut(loss), model.dropped_below);
                    model.check_after_crash(&replayed, &format!("seed {seed}, {first}+{distance}, {loss:?}"));
                }
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_until_there_is_space_and_leaves_nothing_half_written() {
    for capacity in (0..200_000).step_by(1_999) {
        let fs = SimFs::new();
        fs.set_capacity(Some(capacity));
        let (wal, _) = open(&fs);
        let mut model = Model::default();
        work(&wal, capacity, 40, &mut model);
        fs.set_capacity(None);
        append(&wal, 1, &mut model);
        assert!(model.appended.contains(&(model.next - 1)), "capacity {capacity}");
        wal.sync().unwrap();
        model.acknowledged.clone_from(&model.appended);
        let (_, replayed) = open(&fs.after_power_cut(Loss::Everything));
        model.check_complete(&replayed, &format!("capacity {capacity}"));
    }
}

#[test]
fn a_full_disk_is_a_temporary_error_and_a_broken_one_is_not() {
    let fs = SimFs::new();
    let (wal, _) = open(&fs);
    wal.append(&[b"first"]).unwrap();
    fs.set_capacity(Some(0));
    assert!(wal.append(&[b"second"]).unwrap_err().is_temporary());
    fs.set_capacity(None);
    (0..20).for_each(|ahead| fs.inject(fs.op_count() + ahead, Fault::Io));
    assert!(!wal.append(&[b"third"]).unwrap_err().is_temporary());
}

#[test]
fn a_failed_sync_is_made_good_in_a_fresh_segment_and_never_repeated_on_the_same_file() {
    let fs = SimFs::new();
    let (wal, _) = open(&fs);
    let mut model = Model::default();
    append(&wal, 3, &mut model);
    let before = fs.op_count();
    fs.inject(before, Fault::Io);
    wal.sync().unwrap();
    let expected = [Op::Sync, Op::Create, Op::Append, Op::Sync, Op::SyncDir];
    assert_eq!(fs.ops()[before..], expected);
    assert_eq!(wal.current_segment(), 2);
    assert_eq!((wal.stats().retired_segments, wal.stats().failed_syncs), (1, 0));
    let (_, replayed) = open(&fs.after_power_cut(Loss::Everything));
    assert_eq!(replayed, [0, 1, 2]);
    let (_, replayed) = open(&fs.after_power_cut(Loss::Nothing));
    assert_eq!(replayed, [0, 1, 2], "what was written twice is replayed once");
}

#[test]
fn threads_that_commit_at_once_keep_what_was_acknowledged_through_errors_and_a_power_cut() {
    const THREADS: u64 = 4;
    const COMMITS: u64 = 60;
    for seed in 0..30 {
        let fs = SimFs::new();
        let (wal, _) = open(&fs);
        let mut draw = Draw(seed);
        for _ in 0..6 {
            let fault = if draw.below(2) == 0 { Fault::Io } else { Fault::OutOfSpace };
            fs.inject(fs.op_count() + draw.below(150) as usize, fault);
        }
        fs.inject(fs.op_count() + 100 + draw.below(300) as usize, Fault::Crash);
        let commit = |id: u64| wal.append(&[record(id)]).and_then(|position| wal.sync_to(position)).is_ok();
        let acknowledged: Vec<BTreeSet<u64>> = std::thread::scope(|scope| {
            let ids = |thread: u64| (0..COMMITS).map(move |commit| thread * COMMITS + commit);
            let workers: Vec<_> = (0..THREADS)
                .map(|t| scope.spawn(move || ids(t).filter(|&id| commit(id)).collect()))
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        for loss in [Loss::Everything, Loss::Nothing, Loss::Random(seed)] {
            let (_, replayed) = open(&fs.after_power_cut(loss));
            let distinct: BTreeSet<u64> = replayed.iter().copied().collect();
            assert_eq!(distinct.len(), replayed.len(), "seed {seed}, {loss:?}: replayed twice");
            for acknowledged in &acknowledged {
                assert!(acknowledged.is_subset(&distinct), "seed {seed}, {loss:?}");
            }
        }
    }
}
