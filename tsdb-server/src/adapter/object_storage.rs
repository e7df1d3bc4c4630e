//! S3, Google Cloud Storage and Azure Blob Storage as object stores of the engine.
//!
//! The engine is synchronous and has threads of its own: calls run on a small runtime of this store, and whoever calls
//! waits for the answer. Repeating what failed is the engine's business, so nothing is repeated here; but a service that
//! says when to come back is asked nothing before that. Credentials come from the environment, under the names that the
//! services' own tools use.

mod patience;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, GetRange, MultipartUpload, ObjectMeta,
    ObjectStore as Remote, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig, UpdateVersion,
};
use patience::Patient;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tsdb::tier::{Condition, ObjectInfo, ObjectStore, StoreError, Version};

/// What is longer than this is sent in several parts, each of this length.
const PART_BYTES: usize = 8 << 20;
/// How long a call may take, and how long it may take to reach the service.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const THREADS: usize = 2;

/// A bucket of a service.
pub struct CloudStore {
    remote: Arc<dyn Remote>,
    told_apart: ToldApart,
    runtime: Option<Runtime>,
}

/// What a service tells the contents that an object had one after the other apart by, in conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ToldApart {
    Tags,
    /// The numbers that Google Cloud Storage gives; it knows tags too, but not as a condition of a put.
    Generations,
}

impl ToldApart {
    fn version(self, tag: Option<String>, generation: Option<String>) -> Option<Version> {
        match self {
            Self::Tags => tag,
            Self::Generations => generation,
        }
        .map(Version)
    }

    fn to_update(self, Version(text): &Version) -> UpdateVersion {
        match self {
            Self::Tags => UpdateVersion { e_tag: Some(text.clone()), version: None },
            Self::Generations => UpdateVersion { e_tag: None, version: Some(text.clone()) },
        }
    }

    fn to_get(self, version: Option<&Version>) -> GetOptions {
        let text = version.map(|Version(text)| text.clone());
        match self {
            Self::Tags => GetOptions { if_match: text, ..GetOptions::default() },
            Self::Generations => GetOptions { version: text, ..GetOptions::default() },
        }
    }

    fn info(self, meta: ObjectMeta) -> ObjectInfo {
        let version = self.version(meta.e_tag, meta.version);
        let modified_ms = meta.last_modified.timestamp_millis();
        ObjectInfo { key: meta.location.to_string(), size: meta.size, version, modified_ms }
    }
}

impl CloudStore {
    /// The bucket that `url` names: `s3://bucket`, `gs://bucket` or `az://container`. `endpoint` and `region` are those
    /// of the service if they are not empty.
    ///
    /// # Errors
    /// The URL names no service, settings are missing, or threads cannot be started.
    pub fn open(url: &str, endpoint: &str, region: &str) -> Result<Self, StoreError> {
        let refused = |error: Error| failed("open", url, error);
        let client = ClientOptions::new()
            .with_timeout(TIMEOUT)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_allow_http(endpoint.starts_with("http://"));
        let retry = RetryConfig { max_retries: 0, retry_timeout: TIMEOUT, backoff: BackoffConfig::default() };
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        let remote: Arc<dyn Remote> = match scheme {
            "s3" => {
                let builder = AmazonS3Builder::from_env().with_url(url).with_client_options(client);
                let mut builder = builder.with_retry(retry).with_http_connector(Patient);
                if !endpoint.is_empty() {
                    builder = builder.with_endpoint(endpoint);
                }
                if !region.is_empty() {
                    builder = builder.with_region(region);
                }
                Arc::new(builder.build().map_err(refused)?)
            }
            "gs" => {
                let mut builder =
                    GoogleCloudStorageBuilder::from_env().with_url(url).with_http_connector(Patient);
                if !endpoint.is_empty() {
                    builder = builder.with_base_url(endpoint);
                }
                Arc::new(builder.with_client_options(client).with_retry(retry).build().map_err(refused)?)
            }
            "az" => {
                let mut builder =
                    MicrosoftAzureBuilder::from_env().with_url(url).with_http_connector(Patient);
                if !endpoint.is_empty() {
                    builder = builder.with_endpoint(endpoint.to_owned());
                }
                Arc::new(builder.with_client_options(client).with_retry(retry).build().map_err(refused)?)
            }
            _ => {
                let source = io::Error::new(io::ErrorKind::InvalidInput, "the URL begins with s3, gs or az");
                return Err(StoreError::Refused { action: "open", key: url.into(), source });
            }
        };
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(THREADS).thread_name("tsdb-objects").enable_all();
        let runtime = runtime.build().map_err(|error| StoreError::unavailable("open", url, error))?;
        let told_apart = if scheme == "gs" { ToldApart::Generations } else { ToldApart::Tags };
        Ok(Self { remote, told_apart, runtime: Some(runtime) })
    }

