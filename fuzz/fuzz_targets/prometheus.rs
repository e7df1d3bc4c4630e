//! Files of Prometheus: any bytes are read or refused with a word, and what is read is in order.
//!
//! The first byte says which file the others are, and whether the checksums of an index are made to hold first.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::Arc;
use tsdb::fs::{Fs, SimFs};
use tsdb::prometheus::{read_block, read_head};
use tsdb_core::sample::SampleColumns;
use tsdb_fuzz::{Input, prometheus_chunks, prometheus_index};

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let sim = SimFs::new();
    let put = |dir: &str, name: &str, bytes: &[u8]| {
        sim.create_dir_all(Path::new(dir)).expect("the simulation has room");
        let file = sim.create_new(&Path::new(dir).join(name)).expect("the file is new");
        file.append(bytes).expect("the simulation has room");
    };
    let fs: Arc<dyn Fs> = Arc::new(sim.clone());
    match input.byte() % 5 {
        0 => put("b", "index", input.rest()),
        1 => {
            let len = usize::from(input.short());
            let entries = input.take(len);
            put("b", "index", &prometheus_index(Input::new(entries)));
            put("b/chunks", "000001", &prometheus_chunks(input));
        }
        2 => put("wal", "00000000", input.rest()),
        3 => put("chunks_head", "000001", input.rest()),
        _ => put("wbl", "00000000", input.rest()),
    }
    let mut last = None;
    read_block(&fs, Path::new("b"), &mut |labels, columns| {
        assert!(last.as_ref().is_none_or(|last| last < labels), "series are in order");
        last = Some(labels.clone());
        in_order(columns);
    });
    let read = read_head(&fs, Path::new(""), &mut |_, columns| in_order(columns));
    assert!(read.is_ok(), "the directories can be listed");
});

fn in_order(columns: &SampleColumns) {
    assert!(columns.timestamps.is_sorted_by(|a, b| a < b), "samples are in order");
    assert_eq!(columns.timestamps.len(), columns.values.len());
}
