//! What an engine is told once, and what each query is told anew.

use crate::memory::MemoryPool;
use crate::parse::ParseOptions;
use crate::plan::Passes;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tsdb_core::Timestamp;

/// Settings of an [`Engine`](crate::Engine). The defaults are those of a Prometheus server.
#[derive(Clone)]
#[non_exhaustive]
pub struct EngineOptions {
    /// How far back an instant selector looks for a sample, ms. Default 5 minutes.
    pub lookback_ms: i64,
    /// Step of a subquery that names none, ms. Default 1 minute.
    pub default_subquery_step_ms: i64,
    /// Samples that one query may hold at one time. Default 50 million.
    pub max_samples: u64,
    /// Series that the selectors of one query may find together, equal ones counted once. Like the other limits on
    /// estimates it is checked before anything is read. Default no limit.
    pub max_series: Option<u64>,
    /// Samples that one query may read, by the estimate of storage. Default no limit.
    pub max_estimated_samples: Option<u64>,
    /// Points, one for each selected series and step, that one query may compute. Default no limit.
    pub max_estimated_points: Option<u64>,
    /// Memory that these samples and points would take if they were held at one time. Default no limit.
    pub max_estimated_bytes: Option<u64>,
    /// Time that one query may take; `None` for no limit. Default 2 minutes.
    pub timeout: Option<Duration>,
    /// Time between start and end of one range query, ms. Default no limit.
    pub max_range_ms: Option<u64>,
    /// How often a range query may step forward, which makes one point more. Default 11 000.
    pub max_points: u64,
    /// Keep the metric name until the end of the query, so that outer functions still see it. Default off.
    pub delayed_name_removal: bool,
    /// Which passes make plans cheaper. Default all.
    pub passes: Passes,
    /// `use-start-timestamps`: what samples say of when their counting began tells `rate`, `increase`, `irate` and
    /// `resets` of resets, and `start_timestamp` shows it. Default off.
    pub use_start_timestamps: bool,
    /// Which parts of the language are switched on, and the limits of the parser.
    pub parse: ParseOptions,
    /// Memory that all queries share, beside the bound of each. Default none.
    pub memory: Option<Arc<MemoryPool>>,
    /// Runs the parallel parts of a query.
    pub executor: Arc<dyn Executor>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_ms: 5 * 60 * 1000,
            default_subquery_step_ms: 60 * 1000,
            max_samples: 50_000_000,
            max_series: None,
            max_estimated_samples: None,
            max_estimated_points: None,
            max_estimated_bytes: None,
            timeout: Some(Duration::from_secs(120)),
            max_range_ms: None,
            max_points: 11_000,
            delayed_name_removal: false,
            passes: Passes::default(),
            use_start_timestamps: false,
            parse: ParseOptions::default(),
            memory: None,
            executor: Arc::new(ScopedThreads::default()),
        }
    }
}

impl fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineOptions")
            .field("lookback_ms", &self.lookback_ms)
            .field("default_subquery_step_ms", &self.default_subquery_step_ms)
            .field("max_samples", &self.max_samples)
            .field("max_series", &self.max_series)
            .field("max_estimated_samples", &self.max_estimated_samples)
            .field("max_estimated_points", &self.max_estimated_points)
            .field("max_estimated_bytes", &self.max_estimated_bytes)
            .field("max_range_ms", &self.max_range_ms)
            .field("passes", &self.passes)
            .field("timeout", &self.timeout)
            .field("max_points", &self.max_points)
            .field("delayed_name_removal", &self.delayed_name_removal)
            .field("use_start_timestamps", &self.use_start_timestamps)
            .field("parse", &self.parse)
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}

/// The times at which a query is evaluated, and limits that hold for it alone.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct QueryParams {
    /// First evaluation time, ms.
    pub start: Timestamp,
    /// Last possible evaluation time, ms.
    pub end: Timestamp,
    /// Distance of the evaluation times, ms; 0 for an instant query.
    pub step_ms: i64,
    /// Replaces the engine's lookback.
    pub lookback_ms: Option<i64>,
    /// Replaces the engine's timeout if it is shorter.
    pub timeout: Option<Duration>,
    /// Setting it ends the query with [`QueryError::Cancelled`](crate::QueryError::Cancelled).
    pub cancel: Option<Arc<AtomicBool>>,
    /// Called while the query works.
    pub pacer: Option<Arc<dyn Pacer>>,
    /// Measure what each operator does: see [`QueryStats::operators`](crate::QueryStats::operators). Takes time.
    pub profile: bool,
}

/// Whoever shares a machine among queries.
pub trait Pacer: Send + Sync + fmt::Debug {
    /// Called on each thread that works on the query, as often as that asks whether the query may go on: before each series,
    /// and within series that take long. It holds nothing meanwhile that others wait for.
    fn pace(&self);
}

impl QueryParams {
    /// One evaluation at `at` (ms).
    pub const fn instant(at: Timestamp) -> Self {
        Self {
            start: at,
            end: at,
            step_ms: 0,
            lookback_ms: None,
            timeout: None,
            cancel: None,
            pacer: None,
            profile: false,
        }
    }

    /// Evaluations at `start`, `start + step_ms`, ... up to and including `end` (ms).
    pub const fn range(start: Timestamp, end: Timestamp, step_ms: i64) -> Self {
        Self {
            start,
            end,
            step_ms,
            lookback_ms: None,
            timeout: None,
            cancel: None,
            pacer: None,
            profile: false,
        }
    }

    /// Is this an instant query?
    pub const fn is_instant(&self) -> bool {
        self.step_ms == 0
    }
}

/// Runs the tasks of a query, possibly at the same time.
pub trait Executor: Send + Sync {
    /// How many tasks may run at the same time; at least 1.
    fn threads(&self) -> usize;

    /// Calls `task` exactly once with each number below `tasks`, in any order and on any threads, and returns
    /// when all calls have returned.
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync));
}

/// Starts scoped threads for every run. With one thread, everything runs on the caller's.
#[derive(Debug, Clone, Copy)]
pub struct ScopedThreads {
    threads: usize,
    /// Stack of each thread but the caller's, bytes; 0 for what threads commonly have.
    stack_bytes: usize,
}

impl ScopedThreads {
    /// An executor on `threads` threads, the caller's among them; at least one.
    pub const fn new(threads: usize) -> Self {
        Self { threads: if threads == 0 { 1 } else { threads }, stack_bytes: 0 }
    }

    /// An executor whose threads have this much stack, bytes.
    #[must_use]
    pub const fn with_stack(self, stack_bytes: usize) -> Self {
        Self { stack_bytes, ..self }
    }

    fn builder(self) -> std::thread::Builder {
        let builder = std::thread::Builder::new();
        if self.stack_bytes == 0 { builder } else { builder.stack_size(self.stack_bytes) }
    }
}

impl Default for ScopedThreads {
    /// As many threads as the machine has cores for us.
    fn default() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
    }
}

impl Executor for ScopedThreads {
    fn threads(&self) -> usize {
        self.threads
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= tasks {
                    break;
                }
                task(index);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads.min(tasks) {
                // Where the system has no more threads, those that run do the work.
                if self.builder().spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            work();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn every_task_runs_exactly_once() {
        for threads in [0, 1, 3] {
            let seen = Mutex::new(vec![0u32; 17]);
            ScopedThreads::new(threads).run(17, &|index| seen.lock().unwrap()[index] += 1);
            assert_eq!(seen.into_inner().unwrap(), vec![1; 17]);
        }
    }
}
