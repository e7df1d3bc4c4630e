//! The catalogue of metrics: what they are, and who answers for them.

use super::{MetadataError, check_text, storable_text};
use serde::{Deserialize, Serialize};
use tsdb_core::metadata::MetricType;
use tsdb_core::{TenantId, Timestamp};

/// What is known of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricDefinition {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// Its type.
    pub metric_type: MetricType,
    /// Unit of its values, such as `seconds`; may be empty.
    pub unit: String,
    /// What it means, for people; may be empty.
    pub description: String,
    /// The service that answers for it; may be empty.
    pub owner_service: String,
    /// The team that answers for it; may be empty.
    pub owner_team: String,
    /// What of this people have said; the rest is what senders say.
    pub declared: Declaration,
    /// Its series at the last count; `None` if they were not counted.
    pub active_series: Option<u64>,
    /// Grows with each change by people.
    pub version: u64,
    /// Since when it is known, ms.
    pub created_at: Timestamp,
    /// When something of it changed last, ms.
    pub updated_at: Timestamp,
}

/// What people say of a metric. What is absent is what senders say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Declaration {
    /// Its type, by Prometheus' name.
    #[serde(rename = "type", with = "type_name", skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<MetricType>,
    /// Unit of its values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What it means, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The service that answers for it; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner_service: String,
    /// The team that answers for it; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner_team: String,
}

/// What senders say of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedMetric {
    /// Its name.
    pub name: String,
    /// Its type.
    pub metric_type: MetricType,
    /// Unit of its values; may be empty.
    pub unit: String,
    /// What it means; may be empty.
    pub help: String,
    /// Its series, where they were counted.
    pub active_series: Option<u64>,
}

/// Which metrics are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricQuery {
    /// Those whose names begin so.
    pub prefix: String,
    /// Those after this name.
    pub after: Option<String>,
    /// The most metrics.
    pub limit: usize,
}

/// Bytes of the name of a metric.
pub(crate) const MAX_METRIC_NAME_BYTES: usize = 1_024;
const MAX_OWNER_BYTES: usize = 256;
const MAX_UNIT_BYTES: usize = 256;
const MAX_DESCRIPTION_BYTES: usize = 16 << 10;

impl MetricDefinition {
    /// One of which nothing is known but its name.
    pub(crate) fn unknown(tenant: &TenantId, name: &str, at: Timestamp) -> Self {
        Self {
            tenant: tenant.clone(),
            name: name.to_owned(),
            metric_type: MetricType::Unknown,
            unit: String::new(),
            description: String::new(),
            owner_service: String::new(),
            owner_team: String::new(),
            declared: Declaration::default(),
            active_series: None,
            version: 0,
            created_at: at,
            updated_at: at,
        }
    }

    /// People say this of it, and no longer what they said before.
    pub(crate) fn declare(&mut self, declaration: Declaration) {
        if let Some(metric_type) = declaration.metric_type {
            self.metric_type = metric_type;
        }
        if let Some(unit) = &declaration.unit {
            self.unit.clone_from(unit);
        }
        if let Some(description) = &declaration.description {
            self.description.clone_from(description);
        }
        self.owner_service.clone_from(&declaration.owner_service);
        self.owner_team.clone_from(&declaration.owner_team);
        self.declared = declaration;
    }

    /// Senders say this of it: it holds where people say nothing.
    pub(crate) fn observe(&mut self, observed: &ObservedMetric) {
        if self.declared.metric_type.is_none() {
            self.metric_type = observed.metric_type;
        }
        if self.declared.unit.is_none() {
            self.unit.clone_from(&observed.unit);
        }
        if self.declared.description.is_none() {
            self.description.clone_from(&observed.help);
        }
        self.active_series = observed.active_series.or(self.active_series);
    }
}

impl Declaration {
    /// Can it be stored, and `name` as the name of a metric?
    ///
    /// # Errors
    /// The field that cannot be, and its bound.
    pub fn check(&self, name: &str) -> Result<(), MetadataError> {
        if name.is_empty() {
            return Err(MetadataError::invalid("name", "it is empty"));
        }
        check_text("name", name, MAX_METRIC_NAME_BYTES)?;
        check_text("unit", self.unit.as_deref().unwrap_or_default(), MAX_UNIT_BYTES)?;
        check_text("description", self.description.as_deref().unwrap_or_default(), MAX_DESCRIPTION_BYTES)?;
        check_text("ownerService", &self.owner_service, MAX_OWNER_BYTES)?;
        check_text("ownerTeam", &self.owner_team, MAX_OWNER_BYTES)
    }
}

impl ObservedMetric {
    /// What can be stored of it, cut where it is too long; `None` if its name cannot.
    pub(crate) fn storable(&self) -> Option<Self> {
        check_text("name", &self.name, MAX_METRIC_NAME_BYTES).ok().filter(|()| !self.name.is_empty())?;
        Some(Self {
            unit: storable_text(&self.unit, MAX_UNIT_BYTES),
            help: storable_text(&self.help, MAX_DESCRIPTION_BYTES),
            ..self.clone()
        })
    }
}

/// The type that Prometheus calls `name`.
pub(crate) fn metric_type(name: &str) -> Option<MetricType> {
    const ALL: [MetricType; 8] = [
        MetricType::Unknown,
        MetricType::Counter,
        MetricType::Gauge,
        MetricType::Histogram,
        MetricType::GaugeHistogram,
        MetricType::Summary,
        MetricType::Info,
        MetricType::Stateset,
    ];
    ALL.into_iter().find(|kind| kind.as_str() == name)
}

/// Types as their names.
mod type_name {
    use super::{MetricType, metric_type};
    use serde::de::{Deserialize, Deserializer, Error, Unexpected};
    use serde::ser::{Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(kind: &Option<MetricType>, to: S) -> Result<S::Ok, S::Error> {
        kind.map(MetricType::as_str).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<MetricType>, D::Error> {
        let Some(name) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let unknown = || D::Error::invalid_value(Unexpected::Str(&name), &"the type of a metric");
        metric_type(&name).map(Some).ok_or_else(unknown)
    }
}
