//! Metadata: what is known of tenants, metrics, rules and alerts besides samples.
//!
//! ```text
//! store     what the server asks of a metadata store, in one trait
//! budget    limits of a tenant that differ from the server's
//! metric    the catalogue of metrics
//! rule      alerting rules
//! alert     the state of alerts
//! audit     who changed what
//! memory    a store in memory
//! live      budgets of the store in force, also while it is away
//! copy      the last known ones in a file, for a start while it is away
//! catalogue what senders say of metrics, put into the store
//! service   all of it in the service of a server
//! ```
//!
//! Stores on disk and in a database are among the adapters. Nothing here knows SQL, HTTP or how rules are evaluated.

mod alert;
mod audit;
mod budget;
mod catalogue;
mod copy;
mod error;
mod live;
mod memory;
mod metric;
mod rule;
mod rule_book;
mod service;
mod store;

pub use alert::{AlertKey, AlertRecord, EvaluationState};
pub use audit::{AuditAction, AuditEntry, AuditKind, AuditQuery};
pub(crate) use budget::limits_of;
pub use budget::{OverrideFault, Overrides, TenantBudget};
pub use error::{MetadataError, MetadataErrorKind, Subject};
pub(crate) use live::Health;
pub use memory::MemoryMetadata;
pub(crate) use metric::metric_type;
pub use metric::{Declaration, MetricDefinition, MetricQuery, ObservedMetric};
pub use rule::{AlertRule, AlertRuleSpec, ErrorPolicy, NoDataPolicy, RuleId, RuleStatus, Severity};
pub(crate) use rule_book::RuleBook;
pub(crate) use service::{Limiting, Service};
pub use store::{Changes, MetadataStore, Revision, RuleList, Signature, Unreadable};

/// Can `text` be stored as `field`? No store of text takes a NUL.
fn check_text(field: &str, text: &str, max_bytes: usize) -> Result<(), MetadataError> {
    if text.len() > max_bytes {
        let reason = format!("{} bytes, more than {max_bytes}", text.len());
        return Err(MetadataError::invalid(field, reason));
    }
    if text.contains('\0') {
        return Err(MetadataError::invalid(field, "it contains the character NUL"));
    }
    Ok(())
}

/// What of `text` can be stored: its first bytes, with another character for NUL.
fn storable_text(text: &str, max_bytes: usize) -> String {
    let end = text.floor_char_boundary(max_bytes);
    text.get(..end).unwrap_or_default().replace('\0', "\u{fffd}")
}
