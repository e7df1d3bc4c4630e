//! The index file of a block: any bytes are read or refused, and what the full check accepts is consistent.
//!
//! The first byte says whether the checksums are made to hold first.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb_core::{MatchOp, Matcher};
use tsdb_fuzz::seal_index;
use tsdb_index::IndexReader;

/// How many series are read.
const SERIES: u32 = 256;

fuzz_target!(|data: &[u8]| {
    let Some((mode, bytes)) = data.split_first() else { return };
    let mut file = bytes.to_vec();
    if mode & 1 == 0 {
        seal_index(&mut file);
    }
    let Ok(index) = IndexReader::open(&file) else { return };
    let sound = index.check().is_ok();
    let mut cursor = index.cursor();
    let mut chunks = Vec::new();
    for series in 0..index.series_count().min(SERIES) {
        let labels = cursor.labels(series);
        let found = cursor.chunks(series, &mut chunks);
        if !sound {
            continue;
        }
        let labels = labels.expect("a checked index has labels for every series");
        found.expect("a checked index has chunks for every series");
        assert_eq!(index.labels(series).as_ref(), Ok(&labels));
        for (name, value) in labels.iter() {
            let matcher = Matcher::new(MatchOp::Equal, name, value).expect("no pattern, no error");
            assert!(index.select(&[matcher]).is_ok_and(|set| set.contains(series)));
        }
    }
    for (op, value) in [
        (MatchOp::Equal, "api"),
        (MatchOp::NotEqual, "api"),
        (MatchOp::Regex, "a.*"),
        (MatchOp::Regex, ".*[a-c].*"),
        (MatchOp::NotRegex, ".+"),
        (MatchOp::Regex, "api|web"),
    ] {
        let matcher = Matcher::new(op, "job", value).expect("the pattern is valid");
        let found = index.select(&[matcher]);
        assert!(!sound || found.is_ok());
    }
});
