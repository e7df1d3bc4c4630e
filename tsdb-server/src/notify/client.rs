//! Requests to one receiver: guarded, authenticated, bounded in time, and judged by their answer.
//!
//! Redirects are not followed, so neither credentials nor alerts reach a host that the settings do not name. Addresses
//! of receivers may be secrets: no error tells one.

use super::guard::{Guard, GuardError, GuardedNames};
use crate::Secret;
use crate::config::ReceiverHttpConfig;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity, StatusCode, Url};
use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a request may take where the settings do not say.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer is read, in bytes: enough for a reason.
const ANSWER_BYTES: usize = 512;

/// Settings of a receiver that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReceiverError {
    /// The address is no URL of a receiver.
    #[error("the URL {what}")]
    Url {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The address is in a network that is not allowed.
    #[error("{reason}")]
    Guard {
        /// Which and why.
        reason: String,
    },
    /// A file cannot be read.
    #[error("{path} cannot be read: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A secret is needed and there is none.
    #[error("{what} is empty")]
    Empty {
        /// Which.
        what: &'static str,
    },
    /// Two settings exclude each other.
    #[error("{first} and {second} are both set")]
    Both {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Certificates that are none, or TLS that cannot be had.
    #[error("TLS: {source}")]
    Tls {
        /// Why.
        #[from]
        source: reqwest::Error,
    },
}

impl From<GuardError> for ReceiverError {
    fn from(error: GuardError) -> Self {
        Self::Guard { reason: error.to_string() }
    }
}

/// Speaks to one receiver.
#[derive(Debug)]
pub(super) struct Receiver {
    client: Client,
    url: Url,
    auth: Auth,
}

#[derive(Debug)]
enum Auth {
    None,
    Basic { username: String, password: Source },
    Bearer { token: Source },
}

/// Where a secret comes from.
#[derive(Debug)]
enum Source {
    Text(Secret),
    File(PathBuf),
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The receiver took it.
    Delivered,
    /// The receiver will never take it; `reason` is from a fixed set.
    Refused { reason: &'static str, message: String },
    /// It may take it later, and perhaps says when.
    Failed { reason: &'static str, message: String, retry_after: Option<Duration> },
}

impl Receiver {
    /// A receiver at `url`.
    ///
    /// # Errors
    /// Settings that cannot be used.
    pub(super) fn new(
        url: &str,
        config: &ReceiverHttpConfig,
        guard: &Arc<Guard>,
    ) -> Result<Self, ReceiverError> {
        let url = checked(url)?;
        guard.check_host(&url)?;
        let timeout = config.timeout.map_or(TIMEOUT, |timeout| timeout.as_duration());
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .dns_resolver(GuardedNames(Arc::clone(guard)))
            .timeout(timeout)
            .connect_timeout(timeout)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("tsdb/", env!("CARGO_PKG_VERSION")));
        if url.scheme() == "http" {
            // A machine without certificates can do without them.
            builder = builder.tls_certs_only([]);
        } else if is_set(&config.ca_file) {
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(&read(&config.ca_file)?)?);
        }
        if is_set(&config.cert_file) {
            let mut pem = read(&config.cert_file)?;
            pem.push(b'\n');
            pem.extend(read(&config.key_file)?);
            builder = builder.identity(Identity::from_pem(&pem)?);
        }
        if config.insecure_skip_verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        Ok(Self { client: builder.build()?, url, auth: auth(config)? })
    }

    /// The address without what may be secret in it.
    pub(super) fn shown(&self) -> String {
        format!("{}://{}", self.url.scheme(), self.url.authority())
    }

    /// The whole address.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Posts a JSON text.
    pub(super) async fn post(&self, body: Vec<u8>) -> Verdict {
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        let request = match &self.auth {
            Auth::None => Ok(request),
            Auth::Basic { username, password } => {
                password.text().map(|password| request.basic_auth(username, Some(password.reveal())))
            }
            Auth::Bearer { token } => token.text().map(|token| request.bearer_auth(token.reveal())),
        };
        let sent = match request {
            Ok(request) => request.send().await,
            // Whoever is changing the file puts it back.
            Err(error) => return failed("credentials", error.to_string()),
        };
        match sent {
            Ok(mut response) => {
                let (status, asked) = (response.status(), retry_after(&response));
                let said = if status.is_success() { String::new() } else { beginning(&mut response).await };
                judge(status, asked, &said)
            }
            Err(error) => failed(reason(&error), told(error)),
        }
    }
}

/// What an answer means.
fn judge(status: StatusCode, retry_after: Option<Duration>, said: &str) -> Verdict {
    let message = if said.is_empty() { status.to_string() } else { format!("{status}: {said}") };
    if status.is_success() {
        Verdict::Delivered
    } else if status == StatusCode::TOO_MANY_REQUESTS {
        Verdict::Failed { reason: "throttled", message, retry_after }
    } else if status == StatusCode::REQUEST_TIMEOUT || status.is_server_error() {
        Verdict::Failed { reason: "server_error", message, retry_after }
    } else if status.is_redirection() {
        Verdict::Refused { reason: "redirected", message: format!("{message}; redirects are not followed") }
    } else {
        Verdict::Refused { reason: "client_error", message }
    }
}

fn failed(reason: &'static str, message: String) -> Verdict {
    Verdict::Failed { reason, message, retry_after: None }
}

fn reason(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "connect"
    } else {
        "other"
    }
}

