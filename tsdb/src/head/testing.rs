//! A head for tests of its parts, on a simulated file system.

use super::{CatalogLimits, Duplicates, Durable, Head, Place, Recovery, Settings};
use crate::fs::SimFs;
use crate::wal::WalOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tsdb_core::testing::ManualClock;

/// An empty head that takes samples so late, opened at `now_ms`, and what is left to do before it is whole.
#[expect(clippy::unwrap_used, reason = "clippy exempts test functions, not what they call")]
pub(super) fn open(late_window_ms: i64, now_ms: i64) -> (Head, Recovery) {
    let place =
        Place { fs: Arc::new(SimFs::new()), wal_dir: "/wal".into(), wal_options: WalOptions::default() };
    let settings = Settings {
        durable: Durable::Later,
        future_skew_ms: None,
        late_window_ms,
        late_bytes: 1 << 20,
        duplicates: Duplicates::KeepFirst,
        series_limits: Arc::default(),
        metadata: CatalogLimits { metrics: 0, bytes: 0 },
        max_exemplars: 0,
        clock: Arc::new(ManualClock::at(now_ms)),
    };
    Head::open(place, settings).unwrap()
}

/// The bits of the number at which a lane panics; 0 for none. No number that other tests write has these bits.
pub(super) static PANICS_AT: AtomicU64 = AtomicU64::new(0);

/// Called by lanes before they take `number`.
pub(super) fn panic_if_told(number: f64) {
    let bits = PANICS_AT.load(Ordering::SeqCst);
    assert!(bits == 0 || bits != number.to_bits(), "a lane is told to panic");
}
