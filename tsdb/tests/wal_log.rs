//! What the log does when nothing goes wrong.

#![expect(clippy::unwrap_used, reason = "a test")]

use proptest::prelude::*;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use tsdb::fs::{Fs, Op, OsFs, SimFs};
use tsdb::wal::{MAX_RECORD_BYTES, ReplayReport, Wal, WalError, WalOptions};

fn open(fs: Arc<dyn Fs>, dir: &Path, options: WalOptions) -> (Wal, Vec<(u64, Vec<u8>)>, ReplayReport) {
    let mut replayed = Vec::new();
    let (wal, report) =
        Wal::open(fs, dir, options, &mut |segment, record| replayed.push((segment, record.to_vec())))
            .unwrap();
    (wal, replayed, report)
}

fn sim(fs: &SimFs) -> (Wal, Vec<(u64, Vec<u8>)>, ReplayReport) {
    open(Arc::new(fs.clone()), Path::new("/wal"), WalOptions::default())
}

#[test]
fn records_come_back_in_order_with_the_number_of_their_segment() {
    let fs = SimFs::new();
    let (wal, replayed, _) = sim(&fs);
    assert!(replayed.is_empty());
    assert_eq!(wal.current_segment(), 1);
    wal.append(&[b"a", b"", b"c"]).unwrap();
    assert_eq!(wal.rotate().unwrap(), 2);
    wal.append(&[b"d"]).unwrap();
    let (_, replayed, report) = sim(&fs);
    let expected = [(1, b"a".to_vec()), (1, vec![]), (1, b"c".to_vec()), (2, b"d".to_vec())];
    assert_eq!(replayed, expected);
    assert_eq!(report, ReplayReport { segments: 2, records: 4, record_bytes: 3, damage: vec![] });
}

#[test]
fn a_log_that_is_only_opened_is_not_written() {
    let fs = SimFs::new();
    drop(sim(&fs));
    let before = fs.files();
    let (wal, ..) = sim(&fs);
    wal.append(&[]).unwrap();
    wal.sync().unwrap();
    assert_eq!(wal.rotate().unwrap(), 1);
    drop(wal);
    assert_eq!(fs.files(), before);
}

#[test]
fn every_run_begins_a_segment_of_its_own() {
    let fs = SimFs::new();
    for run in 1..=3 {
        let (wal, replayed, _) = sim(&fs);
        assert_eq!(replayed.len(), run - 1);
        wal.append(&[b"x"]).unwrap();
        assert_eq!(wal.current_segment(), run as u64);
    }
}

#[test]
fn a_rotation_without_records_keeps_the_segment() {
    let fs = SimFs::new();
    let (wal, ..) = sim(&fs);
    wal.append(&[b"x"]).unwrap();
    assert_eq!(wal.rotate().unwrap(), 2);
    assert_eq!(wal.rotate().unwrap(), 2);
    wal.append(&[b"y"]).unwrap();
    assert_eq!(wal.current_segment(), 2);
}

#[test]
fn dropped_segments_are_gone_and_the_numbering_goes_on() {
    let fs = SimFs::new();
    let (wal, ..) = sim(&fs);
    for record in [b"a", b"b", b"c"] {
        wal.append(&[record]).unwrap();
        wal.rotate().unwrap();
    }
    wal.drop_segments_below(3).unwrap();
    assert_eq!(wal.stats().segments, 1);
    wal.drop_segments_below(4).unwrap();
    drop(wal);
    let (wal, replayed, report) = sim(&fs);
    assert!(replayed.is_empty());
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    assert!(wal.current_segment() >= 4);
    wal.append(&[b"d"]).unwrap();
    drop(wal);
    assert_eq!(sim(&fs).1.last().unwrap().1, b"d");
}

