//! Stacks that fit tall plans.
//!
//! Planning and evaluation recurse over the plan, which is as tall as the longest chain of operators. Up to a height
//! they run where the caller is; beyond it on a thread with a stack of its own.

use crate::failure::QueryError;
use crate::options::{EngineOptions, ScopedThreads};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

/// Levels that fit the 2 MiB which threads commonly have, in any build.
const LEVELS_ANYWHERE: usize = 110;

/// Stack that a level takes at most, in an unoptimised build, bytes.
const LEVEL_BYTES: usize = 16 << 10;

/// What leaves take, and what storage and executors do below them, bytes.
const BASE_BYTES: usize = 2 << 20;

/// Runs `work` for a tree of `levels`, with options whose executor has the stack for it.
///
/// # Errors
/// Those of `work`, and a system that has no thread with such a stack.
pub(super) fn with_stack<T: Send>(
    levels: usize,
    options: &EngineOptions,
    work: impl FnOnce(&EngineOptions) -> Result<T, QueryError> + Send,
) -> Result<T, QueryError> {
    if levels <= LEVELS_ANYWHERE {
        return work(options);
    }
    let bytes = levels.saturating_mul(LEVEL_BYTES).saturating_add(BASE_BYTES);
    let mut roomy = options.clone();
    roomy.executor = Arc::new(ScopedThreads::new(options.executor.threads()).with_stack(bytes));
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("tall-query".to_owned()).stack_size(bytes);
        let thread = builder.spawn_scoped(scope, || work(&roomy)).map_err(|error| {
            QueryError::execution(format!("no thread for an expression of {levels} levels: {error}"))
        })?;
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}
