//! May this series be stored? One set of rules for every way in.
//!
//! [`SeriesRules`](crate::SeriesRules) says what is allowed; [`check`] says what a label set breaks. Only series
//! that the store does not know are checked, so a change of the rules never stops a series that flows already.

use crate::limits::SeriesRules;
use tsdb_core::labels::{LabelError, is_legacy_label_name, is_legacy_metric_name};
use tsdb_core::{Labels, METRIC_NAME};

/// Checks a label set against the rules.
///
/// # Errors
/// The first rule that it breaks.
pub(crate) fn check(labels: &Labels, rules: &SeriesRules) -> Result<(), LabelFault> {
    if let Some(allowed) = rules.max_labels.exceeded_by(labels.len().saturating_sub(1)) {
        return Err(LabelFault::TooManyLabels { allowed, found: labels.len().saturating_sub(1) });
    }
    labels.iter().try_for_each(|(name, value)| check_label(name, value, rules))?;
    if labels.get(METRIC_NAME).is_some() { Ok(()) } else { Err(LabelFault::NoMetricName) }
}

/// Checks one label of a set against the rules.
///
/// # Errors
/// The first rule that it breaks.
pub(crate) fn check_label(name: &str, value: &str, rules: &SeriesRules) -> Result<(), LabelFault> {
    if name == METRIC_NAME { metric_name(value, rules) } else { label(name, value, rules) }
}

fn metric_name(name: &str, rules: &SeriesRules) -> Result<(), LabelFault> {
    if let Some(allowed) = rules.max_name_bytes.exceeded_by(name.len()) {
        return Err(LabelFault::NameTooLong { name: excerpt(name), allowed, found: name.len() });
    }
    if !rules.utf8_names && !is_legacy_metric_name(name) {
        return Err(LabelFault::MetricName { name: excerpt(name) });
    }
    Ok(())
}

fn label(name: &str, value: &str, rules: &SeriesRules) -> Result<(), LabelFault> {
    if let Some(allowed) = rules.max_name_bytes.exceeded_by(name.len()) {
        return Err(LabelFault::NameTooLong { name: excerpt(name), allowed, found: name.len() });
    }
    if !rules.utf8_names && !is_legacy_label_name(name) {
        return Err(LabelFault::LabelName { name: excerpt(name) });
    }
    if rules.reserved_labels.iter().any(|reserved| reserved == name) {
        return Err(LabelFault::Reserved { name: name.to_owned() });
    }
    if rules.blocked_labels.iter().any(|blocked| blocked == name) {
        return Err(LabelFault::Blocked { name: name.to_owned() });
    }
    let too_long = || rules.max_value_chars.exceeded_by(value.chars().count());
    // A text has no more characters than bytes: most values need no count.
    match rules.max_value_chars.exceeded_by(value.len()).and_then(|_| too_long()) {
        Some(allowed) => {
            Err(LabelFault::ValueTooLong { name: name.to_owned(), allowed, found: value.chars().count() })
        }
        None => Ok(()),
    }
}