#[test]
fn the_segment_being_written_is_never_dropped() {
    let fs = SimFs::new();
    let (wal, ..) = sim(&fs);
    wal.append(&[b"a"]).unwrap();
    wal.drop_segments_below(100).unwrap();
    drop(wal);
    assert_eq!(sim(&fs).1.len(), 1);
}

#[test]
fn a_full_segment_is_closed_and_a_batch_stays_together() {
    let fs = SimFs::new();
    let options = WalOptions { segment_bytes: 1_000, ..WalOptions::default() };
    let (wal, ..) = open(Arc::new(fs.clone()), Path::new("/wal"), options);
    let large = [7; 5_000];
    for _ in 0..4 {
        wal.append(&[b"head", &large]).unwrap();
    }
    let (_, replayed, _) = open(Arc::new(fs.clone()), Path::new("/wal"), options);
    let segments: Vec<_> = replayed.iter().map(|(segment, _)| *segment).collect();
    assert_eq!(segments, [1, 1, 2, 2, 3, 3, 4, 4]);
    assert_eq!(wal.stats().segments, 4);
    let on_disk: u64 = fs.files().iter().map(|path| fs.size(path).unwrap()).sum();
    assert_eq!(wal.size_bytes(), on_disk);
}

#[test]
fn an_append_is_one_write_and_no_sync() {
    let fs = SimFs::new();
    let (wal, ..) = sim(&fs);
    wal.append(&[b"first"]).unwrap();
    let before = fs.op_count();
    wal.append(&[b"a", &[0; 100_000], b"c"]).unwrap();
    assert_eq!(fs.ops()[before..], [Op::Append]);
}

#[test]
fn a_large_batch_is_written_in_pieces_and_all_or_nothing_of_it_stays() {
    let batch: Vec<&[u8]> = vec![&[5; 100_000]; 50];
    for room in (0..6_000_000).step_by(500_000) {
        let fs = SimFs::new();
        let (wal, ..) = sim(&fs);
        wal.append(&[b"first"]).unwrap();
        fs.set_capacity(Some(room));
        let fits = wal.append(&batch).is_ok();
        fs.set_capacity(None);
        wal.append(&[b"last"]).unwrap();
        let (_, replayed, report) = sim(&fs);
        assert_eq!(replayed.len(), if fits { 52 } else { 2 });
        assert_eq!(replayed.last().unwrap().1, b"last");
        assert_eq!(report.damage, []);
        assert_eq!(fits, room > 5_000_000);
    }
}

#[test]
fn appends_sync_by_themselves_when_too_much_waits() {
    let fs = SimFs::new();
    let options = WalOptions { max_unsynced_bytes: 10_000, ..WalOptions::default() };
    let (wal, ..) = open(Arc::new(fs.clone()), Path::new("/wal"), options);
    for _ in 0..100 {
        wal.append(&[&[1; 1_000]]).unwrap();
        assert!(wal.stats().unsynced_bytes <= 11_000);
    }
    assert_eq!(fs.ops().iter().filter(|op| **op == Op::Sync).count(), 9);
}

#[test]
fn a_sync_of_what_is_durable_touches_no_disk() {
    let fs = SimFs::new();
    let (wal, ..) = sim(&fs);
    let position = wal.append(&[b"x"]).unwrap();
    wal.sync_to(position).unwrap();
    let before = fs.op_count();
    wal.sync_to(position).unwrap();
    wal.sync().unwrap();
    assert_eq!(fs.op_count(), before);
}

#[test]
fn a_record_beyond_the_limit_is_refused() {
    let fs = SimFs::new();
    let (wal, ..) = sim(&fs);
    let oversized = vec![0; MAX_RECORD_BYTES + 1];
    let error = wal.append(&[b"fine", &oversized]).unwrap_err();
    assert!(matches!(error, WalError::RecordTooLarge { .. }));
    assert!(!error.is_temporary());
    drop(wal);
    assert!(sim(&fs).1.is_empty());
}

