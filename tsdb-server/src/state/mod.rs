//! The assembly: everything that requests share.
//!
//! A [`Server`] is a handle; clones share one state. It owns the stores of all tenants, the query engine, the limits
//! and the server's own metrics, and runs their work under limits on concurrency.

mod buffers;
mod error;
mod turns;

pub(crate) use buffers::Buffers;
pub use error::{OpenError, ReloadError};

use crate::access::{Gate, Scope};
use crate::adapter;
use crate::admission::{LimitedStores, RateLimiter};
use crate::census::Census;
use crate::config::Config;
use crate::error::{ApiError, ErrorKind};
use crate::fleet::{FleetStatus, Tracker};
use crate::govern::{Governor, Traffic, engine_options};
use crate::limits::{Limit, LimitBook, Limits};
use crate::metadata::{Limiting, MemoryMetadata, MetadataStore, RuleBook, Service};
use crate::notify::{Notifier, ReceiverStatus};
use crate::ruler::{self, Ruler, RulesError};
use crate::rules::{AlertSink, Group, NoSink, Published, Sent, SourceId, Times, Trial};
use crate::seldom::Seldom;
use crate::store::{NoStore, Store, Stores};
use crate::telemetry::{self, Family, Telemetry};
use crate::tls::Tls;
use crate::view::{Across, View};
use crate::{TenantPolicy, api, ingest};
use axum::Router;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;
use tsdb::{SystemClock, Tenants};
use tsdb_core::time::Clock;
use tsdb_core::{TenantId, Timestamp};
use tsdb_promql::Engine;

/// A metrics server that is not yet listening, or the handle of one that is.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    gate: Gate,
    tls: Option<Tls>,
    limits: Arc<LimitBook>,
    metadata: Service,
    stores: Arc<LimitedStores>,
    census: Census,
    tracker: Option<Tracker>,
    engine: Engine,
    clock: Arc<dyn Clock>,
    started: Timestamp,
    telemetry: Telemetry,
    rates: RateLimiter,
    refusing: ingest::Refusing,
    buffers: Buffers,
    ingest_slots: Arc<Semaphore>,
    traffic: Arc<Traffic>,
    governor: Governor,
    ruler: Arc<Ruler>,
    notifier: Option<Arc<Notifier>>,
    stopping: AtomicBool,
}

/// The file in the data directory that keeps the last known limits of tenants.
const LIMITS_COPY: &str = "tenant-limits.json";

