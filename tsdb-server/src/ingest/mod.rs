//! Ways in: remote write and JSON. Each format reads its bytes; limits, refusals and the store are the same for all.
//!
//! A handler reads the body under a limit and a deadline, then works where it may block, since writing waits for
//! the log. Buffers are reused between requests.

mod batch;
mod encoding;
mod intake;
mod json;
mod loose;
mod protobuf;
mod refusing;
pub mod remote_write_format;
mod self_metrics;
mod source;
mod unseen;
mod write;

pub use encoding::{Encoding, EncodingError, decode as decode_content};
pub(crate) use refusing::Refusing;
pub(crate) use self_metrics::store_own_metrics;

use crate::Period;
use crate::access::Scope;
use crate::api::write_json_string;
use crate::error::{ApiError, ErrorKind};
use crate::limits::Limit;
use crate::state::Server;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use batch::Refusals;
use bytes::Bytes;
use http_body_util::BodyExt;
use intake::{Intake, check_rate, count};
use std::sync::atomic::Ordering;
use tsdb_core::TenantId;
use write::{Version, Written};

/// `POST /api/v1/write`
pub(crate) async fn remote_write(State(server): State<Server>, scope: Scope, request: Request) -> Response {
    write_request(server, scope, request).await.unwrap_or_else(ApiError::into_text_response)
}

async fn write_request(server: Server, scope: Scope, request: Request) -> Result<Response, ApiError> {
    let tenant = scope.tenant()?;
    let answer = write_of(&server, tenant, request).await;
    answer.inspect_err(|error| count_refused(&server, tenant, error))
}

async fn write_of(server: &Server, tenant: &TenantId, request: Request) -> Result<Response, ApiError> {
    let version = remote_write_version(request.headers())?;
    let encoding = remote_write_encoding(request.headers())?;
    let source = source::sender(request.headers());
    let body = received(server, tenant, request).await?;
    let (work, of_work) = (server.clone(), tenant.clone());
    let written = server
        .run_ingest(move || {
            let intake = Intake::new(&work, &of_work, source);
            let mut buffer = work.buffers().take();
            let decoded = intake.decode(encoding, &body, &mut buffer)?;
            let written = write::write(&intake, version, decoded);
            work.buffers().give_back(buffer);
            written
        })
        .await?;
    count_written(server, tenant, &written);
    Ok(write_answer(version, written))
}

/// Counts a request that was refused whole. Faults of the server are no refusals.
fn count_refused(server: &Server, tenant: &TenantId, error: &ApiError) {
    if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Internal) {
        return;
    }
    server.telemetry().refused.request(server.with_store(tenant), error.kind().error_type());
}

fn count_written(server: &Server, tenant: &TenantId, written: &Written) {
    let telemetry = server.telemetry();
    telemetry.exemplars.fetch_add(written.exemplars, Ordering::Relaxed);
    telemetry.refused_exemplars.fetch_add(written.refused_exemplars.total(), Ordering::Relaxed);
    telemetry.histograms.fetch_add(written.histograms, Ordering::Relaxed);
    telemetry.refused.look_alikes(server.with_store(tenant), written.look_alikes);
    count(server, tenant, "remote_write", written.accepted, &written.refusals);
}

/// What the sender is told. A refused exemplar fails a request of 2.0, which asks for that, and none of 1.0, which knows
/// no partial success: there the sender would believe that nothing arrived.
fn write_answer(version: Version, mut written: Written) -> Response {
    let mut reasons = Vec::new();
    if written.refusals.total() > 0 {
        reasons.push(refusal_text("samples", written.accepted, &mut written.refusals));
    }
    if version == Version::Two && written.refused_exemplars.total() > 0 {
        reasons.push(refusal_text("exemplars", written.exemplars, &mut written.refused_exemplars));
    }
    let mut response = if reasons.is_empty() {
        StatusCode::NO_CONTENT.into_response()
    } else {
        ApiError::bad_data(reasons.join("; ")).into_text_response()
    };
    for (name, count) in [
        ("x-prometheus-remote-write-samples-written", written.accepted.saturating_sub(written.histograms)),
        ("x-prometheus-remote-write-histograms-written", written.histograms),
        ("x-prometheus-remote-write-exemplars-written", written.exemplars),
    ] {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(count));
    }
    response
}

