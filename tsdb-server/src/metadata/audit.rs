//! The audit log: who changed what, when, from what to what.

use super::RuleId;
use serde::Serialize;
use serde_json::Value;
use tsdb_core::{TenantId, Timestamp};

/// A change of metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Grows from entry to entry.
    pub id: u64,
    /// When, ms.
    pub at: Timestamp,
    /// Who.
    pub who: String,
    /// Of what kind.
    pub action: AuditAction,
    /// Whose metadata.
    pub tenant: TenantId,
    /// What sort of metadata.
    pub kind: AuditKind,
    /// Which of this sort: the name of a metric, the number of a rule; empty for limits.
    pub name: String,
    /// What it was; `None` if it was not there.
    pub before: Option<Value>,
    /// What it became; `None` if it is no more.
    pub after: Option<Value>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AuditAction {
    /// It was not there before.
    Create,
    /// It became another.
    Update,
    /// It is no more.
    Delete,
}

/// What sort of metadata was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AuditKind {
    /// The limits of a tenant.
    Limits,
    /// The definition of a metric.
    Metric,
    /// An alerting rule.
    Rule,
}

/// Which entries of the audit log are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditQuery {
    /// Those of this tenant only.
    pub tenant: Option<TenantId>,
    /// Those before the entry of this number only.
    pub before: Option<u64>,
    /// The most entries.
    pub limit: usize,
}

impl AuditAction {
    /// The action that leads from `before` to `after`.
    pub(crate) fn between<T>(before: Option<&T>, after: Option<&T>) -> Self {
        match (before, after) {
            (None, _) => Self::Create,
            (Some(_), Some(_)) => Self::Update,
            (Some(_), None) => Self::Delete,
        }
    }

    /// The name in the store and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// The action of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Create, Self::Update, Self::Delete].into_iter().find(|action| action.as_str() == name)
    }
}

impl AuditKind {
    /// The name in the store and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limits => "limits",
            Self::Metric => "metric",
            Self::Rule => "rule",
        }
    }

    /// The sort of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Limits, Self::Metric, Self::Rule].into_iter().find(|kind| kind.as_str() == name)
    }
}

impl super::Subject {
    /// What sort of metadata it is and which of this sort.
    pub(crate) fn audited(&self) -> (AuditKind, String) {
        match self {
            Self::Limits { .. } => (AuditKind::Limits, String::new()),
            Self::Metric { name, .. } => (AuditKind::Metric, name.clone()),
            Self::Rule { id, .. } => {
                (AuditKind::Rule, id.map(|RuleId(id)| id.to_string()).unwrap_or_default())
            }
        }
    }
}