    /// Runs `call` on the runtime and waits for it, wherever it is called from.
    fn wait<T: Send + 'static>(
        &self,
        action: &'static str,
        key: &str,
        call: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let gone = || StoreError::unavailable(action, key, io::ErrorKind::Interrupted.into());
        let runtime = self.runtime.as_ref().ok_or_else(gone)?;
        drop(runtime.spawn(async move { drop(answer.send(call.await)) }));
        answered.recv().map_err(|_| gone())?.map_err(|error| failed(action, key, error))
    }

    fn put_parts(&self, key: &str, source: &mut dyn Read, len: u64) -> Result<Version, StoreError> {
        const ACTION: &str = "upload";
        let (remote, path) = (Arc::clone(&self.remote), path(ACTION, key)?);
        let mut upload = self.wait(ACTION, key, async move { remote.put_multipart(&path).await })?;
        let mut sent = 0;
        let outcome = loop {
            match piece(source, PART_BYTES) {
                Err(error) => break Err(StoreError::unavailable("read for", key, error)),
                Ok(part) if part.is_empty() => break Ok(()),
                Ok(part) => {
                    sent += part.len() as u64;
                    if let Err(error) = self.wait(ACTION, key, upload.put_part(PutPayload::from(part))) {
                        break Err(error);
                    }
                }
            }
        };
        let outcome =
            outcome.and_then(|()| if sent == len { Ok(()) } else { Err(other_length(key, sent, len)) });
        if let Err(error) = outcome {
            self.abort(key, upload);
            return Err(error);
        }
        let put = self.wait(ACTION, key, async move { upload.complete().await })?;
        Ok(self.told_apart.version(put.e_tag, put.version).unwrap_or_else(|| Version(String::new())))
    }

    /// Parts that nobody needs are removed as far as that is possible; the service's own rules remove the rest.
    fn abort(&self, key: &str, mut upload: Box<dyn MultipartUpload>) {
        drop(self.wait("abort", key, async move { upload.abort().await }));
    }
}

impl ObjectStore for CloudStore {
    fn put(&self, key: &str, bytes: &[u8], condition: &Condition) -> Result<Version, StoreError> {
        let mode = match condition {
            Condition::Absent => PutMode::Create,
            Condition::Unchanged(version) => PutMode::Update(self.told_apart.to_update(version)),
            _ => PutMode::Overwrite,
        };
        let (remote, path) = (Arc::clone(&self.remote), path("put", key)?);
        let payload = PutPayload::from(bytes.to_vec());
        let call = async move { remote.put_opts(&path, payload, PutOptions::from(mode)).await };
        let put = self.wait("put", key, call)?;
        Ok(self.told_apart.version(put.e_tag, put.version).unwrap_or_else(|| Version(String::new())))
    }

    fn upload(&self, key: &str, source: &mut dyn Read, len: u64) -> Result<Version, StoreError> {
        if len > PART_BYTES as u64 {
            return self.put_parts(key, source, len);
        }
        let bytes =
            piece(source, PART_BYTES).map_err(|error| StoreError::unavailable("read for", key, error))?;
        if bytes.len() as u64 != len {
            return Err(other_length(key, bytes.len() as u64, len));
        }
        self.put(key, &bytes, &Condition::Always)
    }

    fn get(&self, key: &str, range: Range<u64>, version: Option<&Version>) -> Result<Vec<u8>, StoreError> {
        let (remote, path) = (Arc::clone(&self.remote), path("get", key)?);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..self.told_apart.to_get(version) };
        let got = self.wait("get", key, async move { remote.get_opts(&path, options).await?.bytes().await });
        let by_generation = self.told_apart == ToldApart::Generations;
        got.map(Vec::from).map_err(|error| match error {
            // There is none of this generation: of another one there may be.
            StoreError::NotFound { key } if version.is_some() && by_generation => {
                StoreError::Conflict { key }
            }
            other => other,
        })
    }

    fn head(&self, key: &str) -> Result<ObjectInfo, StoreError> {
        let (remote, path) = (Arc::clone(&self.remote), path("ask for", key)?);
        self.wait("ask for", key, async move { remote.head(&path).await })
            .map(|meta| self.told_apart.info(meta))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let path = path("list", prefix)?;
        let (mut listed, told_apart) = (self.remote.list(Some(&path)), self.told_apart);
        self.wait("list", prefix, async move {
            let mut found = Vec::new();
            while let Some(object) = poll_fn(|context| listed.as_mut().poll_next(context)).await {
                found.push(told_apart.info(object?));
            }
            Ok(found)
        })
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let path = if prefix.is_empty() { None } else { Some(path("list", prefix)?) };
        let remote = Arc::clone(&self.remote);
        let list = async move { remote.list_with_delimiter(path.as_ref()).await };
        let listed = self.wait("list", prefix, list)?;
        let word = |path: &Path| path.parts().next_back().map(|part| part.as_ref().to_owned());
        let mut names: Vec<String> = listed.common_prefixes.iter().filter_map(word).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        let (remote, path) = (Arc::clone(&self.remote), path("delete", key)?);
        match self.wait("delete", key, async move { remote.delete(&path).await }) {
            Err(StoreError::NotFound { .. }) => Ok(()),
            deleted => deleted,
        }
    }
}

/// The next bytes of `source`, `most` of them unless it ends.
fn piece(source: &mut dyn Read, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn path(action: &'static str, key: &str) -> Result<Path, StoreError> {
    Path::parse(key).map_err(|error| {
        let source = io::Error::new(io::ErrorKind::InvalidInput, error);
        StoreError::Refused { action, key: key.into(), source }
    })
}

fn other_length(key: &str, found: u64, expected: u64) -> StoreError {
    let (found, expected) = (format!("{found} bytes"), format!("{expected} bytes"));
    StoreError::Wrong { key: key.into(), found, expected }
}

fn failed(action: &'static str, key: &str, error: Error) -> StoreError {
    let key = key.to_owned();
    match error {
        Error::NotFound { .. } => StoreError::NotFound { key },
        Error::AlreadyExists { .. } | Error::Precondition { .. } => StoreError::Conflict { key },
        Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::InvalidPath { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::UnknownConfigurationKey { .. } => {
            StoreError::Refused { action, key, source: io::Error::other(error) }
        }
        other => StoreError::Unavailable { action, key, source: io::Error::other(other) },
    }
}

impl Drop for CloudStore {
    fn drop(&mut self) {
        // It may be dropped where nobody may wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for CloudStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloudStore({})", self.remote)
    }
}
