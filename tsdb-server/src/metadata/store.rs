//! What the server asks of a metadata store.

use super::{
    AlertKey, AlertRecord, AlertRule, AlertRuleSpec, AuditEntry, AuditQuery, Declaration, MetadataError,
    MetricDefinition, MetricQuery, ObservedMetric, Overrides, RuleId, RuleStatus, TenantBudget,
};
use std::fmt;
use tsdb_core::{TenantId, Timestamp};

/// Tenants' budgets, the catalogue of metrics, alerting rules and the state of their alerts, and who changed what.
///
/// Calls block until the store has answered, at most as long as its settings allow; none is made while a sample is
/// taken in or a query evaluated. What a call changes is there as a whole or not at all, together with its entry in the audit log, and
/// is seen by every later call of every server that uses the same store.
///
/// Budgets, definitions and rules carry a *version*, which grows with each change. A change that names the version that
/// it expects fails with [`MetadataError::Conflict`] if someone else was faster; 0 expects that nothing is there.
pub trait MetadataStore: Send + Sync {
    /// What of budgets and rules has changed since `since`; everything that there is if `since` is
    /// [`Revision::START`] or a revision that the store does not know, because an older copy of it came back.
    ///
    /// # Errors
    /// The store does not answer.
    fn changes(&self, since: Revision) -> Result<Changes, MetadataError>;

    /// The budgets of all tenants that have one, by tenant. What of a budget cannot be read is an override that no server
    /// understands ([`Overrides::apply`]).
    ///
    /// # Errors
    /// The store does not answer.
    fn budgets(&self) -> Result<Vec<TenantBudget>, MetadataError>;

    /// The budget of `tenant`; `None` if all its limits are the server's.
    ///
    /// # Errors
    /// The store does not answer.
    fn budget(&self, tenant: &TenantId) -> Result<Option<TenantBudget>, MetadataError>;

    /// Gives `tenant` the limits `overrides`, in place of those it had.
    ///
    /// # Errors
    /// The store does not answer, or the budget is not of the version `expected`.
    fn put_budget(
        &self,
        tenant: &TenantId,
        overrides: &Overrides,
        expected: Option<u64>,
        by: &Signature,
    ) -> Result<TenantBudget, MetadataError>;

    /// Gives `tenant` the limits of the server again.
    ///
    /// # Errors
    /// The store does not answer, there is no budget, or it is not of the version `expected`.
    fn delete_budget(
        &self,
        tenant: &TenantId,
        expected: Option<u64>,
        by: &Signature,
    ) -> Result<(), MetadataError>;

    /// Metrics of `tenant`, by name.
    ///
    /// # Errors
    /// The store does not answer.
    fn metrics(&self, tenant: &TenantId, query: &MetricQuery)
    -> Result<Vec<MetricDefinition>, MetadataError>;

    /// The metric `name` of `tenant`.
    ///
    /// # Errors
    /// The store does not answer.
    fn metric(&self, tenant: &TenantId, name: &str) -> Result<Option<MetricDefinition>, MetadataError>;

    /// Stores what people say of the metric `name`, in place of what they said before. What they do not say is
    /// what senders say.
    ///
    /// # Errors
    /// The store does not answer, a value cannot be stored, or the definition is not of the version `expected`.
    fn declare_metric(
        &self,
        tenant: &TenantId,
        name: &str,
        declaration: &Declaration,
        expected: Option<u64>,
        by: &Signature,
    ) -> Result<MetricDefinition, MetadataError>;

    /// Stores what senders say of metrics where people have not said otherwise. This leaves no trace in the audit log
    /// and changes no version.
    ///
    /// # Errors
    /// The store does not answer, or a value cannot be stored.
    fn observe_metrics(
        &self,
        tenant: &TenantId,
        metrics: &[ObservedMetric],
        at: Timestamp,
    ) -> Result<(), MetadataError>;

    /// The rules of `tenant`, those of `status` if it is given, by group, name and number; and those that cannot be read.
    ///
    /// # Errors
    /// The store does not answer.
    fn rules(&self, tenant: &TenantId, status: Option<RuleStatus>) -> Result<RuleList, MetadataError>;

    /// The rule `id` of `tenant`.
    ///
    /// # Errors
    /// The store does not answer, or the rule cannot be read.
    fn rule(&self, tenant: &TenantId, id: RuleId) -> Result<Option<AlertRule>, MetadataError>;

    /// A new rule.
    ///
    /// # Errors
    /// The store does not answer, or a value cannot be stored ([`AlertRuleSpec::check`]).
    fn create_rule(
        &self,
        tenant: &TenantId,
        spec: &AlertRuleSpec,
        by: &Signature,
    ) -> Result<AlertRule, MetadataError>;

    /// Makes `spec` of the rule `id`. Its alerts keep their state.
    ///
    /// # Errors
    /// The store does not answer, there is no such rule, it is not of the version `expected`, or a value cannot be
    /// stored.
    fn update_rule(
        &self,
        tenant: &TenantId,
        id: RuleId,
        spec: &AlertRuleSpec,
        expected: Option<u64>,
        by: &Signature,
    ) -> Result<AlertRule, MetadataError>;

    /// Deletes the rule `id` with the state of its alerts.
    ///
    /// # Errors
    /// The store does not answer, there is no such rule, or it is not of the version `expected`.
    fn delete_rule(
        &self,
        tenant: &TenantId,
        id: RuleId,
        expected: Option<u64>,
        by: &Signature,
    ) -> Result<(), MetadataError>;

    /// The state of all alerts of the rules of `tenant`, by rule.
    ///
    /// # Errors
    /// The store does not answer.
    fn alerts(&self, tenant: &TenantId) -> Result<Vec<AlertRecord>, MetadataError>;

    /// Stores the state of alerts of `tenant`, `changed` in place of what was known of them, and forgets `gone`, all or
    /// nothing. Those of rules that are no more are passed over.
    ///
    /// # Errors
    /// The store does not answer.
    fn save_alerts(
        &self,
        tenant: &TenantId,
        changed: &[AlertRecord],
        gone: &[AlertKey],
    ) -> Result<(), MetadataError>;

    /// Who changed what, the latest first.
    ///
    /// # Errors
    /// The store does not answer.
    fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, MetadataError>;
}

/// Who changes something, and when: what the audit log says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The name of the person or program.
    pub who: String,
    /// The time, ms.
    pub at: Timestamp,
}

/// A state of budgets and rules. It grows with each change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

impl Revision {
    /// Before everything.
    pub const START: Self = Self(0);
}

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// What to ask with the next time.
    pub revision: Revision,
    /// Is this not what changed but all that there is? What is not named then is not there.
    pub all: bool,
    /// Tenants whose budget changed or went away.
    pub budgets: Vec<TenantId>,
    /// Tenants of whose rules some changed or went away.
    pub rules: Vec<TenantId>,
    /// Budgets and rules that are nobody's; all of them if `all` is set, otherwise none.
    pub unreadable: Vec<Unreadable>,
}

/// Rules of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleList {
    /// Those that can be read.
    pub rules: Vec<AlertRule>,
    /// Those that cannot.
    pub unreadable: Vec<Unreadable>,
}

/// Something in a store that makes no sense, because somebody wrote it by hand or with a newer program. It is passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// What it is: `rule 7 of tenant acme`.
    pub what: String,
    /// What is wrong with it.
    pub reason: String,
}

impl RuleList {
    /// How many there are, read or not.
    pub fn len(&self) -> usize {
        self.rules.len().saturating_add(self.unreadable.len())
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be read: {}", self.what, self.reason)
    }
}
