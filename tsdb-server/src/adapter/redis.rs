//! Sketches of a fleet in Redis, and sets of what is few.
//!
//! Each server has a key per tenant, which it sets anew every time and which expires: `<prefix>:series:{<tenant>}:<server>`.
//! The keys of a tenant share a hash slot, so `PFCOUNT` takes them all. Which servers there are stands in the sorted set
//! `<prefix>:servers` with the time, by Redis' clock, at which each was heard last.

mod sets;

use crate::config::CardinalityTrackerConfig;
use crate::fleet::{Board, BoardError, FleetCount, Share, TrackerError};
use parking_lot::Mutex;
use redis::{
    Client, Cmd, Connection, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline, RedisError,
    TlsCertificates, cmd, pipe,
};
use sets::Sets;
use std::path::Path;
use std::time::Duration;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tsdb_core::TenantId;

/// Tenants of one round trip: 12 KiB each.
const TENANTS_AT_ONCE: usize = 64;
/// The least that is waited for an answer.
const SHORTEST: Duration = Duration::from_millis(10);

/// Sketches in Redis.
pub(crate) struct RedisBoard {
    client: Client,
    connection: Mutex<Option<Connection>>,
    timeout: Duration,
    prefix: String,
    /// The name of this server, which no other has.
    server: String,
    expiry_secs: u64,
    sets: Sets,
}

fn wrong(source: RedisError) -> TrackerError {
    TrackerError::Url { source: Box::new(source) }
}

/// A client that trusts the authorities in `ca_file`, or those that the system trusts if it is empty.
fn client(info: ConnectionInfo, ca_file: &Path) -> Result<Client, TrackerError> {
    if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        // The client takes the provider of the process, and panics if there are several and none was chosen. Who embeds the
        // server may have chosen one.
        drop(aws_lc_rs::default_provider().install_default());
    }
    if ca_file.as_os_str().is_empty() {
        return Client::open(info).map_err(wrong);
    }
    let unread = |source| TrackerError::Authorities { path: ca_file.to_owned(), source };
    let root_cert = Some(std::fs::read(ca_file).map_err(unread)?);
    Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert }).map_err(wrong)
}

impl RedisBoard {
    /// The Redis that `config` names, which need not be there yet.
    ///
    /// # Errors
    /// The URL names none, or there is no randomness.
    pub(crate) fn new(config: &CardinalityTrackerConfig) -> Result<Self, TrackerError> {
        let mut info = config.url.as_str().into_connection_info().map_err(wrong)?;
        if info.redis_settings().password().is_none()
            && let Ok(password) = std::env::var("REDIS_PASSWORD")
        {
            let settings = info.redis_settings().clone().set_password(password);
            info = info.set_redis_settings(settings);
        }
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(|_| TrackerError::NoName)?;
        let server = format!("{:016x}", u64::from_le_bytes(name));
        let [window, interval, expiry] =
            [config.window, config.interval, config.expiry].map(|period| period.as_duration().as_secs());
        let expiry_secs = expiry.max(1);
        Ok(Self {
            sets: Sets::new(&config.prefix, &server, window, interval, expiry_secs),
            client: client(info, &config.ca_file)?,
            connection: Mutex::default(),
            timeout: config.timeout.as_duration().max(SHORTEST),
            prefix: config.prefix.clone(),
            server,
            expiry_secs,
        })
    }

    fn connect(&self) -> Result<Connection, RedisError> {
        let connection = self.client.get_connection_with_timeout(self.timeout)?;
        connection.set_read_timeout(Some(self.timeout))?;
        connection.set_write_timeout(Some(self.timeout))?;
        Ok(connection)
    }

    fn key(&self, tenant: &TenantId, server: &str) -> String {
        format!("{}:series:{{{tenant}}}:{server}", self.prefix)
    }

