//! A head for tests of its parts, on a simulated file system.

use super::{CatalogLimits, Duplicates, Durable, Head, Place, Recovery, Settings};
use crate::fs::SimFs;
use crate::wal::WalOptions;
use std::sync::Arc;
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
