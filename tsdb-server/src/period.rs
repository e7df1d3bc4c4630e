//! Lengths of time as people write them: `15s`, `1h30m`, `500ms`, `14d`.
//!
//! The grammar is Prometheus': units `y w d h m s ms` in this order, each at most once, whole numbers. A year has
//! 365 days, a day 24 hours. Fractions and negative lengths do not exist here.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period {
    ms: u64,
}

/// A text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration such as \"15s\", \"1h30m\" or \"500ms\"")]
pub struct PeriodError {
    text: String,
}

impl Period {
    /// So many milliseconds.
    pub const fn from_ms(ms: u64) -> Self {
        Self { ms }
    }

    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self { ms: seconds.saturating_mul(1_000) }
    }

    /// The length in milliseconds.
    pub const fn as_ms(self) -> u64 {
        self.ms
    }

    /// The length in milliseconds, as timestamps count them.
    pub fn as_signed_ms(self) -> i64 {
        i64::try_from(self.ms).unwrap_or(i64::MAX)
    }

    /// The length as the standard library's type.
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.ms)
    }
}

/// Units in the order in which they may come, with their length in ms.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let fault = || PeriodError { text: text.chars().take(64).collect() };
        if text == "0" {
            return Ok(Self::default());
        }
        let (mut rest, mut ms, mut first_unit) = (text, 0u64, 0);
        while !rest.is_empty() || first_unit == 0 {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(fault)?;
            let (number, tail) = rest.split_at(digits);
            let unit_len = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_len);
            let (index, unit_ms) = unit_at(unit, first_unit).ok_or_else(fault)?;
            let number: u64 = number.parse().map_err(|_| fault())?;
            ms = number.checked_mul(unit_ms).and_then(|part| ms.checked_add(part)).ok_or_else(fault)?;
            (rest, first_unit) = (tail, index + 1);
        }
        if i64::try_from(ms).is_err() {
            return Err(fault());
        }
        Ok(Self { ms })
    }
}

fn unit_at(unit: &str, first: usize) -> Option<(usize, u64)> {
    UNITS.iter().enumerate().skip(first).find(|(_, (name, _))| *name == unit).map(|(i, (_, ms))| (i, *ms))
}

impl TryFrom<String> for Period {
    type Error = PeriodError;

    fn try_from(text: String) -> Result<Self, PeriodError> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

/// Shows the length in years where they divide it, else in days and smaller units; weeks are never written.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ms == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.ms;
        for (name, unit_ms) in UNITS {
            let usable = name != "w" && (name != "y" || rest.is_multiple_of(unit_ms));
            if usable && rest >= unit_ms {
                write!(f, "{}{name}", rest / unit_ms)?;
                rest %= unit_ms;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_come_in_order_and_once() {
        assert_eq!("1h30m".parse(), Ok(Period::from_secs(5_400)));
        assert_eq!("500ms".parse(), Ok(Period::from_ms(500)));
        assert_eq!("1m5ms".parse(), Ok(Period::from_ms(60_005)));
        assert_eq!("0".parse(), Ok(Period::default()));
        for text in
            ["", "5", "m", "1s1m", "1s1s", "-1s", "1.5s", "1x", "99999999999999999999s", "9999999999y"]
        {
            assert!(text.parse::<Period>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn display_is_read_back() {
        for text in ["0s", "14d", "1h30m", "15s", "2y", "500ms", "1d12h"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
    }
}
