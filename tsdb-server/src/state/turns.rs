//! Whose turn it is: work of requests waits for a place, then runs on a thread that may block.

use super::{Server, failed_inside};
use crate::api::{Outlet, Stop};
use crate::error::{ApiError, ErrorKind};
use crate::fault::RESTART_RETRY;
use crate::govern::Delivered;
use crate::limits::QueryLimits;
use axum::response::Response;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{AcquireError, oneshot};
use tokio::task::{block_in_place, spawn_blocking};
use tsdb_core::TenantId;

/// Who waits in line for work that reads the data of nobody.
const NOBODY: &str = "_";

impl Server {
    /// Runs the work of a write request, which may block.
    pub(crate) async fn run_ingest<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let slot = Arc::clone(&self.inner.ingest_slots).acquire_owned().await.map_err(closed)?;
        let pressing = self.inner.traffic.press();
        // The slot goes with the work, which runs on when the client leaves.
        blocking(move || {
            let outcome = work();
            drop((slot, pressing));
            outcome
        })
        .await
    }

    /// Runs what an administrator asks, which may wait for long, on a thread that keeps no write waiting.
    pub(crate) async fn run_order<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        spawn_blocking(work).await.unwrap_or_else(|_| Err(failed_inside()))
    }

    /// Runs the work of a query of `tenant` on a thread for queries when it is its turn.
    pub(crate) async fn run_query<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        // If the client has left, nobody waits for the answer.
        self.in_turn(tenant, &self.limits(tenant).query, move |answer| drop(answer.send(work()))).await
    }

    /// Runs work that reads the data of nobody, but needs the stack of a thread for queries.
    pub(crate) async fn run_unasked<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let nobody = TenantId::new(NOBODY).map_err(|_| failed_inside())?;
        self.run_query(&nobody, work).await
    }

    /// Runs the work of a query likewise; a large answer goes out while the work writes it, and the query's place is
    /// taken until the client has it all: what waits to be written occupies memory.
    pub(crate) async fn run_answer(
        &self,
        tenant: &TenantId,
        work: impl FnOnce(&mut Outlet) -> Result<(), Stop> + Send + 'static,
    ) -> Result<Response, ApiError> {
        let write = move |answer| {
            let mut outlet = Outlet::new(answer);
            let outcome = work(&mut outlet);
            outlet.finish(outcome);
        };
        self.in_turn(tenant, &self.limits(tenant).query, write).await.map(Delivered::into_response)
    }

    /// Has a thread for queries do `work` when it is the tenant's turn, and gives what the work sends. The place is taken
    /// until the work ends.
    pub(crate) async fn in_turn<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        limits: &QueryLimits,
        work: impl FnOnce(oneshot::Sender<Result<T, ApiError>>) + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = self.inner.governor.turn(tenant, limits).await?;
        let (answer, answered) = oneshot::channel();
        self.inner.governor.workers().run(move || {
            work(answer);
            drop(turn);
        });
        answered.await.unwrap_or_else(|_| Err(failed_inside()))
    }
}

/// Runs work that may block. It runs on this thread, and the other tasks of the thread go on with another one: to wake a
/// thread for it, which wakes this one for the answer, costs a write request a tenth of its time.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let finished = match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => catch_unwind(AssertUnwindSafe(|| block_in_place(work))).ok(),
        // There is no other thread that the tasks could go on with.
        _ => spawn_blocking(work).await.ok(),
    };
    finished.unwrap_or_else(|| {
        log::error!("a request failed inside; what it panicked with was told");
        Err(failed_inside())
    })
}

fn closed(_: AcquireError) -> ApiError {
    ApiError::new(ErrorKind::Unavailable, "the server is stopping").retry_after(RESTART_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime::Builder;

    #[test]
    fn work_that_panics_ends_alone_on_runtimes_of_one_thread_and_of_several() {
        for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
            let runtime = builder.build().unwrap();
            let work = async { (blocking::<()>(|| panic!("on purpose")).await, blocking(|| Ok(7)).await) };
            let (panicked, worked) = runtime.block_on(async { tokio::spawn(work).await }).unwrap();
            assert!(panicked.is_err_and(|error| error.kind() == ErrorKind::Internal));
            assert_eq!(worked.ok(), Some(7));
        }
    }
}