impl Server {
    /// Opens the data directory that `config` names and assembles a server over it.
    ///
    /// # Errors
    /// Settings that make no server, or a data directory that cannot be opened.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let mut options = config.engine_options();
        options.tier = adapter::tier(&config.object_storage, &config.data_dir)?;
        // Each tenant's own, which the metadata store may say.
        options.awaits_retention = true;
        let tenants = Tenants::open(&config.data_dir, options)?.with_limit(config.max_tenants);
        let metadata = adapter::metadata(&config.metadata, &config.data_dir)?;
        // Also of a file on this disk: it cannot be opened where the disk is full.
        let copy = Some(config.data_dir.join(LIMITS_COPY));
        let server = Self::assemble(config, Arc::new(tenants), (metadata, copy), Arc::new(SystemClock))?;
        if let TenantPolicy::DefaultTo(tenant) = server.inner.gate.unnamed()
            && let Err(error) = server.inner.stores.open(tenant)
        {
            // The other tenants are served; whoever asks for this one is told, and it is tried again.
            log::error!("the store of the default tenant {tenant} cannot be opened: {error}");
        }
        Ok(server)
    }

    /// Assembles a server over `stores`, which tells the time by `clock` and keeps metadata in memory.
    ///
    /// # Errors
    /// Settings that make no server, or no threads for queries.
    pub fn new(config: Config, stores: Arc<dyn Stores>, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Self::with_metadata(config, stores, Arc::new(MemoryMetadata::default()), clock)
    }

    /// Assembles a server over `stores` and the metadata in `metadata`, which tells the time by `clock`.
    ///
    /// # Errors
    /// Settings that make no server, a metadata store that cannot be used, or no threads for queries.
    pub fn with_metadata(
        config: Config,
        stores: Arc<dyn Stores>,
        metadata: Arc<dyn MetadataStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        Self::assemble(config, stores, (metadata, None), clock)
    }

    fn assemble(
        config: Config,
        stores: Arc<dyn Stores>,
        (metadata, copy): (Arc<dyn MetadataStore>, Option<PathBuf>),
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let tenants = config.tenant_policy()?;
        let of_rules = match &tenants {
            TenantPolicy::DefaultTo(tenant) => Some(tenant.clone()),
            TenantPolicy::Require => None,
        };
        let (defaults, named) = (config.limits.clone(), config.tenant_limits()?);
        let limits = Arc::new(LimitBook::new(defaults.clone(), named.clone()));
        let stores = Arc::new(LimitedStores::new(stores, Arc::clone(&limits)));
        let limiting = Limiting { stores: Arc::clone(&stores), defaults, named };
        let notifier = Notifier::open(&config, &clock)?.map(Arc::new);
        let traffic = Arc::<Traffic>::default();
        let of_rules = ruler::Parts {
            tenant: of_rules,
            stores: Arc::clone(&stores) as Arc<dyn Stores>,
            limits: Arc::clone(&limits),
            engine: engine_options(&config, config.queries.max_rule_memory_bytes),
            clock: Arc::clone(&clock),
            sink: sink(notifier.as_ref()),
            traffic: Arc::clone(&traffic),
        };
        let ruler = Arc::new(Ruler::open(config.rules.clone(), of_rules)?);
        let rule_book = Arc::clone(&ruler) as Arc<dyn RuleBook>;
        let inner = Inner {
            gate: Gate::new(tenants, &config.access, config.admin_api)?,
            tls: Tls::open(&config.tls)?,
            metadata: Service::open(metadata, &config, limiting, rule_book, copy, Arc::clone(&clock))?,
            limits,
            ruler,
            notifier,
            census: Census::new(Arc::clone(&stores) as Arc<dyn Stores>, Arc::clone(&clock)),
            tracker: tracker(&config, &stores, &clock)?,
            stores,
            engine: Engine::new(engine_options(&config, config.queries.max_memory_bytes)),
            started: clock.now(),
            clock,
            telemetry: Telemetry::default(),
            rates: RateLimiter::default(),
            refusing: ingest::Refusing::default(),
            buffers: Buffers::default(),
            ingest_slots: Arc::new(slots(config.limits.ingest.concurrency)),
            governor: Governor::start(&config.queries, Arc::clone(&traffic))
                .map_err(|source| OpenError::Threads { source })?,
            traffic,
            stopping: AtomicBool::new(false),
            config,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The HTTP interface, to be served by [`serve`](crate::serve) or mounted in another application.
    pub fn router(&self) -> Router {
        api::router(self)
    }

    /// The settings in force.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Stores the server's own metrics once, under the default tenant.
    ///
    /// # Errors
    /// The store cannot be opened or written.
    pub fn ingest_own_metrics(&self) -> Result<(), ApiError> {
        let TenantPolicy::DefaultTo(tenant) = self.inner.gate.unnamed() else { return Ok(()) };
        let store = self.open_store(tenant)?;
        let instance = self.config().listen.to_string();
        let accepted = ingest::store_own_metrics(
            store.as_ref(),
            &self.metrics(),
            &instance,
            &self.limits(tenant).ingest,
            self.now(),
            self.refusing(),
        )?;
        self.telemetry().accepted("own", accepted);
        self.heard(tenant, None, Sent { newest: self.now(), samples: accepted });
        Ok(())
    }

    /// Writes what `tenant` has only in memory and the log into blocks.
    ///
    /// # Errors
    /// The store cannot be opened or flushed.
    pub(crate) fn flush(&self, tenant: &TenantId) -> Result<(), ApiError> {
        match self.existing_store(tenant)? {
            Some(store) => store.flush().map_err(|error| ApiError::from(&error)),
            None => Ok(()),
        }
    }

    /// Makes the snapshot `name` of the store of `tenant`. Returns what is not in it.
    ///
    /// # Errors
    /// There is no such store, or its snapshot cannot be made.
    pub(crate) fn snapshot(
        &self,
        tenant: &TenantId,
        name: &str,
        with_head: bool,
    ) -> Result<Vec<String>, ApiError> {
        match self.existing_store(tenant)? {
            Some(store) => store.snapshot(name, with_head).map_err(|error| ApiError::from(&error)),
            None => Err(ApiError::new(ErrorKind::NotFound, format!("tenant {tenant} has no store"))),
        }
    }

    /// Starts to evaluate the rules and to deliver their alerts, on threads of their own.
    ///
    /// # Errors
    /// The operating system has no more threads.
    pub fn start_rules(&self) -> Result<(), OpenError> {
        let delivering = self.inner.notifier.as_ref().map_or(Ok(()), |notifier| notifier.start());
        delivering.and_then(|()| self.inner.ruler.start()).map_err(|source| OpenError::Threads { source })
    }

    /// Starts to watch the metadata store, and to count series over the fleet, on threads of their own.
    ///
    /// # Errors
    /// The operating system has no more threads.
    pub fn start_metadata(&self) -> Result<(), OpenError> {
        let tracker = self.inner.tracker.as_ref().map_or(Ok(()), Tracker::start);
        tracker.map_err(|source| OpenError::Threads { source })?;
        self.inner.metadata.start().map_err(|source| OpenError::Threads { source })
    }

    /// Reads the rule files anew. Rules that were there before keep their state; after a mistake all rules stay.
    ///
    /// # Errors
    /// A file that cannot be read, or mistakes in the files.
    pub fn reload_rules(&self) -> Result<(), RulesError> {
        self.inner.ruler.reload()
    }

    /// Reads all files anew that the settings name: credentials, certificates, rules. What is wrong with one changes
    /// nothing about what it says, and keeps none of the others from being read.
    ///
    /// # Errors
    /// What is wrong with the first of them that is.
    pub fn reload(&self) -> Result<(), ReloadError> {
        let access = self.reload_access(true);
        self.reload_rules()?;
        access
    }

    /// Reads credentials and certificates anew; if not `always`, then those that changed.
    pub(crate) fn reload_access(&self, always: bool) -> Result<(), ReloadError> {
        let credentials = self.inner.gate.reload(always);
        self.inner.tls.as_ref().map_or(Ok(()), |tls| tls.reload(always))?;
        Ok(credentials?)
    }

    /// Every group of rules of the tenants in `scope` as it was after its last evaluation, by tenant, file and name.
    pub(crate) fn rule_groups(&self, scope: &Scope) -> Vec<Arc<Published>> {
        let mut groups = self.inner.ruler.groups();
        groups.retain(|published| scope.tenants().contains(&published.tenant));
        groups
    }

    /// What `group` would do over the data of `tenant` at `times`, until `stop` says to stop.
    pub(crate) fn try_rules(
        &self,
        tenant: &TenantId,
        group: Group,
        times: Times,
        stop: &dyn Fn() -> bool,
    ) -> Result<Trial, ApiError> {
        let store = self.existing_store(tenant)?;
        let store = store.as_deref().unwrap_or(&NoStore);
        Ok(self.inner.ruler.try_out(store, group, times, stop))
    }

    /// Takes note of what `source` of `tenant` sent.
    pub(crate) fn heard(&self, tenant: &TenantId, source: Option<SourceId>, sent: Sent) {
        self.inner.ruler.heard(tenant, source, sent);
    }

    /// Those who are told of alerts.
    pub(crate) fn receivers(&self) -> Vec<ReceiverStatus> {
        self.inner.notifier.as_ref().map_or_else(Vec::new, |notifier| notifier.receivers())
    }

    /// Makes everything durable and closes all stores. Requests fail from now on.
    ///
    /// # Errors
    /// The first store that could not be closed; the others are closed all the same.
    pub fn close(&self) -> Result<(), tsdb::Error> {
        self.stop();
        self.inner.ruler.stop();
        self.inner.metadata.stop();
        self.inner.tracker.iter().for_each(Tracker::stop);
        if let Some(notifier) = &self.inner.notifier {
            notifier.stop();
        }
        self.inner.stores.close()
    }

    pub(crate) fn stop(&self) {
        self.inner.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.inner.stopping.load(Ordering::Relaxed)
    }

    /// The metadata store. Its calls block, and must not be made on a thread that runs async tasks.
    pub fn metadata_store(&self) -> Arc<dyn MetadataStore> {
        Arc::clone(self.inner.metadata.store())
    }

    /// The metadata store in the service of this server.
    pub(crate) fn metadata(&self) -> &Service {
        &self.inner.metadata
    }

    /// The tenants that have a store.
    pub(crate) fn tenants_with_data(&self) -> Vec<TenantId> {
        self.inner.stores.list().into_iter().map(|(tenant, _)| tenant).collect()
    }

    /// Looks at the tenants.
    pub(crate) fn census(&self) -> &Census {
        &self.inner.census
    }

    /// What is known of series over the fleet; `None` if nothing is tracked.
    pub(crate) fn fleet(&self) -> Option<FleetStatus> {
        self.inner.tracker.as_ref().map(Tracker::status)
    }

    /// The limits of `tenant`.
    pub(crate) fn limits(&self, tenant: &TenantId) -> Arc<Limits> {
        self.inner.limits.of(tenant)
    }

    /// The limits of a request within `scope`: those of its first tenant, the defaults if it has none.
    pub(crate) fn limits_of(&self, scope: Option<&Scope>) -> Arc<Limits> {
        let defaults = || Arc::clone(self.inner.limits.defaults());
        scope.map_or_else(defaults, |scope| self.limits(scope.first()))
    }

    /// The limits of tenants that have none of their own.
    pub(crate) fn default_limits(&self) -> &Limits {
        self.inner.limits.defaults()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn governor(&self) -> &Governor {
        &self.inner.governor
    }

    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.inner.telemetry
    }

    pub(crate) fn buffers(&self) -> &Buffers {
        &self.inner.buffers
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn started(&self) -> Timestamp {
        self.inner.started
    }

    pub(crate) fn metrics(&self) -> Vec<Family> {
        let stores = self.inner.stores.as_ref();
        let mut families = self.inner.telemetry.snapshot(stores, &self.inner.ruler.counts());
        families.push(telemetry::admission::limit_family(stores, &self.inner.limits));
        families.extend(telemetry::metadata::families(self.inner.metadata.health()));
        families.extend(telemetry::census::families(&self.census().look()));
        families.extend(telemetry::disk::families(&self.config().data_dir));
        families.extend(self.fleet().iter().flat_map(telemetry::fleet::families));
        families.extend(telemetry::notify::families(&self.receivers()));
        families.extend(telemetry::access::families(self.gate(), self.tls()));
        families.extend(self.inner.governor.families(self.engine().options().memory.as_deref()));
        families
    }

    /// TLS, if it is spoken.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.inner.tls.as_ref()
    }

    /// Decides which requests may go on.
    pub(crate) fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    /// What a request within `scope` reads.
    pub(crate) fn view(&self, scope: &Scope) -> Result<View, ApiError> {
        if let [tenant] = scope.tenants() {
            return Ok(self.existing_store(tenant)?.map_or(View::Empty, View::One));
        }
        let mut members = Vec::new();
        for tenant in scope.tenants() {
            members.extend(self.existing_store(tenant)?.map(|store| (tenant.clone(), store)));
        }
        Ok(View::Many(Across::new(members)))
    }

    /// The store of `tenant`, created if there is none.
    pub(crate) fn open_store(&self, tenant: &TenantId) -> Result<Arc<dyn Store>, ApiError> {
        self.inner.stores.open(tenant).map_err(|error| not_open(tenant, &error))
    }

    /// The store of `tenant` if there is one.
    pub(crate) fn existing_store(&self, tenant: &TenantId) -> Result<Option<Arc<dyn Store>>, ApiError> {
        self.inner.stores.existing(tenant).map_err(|error| not_open(tenant, &error))
    }

    /// `tenant` if it has a store: names that somebody invents are not kept.
    pub(crate) fn with_store<'t>(&self, tenant: &'t TenantId) -> Option<&'t TenantId> {
        matches!(self.existing_store(tenant), Ok(Some(_))).then_some(tenant)
    }

    /// Whether the storage takes writes.
    pub(crate) fn refusing(&self) -> &ingest::Refusing {
        &self.inner.refusing
    }

    /// How fast each tenant writes.
    pub(crate) fn rates(&self) -> &RateLimiter {
        &self.inner.rates
    }
}

