//! Alerting rules as they are stored. What an expression means is checked by those who evaluate it.

use super::{MetadataError, check_text};
use crate::Period;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use tsdb_core::{TenantId, Timestamp};

/// The number of a rule, unique in its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleId(pub i64);

/// An alerting rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRule {
    /// Its number.
    pub id: RuleId,
    /// Whose data it sees.
    pub tenant: TenantId,
    /// What it says.
    pub spec: AlertRuleSpec,
    /// Grows with each change.
    pub version: u64,
    /// Since when it is there, ms.
    pub created_at: Timestamp,
    /// When it changed last, ms.
    pub updated_at: Timestamp,
}

/// What an alerting rule says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertRuleSpec {
    /// Rules of a group with one interval are evaluated together; empty for none.
    #[serde(default)]
    pub group: String,
    /// The name of its alerts.
    pub name: String,
    /// The PromQL expression of whose elements alerts are made.
    pub expression: String,
    /// Time between two evaluations, whole seconds.
    #[serde(default = "AlertRuleSpec::default_interval")]
    pub interval: Period,
    /// How long the expression must give an element before its alert fires, whole seconds.
    #[serde(rename = "for", default = "AlertRuleSpec::default_hold")]
    pub hold: Period,
    /// How long an alert fires on after the expression gave its element for the last time, whole seconds.
    #[serde(default)]
    pub keep_firing_for: Period,
    /// How bad it is.
    #[serde(default)]
    pub severity: Severity,
    /// Is it evaluated?
    #[serde(default)]
    pub status: RuleStatus,
    /// What no answer means.
    #[serde(default)]
    pub no_data: NoDataPolicy,
    /// What a failed evaluation means.
    #[serde(default)]
    pub on_error: ErrorPolicy,
    /// Labels that its alerts get; templates.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Texts for people; templates.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// An enum that stands in the store and in JSON by its name.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// The name in the store and in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The one of this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use named;

named! {
    /// How bad it is when an alert fires.
    Severity {
        /// Someone must come at once.
        Critical = "CRITICAL",
        /// Someone should look.
        #[default]
        Warning = "WARNING",
        /// Good to know.
        Info = "INFO",
    }
}

named! {
    /// Is a rule evaluated?
    RuleStatus {
        /// It is.
        #[default]
        Active = "ACTIVE",
        /// It is not, and has no alerts.
        Paused = "PAUSED",
    }
}

named! {
    /// What it means that an expression gives nothing because there are no samples.
    NoDataPolicy {
        /// All is well: alerts end.
        #[default]
        Ok = "OK",
        /// An alert of its own.
        NoData = "NO_DATA",
        /// Nothing: alerts stay as they are.
        KeepState = "KEEP_STATE",
    }
}

named! {
    /// What it means that a rule cannot be evaluated.
    ErrorPolicy {
        /// All is well: alerts end.
        Ok = "OK",
        /// An alert of its own.
        Error = "ERROR",
        /// Nothing: alerts stay as they are.
        #[default]
        KeepState = "KEEP_STATE",
    }
}

const MAX_NAME_BYTES: usize = 256;
const MAX_EXPRESSION_BYTES: usize = 64 << 10;
const MAX_LABELS: usize = 64;
const MAX_LABEL_BYTES: usize = 4_096;
const MAX_ANNOTATION_BYTES: usize = 16 << 10;
const MAX_PERIOD: Period = Period::from_secs(366 * 86_400);

impl AlertRuleSpec {
    /// A rule with the default of everything but name and expression.
    pub fn new(name: impl Into<String>, expression: impl Into<String>) -> Self {
        Self {
            group: String::new(),
            name: name.into(),
            expression: expression.into(),
            interval: Self::default_interval(),
            hold: Self::default_hold(),
            keep_firing_for: Period::default(),
            severity: Severity::default(),
            status: RuleStatus::default(),
            no_data: NoDataPolicy::default(),
            on_error: ErrorPolicy::default(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }

    /// Can it be stored? Says nothing of the expression and the templates.
    ///
    /// # Errors
    /// The field that cannot be, and its bound.
    pub fn check(&self) -> Result<(), MetadataError> {
        for (field, text) in [("name", &self.name), ("expression", &self.expression)] {
            if text.is_empty() {
                return Err(MetadataError::invalid(field, "it is empty"));
            }
        }
        check_text("group", &self.group, MAX_NAME_BYTES)?;
        check_text("name", &self.name, MAX_NAME_BYTES)?;
        check_text("expression", &self.expression, MAX_EXPRESSION_BYTES)?;
        if self.interval.as_ms() == 0 {
            return Err(MetadataError::invalid("interval", "it is 0s, less than 1s"));
        }
        check_period("interval", self.interval)?;
        check_period("for", self.hold)?;
        check_period("keepFiringFor", self.keep_firing_for)?;
        check_pairs("labels", &self.labels, MAX_LABEL_BYTES)?;
        check_pairs("annotations", &self.annotations, MAX_ANNOTATION_BYTES)
    }

    fn default_interval() -> Period {
        Period::from_secs(15)
    }

    fn default_hold() -> Period {
        Period::from_secs(300)
    }
}

fn check_period(field: &str, period: Period) -> Result<(), MetadataError> {
    if !period.as_ms().is_multiple_of(1_000) {
        return Err(MetadataError::invalid(field, format!("{period} is not a number of whole seconds")));
    }
    if period > MAX_PERIOD {
        return Err(MetadataError::invalid(field, format!("{period} is more than {MAX_PERIOD}")));
    }
    Ok(())
}

fn check_pairs(field: &str, pairs: &BTreeMap<String, String>, max_bytes: usize) -> Result<(), MetadataError> {
    if pairs.len() > MAX_LABELS {
        let reason = format!("{} of them, more than {MAX_LABELS}", pairs.len());
        return Err(MetadataError::invalid(field, reason));
    }
    for (name, value) in pairs {
        check_text(&format!("{field}.{name}"), name, MAX_NAME_BYTES)?;
        check_text(&format!("{field}.{name}"), value, max_bytes)?;
    }
    Ok(())
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
