//! The write-ahead log: whatever the segments hold, opening ends in records or a named refusal, the log takes new
//! records afterwards, and what damage leaves over is what was written.
//!
//! The first byte chooses what the segments are: the input as it is, valid fragments cut from it, or a log written
//! from it and then damaged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::Arc;
use tsdb::fs::{Fs, SimFs};
use tsdb::wal::{Wal, WalOptions};
use tsdb_fuzz::{Input, wal_segment};

const DIR: &str = "wal";

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => read_raw(input),
        1 => read_fragments(input),
        _ => read_damaged(input),
    }
});

fn read_raw(mut input: Input<'_>) {
    let fs = SimFs::new();
    let first = usize::from(input.short());
    put(&fs, 1, input.take(first));
    if !input.is_empty() {
        put(&fs, 2, input.rest());
    }
    replay_twice(&fs);
}

fn read_fragments(mut input: Input<'_>) {
    let fs = SimFs::new();
    let (first, trusted) = (usize::from(input.short()), u64::from(input.short()));
    let segment = wal_segment(Input::new(input.take(first)), 1, 0);
    let end = if trusted == 0 { segment.len() as u64 } else { trusted };
    put(&fs, 1, &segment);
    if !input.is_empty() {
        put(&fs, 2, &wal_segment(input, 2, end));
    }
    replay_twice(&fs);
}

/// Replays, appends a record, and replays again: the same records and the new one.
fn replay_twice(fs: &SimFs) {
    let Some((wal, before)) = replay(fs) else { return };
    wal.append(&[b"another"]).expect("the log goes on after any damage");
    wal.sync().expect("the simulated disk syncs");
    drop(wal);
    let (_, after) = replay(fs).expect("a log that opened opens again");
    assert_eq!(after.split_last(), Some((&b"another".to_vec(), before.as_slice())));
}

fn read_damaged(mut input: Input<'_>) {
    let flips: Vec<(u16, u8)> = (0..input.byte() % 8).map(|_| (input.short(), input.byte())).collect();
    let mut records = Vec::new();
    while !input.is_empty() {
        let length = usize::from(input.byte()) * (usize::from(input.byte() % 4) * 100 + 1);
        let mut record = input.take(8).to_vec();
        record.resize(length, 7);
        records.push(record);
    }
    let fs = SimFs::new();
    let (wal, _) = replay(&fs).expect("an empty log opens");
    for batch in records.chunks(3) {
        wal.append(&batch.iter().map(Vec::as_slice).collect::<Vec<_>>())
            .expect("the simulated disk takes all");
    }
    wal.sync().expect("the simulated disk syncs");
    drop(wal);
    let damaged = flips.iter().any(|(offset, mask)| {
        *mask != 0 && fs.flip(&Path::new(DIR).join("000001"), usize::from(*offset), *mask).is_ok()
    });
    // A flipped bit of the version is refused: it cannot be told from a version of the future only by its checksum.
    let Some((_, found)) = replay(&fs) else { return assert!(damaged) };
    let mut written = records.iter();
    assert!(
        found.iter().all(|record| written.any(|other| other == record)),
        "records are neither made up nor swapped"
    );
    assert!(damaged || found.len() == records.len());
}

fn put(fs: &SimFs, number: u64, bytes: &[u8]) {
    let path = Path::new(DIR).join(format!("{number:06}"));
    fs.create_dir_all(Path::new(DIR)).expect("the simulated disk takes a directory");
    let file = fs.create_new(&path).expect("the simulated disk takes a file");
    file.append(bytes).expect("the simulated disk takes bytes");
}

fn replay(fs: &SimFs) -> Option<(Wal, Vec<Vec<u8>>)> {
    let mut records = Vec::new();
    let mut collect = |_: u64, record: &[u8]| records.push(record.to_vec());
    let (wal, report) =
        Wal::open(Arc::new(fs.clone()), Path::new(DIR), WalOptions::default(), &mut collect).ok()?;
    assert_eq!(report.records, records.len() as u64);
    Some((wal, records))
}
