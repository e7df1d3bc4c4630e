//! Google Cloud Storage. There is no server of it to be had for tests, so one stands in that answers as the documentation
//! of its XML API says, as far as blocks need it. What differs from the others is the rule that matters here: the condition
//! of a put is the number that a service gave the object's content, its generation, and not its tag.

use super::{contract, survives_its_machine};
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tokio::runtime::Runtime;
use tsdb::tier::ObjectStore;
use tsdb_core::testing::skipped;
use tsdb_server::CloudStore;

const AT: &str = "Sat, 21 Nov 2026 10:00:00 GMT";

#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, (Bytes, u64)>,
    /// Those of the upload of a key.
    parts: BTreeMap<(String, u32), Bytes>,
    generation: u64,
}

type Shared = Arc<Mutex<Bucket>>;
type Parameters = Query<BTreeMap<String, String>>;

impl Bucket {
    fn put(&mut self, key: String, content: Bytes) -> u64 {
        self.generation += 1;
        self.objects.insert(key, (content, self.generation));
        self.generation
    }
}

/// What says which content was put or got. Tags are of no use in conditions.
fn stamped(status: StatusCode, generation: u64, body: impl Into<Body>) -> Response {
    let headers = [("x-goog-generation", generation.to_string()), ("etag", format!("\"tag{generation}\""))];
    (status, headers, [("last-modified", AT)], body.into()).into_response()
}

async fn object(
    State(bucket): State<Shared>,
    method: Method,
    Path(key): Path<String>,
    Query(query): Parameters,
    headers: HeaderMap,
    content: Bytes,
) -> Response {
    let mut bucket = bucket.lock().unwrap();
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let current = bucket.objects.get(&key).cloned();
    let part = query.get("partNumber").and_then(|number| number.parse().ok());
    match (method, part) {
        (Method::PUT, Some(part)) => {
            bucket.parts.insert((key, part), content);
            stamped(StatusCode::OK, u64::from(part), "")
        }
        (Method::PUT, None) => {
            let wanted = header("x-goog-if-generation-match").map(|text| text.parse::<u64>().unwrap());
            if wanted.is_some_and(|wanted| wanted != current.map_or(0, |(_, generation)| generation)) {
                return StatusCode::PRECONDITION_FAILED.into_response();
            }
            stamped(StatusCode::OK, bucket.put(key, content), "")
        }
        (Method::POST, _) if query.contains_key("uploads") => {
            let tag = "InitiateMultipartUploadResult";
            format!("<{tag}><UploadId>the-upload</UploadId></{tag}>").into_response()
        }
        (Method::POST, _) => {
            let parts: Vec<_> = bucket.parts.range((key.clone(), 0)..=(key.clone(), u32::MAX)).collect();
            let whole = parts.into_iter().flat_map(|(_, part)| part.clone()).collect();
            let (generation, tag) = (bucket.put(key, whole), "CompleteMultipartUploadResult");
            stamped(StatusCode::OK, generation, format!("<{tag}><ETag>\"of-parts\"</ETag></{tag}>"))
        }
        (Method::DELETE, _) if query.contains_key("uploadId") => StatusCode::NO_CONTENT.into_response(),
        (Method::DELETE, _) => match bucket.objects.remove(&key) {
            Some(_) => StatusCode::NO_CONTENT.into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        (_, _) => match current {
            Some((content, generation))
                if query.get("generation").is_none_or(|wanted| *wanted == generation.to_string()) =>
            {
                got(&content, generation, header("range"))
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        },
    }
}

fn got(content: &Bytes, generation: u64, range: Option<&str>) -> Response {
    let Some(range) = range else { return stamped(StatusCode::OK, generation, content.clone()) };
    let (first, last) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let part = content.slice(first..content.len().min(last + 1));
    let place = format!("bytes {first}-{}/{}", first + part.len() - 1, content.len());
    let mut response = stamped(StatusCode::PARTIAL_CONTENT, generation, part);
    response.headers_mut().insert("content-range", place.parse().unwrap());
    response
}

async fn list(State(bucket): State<Shared>, Query(query): Parameters) -> String {
    let bucket = bucket.lock().unwrap();
    let of = |name| query.get(name).map_or("", String::as_str);
    let (prefix, delimiter) = (of("prefix"), of("delimiter"));
    let (mut found, mut folders) = (String::new(), BTreeSet::new());
    for (key, (content, generation)) in bucket.objects.iter().filter(|(key, _)| key.starts_with(prefix)) {
        let rest = &key[prefix.len()..];
        match rest.split_once('/').filter(|_| !delimiter.is_empty()) {
            Some((folder, _)) => drop(folders.insert(format!("{prefix}{folder}/"))),
            None => {
                found += &format!(
                    "<Contents><Key>{key}</Key><Size>{}</Size><LastModified>2026-11-21T10:00:00.000Z</LastModified>\
                     <ETag>\"tag{generation}\"</ETag></Contents>",
                    content.len()
                );
            }
        }
    }
    for folder in folders {
        found += &format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>");
    }
    format!("<ListBucketResult>{found}</ListBucketResult>")
}

#[test]
fn google_does_what_the_engine_relies_on() {
    if std::env::var_os("GOOGLE_BEARER_TOKEN").is_none() {
        return skipped("GOOGLE_BEARER_TOKEN must be set, to anything");
    }
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let routes = axum::Router::new()
        .route("/blocks", axum::routing::get(list))
        .route("/blocks/{*key}", axum::routing::any(object))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(Shared::default());
    runtime.spawn(async move { axum::serve(listener, routes).await });
    let store: Arc<dyn ObjectStore> = Arc::new(CloudStore::open("gs://blocks", &endpoint, "").unwrap());
    contract::holds_for(&*store);
    survives_its_machine(&store);
}
