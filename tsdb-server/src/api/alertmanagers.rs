//! `/api/v1/alertmanagers` in the form of Prometheus, and `/api/v1/receivers`, which tells of all receivers how they
//! are.

use super::json;
use super::response::{self, write_json_string};
use crate::error::ApiError;
use crate::notify::ReceiverStatus;
use crate::rfc3339;
use crate::state::Server;
use axum::extract::State;
use axum::response::Response;

/// The Alertmanagers that are told of alerts.
pub(super) async fn alertmanagers(State(server): State<Server>) -> Result<Response, ApiError> {
    let receivers = server.receivers();
    let active = receivers.iter().filter(|receiver| receiver.kind == "alertmanager");
    let write = |out: &mut Vec<u8>| {
        out.extend_from_slice(b"{\"activeAlertmanagers\":[");
        for (index, receiver) in active.enumerate() {
            out.extend_from_slice(if index > 0 { b",{\"url\":" } else { b"{\"url\":" });
            write_json_string(&receiver.url, out);
            out.push(b'}');
        }
        out.extend_from_slice(b"],\"droppedAlertmanagers\":[]}");
        Ok(())
    };
    response::success(write, &[], &[]).map(json)
}

/// All receivers, with what waits for them, and what the last failure was.
pub(super) async fn receivers(State(server): State<Server>) -> Result<Response, ApiError> {
    let receivers = server.receivers();
    let write = |out: &mut Vec<u8>| {
        out.extend_from_slice(b"{\"receivers\":[");
        for (index, receiver) in receivers.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_receiver(receiver, out);
        }
        out.extend_from_slice(b"]}");
        Ok(())
    };
    response::success(write, &[], &[]).map(json)
}

fn write_receiver(receiver: &ReceiverStatus, out: &mut Vec<u8>) {
    let counted = &receiver.counted;
    let sum = |counts: &std::collections::BTreeMap<&'static str, u64>| counts.values().sum::<u64>();
    out.push(b'{');
    for (name, text) in [("name", receiver.name.as_str()), ("type", receiver.kind), ("url", &receiver.url)] {
        write_json_string(name, out);
        out.push(b':');
        write_json_string(text, out);
        out.push(b',');
    }
    let numbers = format!(
        "\"queued\":{},\"sent\":{},\"failed\":{},\"dropped\":{}",
        receiver.queued,
        counted.sent,
        sum(&counted.failed),
        sum(&counted.dropped)
    );
    out.extend_from_slice(numbers.as_bytes());
    if let Some(at) = counted.last_success {
        out.extend_from_slice(b",\"lastSuccess\":");
        write_json_string(&rfc3339::format(at), out);
    }
    if let Some((at, message)) = &counted.last_failure {
        out.extend_from_slice(b",\"lastFailure\":");
        write_json_string(&rfc3339::format(*at), out);
        out.extend_from_slice(b",\"lastError\":");
        write_json_string(message, out);
    }
    out.push(b'}');
}
