//! The compactor as a role of its own: it works on blocks of all tenants on object storage, and serves nobody.
//!
//! It is the same engine as everywhere else, without a head: blocks that no server holds are merged, windows are made of
//! them, and what is past retention is named no longer. Any number of compactors may run; of each tenant one at a time
//! has the lease, and the blocks of the others stay as they are. The directory is for what a merge needs while it lasts;
//! nothing in it is missed if it is lost.

use crate::tier::{Tier, TierRole};
use crate::{Db, Error, Options, Replay, Tenants};
use std::path::Path;
use std::sync::Arc;
use tsdb_core::TenantId;

/// What every tenant with blocks has below its prefix.
const MANIFEST: &str = "manifest";

/// A compactor of all tenants in an object store.
pub struct Compactor {
    tenants: Tenants,
    tier: Tier,
}

/// What a round of a [`Compactor`] did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CompactorRound {
    /// Tenants that have blocks.
    pub tenants: usize,
    /// Blocks that are on object storage now, of all tenants.
    pub blocks: u64,
    /// Merges that were done since the compactor was opened.
    pub merges: u64,
    /// What failed, by tenant. It is tried again in the next round.
    pub failures: Vec<(TenantId, Error)>,
}

impl Compactor {
    /// A compactor of the tenants below the prefix of `tier`, which works in the directory `dir`. Of `options` those about
    /// blocks count: retention, rollups, the bounds of compactions.
    ///
    /// # Errors
    /// The directory is in use or cannot be written, or an option makes no sense.
    pub fn open(dir: impl AsRef<Path>, mut tier: Tier, options: Options) -> Result<Self, Error> {
        tier.role = TierRole::Compactor;
        tier.keep_local_ms = 0;
        let options =
            Options { tier: Some(tier.clone()), background: false, replay: Replay::BeforeOpen, ..options };
        Ok(Self { tenants: Tenants::open(dir, options)?.with_limit(usize::MAX), tier })
    }

    /// Does all that is due now, tenant by tenant. `prepare` comes first, with each of them: it may set what is kept of it
    /// ([`Db::set_retention`]).
    ///
    /// # Errors
    /// The store does not say which tenants there are, or the compactor is closed. What fails with one tenant is in the
    /// result and keeps nobody else waiting.
    pub fn round(
        &self,
        prepare: impl Fn(&TenantId, &Db) -> Result<(), Error>,
    ) -> Result<CompactorRound, Error> {
        let mut round = CompactorRound::default();
        for tenant in self.tenants_with_blocks()? {
            round.tenants += 1;
            let db = self.tenants.tenant(&tenant);
            match db.and_then(|db| prepare(&tenant, &db).and_then(|()| work(&db)).map(|()| db)) {
                Ok(db) => {
                    let stats = db.stats();
                    round.blocks += stats.tier.map_or(0, |tier| tier.blocks);
                    round.merges += stats.compactions.done;
                }
                Err(Error::Closed) => return Err(Error::Closed),
                Err(error) => round.failures.push((tenant, error)),
            }
        }
        Ok(round)
    }

    /// The database of `tenant` as the compactor sees it, if it has come to it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn tenant(&self, tenant: &TenantId) -> Result<Option<Arc<Db>>, Error> {
        self.tenants.existing(tenant)
    }

    /// Ends what is under way, which then was never begun, and everything that comes later.
    ///
    /// # Errors
    /// The directory cannot be left as it should.
    pub fn close(&self) -> Result<(), Error> {
        self.tenants.close()
    }

    fn tenants_with_blocks(&self) -> Result<Vec<TenantId>, Error> {
        let failed =
            |source| Error::ObjectStorage { source: Box::new(crate::tier::LedgerError::Store(source)) };
        let folders =
            |prefix: &str| self.tier.retry.run(|| self.tier.store().folders(prefix)).map_err(failed);
        let mut found = Vec::new();
        for name in folders(&self.tier.prefix)? {
            let Ok(tenant) = TenantId::new(&name) else { continue };
            let below = self.tier.below(tenant.as_str());
            if folders(&below.prefix)?.iter().any(|folder| folder == MANIFEST) {
                found.push(tenant);
            }
        }
        Ok(found)
    }
}

/// All that is due in one database.
fn work(db: &Db) -> Result<(), Error> {
    db.ship()?;
    // A retention that is refused keeps nothing else from being done.
    let maintained = db.maintain();
    // Windows that were made go there, too.
    db.ship()?;
    db.compact_far()?;
    maintained
}
