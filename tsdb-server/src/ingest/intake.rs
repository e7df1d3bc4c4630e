//! Where a request's samples go: the store of its tenant, once the request has proved worth one.

use super::batch::{Batch, Outcome, Refusals};
use super::encoding::{self, Encoding, EncodingError};
use super::refusing::Refusing;
use crate::error::{ApiError, ErrorKind};
use crate::limits::{IngestLimits, Limits};
use crate::rules::{Sent, SourceId};
use crate::state::Server;
use crate::store::{NoStore, Store};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tsdb_core::write::Origin;
use tsdb_core::{TenantId, Timestamp};

/// Bytes of a decompressed body that are charged as one sample if it turns out to be none: about what one takes.
const BYTES_PER_SAMPLE: u64 = 128;

/// The tenant of a write request, seen from the formats.
pub(crate) struct Intake<'a> {
    server: &'a Server,
    pub(crate) tenant: &'a TenantId,
    pub(crate) limits: Arc<Limits>,
    source: Option<SourceId>,
    now: Timestamp,
}

impl<'a> Intake<'a> {
    /// A request of `source` for `tenant`.
    pub(crate) fn new(server: &'a Server, tenant: &'a TenantId, source: Option<SourceId>) -> Self {
        Self { server, tenant, limits: server.limits(tenant), source, now: server.now() }
    }

    /// The store of the tenant if there is one.
    pub(crate) fn existing_store(&self) -> Result<Option<Arc<dyn Store>>, ApiError> {
        self.server.existing_store(self.tenant)
    }

    /// The store of the tenant, created if there is none.
    pub(crate) fn open_store(&self) -> Result<Arc<dyn Store>, ApiError> {
        self.server.open_store(self.tenant)
    }

    /// The decompressed body. One that cannot be decompressed, or not within the limit, is charged like the samples that
    /// it might have held: a bomb costs who sends it.
    pub(crate) fn decode<'b>(
        &self,
        encoding: Encoding,
        body: &'b [u8],
        buffer: &'b mut Vec<u8>,
    ) -> Result<&'b [u8], ApiError> {
        encoding::decode(encoding, body, self.limits.ingest.max_decoded_bytes, buffer).map_err(|error| {
            let bytes = match error {
                // Snappy says its size, or unpacks to little more than there is: nothing was unpacked for nothing.
                EncodingError::TooLarge { allowed } if encoding != Encoding::Snappy => allowed,
                _ => body.len() as u64,
            };
            let samples = usize::try_from(bytes / BYTES_PER_SAMPLE).unwrap_or(usize::MAX);
            self.server.rates().charge(self.tenant, samples, &self.limits.ingest, Instant::now());
            error.into()
        })
    }

    /// An empty batch for `store`; without one the batch judges samples and forgets them.
    pub(crate) fn batch<'s>(&self, store: Option<&'s dyn Store>, origin: Origin) -> Batch<'s> {
        match store {
            Some(store) => Batch::new(store, &self.limits.ingest, self.now, origin),
            None => Batch::new(&NoStore, &self.limits.ingest, self.now, origin),
        }
    }

    /// Who takes note of batches that the storage refuses.
    pub(crate) fn refusing(&self) -> &Refusing {
        self.server.refusing()
    }

    /// Takes note of what was stored: rules wait for senders that are late.
    pub(crate) fn stored(&self, outcome: &Outcome) {
        if outcome.accepted > 0 {
            let sent = Sent { newest: outcome.newest, samples: outcome.accepted };
            self.server.heard(self.tenant, self.source, sent);
        }
    }

    /// May the tenant write so much now? Takes it from what it may.
    pub(crate) fn admit(&self, cost: usize) -> Result<(), ApiError> {
        let limits = &self.limits.ingest;
        self.server.rates().take(self.tenant, cost, limits, Instant::now()).map_err(|delay| {
            let known = self.server.with_store(self.tenant);
            self.server.telemetry().refused.samples(known, "rate_limited", cost as u64);
            too_fast(limits, delay)
        })
    }
}

/// May `tenant` write at all now? Asked before its body costs anything; takes nothing.
pub(super) fn check_rate(server: &Server, tenant: &TenantId, limits: &IngestLimits) -> Result<(), ApiError> {
    server.rates().check(tenant, limits, Instant::now()).map_err(|delay| too_fast(limits, delay))
}

fn too_fast(limits: &IngestLimits, delay: Duration) -> ApiError {
    let allowed = limits.samples_per_second.get().unwrap_or_default();
    let message = format!("more than {allowed} samples a second, which samples_per_second allows");
    ApiError::new(ErrorKind::TooManyRequests, message).retry_after(delay)
}

/// Counts what became of the samples of a request.
pub(super) fn count(
    server: &Server,
    tenant: &TenantId,
    format: &'static str,
    accepted: u64,
    refusals: &Refusals,
) {
    server.telemetry().accepted(format, accepted);
    if refusals.total() > 0 {
        let known = server.with_store(tenant);
        for (reason, samples) in refusals.counts() {
            server.telemetry().refused.samples(known, reason, *samples);
        }
    }
}