    fn exchange_over(
        &self,
        connection: &mut Connection,
        own: &[Share],
    ) -> Result<Vec<Option<FleetCount>>, RedisError> {
        let (now, servers) = self.servers(connection)?;
        let mut counts = Vec::with_capacity(own.len());
        for some in own.chunks(TENANTS_AT_ONCE) {
            let mut put = pipe();
            for share in some {
                let key = self.key(&share.tenant, &self.server);
                put.cmd("SET").arg(key).arg(share.sketch.to_redis()).arg("EX").arg(self.expiry_secs).ignore();
            }
            put.query::<()>(connection)?;
            self.count(connection, some, &servers, &mut counts)?;
        }
        for (share, count) in own.iter().zip(&mut counts) {
            let exact = self.sets.exchange(connection, (now, &servers), share)?;
            if let Some(count) = count {
                count.exact = exact;
            }
        }
        Ok(counts)
    }

    /// The time of Redis, in s, and the servers of the fleet, this one among them.
    fn servers(&self, connection: &mut Connection) -> Result<(u64, Vec<String>), RedisError> {
        let key = format!("{}:servers", self.prefix);
        let (now, _): (u64, u64) = cmd("TIME").query(connection)?;
        let (servers,): (Vec<String>,) = pipe()
            .cmd("ZADD")
            .arg(&key)
            .arg(now)
            .arg(&self.server)
            .ignore()
            .cmd("ZREMRANGEBYSCORE")
            .arg(&key)
            .arg("-inf")
            .arg(now.saturating_sub(self.expiry_secs))
            .ignore()
            .cmd("EXPIRE")
            .arg(&key)
            .arg(self.expiry_secs)
            .ignore()
            .cmd("ZRANGE")
            .arg(&key)
            .arg(0)
            .arg(-1)
            .query(connection)?;
        Ok((now, servers))
    }

    /// Counts the series of `tenants` over `servers`.
    fn count(
        &self,
        connection: &mut Connection,
        tenants: &[Share],
        servers: &[String],
        counts: &mut Vec<Option<FleetCount>>,
    ) -> Result<(), RedisError> {
        let questions: Vec<[Cmd; 2]> =
            tenants.iter().map(|share| self.questions(&share.tenant, servers)).collect();
        let mut all = Pipeline::new();
        for question in questions.iter().flatten() {
            all.add_command(question.clone());
        }
        match all.query::<Vec<u64>>(connection) {
            Ok(numbers) => counts.extend(numbers.as_chunks().0.iter().map(|pair| Some(fleet_count(*pair)))),
            Err(error) if is_lost(&error) => return Err(error),
            // A key of some tenant is no sketch: the others are counted all the same.
            Err(_) => {
                for [series, servers] in &questions {
                    counts.push(match series.query(connection) {
                        Ok(series) => Some(fleet_count([series, servers.query(connection)?])),
                        Err(error) if is_lost(&error) => return Err(error),
                        Err(error) => {
                            log::warn!("series of a tenant are not counted over the fleet: {error}");
                            None
                        }
                    });
                }
            }
        }
        Ok(())
    }

    /// How many series the tenant has, and how many servers have some.
    fn questions(&self, tenant: &TenantId, servers: &[String]) -> [Cmd; 2] {
        ["PFCOUNT", "EXISTS"].map(|name| {
            let mut question = cmd(name);
            for server in servers {
                question.arg(self.key(tenant, server));
            }
            question
        })
    }
}

/// Does nothing come over this connection any more, or too late? Who asks again would wait as long for each answer.
fn is_lost(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error()
}

fn fleet_count([series, servers]: [u64; 2]) -> FleetCount {
    FleetCount { series, exact: None, servers }
}

impl Board for RedisBoard {
    fn exchange(&self, own: &[Share]) -> Result<Vec<Option<FleetCount>>, BoardError> {
        let mut kept = self.connection.lock();
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => self.connect().map_err(BoardError::new)?,
        };
        // A connection on which something failed may have answers left, and is not used again.
        let counts = self.exchange_over(&mut connection, own).map_err(BoardError::new)?;
        *kept = Some(connection);
        Ok(counts)
    }
}
