//! What queries may do to a server, and what they are spared.
//!
//! A query passes, in this order: the [blocked](blocked) queries of its tenant, [answers](answers) that are kept, those
//! who ask the same [at the moment](flight), its [turn](queue) among the tenants, the limits of its tenant before and while
//! it runs, the memory that all queries share, and the [results](cache) that are kept of earlier ones. On its way it is
//! [listed](active) and can be stopped; if it took long it is [logged](slow). Every refusal names a limit and is
//! [counted](counters) by tenant and limit.
//!
//! A request for several tenants counts as one of the first of them.
//!
//! *Absent:* rules, which have threads and memory of their own, and ingest.

mod active;
mod answer;
mod answers;
mod ask;
mod blocked;
mod cache;
mod counters;
mod engine;
mod families;
mod flight;
mod pace;
mod queue;
mod slow;

pub(crate) use answer::Answer;
pub(crate) use ask::{Asking, Question};
pub(crate) use engine::engine_options;
pub(crate) use flight::Delivered;
pub(crate) use pace::Traffic;

use crate::config::QueriesConfig;
use crate::error::{ApiError, ErrorKind};
use crate::limits::QueryLimits;
use crate::workers::Workers;
use active::ActiveQueries;
use answers::Answers;
use blocked::Patterns;
use cache::ResultCache;
use counters::QueryCounters;
use engine::TenantMemory;
use flight::Flights;
use pace::{Credits, GivesWay};
use queue::{Refusal, Terms, Turn, Turns};
use slow::SlowQueries;
use std::sync::Arc;
use std::time::Duration;
use tsdb_core::TenantId;

/// Everything that governs queries, but the limits.
#[derive(Debug)]
pub(crate) struct Governor {
    turns: Arc<Turns>,
    workers: Workers,
    /// After how much CPU a query gives way to others.
    long_after: Option<Duration>,
    credits: Arc<Credits>,
    memory: TenantMemory,
    active: Arc<ActiveQueries>,
    slow: SlowQueries,
    counters: QueryCounters,
    patterns: Patterns,
    flights: Arc<Flights<Question>>,
    answers: Answers,
    results: ResultCache,
}

/// The most threads for queries.
const MAX_CONCURRENCY: usize = 256;

/// One of so many bytes of the cache is for whole answers.
const ANSWERS_SHARE: u64 = 4;

/// When a client should come back that was refused because there is too much to do.
pub(crate) const BUSY_RETRY: Duration = Duration::from_secs(1);

impl Governor {
    /// Starts the threads for queries, which give way to others in `traffic`.
    ///
    /// # Errors
    /// The operating system has no more threads.
    pub(crate) fn start(config: &QueriesConfig, traffic: Arc<Traffic>) -> std::io::Result<Self> {
        let places = config.concurrency.clamp(1, MAX_CONCURRENCY);
        let for_answers = config.cache_bytes / ANSWERS_SHARE;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self {
            turns: Arc::new(Turns::new(places)),
            workers: Workers::start(places)?,
            long_after: Some(config.long_after.as_duration()).filter(|after| !after.is_zero()),
            credits: Arc::new(Credits::of_cores(cores, traffic)),
            memory: TenantMemory::default(),
            active: Arc::default(),
            slow: SlowQueries::default(),
            counters: QueryCounters::default(),
            patterns: Patterns::default(),
            flights: Arc::default(),
            answers: Answers::new(for_answers),
            results: ResultCache::new(config.cache_bytes.saturating_sub(for_answers)),
        })
    }

    /// The queries under way.
    pub(crate) fn active(&self) -> &ActiveQueries {
        &self.active
    }

    /// The latest queries that took long.
    pub(crate) fn slow(&self) -> &SlowQueries {
        &self.slow
    }

    /// The threads for queries. Whoever uses one has a turn.
    pub(crate) fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Who has a query of `tenant` give way to others.
    fn pacer(&self, tenant: &TenantId) -> Option<Arc<GivesWay>> {
        let after = self.long_after?;
        Some(Arc::new(GivesWay::new(after, &self.credits, tenant)))
    }

    /// Do so many queries run that one more gains nothing by threads of its own?
    fn is_busy(&self) -> bool {
        self.turns.running() > self.credits.cores()
    }

    /// How many queries `tenant` may run at a time, if its limit allows so many.
    fn may_run(&self, tenant: &TenantId, allowed: usize) -> usize {
        if self.long_after.is_none() { allowed } else { self.credits.concurrency(tenant, allowed) }
    }

    /// Waits for the turn of a query.
    ///
    /// # Errors
    /// Too many wait already, or it took too long.
    pub(crate) async fn turn(&self, tenant: &TenantId, limits: &QueryLimits) -> Result<Turn, ApiError> {
        let terms = Terms {
            concurrency: self.may_run(tenant, limits.concurrency.as_len()),
            max_queued: limits.max_queued.as_len(),
            max_wait: limits.max_queue_wait.as_duration(),
        };
        let refused = |refusal: Refusal| {
            let (kind, reason, message) = match refusal {
                Refusal::LineFull => {
                    let waiting = terms.max_queued;
                    let message = format!("{waiting} queries wait already, which max_queued allows");
                    (ErrorKind::TooManyRequests, "max_queued", message)
                }
                Refusal::Waited => {
                    let wait = limits.max_queue_wait;
                    let message =
                        format!("the query waited {wait} for its turn, which max_queue_wait allows");
                    (ErrorKind::Unavailable, "max_queue_wait", message)
                }
            };
            self.counters.refused(tenant, reason);
            ApiError::new(kind, message).retry_after(BUSY_RETRY)
        };
        self.turns.take(tenant, terms).await.map_err(refused)
    }
}
