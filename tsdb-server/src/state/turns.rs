//! Whose turn it is: work of requests waits for a place, then runs on a thread that may block.

use super::{Server, failed_inside};
use crate::api::{Outlet, Stop};
use crate::error::{ApiError, ErrorKind};
use crate::fault::RESTART_RETRY;
use crate::govern::Delivered;
use crate::limits::QueryLimits;
use axum::response::Response;
use std::sync::Arc;
use tokio::sync::{AcquireError, oneshot};
use tsdb_core::TenantId;

/// Who waits in line for work that reads the data of nobody.
const NOBODY: &str = "_";

impl Server {
    /// Runs the work of a write request on a blocking thread.
    pub(crate) async fn run_ingest<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let slot = Arc::clone(&self.inner.ingest_slots).acquire_owned().await.map_err(closed)?;
        // The slot goes with the work, which runs on when the client leaves.
        blocking(move || {
            let outcome = work();
            drop(slot);
            outcome
        })
        .await
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => {
            log::error!("a request failed inside: {error}");
            Err(failed_inside())
        }
    }
}

fn closed(_: AcquireError) -> ApiError {
    ApiError::new(ErrorKind::Unavailable, "the server is stopping").retry_after(RESTART_RETRY)
}