/// Waits until a number is reached.
#[derive(Default)]
struct Gate {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Gate {
    fn step(&self) {
        *self.count.lock().unwrap() += 1;
        self.changed.notify_all();
    }

    fn wait_for(&self, count: usize) {
        drop(self.changed.wait_while(self.count.lock().unwrap(), |now| *now < count).unwrap());
    }
}

#[test]
fn committers_that_wait_together_share_a_sync() {
    const COMMITTERS: usize = 8;
    let fs = SimFs::new();
    let (wal, ..) = sim(&fs);
    wal.append(&[b"begin"]).unwrap();
    wal.sync().unwrap();
    let gate = Arc::new(Gate::default());
    let held = Arc::clone(&gate);
    // No sync ends before everyone has appended.
    fs.before_sync(move || held.wait_for(COMMITTERS));
    let before = fs.op_count();
    std::thread::scope(|scope| {
        for _ in 0..COMMITTERS {
            scope.spawn(|| {
                let position = wal.append(&[b"commit"]).unwrap();
                gate.step();
                wal.sync_to(position).unwrap();
            });
        }
    });
    let syncs = fs.ops()[before..].iter().filter(|op| **op == Op::Sync).count();
    assert!(syncs <= 2, "{COMMITTERS} committers took {syncs} syncs");
}

#[test]
fn threads_that_append_sync_and_rotate_at_once_lose_nothing() {
    let fs = SimFs::new();
    let options = WalOptions { segment_bytes: 20_000, max_unsynced_bytes: 9_000 };
    let (wal, ..) = open(Arc::new(fs.clone()), Path::new("/wal"), options);
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let wal = &wal;
            scope.spawn(move || {
                for step in 0..200_u8 {
                    let position = wal.append(&[&[thread, step], &[thread; 300]]).unwrap();
                    match step % 5 {
                        0 => wal.sync_to(position).unwrap(),
                        1 if thread == 0 => drop(wal.rotate().unwrap()),
                        _ => {}
                    }
                }
            });
        }
    });
    let (_, replayed, _) = open(Arc::new(fs), Path::new("/wal"), options);
    for thread in 0..4_u8 {
        let steps: Vec<u8> =
            replayed.iter().filter(|(_, r)| r.len() == 2 && r[0] == thread).map(|(_, r)| r[1]).collect();
        assert_eq!(steps, Vec::from_iter(0..200));
    }
}

#[test]
fn the_log_works_on_the_real_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data").join("wal");
    for run in 0..3 {
        let (wal, replayed, report) = open(Arc::new(OsFs), &path, WalOptions::default());
        assert_eq!(replayed.len(), 2 * run);
        assert!(report.damage.is_empty());
        wal.append(&[b"small", &vec![run as u8; 1 << 20]]).unwrap();
        wal.sync().unwrap();
    }
    let (wal, replayed, _) = open(Arc::new(OsFs), &path, WalOptions::default());
    assert_eq!(replayed.last().unwrap().1, vec![2; 1 << 20]);
    wal.drop_segments_below(3).unwrap();
    let names: Vec<_> = OsFs.list(&path).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["000003"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Lengths around the borders of pages and fragments, in batches of any size.
    #[test]
    fn any_lengths_round_trip(
        lengths in proptest::collection::vec(prop_oneof![0_usize..40, 32_700_usize..32_800, 65_400_usize..65_600], 1..20),
        batch in 1_usize..5,
    ) {
        let fs = SimFs::new();
        let (wal, ..) = sim(&fs);
        let records: Vec<Vec<u8>> = lengths.iter().zip(1_u8..).map(|(len, fill)| vec![fill; *len]).collect();
        for records in records.chunks(batch) {
            let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
            wal.append(&slices).unwrap();
        }
        let (_, replayed, report) = sim(&fs);
        prop_assert!(report.damage.is_empty());
        prop_assert_eq!(replayed.into_iter().map(|(_, record)| record).collect::<Vec<_>>(), records);
    }
}
