//! Connections to the database: a few, kept open, each used by one call at a time.

use super::failure::Failure;
use crate::metadata::MetadataError;
use parking_lot::Mutex;
use sqlx::any::{AnyConnectOptions, install_drivers};
use sqlx::{AnyConnection, ConnectOptions, Connection, Executor};
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::str::FromStr;
use std::sync::Once;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    #[cfg(feature = "postgres")]
    Postgres,
}

/// What may be done with a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// It is ours: what it lacks is made.
    Owner,
    /// It is read as a server made it.
    Guest,
}

/// The connections of one store.
pub(super) struct Connections {
    options: AnyConnectOptions,
    dialect: Dialect,
    access: Access,
    turns: Semaphore,
    idle: Mutex<Vec<AnyConnection>>,
}

/// A connection that is in use. It is closed unless it is given back.
pub(super) struct InUse<'a> {
    connection: AnyConnection,
    of: &'a Connections,
    turn: SemaphorePermit<'a>,
}

/// Connections to a server.
#[cfg(feature = "postgres")]
const MAX_CONNECTIONS: usize = 4;

/// What is said to each connection to SQLite first. Readers and the one writer do not wait for each other; a power cut
/// takes no change back; other processes, such as people with the shell of SQLite, are waited for.
const SQLITE_SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                               PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 3000";
/// The same for a guest, who changes nothing, not even an empty file.
const SQLITE_GUEST_SETTINGS: &str = "PRAGMA busy_timeout = 3000";

impl Connections {
    /// To the SQLite file at `path`.
    pub(super) fn to_file(path: &Path, access: Access) -> Result<Self, MetadataError> {
        let invalid = |reason: String| MetadataError::invalid("metadata.url", reason);
        let path = std::path::absolute(path).map_err(|error| invalid(error.to_string()))?;
        let text = path.to_str().ok_or_else(|| invalid(format!("{} is not UTF-8", path.display())))?;
        // A single connection: SQLite has one writer, and everything here is small.
        let mode = match access {
            Access::Owner => "rwc",
            // Who reads a log of SQLite notes so beside it.
            Access::Guest => "rw",
        };
        Self::new(&format!("sqlite://{}?mode={mode}", escaped(text)), Dialect::Sqlite, access, 1)
    }

    /// To the server that `url` names.
    pub(super) fn to_url(url: &str, access: Access) -> Result<Self, MetadataError> {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        match scheme {
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => Self::new(url, Dialect::Postgres, access, MAX_CONNECTIONS),
            #[cfg(not(feature = "postgres"))]
            "postgres" | "postgresql" => {
                let _: Access = access;
                let reason = "this server was built without the feature postgres";
                Err(MetadataError::invalid("metadata.url", reason))
            }
            _ => Err(MetadataError::invalid("metadata.url", "it begins with none of postgres://, sqlite://")),
        }
    }

    fn new(url: &str, dialect: Dialect, access: Access, turns: usize) -> Result<Self, MetadataError> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(install);
        let options = AnyConnectOptions::from_str(url);
        let options = options.map_err(|error| MetadataError::invalid("metadata.url", error.to_string()))?;
        // Statements of the store are no news.
        let options = options.log_statements(log::LevelFilter::Trace);
        Ok(Self { options, dialect, access, turns: Semaphore::new(turns), idle: Mutex::default() })
    }

    pub(super) fn access(&self) -> Access {
        self.access
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// How a change begins. A transaction of SQLite that only later turns out to write may have to be given up.
    pub(super) fn begin(&self) -> &'static str {
        match self.dialect {
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            #[cfg(feature = "postgres")]
            Dialect::Postgres => "BEGIN",
        }
    }

    /// A connection that answers.
    pub(super) async fn take(&self) -> Result<InUse<'_>, Failure> {
        let turn = self.turns.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let connection = match self.usable().await {
            Some(connection) => connection,
            None => self.fresh().await?,
        };
        Ok(InUse { connection, of: self, turn })
    }

    /// One that was kept and still answers.
    async fn usable(&self) -> Option<AnyConnection> {
        loop {
            let mut connection = self.idle.lock().pop()?;
            if connection.ping().await.is_ok() {
                return Some(connection);
            }
        }
    }

    async fn fresh(&self) -> Result<AnyConnection, Failure> {
        let mut connection = self.options.connect().await?;
        if self.dialect == Dialect::Sqlite {
            let settings = match self.access {
                Access::Owner => SQLITE_SETTINGS,
                Access::Guest => SQLITE_GUEST_SETTINGS,
            };
            connection.execute(settings).await?;
        }
        Ok(connection)
    }
}

impl InUse<'_> {
    /// Keeps the connection for later calls.
    pub(super) fn give_back(self) {
        self.of.idle.lock().push(self.connection);
        drop(self.turn);
    }
}

impl Deref for InUse<'_> {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.connection
    }
}

impl DerefMut for InUse<'_> {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.connection
    }
}

/// Tells the library which databases it can be asked for.
fn install() {
    let installed = install_drivers(&[
        sqlx::sqlite::any::DRIVER,
        #[cfg(feature = "postgres")]
        sqlx::postgres::any::DRIVER,
    ]);
    // It fails where the application that this is part of has done so itself; then those are the databases.
    drop(installed);
}

/// `path` as part of a URL.
fn escaped(path: &str) -> String {
    let mut url = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                url.push(byte.into())
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}
