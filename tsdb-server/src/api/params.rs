//! Parameters of a request: the query string, and the body of a form.
//!
//! A name may come several times; the first one counts where one is asked for, and those of the body come first,
//! as in Go's `FormValue`.

use crate::Period;
use crate::error::ApiError;
use crate::rfc3339;
use tsdb_core::Timestamp;

/// The parameters in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// The parameters of a form body and of a query string, in this order.
    pub(crate) fn parse(body: &[u8], query: &[u8]) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        for part in [body, query].into_iter().flat_map(|text| text.split(|b| *b == b'&')) {
            if part.is_empty() {
                continue;
            }
            let mut sides = part.splitn(2, |b| *b == b'=');
            let name = unescape(sides.next().unwrap_or_default())?;
            pairs.push((name, unescape(sides.next().unwrap_or_default())?));
        }
        Ok(Self { pairs })
    }

    /// The first value of `name`, if it is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let first = self.pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        first.filter(|value| !value.is_empty())
    }

    /// All values of `name`.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The time `name`; `None` if it is absent.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let refuse =
            |error| ApiError::bad_parameter(name, format!("invalid time value for '{name}': {error}"));
        timestamp(text).map(Some).map_err(refuse)
    }

    /// The time `name`, which must be there.
    pub(crate) fn required_time(&self, name: &str) -> Result<Timestamp, ApiError> {
        timestamp(self.get(name).unwrap_or_default()).map_err(|error| ApiError::bad_parameter(name, error))
    }

    /// The length of time `name` in ms; `None` if it is absent.
    pub(crate) fn duration_ms(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.get(name).map(|text| duration_ms(text).map_err(|e| ApiError::bad_parameter(name, e))).transpose()
    }

    /// The largest number of results asked for; `None` for no limit.
    pub(crate) fn limit(&self, name: &str) -> Result<Option<usize>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let limit: i64 = text.parse().map_err(|_| ApiError::bad_parameter(name, ParamError::NotANumber))?;
        match usize::try_from(limit) {
            Ok(0) => Ok(None),
            Ok(limit) => Ok(Some(limit)),
            Err(_) => Err(ApiError::bad_parameter(name, ParamError::Negative)),
        }
    }
}

/// Why a parameter cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParamError {
    #[error("cannot parse {text:?} to a valid timestamp")]
    Timestamp { text: String },
    #[error("cannot parse {text:?} to a valid duration")]
    Duration { text: String },
    #[error("cannot parse {text:?} to a valid duration. It overflows int64")]
    Overflow { text: String },
    #[error("limit must be a number")]
    NotANumber,
    #[error("limit must be non-negative")]
    Negative,
}

impl ParamError {
    fn timestamp(text: &str) -> Self {
        Self::Timestamp { text: excerpt(text) }
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Unix seconds, possibly with a fraction, or RFC 3339; in ms.
pub(crate) fn timestamp(text: &str) -> Result<Timestamp, ParamError> {
    let seconds = match text.parse::<f64>() {
        Ok(seconds) => seconds,
        Err(_) => return rfc3339::parse(text).ok_or_else(|| ParamError::timestamp(text)),
    };
    // Beyond this a double no longer tells milliseconds apart; it reaches past the year 200 000.
    const MAX_SECONDS: f64 = 8.64e12;
    if !(-MAX_SECONDS..=MAX_SECONDS).contains(&seconds) {
        return Err(ParamError::timestamp(text));
    }
    // Whole and fractional seconds apart: `seconds * 1000` rounds twice.
    Ok(whole(seconds.trunc()) * 1_000 + whole((seconds.fract() * 1_000.0).round()))
}

/// Seconds, possibly with a fraction, or a duration such as `1h30m`; in ms.
pub(crate) fn duration_ms(text: &str) -> Result<i64, ParamError> {
    if let Ok(seconds) = text.parse::<f64>() {
        const MAX_SECONDS: f64 = 9_223_372_036.0;
        if seconds.is_nan() {
            return Err(ParamError::Duration { text: excerpt(text) });
        }
        if !(-MAX_SECONDS..=MAX_SECONDS).contains(&seconds) {
            return Err(ParamError::Overflow { text: excerpt(text) });
        }
        return Ok(whole((seconds * 1_000.0).trunc()));
    }
    text.parse().map(Period::as_signed_ms).map_err(|_| ParamError::Duration { text: excerpt(text) })
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "callers pass whole numbers far below 2^63; a cast saturates"
)]
fn whole(value: f64) -> i64 {
    value as i64
}

fn unescape(text: &[u8]) -> Result<String, ApiError> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => out.push(b' '),
            b'%' => {
                let (byte, tail) = hex_pair(tail).ok_or_else(|| ApiError::bad_data("invalid URL escape"))?;
                out.push(byte);
                rest = tail;
            }
            other => out.push(*other),
        }
    }
    String::from_utf8(out).map_err(|_| ApiError::bad_data("a parameter is not valid UTF-8"))
}

fn hex_pair(text: &[u8]) -> Option<(u8, &[u8])> {
    let ([high, low], rest) = text.split_first_chunk::<2>()?;
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some((digit(high)? << 4 | digit(low)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_unix_seconds_or_rfc_3339() {
        assert_eq!(timestamp("1435781451.781"), Ok(1_435_781_451_781));
        assert_eq!(timestamp("1435781451"), Ok(1_435_781_451_000));
        assert_eq!(timestamp("-1.5"), Ok(-1_500));
        assert_eq!(timestamp("2015-07-01T20:10:51.781Z"), Ok(1_435_781_451_781));
        for text in ["", "x", "NaN", "inf", "1e300", "-1e300", "2015-07-01"] {
            assert!(timestamp(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn lengths_are_seconds_or_durations() {
        assert_eq!(duration_ms("15"), Ok(15_000));
        assert_eq!(duration_ms("0.5"), Ok(500));
        assert_eq!(duration_ms("1m30s"), Ok(90_000));
        assert_eq!(duration_ms("-1"), Ok(-1_000));
        assert!(matches!(duration_ms("1e20"), Err(ParamError::Overflow { .. })));
        assert!(duration_ms("NaN").is_err() && duration_ms("abc").is_err() && duration_ms("").is_err());
    }

    #[test]
    fn forms_are_unescaped_and_the_body_comes_first() {
        let params = Params::parse(b"query=a%2Bb+c&match[]=1", b"query=other&match%5B%5D=2&flag").unwrap();
        assert_eq!(params.get("query"), Some("a+b c"));
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((params.get("flag"), params.get("absent")), (None, None));
        for text in ["a=%", "a=%4", "a=%zz", "a=%ff"] {
            assert!(Params::parse(text.as_bytes(), b"").is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_limit_of_zero_is_none() {
        let limit = |text: &str| Params::parse(text.as_bytes(), b"").unwrap().limit("limit");
        assert_eq!(limit("limit=0"), Ok(None));
        assert_eq!(limit("limit=5"), Ok(Some(5)));
        assert!(limit("limit=-1").is_err() && limit("limit=x").is_err());
    }
}
