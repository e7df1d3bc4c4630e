//! The metadata store in a database: SQLite in a file, or PostgreSQL.
//!
//! Both speak the same statements; only the migrations differ. Every call is one transaction on a connection of a few
//! that are kept, with a deadline; one that failed is closed. A database that is away is looked for anew by each call,
//! and nothing is repeated: a change that was not answered may have been made, and its version tells.

mod alerts;
mod audit;
mod budgets;
mod changes;
mod connections;
mod failure;
mod metrics;
mod rows;
mod rules;
mod schema;

use crate::metadata::{
    AlertKey, AlertRecord, AlertRule, AlertRuleSpec, AuditEntry, AuditQuery, Changes, Declaration,
    MetadataError, MetadataStore, MetricDefinition, MetricQuery, ObservedMetric, Overrides, Revision, RuleId,
    RuleList, RuleStatus, Signature, TenantBudget,
};
use connections::{Access, Connections};
use failure::Failure;
use sqlx::{AnyConnection, Connection};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tsdb_core::{TenantId, Timestamp};

/// A metadata store in a database.
///
/// Calls block their thread.
pub struct SqlMetadata {
    connections: Connections,
    timeout: Duration,
    /// Is its schema known to be the one of this program?
    migrated: AtomicBool,
    /// There until the store is dropped.
    runtime: Option<Runtime>,
}

impl SqlMetadata {
    /// The store in the SQLite file at `path`, which is made if it is not there.
    ///
    /// # Errors
    /// The file cannot be opened, is none of SQLite, or was made by a newer version of this program.
    pub fn open_file(path: &Path, timeout: Duration) -> Result<Self, MetadataError> {
        let store = Self::at_file(path, timeout)?;
        store.ready()?;
        Ok(store)
    }

    /// The store in the SQLite file at `path`, which is opened when it is first asked.
    ///
    /// # Errors
    /// A path that SQLite cannot be told.
    pub(crate) fn at_file(path: &Path, timeout: Duration) -> Result<Self, MetadataError> {
        Self::over(Connections::to_file(path, Access::Owner)?, timeout)
    }

    /// The store in the database that `url` names, `postgres://user@host/database`. It need not be there yet.
    ///
    /// # Errors
    /// The URL names no database that this program knows.
    pub fn connect(url: &str, timeout: Duration) -> Result<Self, MetadataError> {
        Self::over(Connections::to_url(url, Access::Owner)?, timeout)
    }

    /// The store that a server made in the database that `url` names, `postgres://user@host/database` or `sqlite:///path`.
    /// Neither a file nor a table is made: where there is no such store each call says that it does not answer.
    ///
    /// # Errors
    /// The URL names no database that this program knows.
    pub fn attach(url: &str, timeout: Duration) -> Result<Self, MetadataError> {
        let connections = match url.strip_prefix("sqlite://") {
            Some(path) => Connections::to_file(Path::new(path), Access::Guest),
            None => Connections::to_url(url, Access::Guest),
        };
        Self::over(connections?, timeout)
    }

    fn over(connections: Connections, timeout: Duration) -> Result<Self, MetadataError> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("tsdb-metadata").enable_all().build();
        let runtime = runtime.map_err(|error| MetadataError::unavailable("start a thread", error))?;
        Ok(Self { connections, timeout, migrated: AtomicBool::new(false), runtime: Some(runtime) })
    }

    /// Is the database there, and of the newest schema? Brings it there if it is older.
    ///
    /// # Errors
    /// It is not there, or of a newer schema.
    pub fn ready(&self) -> Result<(), MetadataError> {
        self.read("be opened", async |_| Ok(()))
    }

    /// Runs `work`, which changes nothing.
    fn read<T>(
        &self,
        action: &'static str,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, Failure>,
    ) -> Result<T, MetadataError> {
        self.call(action, async |connection| work(connection).await)
    }

    /// Runs `work` in a transaction, whose changes are made if it succeeds.
    fn change<T>(
        &self,
        action: &'static str,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, Failure>,
    ) -> Result<T, MetadataError> {
        let begin = self.connections.begin();
        self.call(action, async |connection| {
            let mut transaction = connection.begin_with(begin).await?;
            match work(&mut transaction).await {
                Ok(done) => {
                    transaction.commit().await?;
                    Ok(done)
                }
                Err(failure) => {
                    transaction.rollback().await?;
                    Err(failure)
                }
            }
        })
    }

    fn call<T>(
        &self,
        action: &'static str,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, Failure>,
    ) -> Result<T, MetadataError> {
        let attempt = async {
            let mut connection = self.connections.take().await?;
            if !self.migrated.load(Ordering::Acquire) {
                let dialect = self.connections.dialect();
                match self.connections.access() {
                    Access::Owner => schema::migrate(&mut connection, dialect).await?,
                    Access::Guest => schema::check(&mut connection, dialect).await?,
                }
                self.migrated.store(true, Ordering::Release);
            }
            let outcome = work(&mut connection).await;
            // After a fault of the database nobody knows what state the connection is in.
            if !matches!(outcome, Err(Failure::Database(_))) {
                connection.give_back();
            }
            outcome
        };
        let ended =
            || MetadataError::unavailable(action, std::io::Error::from(std::io::ErrorKind::NotConnected));
        let _within = self.runtime.as_ref().ok_or_else(ended)?.enter();
        // Not the runtime's own way to block, which refuses threads that run async tasks: a server is often opened on one.
        // Unconstrained, for such a thread counts what its task may still do before the next pause.
        let in_time = tokio::task::unconstrained(tokio::time::timeout(self.timeout, attempt));
        match futures_executor::block_on(in_time) {
            Ok(outcome) => outcome.map_err(|failure| failure.into_error(action)),
            Err(elapsed) => Err(MetadataError::unavailable(action, elapsed)),
        }
    }
}

