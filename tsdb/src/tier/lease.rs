//! The lease: who may merge blocks that nobody holds.
//!
//! It is a field of the manifest, so taking it over is a conditional put like every change. Each lease has a number
//! greater than all before, and what is done under a lease is named only if the manifest still has that number: the
//! loser's work is never named, whatever the clocks say. They only decide when a lease may be taken over.

use super::ledger::{Ledger, LedgerError};
use super::manifest::{Lease, Manifest};
use crossbeam_channel::{RecvTimeoutError, bounded};
use std::time::Duration;
use tsdb_core::Timestamp;

/// A lease that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch(pub(crate) u64);

impl Manifest {
    /// Is the lease `epoch` the one that was given last, and not given back?
    pub(crate) fn is_leased(&self, epoch: Epoch) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.epoch == epoch.0)
    }
}

impl Ledger {
    /// Takes the lease for `holder` until `now` and `for_ms`; `None` if somebody else has it.
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit). It may then be given, and runs out.
    pub(crate) fn lease(
        &self,
        holder: &str,
        now: Timestamp,
        for_ms: i64,
    ) -> Result<Option<Epoch>, LedgerError> {
        let mut given = None;
        self.commit::<LedgerError>(|manifest| {
            given = None;
            if manifest.lease.as_ref().is_some_and(|lease| lease.until > now && lease.holder != holder) {
                return Ok(false);
            }
            manifest.epoch = manifest.epoch.saturating_add(1);
            let until = now.saturating_add(for_ms);
            manifest.lease = Some(Lease { holder: holder.into(), epoch: manifest.epoch, until });
            given = Some(Epoch(manifest.epoch));
            Ok(true)
        })?;
        Ok(given)
    }

    /// Has the lease `epoch` last until `until`, unless it is lost.
    fn renew(&self, epoch: Epoch, until: Timestamp) -> Result<(), LedgerError> {
        self.commit::<LedgerError>(|manifest| {
            let lease = manifest.lease.as_mut().filter(|lease| lease.epoch == epoch.0);
            Ok(lease.map(|lease| lease.until = until).is_some())
        })?;
        Ok(())
    }

    /// Gives the lease `epoch` back, if it is not lost.
    pub(crate) fn give_back(&self, epoch: Epoch) -> Result<(), LedgerError> {
        self.commit::<LedgerError>(|manifest| {
            let is_ours = manifest.is_leased(epoch);
            if is_ours {
                manifest.lease = None;
            }
            Ok(is_ours)
        })?;
        Ok(())
    }

    /// Does `work` while the lease `epoch`, which is given for `for_ms` at a time, is renewed. A renewal that fails is no
    /// reason to stop: what counts is whether the lease is still there at the end.
    pub(crate) fn while_leased<T>(&self, epoch: Epoch, for_ms: i64, work: impl FnOnce() -> T) -> T {
        let every = Duration::from_millis(u64::try_from(for_ms / 3).unwrap_or(1).max(1));
        let (done, is_done) = bounded::<()>(0);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while is_done.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                    let until = self.now().saturating_add(for_ms);
                    if let Err(error) = self.renew(epoch, until) {
                        log::warn!("the lease of {self:?} is not renewed: {error}");
                    }
                }
            });
            let outcome = work();
            drop(done);
            outcome
        })
    }
}
