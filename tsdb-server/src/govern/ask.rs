//! A query's way from its request to its answer.

use super::active::Description;
use super::answer::Answer;
use super::cache::{Asked, Validity};
use super::engine::{engine_of, limit_of};
use super::flight::Delivered;
use super::slow::{Cost, SlowQuery};
use crate::access::Scope;
use crate::api::{Detail, Outlet, Stop, query_result, stats_text};
use crate::error::{ApiError, ErrorKind};
use crate::limits::{Limits, QueryLimits};
use crate::state::Server;
use axum::response::{IntoResponse, Response};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tsdb_core::{TenantId, Timestamp};
use tsdb_promql::{Engine, Pacer, QueryParams, QueryResult};

/// What is asked, as far as the answer depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) tenants: Vec<TenantId>,
    pub(crate) text: String,
    start: Timestamp,
    end: Timestamp,
    step_ms: i64,
    lookback_ms: Option<i64>,
    timeout: Option<Duration>,
    keep: Option<usize>,
}

/// A query as it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    pub(crate) scope: Scope,
    pub(crate) text: String,
    pub(crate) params: QueryParams,
    /// The most series that are wanted.
    pub(crate) keep: Option<usize>,
    /// What is told of its cost.
    pub(crate) detail: Detail,
    /// Is it to be answered anew in any case?
    pub(crate) no_store: bool,
}

/// The largest answer that is held whole to be given to several.
const MAX_SHARED_BYTES: usize = 4 << 20;

/// A query that is evaluated.
struct Evaluation {
    asking: Asking,
    tenant: TenantId,
    limits: Arc<Limits>,
    asked_at: Instant,
    waited: Duration,
    /// Are results kept, and taken of those that are?
    uses_cache: bool,
    validity: Arc<OnceLock<Validity>>,
}

impl Server {
    /// The engine for queries of `tenant`, which has these limits.
    pub(crate) fn engine_for(&self, tenant: &TenantId, limits: &QueryLimits) -> Engine {
        engine_of(self.engine(), limits, &self.governor().memory, tenant, self.governor().is_busy())
    }

    /// The answer to a query.
    ///
    /// # Errors
    /// Whatever ends it.
    pub(crate) async fn ask(&self, asking: Asking) -> Result<Response, ApiError> {
        let governor = self.governor();
        let tenant = asking.scope.first().clone();
        let limits = self.limits(&tenant);
        governor.counters.asked(&tenant);
        if let Some(blocked) = governor.patterns.find(&asking.text, &limits.query.blocked) {
            governor.counters.refused(&tenant, "blocked");
            let message =
                format!("the query is blocked by {:?}, one of the patterns of blocked", blocked.pattern);
            return Err(ApiError::new(ErrorKind::Forbidden, message));
        }
        let is_plain = asking.detail == Detail::None && !asking.no_store;
        if !is_plain {
            let alone = CancelOnDrop::default();
            let delivered = self.evaluate(asking, tenant, limits, Arc::clone(&alone.flag), false).await;
            return delivered.map(Delivered::into_response);
        }
        let question = asking.question();
        let keeps = limits.query.result_cache && !asking.params.is_instant();
        if keeps {
            let min_refresh = limits.query.min_refresh.as_duration();
            let store = || self.existing_store(&tenant).ok().flatten();
            if let Some(answer) = governor.answers.find(&question, min_refresh, store) {
                return Ok(answer.into_response());
            }
        }
        let work = |cancel| {
            let (server, asking) = (self.clone(), asking.clone());
            let (tenant, limits, question) = (tenant.clone(), Arc::clone(&limits), question.clone());
            async move { server.answer_anew(asking, tenant, limits, question, cancel, keeps).await }
        };
        match governor.flights.join(question.clone(), work).await? {
            Some(delivered) => Ok(delivered.into_response()),
            None => {
                // The answer is too large to be shared, and somebody else has it.
                let alone = CancelOnDrop::default();
                let flag = Arc::clone(&alone.flag);
                self.evaluate(asking, tenant, limits, flag, keeps).await.map(Delivered::into_response)
            }
        }
    }

    /// Evaluates the query and keeps its answer.
    async fn answer_anew(
        &self,
        asking: Asking,
        tenant: TenantId,
        limits: Arc<Limits>,
        question: Question,
        cancel: Arc<AtomicBool>,
        keeps: bool,
    ) -> Result<Delivered, ApiError> {
        let asked_at = Instant::now();
        let is_young = limits.query.min_refresh.as_ms() > 0;
        let (validity, kept) = (Arc::new(OnceLock::new()), MAX_SHARED_BYTES);
        let evaluation = Evaluation {
            asking,
            tenant,
            limits,
            asked_at,
            waited: Duration::ZERO,
            uses_cache: keeps,
            validity: Arc::clone(&validity),
        };
        let delivered = self.run_evaluation(evaluation, cancel, kept).await?;
        if let Delivered::Whole(answer) = &delivered
            && keeps
            && (is_young || validity.get().is_some())
        {
            let validity = validity.get().copied();
            self.governor().answers.keep(question, Answer::clone(answer), validity, asked_at);
        }
        Ok(delivered)
    }

