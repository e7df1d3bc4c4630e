//! Who sends: what tells the senders of a tenant apart, so that rules can wait for one that is late.
//!
//! A name is taken as it is and proves nothing. One that many senders share makes them one source.

use crate::rules::SourceId;
use axum::http::{HeaderMap, header};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// Header in which a sender names itself.
const SENDER_ID: &str = "x-sender-id";

/// The source that names itself in the request, if one does.
pub(super) fn named(headers: &HeaderMap) -> Option<SourceId> {
    headers.get(SENDER_ID).map(|name| number(name.as_bytes()))
}

/// The sender of a remote write: the name that it gives itself, or else its program.
pub(super) fn sender(headers: &HeaderMap) -> Option<SourceId> {
    let program = || headers.get(header::USER_AGENT).map_or(&b""[..], |program| program.as_bytes());
    named(headers).or_else(|| Some(number(program())))
}

fn number(name: &[u8]) -> SourceId {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(name)
}
