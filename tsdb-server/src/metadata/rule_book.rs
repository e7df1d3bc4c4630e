//! Where rules of the store are in force.

use super::{AlertRecord, AlertRule, MetadataError, MetadataStore};
use tsdb_core::TenantId;

/// Evaluates rules of the store, and knows the state of their alerts.
pub(crate) trait RuleBook: Send + Sync {
    /// The tenants of whose rules it knows.
    fn tenants(&self) -> Vec<TenantId>;

    /// From now on `rules` are the rules of `tenant`. Rules that were there before keep their state; of others it is what
    /// `alerts` say. Answers how many cannot be evaluated.
    fn take(&self, tenant: &TenantId, rules: Vec<AlertRule>, alerts: Vec<AlertRecord>) -> usize;

    /// Writes the states of alerts that changed.
    ///
    /// # Errors
    /// The store does not answer: what it did not take is written the next time.
    fn write(&self, store: &dyn MetadataStore) -> Result<(), MetadataError>;

    /// How many states of alerts the store does not have.
    fn unwritten(&self) -> usize;
}
