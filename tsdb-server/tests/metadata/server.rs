//! A server on a loopback port over a folder, and a client for it.

use reqwest::blocking::{Client, RequestBuilder};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tsdb_server::{Config, Period, Server};

/// A running server. Dropping it stops it.
pub(crate) struct Running {
    address: SocketAddr,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<Result<(), tsdb::Error>>>,
    runtime: Runtime,
}

/// Settings that ask the store often, for impatient tests.
pub(crate) fn config(folder: &Path, url: &str) -> Config {
    let mut config = Config { admin_api: true, data_dir: folder.to_owned(), ..Config::default() };
    config.self_ingest_interval = Period::from_ms(0);
    config.metadata.url = url.to_owned();
    config.metadata.poll_interval = Period::from_ms(100);
    config.metadata.catalogue_interval = Period::from_ms(100);
    config.metadata.timeout = Period::from_secs(3);
    config
}

impl Running {
    pub(crate) fn start(config: Config) -> Self {
        let runtime = Runtime::new().unwrap();
        let server = Server::open(config).unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = runtime.spawn(tsdb_server::serve(listener, server, async {
            stopped.await.unwrap_or_default();
        }));
        let client = Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        Self { address, client, stop: Some(stop), served: Some(served), runtime }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub(crate) fn put(&self, path: &str, body: &str) -> RequestBuilder {
        self.client.put(self.url(path)).body(body.to_owned())
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> RequestBuilder {
        self.client.post(self.url(path)).body(body.to_owned())
    }

    pub(crate) fn patch(&self, path: &str, body: &str) -> RequestBuilder {
        self.client.patch(self.url(path)).body(body.to_owned())
    }

    pub(crate) fn delete(&self, path: &str) -> RequestBuilder {
        self.client.delete(self.url(path))
    }

    /// Pushes `samples` samples of as many series for `tenant`; the status of the answer.
    pub(crate) fn push(&self, tenant: &str, samples: usize) -> u16 {
        let now = self.client.get(self.url("/api/v1/query?query=time()")).send().unwrap().text().unwrap();
        let now: Value = serde_json::from_str(&now).unwrap();
        let seconds = now["data"]["result"][0].as_f64().unwrap();
        let sample = |number: usize| {
            format!(
                r#"{{"metric":"m","labels":{{"n":"{number}"}},"timestampMs":{:.0},"value":1}}"#,
                seconds * 1_000.0
            )
        };
        let samples: Vec<String> = (0..samples).map(sample).collect();
        let body = format!(r#"{{"samples":[{}]}}"#, samples.join(","));
        let request = self.client.post(self.url("/v1/metrics/push")).header("X-Tenant-ID", tenant);
        request.header("Content-Type", "application/json").body(body).send().unwrap().status().as_u16()
    }

    /// The value of a metric of the server without labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").send().unwrap().text().unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).split(' ').nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(served) = self.served.take() {
            self.runtime.block_on(served).unwrap().unwrap();
        }
    }
}

/// Sends a request: status, and the body if it is JSON.
pub(crate) fn send(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().unwrap()).unwrap_or_default())
}