impl Drop for SqlMetadata {
    fn drop(&mut self) {
        // The last handle of a server may be dropped by an async task, which must not wait for threads to end.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for SqlMetadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        f.debug_struct("SqlMetadata").field("dialect", &self.connections.dialect()).finish_non_exhaustive()
    }
}

impl MetadataStore for SqlMetadata {
    fn changes(&self, since: Revision) -> Result<Changes, MetadataError> {
        self.read("tell changes", async |c| changes::since(c, since).await)
    }

    fn budgets(&self) -> Result<Vec<TenantBudget>, MetadataError> {
        self.read("read budgets", async |c| budgets::all(c).await)
    }

    fn budget(&self, tenant: &TenantId) -> Result<Option<TenantBudget>, MetadataError> {
        self.read("read a budget", async |c| budgets::one(c, tenant).await)
    }

    fn put_budget(
        &self,
        tenant: &TenantId,
        overrides: &Overrides,
        expected: Option<u64>,
        by: &Signature,
    ) -> Result<TenantBudget, MetadataError> {
        self.change("store a budget", async |c| budgets::put(c, tenant, overrides, expected, by).await)
    }

    fn delete_budget(
        &self,
        tenant: &TenantId,
        expected: Option<u64>,
        by: &Signature,
    ) -> Result<(), MetadataError> {
        self.change("delete a budget", async |c| budgets::delete(c, tenant, expected, by).await)
    }

    fn metrics(
        &self,
        tenant: &TenantId,
        query: &MetricQuery,
    ) -> Result<Vec<MetricDefinition>, MetadataError> {
        self.read("read metrics", async |c| metrics::list(c, tenant, query).await)
    }

    fn metric(&self, tenant: &TenantId, name: &str) -> Result<Option<MetricDefinition>, MetadataError> {
        self.read("read a metric", async |c| metrics::one(c, tenant, name).await)
    }

    fn declare_metric(
        &self,
        tenant: &TenantId,
        name: &str,
        declaration: &Declaration,
        expected: Option<u64>,
        by: &Signature,
    ) -> Result<MetricDefinition, MetadataError> {
        declaration.check(name)?;
        self.change("store a metric", async |c| {
            metrics::declare(c, tenant, name, declaration, expected, by).await
        })
    }

    fn observe_metrics(
        &self,
        tenant: &TenantId,
        metrics: &[ObservedMetric],
        at: Timestamp,
    ) -> Result<(), MetadataError> {
        self.change("store metrics", async |c| metrics::observe(c, tenant, metrics, at).await)
    }

    fn rules(&self, tenant: &TenantId, status: Option<RuleStatus>) -> Result<RuleList, MetadataError> {
        self.read("read rules", async |c| rules::list(c, tenant, status).await)
    }

    fn rule(&self, tenant: &TenantId, id: RuleId) -> Result<Option<AlertRule>, MetadataError> {
        self.read("read a rule", async |c| rules::one(c, tenant, id).await)
    }

    fn create_rule(
        &self,
        tenant: &TenantId,
        spec: &AlertRuleSpec,
        by: &Signature,
    ) -> Result<AlertRule, MetadataError> {
        spec.check()?;
        self.change("store a rule", async |c| rules::create(c, tenant, spec, by).await)
    }

    fn update_rule(
        &self,
        tenant: &TenantId,
        id: RuleId,
        spec: &AlertRuleSpec,
        expected: Option<u64>,
        by: &Signature,
    ) -> Result<AlertRule, MetadataError> {
        spec.check()?;
        self.change("store a rule", async |c| rules::update(c, (tenant, id), spec, expected, by).await)
    }

    fn delete_rule(
        &self,
        tenant: &TenantId,
        id: RuleId,
        expected: Option<u64>,
        by: &Signature,
    ) -> Result<(), MetadataError> {
        self.change("delete a rule", async |c| rules::delete(c, tenant, id, expected, by).await)
    }

    fn alerts(&self, tenant: &TenantId) -> Result<Vec<AlertRecord>, MetadataError> {
        self.read("read alerts", async |c| alerts::list(c, tenant).await)
    }

    fn save_alerts(
        &self,
        tenant: &TenantId,
        changed: &[AlertRecord],
        gone: &[AlertKey],
    ) -> Result<(), MetadataError> {
        self.change("store alerts", async |c| alerts::save(c, tenant, changed, gone).await)
    }

    fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, MetadataError> {
        self.read("read the audit log", async |c| audit::list(c, query).await)
    }
}