/// Where rules hand over their alerts.
fn sink(notifier: Option<&Arc<Notifier>>) -> Arc<dyn AlertSink> {
    match notifier {
        Some(notifier) => Arc::clone(notifier) as Arc<dyn AlertSink>,
        None => Arc::new(NoSink),
    }
}

/// What counts series over the fleet, if anything does.
fn tracker(
    config: &Config,
    stores: &Arc<LimitedStores>,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Tracker>, OpenError> {
    let stores = Arc::clone(stores) as Arc<dyn Stores>;
    let config = &config.cardinality_tracker;
    Ok(adapter::board(config)?.map(|board| Tracker::new(board, stores, Arc::clone(clock), config)))
}

pub(crate) fn failed_inside() -> ApiError {
    ApiError::new(ErrorKind::Internal, "the request failed inside the server")
}

/// A store that cannot be opened comes back when somebody repairs it: a sender keeps its samples until then.
fn not_open(tenant: &TenantId, error: &tsdb::Error) -> ApiError {
    match error {
        tsdb::Error::TooManyTenants { .. } | tsdb::Error::Closed => ApiError::from(error),
        other => {
            let answer =
                ApiError::from(other).about(&format!("the store of tenant {tenant} cannot be opened"));
            static NOT_OPEN: Seldom = Seldom::new();
            NOT_OPEN.error(&answer);
            answer
        }
    }
}

fn slots(limit: Limit) -> Semaphore {
    Semaphore::new(limit.as_len().min(Semaphore::MAX_PERMITS))
}