/// An error with its causes, and without the address.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// The seconds of `Retry-After`; the form with a date is for caches.
fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The beginning of an answer, on one line.
async fn beginning(response: &mut reqwest::Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = ANSWER_BYTES.saturating_sub(bytes.len());
        bytes.extend(chunk.iter().take(room));
        if bytes.len() >= ANSWER_BYTES {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// The URL in `text`, if requests with alerts may go to such a URL.
fn checked(text: &str) -> Result<Url, ReceiverError> {
    let wrong = |what| ReceiverError::Url { what };
    let url = Url::parse(text).map_err(|_| wrong("is none"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("begins with neither http nor https"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("has no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("has credentials in it; they belong in username and password"));
    }
    if url.fragment().is_some() {
        return Err(wrong("has a fragment"));
    }
    Ok(url)
}

fn auth(config: &ReceiverHttpConfig) -> Result<Auth, ReceiverError> {
    let basic = source(&config.password, &config.password_file, "password", "password_file")?;
    let bearer =
        source(&config.bearer_token, &config.bearer_token_file, "bearer_token", "bearer_token_file")?;
    match (config.username.is_empty(), basic, bearer) {
        (true, None, None) => Ok(Auth::None),
        (true, None, Some(token)) => Ok(Auth::Bearer { token }),
        (false, Some(password), None) => Ok(Auth::Basic { username: config.username.clone(), password }),
        (false, None, None) => Err(ReceiverError::Empty { what: "password" }),
        (true, Some(_), None) => Err(ReceiverError::Empty { what: "username" }),
        (_, _, Some(_)) => Err(ReceiverError::Both { first: "username or password", second: "bearer_token" }),
    }
}

fn source(
    text: &Secret,
    file: &Path,
    text_name: &'static str,
    file_name: &'static str,
) -> Result<Option<Source>, ReceiverError> {
    match (text.reveal().is_empty(), is_set(file)) {
        (true, false) => Ok(None),
        (false, false) => Ok(Some(Source::Text(text.clone()))),
        (true, true) => Ok(Some(Source::File(file.to_owned()))),
        (false, true) => Err(ReceiverError::Both { first: text_name, second: file_name }),
    }
}

impl Source {
    fn text(&self) -> Result<Secret, ReceiverError> {
        match self {
            Self::Text(secret) => Ok(secret.clone()),
            Self::File(path) => {
                let text = read(path)?;
                let text = String::from_utf8_lossy(&text).trim().to_owned();
                if text.is_empty() {
                    return Err(ReceiverError::Empty { what: "the file of the secret" });
                }
                Ok(Secret::new(text))
            }
        }
    }
}

fn is_set(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

fn read(path: &Path) -> Result<Vec<u8>, ReceiverError> {
    std::fs::read(path).map_err(|source| ReceiverError::File { path: path.to_owned(), source })
}