    /// Evaluates the query for one who asks alone.
    async fn evaluate(
        &self,
        asking: Asking,
        tenant: TenantId,
        limits: Arc<Limits>,
        cancel: Arc<AtomicBool>,
        uses_cache: bool,
    ) -> Result<Delivered, ApiError> {
        let (asked_at, waited, validity) = (Instant::now(), Duration::ZERO, Arc::default());
        let evaluation = Evaluation { asking, tenant, limits, asked_at, waited, uses_cache, validity };
        self.run_evaluation(evaluation, cancel, 0).await
    }

    /// Has a thread for queries evaluate the query when it is its turn. An answer of up to `kept` bytes is held whole.
    async fn run_evaluation(
        &self,
        mut evaluation: Evaluation,
        cancel: Arc<AtomicBool>,
        kept: usize,
    ) -> Result<Delivered, ApiError> {
        let governor = self.governor();
        let listed = governor.active.list(evaluation.description(self.now()), Arc::clone(&cancel));
        evaluation.asking.params.cancel = Some(Arc::clone(&cancel));
        let pacer = governor.pacer(&evaluation.tenant);
        evaluation.asking.params.pacer = pacer.clone().map(|pacer| pacer as Arc<dyn Pacer>);
        let (tenant, limits) = (evaluation.tenant.clone(), Arc::clone(&evaluation.limits));
        let server = self.clone();
        let work = move |answer| {
            listed.runs();
            pacer.iter().for_each(|pacer| pacer.begin(&cancel));
            evaluation.waited = evaluation.asked_at.elapsed();
            let mut outlet = Outlet::keeping(answer, kept);
            let outcome = evaluation.run(&server, &mut outlet);
            let outcome = match outcome {
                Err(Stop::Failed(error)) if listed.is_stopped() && error.kind() == ErrorKind::Canceled => {
                    let message = "the query was stopped by order";
                    Err(Stop::Failed(ApiError::new(ErrorKind::Canceled, message)))
                }
                other => other,
            };
            outlet.finish(outcome);
        };
        self.in_turn(&tenant, &limits.query, work).await
    }
}

impl Evaluation {
    fn run(&self, server: &Server, out: &mut Outlet) -> Result<(), Stop> {
        let outcome = self.result(server);
        self.note(server, outcome.as_ref().ok().map(|result| Cost::from(&result.stats)));
        let result = outcome?;
        server.telemetry().samples_read.fetch_add(result.stats.samples_read, Ordering::Relaxed);
        let stats = stats_text(&result.stats, self.waited, self.asking.detail);
        let max_bytes = self.limits.query.max_response_bytes;
        query_result(result, &self.asking.text, self.asking.keep, &stats, max_bytes, out)
    }

    fn result(&self, server: &Server) -> Result<QueryResult, ApiError> {
        let view = server.view(&self.asking.scope)?;
        let engine = server.engine_for(&self.tenant, &self.limits.query);
        let Asking { text, params, .. } = &self.asking;
        let evaluated = match view.history().filter(|_| self.uses_cache) {
            None => engine.query(&view, text, params),
            Some(store) => {
                let delay = self.limits.query.cache_delay.as_signed_ms();
                let settled_until =
                    if delay == 0 { Timestamp::MAX } else { server.now().saturating_sub(delay) };
                let (engine, tenant) = (&engine, &self.tenant);
                let asked = Asked { engine, store, tenant, text, params, settled_until };
                let answered = server.governor().results.query(&asked);
                answered.map(|(result, validity)| {
                    if let Some(validity) = validity.filter(|one| one.touched.end() <= settled_until) {
                        // Nobody else sets it.
                        self.validity.get_or_init(|| validity);
                    }
                    result
                })
            }
        };
        evaluated.map_err(|error| {
            if let Some(limit) = limit_of(&error) {
                server.governor().counters.refused(&self.tenant, limit);
            }
            error.into()
        })
    }

    /// Logs the query if it took long.
    fn note(&self, server: &Server, cost: Option<Cost>) {
        let (took, slow) = (self.asked_at.elapsed(), self.limits.query.slow_query);
        if slow.as_ms() == 0 || took < slow.as_duration() {
            return;
        }
        let governor = server.governor();
        governor.counters.slow(&self.tenant);
        let what = self.description(server.now());
        governor.slow.note(SlowQuery { what, took, waited: self.waited, cost });
    }

    fn description(&self, now: Timestamp) -> Description {
        let Asking { text, params, .. } = &self.asking;
        let (range, step_ms) = ((params.start, params.end), params.step_ms);
        Description { tenant: self.tenant.clone(), text: text.clone(), range, step_ms, asked: now }
    }
}

impl Asking {
    fn question(&self) -> Question {
        let QueryParams { start, end, step_ms, lookback_ms, timeout, .. } = self.params;
        let tenants = self.scope.tenants().to_vec();
        Question {
            tenants,
            text: self.text.clone(),
            start,
            end,
            step_ms,
            lookback_ms,
            timeout,
            keep: self.keep,
        }
    }
}

/// Stops the query when its request is dropped, as happens when the client leaves.
#[derive(Default)]
struct CancelOnDrop {
    flag: Arc<AtomicBool>,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.flag.store(true, Ordering::Relaxed);
    }
}
