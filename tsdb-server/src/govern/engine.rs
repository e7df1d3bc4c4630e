//! The engine for the queries of a tenant: the settings of the server with the limits of the tenant.

use crate::config::Config;
use crate::limits::{Limit, QueryLimits};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tsdb_core::TenantId;
use tsdb_promql::{Engine, EngineOptions, MemoryPool, QueryError, ScopedThreads};

/// The deepest nesting that the stacks of the threads for queries are made for.
const MOST_DEPTH: usize = 100;

/// Of the memory of all queries one of so many parts is never that of one tenant.
const LEFT_TO_OTHERS: u64 = 4;

/// The options that are the same for all tenants, with the limits of tenants that have none of their own.
pub(crate) fn engine_options(config: &Config, memory: Limit) -> EngineOptions {
    let mut options = EngineOptions::default();
    apply(&config.limits.query, &mut options);
    config.features.iter().for_each(|feature| feature.enable(&mut options));
    options.memory = memory.get().map(|bytes| Arc::new(MemoryPool::new(bytes)));
    options
}

/// What queries of each tenant hold of the memory of all.
#[derive(Debug, Default)]
pub(super) struct TenantMemory {
    parts: Mutex<BTreeMap<TenantId, Arc<MemoryPool>>>,
}

/// Tenants whose parts are kept while no query uses them.
const MAX_IDLE: usize = 1_000;

impl TenantMemory {
    /// The part of `tenant`.
    fn of(&self, tenant: &TenantId, whole: &Arc<MemoryPool>) -> Arc<MemoryPool> {
        let mut parts = self.parts.lock();
        if let Some(part) = parts.get(tenant) {
            return Arc::clone(part);
        }
        if parts.len() >= MAX_IDLE {
            // Of what nobody uses nothing is held, so another one is as good. Names cost nothing to invent.
            parts.retain(|_, part| Arc::strong_count(part) > 1);
        }
        let part = MemoryPool::part_of(Arc::clone(whole), whole.limit() - whole.limit() / LEFT_TO_OTHERS);
        let part = Arc::new(part);
        parts.insert(tenant.clone(), Arc::clone(&part));
        part
    }
}

/// The engine of a tenant with these limits; one that works `alone` starts no threads.
pub(super) fn engine_of(
    base: &Engine,
    limits: &QueryLimits,
    memory: &TenantMemory,
    tenant: &TenantId,
    alone: bool,
) -> Engine {
    let mut options = base.options().clone();
    if alone {
        options.executor = Arc::new(ScopedThreads::new(1));
    }
    apply(limits, &mut options);
    options.memory = options.memory.map(|whole| memory.of(tenant, &whole));
    Engine::new(options)
}

fn apply(limits: &QueryLimits, options: &mut EngineOptions) {
    options.timeout = Some(limits.timeout.as_duration());
    options.max_points = limits.max_points.get().unwrap_or(u64::MAX);
    options.max_samples = limits.max_samples.get().unwrap_or(u64::MAX);
    options.max_series = limits.max_series.get();
    options.max_estimated_samples = limits.max_estimated_samples.get();
    options.max_estimated_points = limits.max_estimated_points.get();
    options.max_estimated_bytes = limits.max_estimated_bytes.get();
    options.max_range_ms = Some(limits.max_range.as_ms()).filter(|ms| *ms > 0);
    options.parse.max_length_bytes = limits.max_query_bytes.as_len();
    options.parse.max_depth = limits.max_depth.as_len().min(MOST_DEPTH);
}

/// The limit that ended a query, as counters name it; `None` if none did.
pub(super) const fn limit_of(error: &QueryError) -> Option<&'static str> {
    match error {
        QueryError::RangeTooLong { .. } => Some("max_range"),
        QueryError::TooManyPoints { .. } => Some("max_points"),
        QueryError::TooManySamples { .. } => Some("max_samples"),
        QueryError::TooCostly { what, .. } => Some(what.name()),
        QueryError::OutOfMemory { .. } => Some("max_memory_bytes"),
        QueryError::Timeout { .. } => Some("timeout"),
        QueryError::Cancelled => Some("canceled"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_names_take_no_memory_and_what_is_held_counts_on() {
        let (memory, whole) = (TenantMemory::default(), Arc::new(MemoryPool::new(1_000)));
        let of = |name: &str| memory.of(&TenantId::new(name).unwrap(), &whole);
        let held = of("acme").hold(700).unwrap();
        for number in 0..10 * MAX_IDLE {
            of(&format!("t{number}"));
        }
        assert!(memory.parts.lock().len() <= MAX_IDLE);
        assert!(of("acme").hold(100).is_none(), "a part is counted on as long as a query holds of it");
        drop(held);
        assert!(of("acme").hold(750).is_some());
    }
}
