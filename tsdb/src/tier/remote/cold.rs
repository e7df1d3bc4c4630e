//! How often a cold query asks the store, and for how much.

use super::tests::{equal, fixture_with, read};
use std::time::Duration;
use tsdb_core::TimeRange;
use tsdb_core::read::{Projection, SampleColumns};
use xxhash_rust::xxh3::xxh3_64;

/// No two are alike, and none can be packed: frames are as long as they get.
fn noise(n: i64, metric: i64, target: i64) -> f64 {
    f64::from_bits(xxh3_64(&[n, metric, target].map(i64::to_le_bytes).concat()) >> 2)
}

#[test]
fn frames_of_any_length_take_no_further_step() {
    let fixture = fixture_with(300, 3, 240, noise);
    fixture.ship();
    fixture.store.set_latency(Duration::from_millis(20));
    for matchers in [
        vec![equal("__name__", "metric_0001_total")],
        vec![equal("__name__", "metric_0001_total"), equal("job", "job-007")],
        vec![equal("instance", "host-000123:9100")],
    ] {
        let (_, far) = fixture.far();
        fixture.store.take_asked();
        assert_eq!(read(&far, &matchers).unwrap(), read(&fixture.block, &matchers).unwrap());
        let asked = fixture.store.take_asked();
        assert!((1..=3).contains(&asked.in_a_row), "{matchers:?}: {asked:?}");
    }
}

#[test]
fn what_is_read_ahead_is_still_there_when_it_is_read_however_much_is_asked_for() {
    let fixture = fixture_with(1_000, 3, 240, noise);
    fixture.ship();
    let size: u64 = {
        let tails = fixture.block.tails().unwrap();
        tails.iter().map(|(_, frames_end)| *frames_end).sum()
    };
    let ahead_bytes = 512 << 10;
    let (_, far) = fixture.far_with(2 << 20);
    fixture.store.take_asked();
    let mut damage = Vec::new();
    let found = far.select_ahead(&[], TimeRange::ALL, &Projection::All, &mut damage, ahead_bytes).unwrap();
    assert_eq!((found.len(), damage.len()), (3_000, 0));
    let (mut samples, mut start) = (SampleColumns::new(), 0);
    for end in far.steps(&found, ahead_bytes) {
        far.read_ahead_samples(&found[start..end]);
        for series in &found[start..end] {
            samples.clear();
            far.read(&series.chunks, &series.deleted, TimeRange::ALL, &mut samples).unwrap();
            assert_eq!(samples.len(), 240);
        }
        start = end;
    }
    assert_eq!(start, found.len());
    let asked = fixture.store.take_asked();
    assert!(asked.bytes < size * 3 / 2, "{asked:?} of {size} bytes");
}
