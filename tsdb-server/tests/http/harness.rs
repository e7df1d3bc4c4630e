//! A server on a loopback port over stores in memory, and a client for it.

use reqwest::{Client, RequestBuilder, StatusCode};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tsdb_core::labels::write_wire;
use tsdb_core::metadata::Metadata;
use tsdb_core::read::{
    ExemplarQueryable, Querier, Queryable, ReadError, SampleColumns, SelectHints, SeriesExemplars, SeriesSet,
};
use tsdb_core::testing::{ManualClock, MemStore};
use tsdb_core::write::{Appendable, Appender};
use tsdb_core::{Labels, METRIC_NAME, MatchOp, Matcher, TenantId, TimeRange};
use tsdb_server::{Config, Period, Server, Store, Stores};

/// The time of the server's clock in these tests, ms.
pub(crate) const NOW: i64 = 1_775_643_330_000;

/// A store in memory that also answers for the metadata of the metrics it holds.
#[derive(Debug, Default)]
pub(crate) struct Memory(pub(crate) MemStore, Flushes, Arc<AtomicUsize>);

/// Counts flushes, and holds them while a test wants it.
#[derive(Debug, Default)]
struct Flushes {
    count: AtomicUsize,
    held: AtomicBool,
}

impl Memory {
    /// Flushes begun so far.
    pub(crate) fn flushes(&self) -> usize {
        self.1.count.load(Ordering::SeqCst)
    }

    /// Slow series read so far.
    pub(crate) fn slow_reads(&self) -> usize {
        self.2.load(Ordering::SeqCst)
    }

    /// Lets flushes end, or holds them.
    pub(crate) fn hold_flushes(&self, held: bool) {
        self.1.held.store(held, Ordering::SeqCst);
    }

    /// Is there a series with these labels, with or without samples?
    pub(crate) fn knows(&self, pairs: &[(&str, &str)]) -> bool {
        let mut wire = Vec::new();
        write_wire(&Labels::from_pairs(pairs.iter().copied()).unwrap(), &mut wire);
        self.0.appender().lookup(&wire).is_some()
    }
}

impl Queryable for Memory {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(View(self.0.querier(range)?, Arc::clone(&self.2))))
    }
}

/// Metrics whose names begin so are read as from a very slow disk.
pub(crate) const SLOW_PREFIX: &str = "slow_";

/// How long one series of them takes.
pub(crate) const SLOW_READ: Duration = Duration::from_millis(50);

struct View(Box<dyn Querier>, Arc<AtomicUsize>);

struct Selection(Box<dyn SeriesSet>, Arc<AtomicUsize>);

impl Querier for View {
    fn select(&self, matchers: &[Matcher], hints: &SelectHints) -> Result<Box<dyn SeriesSet>, ReadError> {
        Ok(Box::new(Selection(self.0.select(matchers, hints)?, Arc::clone(&self.1))))
    }

    fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        self.0.label_names(matchers)
    }

    fn label_values(&self, name: &str, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        self.0.label_values(name, matchers)
    }
}

impl SeriesSet for Selection {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.0.labels(index)
    }

    fn read(&self, index: usize, into: &mut SampleColumns) -> Result<(), ReadError> {
        if self.0.labels(index).metric_name().starts_with(SLOW_PREFIX) {
            self.1.fetch_add(1, Ordering::SeqCst);
            std::thread::park_timeout(SLOW_READ);
        }
        self.0.read(index, into)
    }

    fn estimated_samples(&self) -> u64 {
        self.0.estimated_samples()
    }
}

impl Appendable for Memory {
    fn appender(&self) -> Box<dyn Appender + '_> {
        self.0.appender()
    }
}

impl Store for Memory {
    fn metadata(&self) -> Vec<(String, Metadata)> {
        let names = self.querier(TimeRange::ALL).unwrap().label_values(METRIC_NAME, &[]).unwrap();
        names.into_iter().filter_map(|name| Some((name.clone(), self.0.metadata(&name)?))).collect()
    }

    fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, ReadError> {
        self.0.exemplars(selectors, range)
    }