/// The beginning of a text from outside, short enough to be repeated in a message.
fn excerpt(text: &str) -> String {
    const KEPT_CHARS: usize = 80;
    match text.char_indices().nth(KEPT_CHARS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Why a label set is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelFault {
    /// There is no metric name.
    #[error("the series has no metric name")]
    NoMetricName,
    /// The metric name breaks the naming rule.
    #[error("the metric name {name:?} does not match [a-zA-Z_:][a-zA-Z0-9_:]*")]
    MetricName {
        /// The name.
        name: String,
    },
    /// A label name breaks the naming rule.
    #[error("the label name {name:?} does not match [a-zA-Z_][a-zA-Z0-9_]*")]
    LabelName {
        /// The name.
        name: String,
    },
    /// A label has no name.
    #[error("a label has an empty name")]
    EmptyName,
    /// A name or value is not UTF-8.
    #[error("a label name or value is not valid UTF-8")]
    Utf8,
    /// A label name comes twice.
    #[error("the label {name:?} comes twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A name has too many bytes.
    #[error("the name {name:?} has {found} bytes, max_name_bytes allows {allowed}")]
    NameTooLong {
        /// The beginning of the name.
        name: String,
        /// What the limit allows.
        allowed: u64,
        /// What it has.
        found: usize,
    },
    /// A value has too many characters.
    #[error("the value of label {name:?} has {found} characters, max_value_chars allows {allowed}")]
    ValueTooLong {
        /// Name of the label.
        name: String,
        /// What the limit allows.
        allowed: u64,
        /// What it has.
        found: usize,
    },
    /// There are too many labels.
    #[error("the series has {found} labels, max_labels allows {allowed}")]
    TooManyLabels {
        /// What the limit allows.
        allowed: u64,
        /// What the series has.
        found: usize,
    },
    /// Only the server may set the label.
    #[error("the label {name:?} is reserved")]
    Reserved {
        /// The name.
        name: String,
    },
    /// The label must not be stored.
    #[error("the label {name:?} is blocked: each of its values would make a series of its own")]
    Blocked {
        /// The name.
        name: String,
    },
}

impl LabelFault {
    /// A short stable name for clients and counters.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoMetricName => "missing_metric_name",
            Self::MetricName { .. } => "invalid_metric_name",
            Self::LabelName { .. } | Self::EmptyName => "invalid_label_name",
            Self::Utf8 => "invalid_utf8",
            Self::Duplicate { .. } => "duplicate_label",
            Self::NameTooLong { .. } => "name_too_long",
            Self::ValueTooLong { .. } => "label_value_too_long",
            Self::TooManyLabels { .. } => "too_many_labels",
            Self::Reserved { .. } => "reserved_label",
            Self::Blocked { .. } => "blocked_label",
        }
    }
}

impl From<LabelError> for LabelFault {
    fn from(error: LabelError) -> Self {
        match error {
            LabelError::Duplicate { name } => Self::Duplicate { name: excerpt(&name) },
            _ => Self::EmptyName,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{PushRules, RemoteWriteRules};

    fn push(pairs: &[(&str, &str)]) -> Result<(), LabelFault> {
        check(&Labels::from_pairs(pairs.iter().copied()).unwrap(), &PushRules::default().0)
    }

    #[test]
    fn an_ordinary_series_passes() {
        assert_eq!(push(&[("__name__", "http_requests_total"), ("service", "checkout")]), Ok(()));
    }

    #[test]
    fn each_broken_rule_is_named() {
        let long = "x".repeat(201);
        let many: Vec<String> = (0..16).map(|i| format!("l{i}")).collect();
        let mut crowded = vec![("__name__", "m")];
        crowded.extend(many.iter().map(|name| (name.as_str(), "v")));
        let cases: [(&[(&str, &str)], &str); 9] = [
            (&[("a", "b")], "missing_metric_name"),
            (&[("__name__", "1m")], "invalid_metric_name"),
            (&[("__name__", "a-b")], "invalid_metric_name"),
            (&[("__name__", "m"), ("a-b", "x")], "invalid_label_name"),
            (&[("__name__", "m"), ("a:b", "x")], "invalid_label_name"),
            (&[("__name__", "m"), ("tenant_id", "x")], "reserved_label"),
            (&[("__name__", "m"), ("email", "x")], "blocked_label"),
            (&[("__name__", "m"), ("a", &long)], "label_value_too_long"),
            (&crowded, "too_many_labels"),
        ];
        for (pairs, reason) in cases {
            assert_eq!(push(pairs).map_err(|fault| fault.reason()), Err(reason), "{pairs:?}");
        }
    }

    #[test]
    fn the_value_limit_counts_characters_not_bytes() {
        assert_eq!(push(&[("__name__", "m"), ("a", &"\u{e9}".repeat(200))]), Ok(()));
        assert!(push(&[("__name__", "m"), ("a", &"\u{e9}".repeat(201))]).is_err());
    }

    #[test]
    fn remote_write_takes_utf8_names_and_long_values() {
        let labels =
            Labels::from_pairs([("__name__", "my.metric"), ("email", "x"), ("id", &"v".repeat(3_000))])
                .unwrap();
        assert_eq!(check(&labels, &RemoteWriteRules::default().0), Ok(()));
    }
}