/// How many refusals a text answer tells; senders log it.
const TOLD_REFUSALS: usize = 10;

fn refusal_text(what: &str, accepted: u64, refusals: &mut Refusals) -> String {
    let refused = refusals.total();
    let mut text = format!("{refused} {what} were refused, {accepted} were stored (");
    for (index, (reason, count)) in refusals.counts().iter().enumerate() {
        let separator = if index > 0 { ", " } else { "" };
        text.push_str(&format!("{separator}{reason}: {count}"));
    }
    text.push(')');
    for refusal in refusals.listed().iter().take(TOLD_REFUSALS) {
        text.push_str("; ");
        text.push_str(&refusal.message);
    }
    text
}

/// `POST /v1/metrics/push`
pub(crate) async fn push(
    State(server): State<Server>,
    scope: Scope,
    request: Request,
) -> Result<Response, ApiError> {
    let tenant = scope.tenant()?;
    let answer = push_of(&server, &scope, request).await;
    answer.inspect_err(|error| count_refused(&server, tenant, error))
}

async fn push_of(server: &Server, scope: &Scope, request: Request) -> Result<Response, ApiError> {
    let tenant = scope.tenant()?;
    let encoding = content_encoding(request.headers())?;
    let version = if content_type(request.headers()).starts_with("application/x-protobuf") {
        Some(remote_write_version(request.headers())?)
    } else {
        None
    };
    let source = match version {
        Some(_) => source::sender(request.headers()),
        None => source::named(request.headers()),
    };
    let body = received(server, tenant, request).await?;
    let (work, of_work) = (server.clone(), tenant.clone());
    let pushed = server
        .run_ingest(move || {
            let intake = Intake::new(&work, &of_work, source);
            let mut buffer = work.buffers().take();
            let decoded = intake.decode(encoding, &body, &mut buffer)?;
            let pushed = match version {
                Some(version) => write::write(&intake, version, decoded).map(|written| {
                    count_written(&work, &of_work, &written);
                    (written.accepted, written.refusals)
                }),
                None => json::push(&intake, decoded).map(|pushed| {
                    count(&work, &of_work, "json", pushed.accepted, &pushed.refusals);
                    (pushed.accepted, pushed.refusals)
                }),
            };
            work.buffers().give_back(buffer);
            pushed
        })
        .await
        .inspect_err(|error| {
            if error.kind() == ErrorKind::Forbidden {
                let caller = scope.caller();
                let claimed = "another, in the body";
                server.gate().refused("/v1/metrics/push", Some(caller), caller.from, claimed, error);
            }
        })?;
    let (accepted, mut refusals) = pushed;
    Ok(push_answer(accepted, &mut refusals))
}

