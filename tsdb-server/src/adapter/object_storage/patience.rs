//! What a service asks for when it is asked too much: to be left in peace for a while.
//!
//! It answers 429 or 503 and says in `Retry-After` how many seconds that lasts. Until then no request is sent to it,
//! whoever makes it; the one that was refused fails, and whoever repeats it waits here. A date instead of seconds is
//! not understood, and waits of more than [`LONGEST`] are cut short: what is refused again says so again.

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Whoever repeats a call a few times has an answer before others lose their patience with it.
const LONGEST: Duration = Duration::from_secs(5);
const REFUSALS: [u16; 2] = [429, 503];

/// Connects clients that do as they are asked.
#[derive(Debug)]
pub(super) struct Patient;

#[derive(Debug)]
struct PatientClient {
    client: HttpClient,
    /// No request is sent before.
    not_before: Mutex<Option<Instant>>,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpConnector for Patient {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(PatientClient { client, not_before: Mutex::default() }))
    }
}

impl HttpService for PatientClient {
    fn call<'a, 'f>(&'a self, request: HttpRequest) -> Answer<'f>
    where
        'a: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            while let Some(not_before) = self.not_before() {
                sleep_until(not_before).await;
            }
            let response = self.client.execute(request).await?;
            if let Some(wait) = wanted_wait(&response) {
                let mut not_before = self.not_before.lock();
                *not_before = (*not_before).max(Some(Instant::now() + wait.min(LONGEST)));
            }
            Ok(response)
        })
    }
}

impl PatientClient {
    /// When the next request may be sent, if that is not now. Somebody else may be refused meanwhile.
    fn not_before(&self) -> Option<Instant> {
        self.not_before.lock().filter(|not_before| *not_before > Instant::now())
    }
}

/// How long the service wants to be left in peace.
fn wanted_wait(response: &HttpResponse) -> Option<Duration> {
    if !REFUSALS.contains(&response.status().as_u16()) {
        return None;
    }
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