    fn flush(&self) -> Result<(), tsdb::Error> {
        self.1.count.fetch_add(1, Ordering::SeqCst);
        while self.1.held.load(Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// One store in memory per tenant.
#[derive(Debug, Default)]
pub(crate) struct Memories(Mutex<BTreeMap<TenantId, Arc<Memory>>>);

impl Memories {
    pub(crate) fn of(&self, tenant: &str) -> Arc<Memory> {
        let tenant = TenantId::new(tenant).unwrap();
        Arc::clone(self.0.lock().unwrap().entry(tenant).or_default())
    }
}

impl Memories {
    /// The tenants that have a store.
    pub(crate) fn tenants(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().map(|tenant| tenant.as_str().to_owned()).collect()
    }
}

impl Stores for Memories {
    fn open(&self, tenant: &TenantId) -> Result<Arc<dyn Store>, tsdb::Error> {
        Ok(self.of(tenant.as_str()))
    }

    fn existing(&self, tenant: &TenantId) -> Result<Option<Arc<dyn Store>>, tsdb::Error> {
        Ok(self.0.lock().unwrap().get(tenant).map(|store| Arc::<Memory>::clone(store) as Arc<dyn Store>))
    }

    fn list(&self) -> Vec<(TenantId, Arc<dyn Store>)> {
        let all = self.0.lock().unwrap();
        all.iter().map(|(tenant, store)| (tenant.clone(), Arc::clone(store) as Arc<dyn Store>)).collect()
    }

    fn close(&self) -> Result<(), tsdb::Error> {
        Ok(())
    }
}

/// A running server. Dropping it stops it.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stores: Arc<Memories>,
    pub(crate) client: Client,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), tsdb::Error>>,
}

/// The settings of a test server: the defaults without the server's own metrics.
pub(crate) fn config() -> Config {
    Config { self_ingest_interval: Period::from_ms(0), ..Config::default() }
}

pub(crate) async fn start(config: Config) -> Running {
    let stores = Arc::new(Memories::default());
    let server =
        Server::new(config, Arc::<Memories>::clone(&stores), Arc::new(ManualClock::at(NOW))).unwrap();
    run(server, stores).await
}

/// Serves `server` on a free port.
pub(crate) async fn run(server: Server, stores: Arc<Memories>) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(tsdb_server::serve(listener, server, async {
        stopped.await.unwrap_or_default();
    }));
    let client = Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
    Running { address, stores, client, stop: Some(stop), served }
}

impl Running {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }

    /// A remote-write request with this uncompressed body.
    pub(crate) fn write(&self, body: &[u8]) -> RequestBuilder {
        self.write_raw(snap::raw::Encoder::new().compress_vec(body).unwrap())
    }

    /// A remote-write request with this body as it is.
    pub(crate) fn write_raw(&self, body: Vec<u8>) -> RequestBuilder {
        self.post("/api/v1/write")
            .header("Content-Type", "application/x-protobuf")
            .header("Content-Encoding", "snappy")
            .header("X-Prometheus-Remote-Write-Version", "0.1.0")
            .body(body)
    }

    pub(crate) fn push(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.post("/v1/metrics/push").header("Content-Type", "application/json").body(body)
    }

    /// The samples of the series with these labels, of the default tenant.
    pub(crate) fn samples(&self, pairs: &[(&str, &str)]) -> Vec<(i64, f64)> {
        self.samples_of("default", pairs)
    }

    pub(crate) fn samples_of(&self, tenant: &str, pairs: &[(&str, &str)]) -> Vec<(i64, f64)> {
        let matchers: Vec<_> =
            pairs.iter().map(|(name, value)| Matcher::new(MatchOp::Equal, *name, *value).unwrap()).collect();
        let hints = SelectHints::over(TimeRange::ALL);
        let set = self.stores.of(tenant).querier(TimeRange::ALL).unwrap().select(&matchers, &hints).unwrap();
        let wanted = Labels::from_pairs(pairs.iter().copied()).unwrap();
        let mut columns = SampleColumns::new();
        match (0..set.len()).find(|index| set.labels(*index) == wanted) {
            Some(index) => set.read(index, &mut columns).unwrap(),
            None => return Vec::new(),
        }
        columns.timestamps.into_iter().zip(columns.values).collect()
    }

    /// Stops the server as a signal would and waits for it.
    pub(crate) async fn stop(mut self) -> Result<(), tsdb::Error> {
        drop(self.stop.take());
        self.served.await.unwrap()
    }
}

/// Sends a request: status and body.
pub(crate) async fn send(request: RequestBuilder) -> (StatusCode, String) {
    let response = request.send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}