fn push_answer(accepted: u64, refusals: &mut Refusals) -> Response {
    let mut body =
        format!("{{\"ingestedCount\":{accepted},\"droppedCount\":{}", refusals.total()).into_bytes();
    if refusals.total() > 0 {
        body.extend_from_slice(b",\"errors\":[");
        for (position, refusal) in refusals.listed().iter().enumerate() {
            let separator = if position > 0 { "," } else { "" };
            let head = format!(
                "{separator}{{\"index\":{},\"reason\":\"{}\",\"message\":",
                refusal.index, refusal.reason
            );
            body.extend_from_slice(head.as_bytes());
            write_json_string(&refusal.message, &mut body);
            body.push(b'}');
        }
        body.push(b']');
    }
    body.push(b'}');
    (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn received(server: &Server, tenant: &TenantId, request: Request) -> Result<Bytes, ApiError> {
    let limits = &server.limits(tenant).ingest;
    let body = read_body(request, limits.max_body_bytes, "limits.ingest.max_body_bytes", limits.body_timeout)
        .await?;
    server.telemetry().received_bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
    check_rate(server, tenant, limits)?;
    Ok(body)
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn content_encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    let name = headers.get(header::CONTENT_ENCODING).map_or(Ok(""), |value| value.to_str());
    name.ok()
        .and_then(Encoding::from_header)
        .ok_or_else(|| unsupported("the content encoding is not known: send identity, gzip, zstd or snappy"))
}

/// Snappy is the protocol's own; zstd is what vmagent sends where it is taken.
fn remote_write_encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    match content_encoding(headers)? {
        encoding @ (Encoding::Snappy | Encoding::Zstd) => Ok(encoding),
        _ => Err(unsupported("remote write bodies must have the content encoding snappy or zstd")),
    }
}

/// The version that the content type names by its message; 1.0 if it names none. A sender that speaks 2.0 goes back to
/// 1.0 when it is told 415.
fn remote_write_version(headers: &HeaderMap) -> Result<Version, ApiError> {
    let kind = content_type(headers);
    let (media, parameters) = kind.split_once(';').unwrap_or((kind, ""));
    if !media.trim().eq_ignore_ascii_case("application/x-protobuf") {
        return Err(unsupported("remote write bodies must have the content type application/x-protobuf"));
    }
    let message = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("proto="));
    match message.map(|name| name.trim_matches('"')) {
        None | Some("prometheus.WriteRequest") => Ok(Version::One),
        Some("io.prometheus.write.v2.Request") => Ok(Version::Two),
        Some(other) => Err(unsupported(&format!(
            "the message {other:?} is not supported: send prometheus.WriteRequest or io.prometheus.write.v2.Request"
        ))),
    }
}

fn unsupported(message: &str) -> ApiError {
    ApiError::new(ErrorKind::UnsupportedMedia, message)
}

/// The whole body of a request, which must be no larger than `limit` and arrive within `timeout`.
pub(crate) async fn read_body(
    request: Request,
    limit: Limit,
    limit_name: &str,
    timeout: Period,
) -> Result<Bytes, ApiError> {
    let too_large = |allowed| {
        ApiError::too_large(format!("the body has more than {allowed} bytes, which {limit_name} allows"))
    };
    let body = request.into_body();
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if let Some(allowed) = limit.exceeded_by(announced) {
        return Err(too_large(allowed));
    }
    match tokio::time::timeout(timeout.as_duration(), collect(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(BodyFault::TooLarge { allowed })) => Err(too_large(allowed)),
        Ok(Err(BodyFault::Broken { message })) => {
            Err(ApiError::bad_data(format!("the body could not be read: {message}")))
        }
        Err(_) => {
            let message = format!("the body did not arrive within {timeout}, which body_timeout allows");
            Err(ApiError::new(ErrorKind::RequestTimeout, message))
        }
    }
}

enum BodyFault {
    TooLarge { allowed: u64 },
    Broken { message: String },
}

/// Memory reserved for a body on the word of its sender.
const MAX_TRUSTED_LENGTH: usize = 1 << 20;

async fn collect(mut body: Body, limit: Limit) -> Result<Bytes, BodyFault> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyFault::Broken { message: error.to_string() })?;
        let Ok(data) = frame.into_data() else { continue };
        // A small body comes in one piece and is used where it lies.
        if whole.is_empty() && data.len() == announced && body.is_end_stream() {
            return Ok(data);
        }
        if whole.is_empty() {
            whole.reserve(announced.min(MAX_TRUSTED_LENGTH));
        }
        if let Some(allowed) = limit.exceeded_by(whole.len().saturating_add(data.len())) {
            return Err(BodyFault::TooLarge { allowed });
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}
