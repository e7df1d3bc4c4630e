//! What a request says of who it is: its header `Authorization`.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// A secret as a request presents it.
#[derive(PartialEq, Eq)]
pub(super) enum Presented {
    /// `Authorization: Bearer <token>`
    Bearer(String),
    /// `Authorization: Basic <base64 of user:password>`
    Basic {
        /// Who it says it is.
        user: String,
        /// What shall prove it.
        password: String,
    },
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bearer(_) => "Bearer(..)",
            Self::Basic { .. } => "Basic(..)",
        })
    }
}

/// A header that presents nothing that could be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("there are several Authorization headers")]
    Several,
    #[error("the Authorization header is neither Bearer nor Basic")]
    Scheme,
    #[error("the Authorization header cannot be read")]
    Form,
    #[error("the secret is empty")]
    Empty,
}

/// Bytes of the header, at most. Slow hashes are computed of no more.
const MAX_BYTES: usize = 8 << 10;

/// What the headers present; `None` if nothing.
pub(super) fn presented(headers: &HeaderMap) -> Result<Option<Presented>, Unreadable> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Unreadable::Several);
    }
    let text = value.to_str().map_err(|_| Unreadable::Form)?;
    if text.len() > MAX_BYTES {
        return Err(Unreadable::Form);
    }
    let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return if rest.is_empty() {
            Err(Unreadable::Empty)
        } else {
            Ok(Some(Presented::Bearer(rest.to_owned())))
        };
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Unreadable::Scheme);
    }
    let decoded = STANDARD.decode(rest).map_err(|_| Unreadable::Form)?;
    let decoded = String::from_utf8(decoded).map_err(|_| Unreadable::Form)?;
    let (user, password) = decoded.split_once(':').ok_or(Unreadable::Form)?;
    if password.is_empty() {
        return Err(Unreadable::Empty);
    }
    Ok(Some(Presented::Basic { user: user.to_owned(), password: password.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Option<Presented>, Unreadable> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        presented(&headers)
    }

    #[test]
    fn bearer_and_basic_are_read_whatever_the_case_of_the_scheme() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["bearer  abc"]), Ok(Some(Presented::Bearer("abc".into()))));
        let basic = Presented::Basic { user: "grafana".into(), password: "a:b".into() };
        assert_eq!(read(&["Basic Z3JhZmFuYTphOmI="]), Ok(Some(basic)));
    }

    #[test]
    fn everything_else_is_refused() {
        let long = format!("Bearer {}", "x".repeat(MAX_BYTES));
        for (values, fault) in [
            (&["Bearer a", "Bearer a"][..], Unreadable::Several),
            (&["Digest x"], Unreadable::Scheme),
            (&["Bearer"], Unreadable::Empty),
            (&["Bearer  "], Unreadable::Empty),
            (&["Basic !!"], Unreadable::Form),
            (&["Basic Z3JhZmFuYQ=="], Unreadable::Form),
            (&["Basic Z3JhZmFuYTo="], Unreadable::Empty),
            (&["Basic /////w=="], Unreadable::Form),
            (&[&long], Unreadable::Form),
        ] {
            assert_eq!(read(values), Err(fault), "{values:?}");
        }
    }
}
