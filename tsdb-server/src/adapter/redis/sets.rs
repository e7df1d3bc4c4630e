//! Sets of the series of tenants in Redis: exact counts over a fleet.
//!
//! A tenant has a set for each window of time, `<prefix>:set:{<tenant>}:<number of the window>`, of hashes of eight bytes. Each
//! server adds all that it has when the window begins, and from then on what comes; until all servers have had the time to,
//! the set of the window before counts as well. A server that has too many series of a tenant, or does not know yet which, says
//! so under `<prefix>:many:{<tenant>}:<server>`, and nobody counts them exactly meanwhile.

use super::is_lost;
use crate::fleet::Share;
use parking_lot::Mutex;
use redis::{Connection, Pipeline, RedisError, pipe};
use std::collections::BTreeMap;
use tsdb_core::TenantId;

/// Hashes of one command.
const HASHES_AT_ONCE: usize = 4096;
/// Intervals after which all servers have added theirs to the set of a new window.
const SETTLING_INTERVALS: u64 = 2;

/// The sets of all tenants.
pub(super) struct Sets {
    prefix: String,
    /// The name of this server.
    server: String,
    window_secs: u64,
    interval_secs: u64,
    expiry_secs: u64,
    /// What this server added.
    sent: Mutex<BTreeMap<TenantId, Sent>>,
}

/// What this server added to the set of a tenant.
#[derive(Debug, Clone, Copy)]
struct Sent {
    window: u64,
    /// The set has at least so many, if it is still there.
    least: u64,
}

/// Members of the set, and of the one before, and how many servers have too many.
type Told = (u64, u64, u64);

impl Sets {
    pub(super) fn new(
        prefix: &str,
        server: &str,
        window_secs: u64,
        interval_secs: u64,
        expiry_secs: u64,
    ) -> Self {
        Self {
            prefix: prefix.to_owned(),
            server: server.to_owned(),
            window_secs: window_secs.max(1),
            interval_secs: interval_secs.max(1),
            expiry_secs,
            sent: Mutex::default(),
        }
    }

    /// Adds the series of this server to the set of the tenant and counts it, at `now` by Redis' clock, in s. `None` if one of
    /// `servers` has too many, or the set is being filled anew.
    ///
    /// # Errors
    /// Redis is away. What is wrong with the set alone is logged.
    pub(super) fn exchange(
        &self,
        connection: &mut Connection,
        (now, servers): (u64, &[String]),
        share: &Share,
    ) -> Result<Option<u64>, RedisError> {
        let window = now / self.window_secs;
        // Whatever fails from here on, all is sent anew.
        let sent = self.sent.lock().remove(&share.tenant).filter(|sent| sent.window == window);
        let known = sent.and_then(|sent| Some((sent, share.hashes(false)?)));
        let Some((sent, hashes)) = known.or_else(|| self.anew(window, share)) else {
            let many = self.many(&share.tenant, &self.server);
            pipe().cmd("SET").arg(many).arg(1).arg("EX").arg(self.expiry_secs).ignore().exec(connection)?;
            return Ok(None);
        };
        let (current, before, with_many) = match self.add(connection, window, share, servers, &hashes) {
            Ok(told) => told,
            Err(error) if is_lost(&error) => return Err(error),
            Err(error) => {
                log::warn!("series of a tenant are not counted exactly over the fleet: {error}");
                return Ok(None);
            }
        };
        if current < sent.least {
            return Ok(None);
        }
        // A set only grows as long as it is there.
        self.sent.lock().insert(share.tenant.clone(), Sent { least: current, ..sent });
        let is_settling = now % self.window_secs < SETTLING_INTERVALS.saturating_mul(self.interval_secs);
        let count = if is_settling { current.max(before) } else { current };
        Ok(Some(count).filter(|_| with_many == 0))
    }

    /// All hashes of this server.
    fn anew(&self, window: u64, share: &Share) -> Option<(Sent, Vec<u64>)> {
        let mut hashes = share.hashes(true)?;
        hashes.sort_unstable();
        hashes.dedup();
        Some((Sent { window, least: hashes.len() as u64 }, hashes))
    }

    fn add(
        &self,
        connection: &mut Connection,
        window: u64,
        Share { tenant, .. }: &Share,
        servers: &[String],
        hashes: &[u64],
    ) -> Result<Told, RedisError> {
        let [current, before] = [window, window.saturating_sub(1)]
            .map(|window| format!("{}:set:{{{tenant}}}:{window}", self.prefix));
        let mut all = Pipeline::new();
        for some in hashes.chunks(HASHES_AT_ONCE) {
            let members: Vec<[u8; 8]> = some.iter().map(|hash| hash.to_le_bytes()).collect();
            let add = all.cmd("SADD").arg(&current);
            members.iter().for_each(|member| {
                add.arg(member.as_slice());
            });
            all.ignore();
        }
        let life = self.window_secs.saturating_mul(2);
        all.cmd("EXPIRE").arg(&current).arg(life).ignore();
        all.cmd("DEL").arg(self.many(tenant, &self.server)).ignore();
        all.cmd("SCARD").arg(&current).cmd("SCARD").arg(&before).cmd("EXISTS");
        for server in servers {
            all.arg(self.many(tenant, server));
        }
        all.query(connection)
    }

    fn many(&self, tenant: &TenantId, server: &str) -> String {
        format!("{}:many:{{{tenant}}}:{server}", self.prefix)
    }
}
