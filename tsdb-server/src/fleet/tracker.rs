//! The thread that shares sketches and remembers what came back.

use super::{Board, FleetCount, Share};
use crate::config::CardinalityTrackerConfig;
use crate::store::Stores;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tsdb_core::TenantId;
use tsdb_core::time::Clock;

/// Not more often are sketches shared.
const SHORTEST: Duration = Duration::from_millis(100);
/// Estimates are stale that are older than so many intervals.
const STALE_INTERVALS: u32 = 3;

/// Counts the series of tenants over the fleet.
pub(crate) struct Tracker {
    inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Inner {
    board: Box<dyn Board>,
    stores: Arc<dyn Stores>,
    clock: Arc<dyn Clock>,
    interval: Duration,
    window_ms: i64,
    max_exact_series: usize,
    known: Mutex<Known>,
    stopping: Mutex<bool>,
    wake: Condvar,
}

/// What came back.
#[derive(Debug, Default)]
struct Known {
    counts: BTreeMap<TenantId, Counted>,
    exchanges: u64,
    failures: u64,
    /// Why the last exchange failed, if it did.
    fault: Option<String>,
}

/// A count, and when the board gave it, ms of the monotonic clock.
#[derive(Debug, Clone, Copy)]
struct Counted {
    count: FleetCount,
    at_ms: i64,
}

/// An estimate, and how old it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Estimate {
    pub(crate) count: FleetCount,
    pub(crate) age: Duration,
    /// Is it so old that the board must be away?
    pub(crate) is_stale: bool,
}

/// All estimates, and how the board is.
#[derive(Debug, Clone)]
pub(crate) struct FleetStatus {
    pub(crate) estimates: BTreeMap<TenantId, Estimate>,
    pub(crate) exchanges: u64,
    pub(crate) failures: u64,
    pub(crate) fault: Option<String>,
}

impl Tracker {
    /// A tracker that does nothing before it is [started](Self::start).
    pub(crate) fn new(
        board: Box<dyn Board>,
        stores: Arc<dyn Stores>,
        clock: Arc<dyn Clock>,
        config: &CardinalityTrackerConfig,
    ) -> Self {
        let inner = Inner {
            board,
            stores,
            clock,
            interval: config.interval.as_duration().max(SHORTEST),
            window_ms: config.window.as_signed_ms(),
            max_exact_series: config.max_exact_series,
            known: Mutex::default(),
            stopping: Mutex::new(false),
            wake: Condvar::new(),
        };
        Self { inner: Arc::new(inner), thread: Mutex::default() }
    }

    /// Starts to share sketches.
    ///
    /// # Errors
    /// The operating system has no more threads.
    pub(crate) fn start(&self) -> std::io::Result<()> {
        let inner = Arc::clone(&self.inner);
        let thread = std::thread::Builder::new().name("tsdb-tracker".into()).spawn(move || inner.run())?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Ends sharing: waits at most until the board answers or runs out of time.
    pub(crate) fn stop(&self) {
        *self.inner.stopping.lock() = true;
        self.inner.wake.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            log::error!("the thread of the cardinality tracker panicked");
        }
    }

    /// What is known.
    pub(crate) fn status(&self) -> FleetStatus {
        let now_ms = self.inner.clock.monotonic_ms();
        let known = self.inner.known.lock();
        let estimate = |counted: &Counted| {
            let age = now_ms.saturating_sub(counted.at_ms).max(0);
            let age = Duration::from_millis(age.unsigned_abs());
            let is_stale = age > self.inner.interval.saturating_mul(STALE_INTERVALS);
            Estimate { count: counted.count, age, is_stale }
        };
        FleetStatus {
            estimates: known
                .counts
                .iter()
                .map(|(tenant, counted)| (tenant.clone(), estimate(counted)))
                .collect(),
            exchanges: known.exchanges,
            failures: known.failures,
            fault: known.fault.clone(),
        }
    }
}

impl Inner {
    fn run(&self) {
        // When the sketch of each tenant was begun, ms of the monotonic clock.
        let mut begun = BTreeMap::new();
        loop {
            let own = self.shares(&mut begun);
            self.exchange(&own);
            let mut stopping = self.stopping.lock();
            if !*stopping {
                self.wake.wait_for(&mut stopping, self.interval);
            }
            if *stopping {
                return;
            }
        }
    }

    fn shares(&self, begun: &mut BTreeMap<TenantId, i64>) -> Vec<Share> {
        let stores = self.stores.list();
        begun.retain(|tenant, _| stores.iter().any(|(of, _)| of == tenant));
        let share = |(tenant, store): (TenantId, Arc<dyn crate::Store>)| {
            let now_ms = self.clock.monotonic_ms();
            let is_old = |begun_ms: &i64| now_ms.saturating_sub(*begun_ms) >= self.window_ms;
            // What a replay finds is not kept up.
            let is_replaying = store.stats().is_some_and(|stats| stats.unreplayed_bytes.is_some());
            let anew = is_replaying || begun.get(&tenant).is_none_or(is_old);
            let sketch = store.series_sketch(anew)?;
            if is_replaying {
                begun.remove(&tenant);
            } else if anew {
                begun.insert(tenant.clone(), now_ms);
            }
            let most = if is_replaying { 0 } else { self.max_exact_series };
            Some(Share { tenant, sketch, store, most })
        };
        stores.into_iter().filter_map(share).collect()
    }

    fn exchange(&self, own: &[Share]) {
        let answer = self.board.exchange(own);
        let at_ms = self.clock.monotonic_ms();
        let mut known = self.known.lock();
        match answer {
            Ok(counts) => {
                known.counts.retain(|tenant, _| own.iter().any(|share| share.tenant == *tenant));
                for (share, count) in own.iter().zip(counts) {
                    if let Some(count) = count {
                        known.counts.insert(share.tenant.clone(), Counted { count, at_ms });
                    }
                }
                known.exchanges = known.exchanges.saturating_add(1);
                if known.fault.take().is_some() {
                    log::info!("series are counted over the fleet again");
                }
            }
            Err(error) => {
                known.failures = known.failures.saturating_add(1);
                if known.fault.replace(error.to_string()).is_none() {
                    log::warn!("series are not counted over the fleet, estimates get old: {error}");
                }
            }
        }
    }
}
