//! The stores of several tenants read as one.
//!
//! Every series gets the label `__tenant_id__` with its tenant, as in Mimir: matchers on it select tenants, and a series
//! that has a label of this name itself shows it as `original___tenant_id__`. One that has both shows the second as
//! `original_original___tenant_id__`, and so on, so that no two series become equal. The series of the tenants stand side
//! by side in a set; nothing is copied, and a selection reads no store whose tenant it excludes.

use crate::store::Store;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use tsdb_core::metadata::Metadata;
use tsdb_core::read::{
    ExemplarQueryable, Projection, Querier, Queryable, ReadError, SampleColumns, SelectHints,
    SeriesExemplars, SeriesSet,
};
use tsdb_core::{Labels, Matcher, TenantId, TimeRange};

/// The label that names the tenant of a series.
pub(crate) const TENANT_LABEL: &str = "__tenant_id__";

/// Stands before the name of a label that would be hidden otherwise.
const KEPT_PREFIX: &str = "original_";

/// The stores of several tenants.
pub(crate) struct Across {
    members: Vec<(TenantId, Arc<dyn Store>)>,
}

impl Across {
    /// Reads `members`, each tenant once.
    pub(crate) const fn new(members: Vec<(TenantId, Arc<dyn Store>)>) -> Self {
        Self { members }
    }

    /// What is known of each metric, sorted by name; what tenants say differently of one stands side by side.
    pub(crate) fn metadata(&self) -> Vec<(String, Metadata)> {
        let mut known: Vec<(String, Metadata)> = Vec::new();
        for (_, store) in &self.members {
            for entry in store.metadata() {
                if !known.contains(&entry) {
                    known.push(entry);
                }
            }
        }
        known.sort_by(|(a, _), (b, _)| a.cmp(b));
        known
    }
}

impl Queryable for Across {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
        let open = |(tenant, store): &(TenantId, Arc<dyn Store>)| Ok((tenant.clone(), store.querier(range)?));
        let members: Result<Vec<_>, ReadError> = self.members.iter().map(open).collect();
        Ok(Box::new(AcrossQuerier { members: members? }))
    }
}

impl ExemplarQueryable for Across {
    fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, ReadError> {
        let selections: Result<Vec<_>, _> =
            selectors.iter().map(|matchers| Selection::new(matchers)).collect();
        let selections = selections?;
        let mut found = Vec::new();
        for (tenant, store) in &self.members {
            let own = selections.iter().filter(|one| one.includes(tenant)).map(|one| one.own.clone());
            let own: Vec<_> = own.collect();
            if own.is_empty() {
                continue;
            }
            let of_store = store.exemplars(&own, range)?.into_iter();
            found.extend(of_store.map(|mut series| {
                series.labels = with_tenant(&series.labels, tenant);
                series
            }));
        }
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(found)
    }
}

/// Matchers, those on tenants apart from those that the stores see.
struct Selection {
    on_tenant: Vec<Matcher>,
    own: Vec<Matcher>,
}

impl Selection {
    fn new(matchers: &[Matcher]) -> Result<Self, ReadError> {
        let (on_tenant, own): (Vec<_>, Vec<_>) =
            matchers.iter().cloned().partition(|matcher| matcher.name() == TENANT_LABEL);
        let own: Result<_, _> = own.into_iter().map(as_stored).collect();
        Ok(Self { on_tenant, own: own? })
    }

    fn includes(&self, tenant: &TenantId) -> bool {
        self.on_tenant.iter().all(|matcher| matcher.matches(tenant.as_str()))
    }
}

/// The matcher of a store for one on the label as it is shown.
fn as_stored(matcher: Matcher) -> Result<Matcher, ReadError> {
    match stored_name(matcher.name()) {
        name if name == matcher.name() => Ok(matcher),
        name => Matcher::new(matcher.op(), name, matcher.value()).map_err(|source| ReadError::Storage {
            origin: matcher.name().to_owned(),
            source: Box::new(source),
        }),
    }
}

/// Is this the label of tenants, or one that it hid?
fn is_tenant_label(name: &str) -> bool {
    let mut rest = name;
    while let Some(shorter) = rest.strip_prefix(KEPT_PREFIX) {
        rest = shorter;
    }
    rest == TENANT_LABEL
}

/// The name in a store of a label, not that of tenants, which is shown as `name`.
fn stored_name(name: &str) -> &str {
    name.strip_prefix(KEPT_PREFIX).filter(|shorter| is_tenant_label(shorter)).unwrap_or(name)
}

/// How the label `name` of a store is shown.
fn shown_name(name: &str) -> Cow<'_, str> {
    if is_tenant_label(name) { Cow::Owned(format!("{KEPT_PREFIX}{name}")) } else { Cow::Borrowed(name) }
}

/// The labels of a series of `tenant` as they are shown.
fn with_tenant(labels: &Labels, tenant: &TenantId) -> Labels {
    let shown: Vec<_> = labels.iter().map(|(name, value)| (shown_name(name), value)).collect();
    let pairs = shown.iter().map(|(name, value)| (name.as_ref(), *value));
    // No name comes twice, so this fails only where the labels become larger than labels can be.
    Labels::from_pairs(pairs.chain([(TENANT_LABEL, tenant.as_str())])).unwrap_or_else(|_| labels.clone())
}

struct AcrossQuerier {
    members: Vec<(TenantId, Box<dyn Querier>)>,
}

impl Querier for AcrossQuerier {
    fn select(&self, matchers: &[Matcher], hints: &SelectHints) -> Result<Box<dyn SeriesSet>, ReadError> {
        let selection = Selection::new(matchers)?;
        let hints = SelectHints { projection: stored_projection(&hints.projection), ..hints.clone() };
        let mut found = AcrossSet { parts: Vec::new(), len: 0 };
        for (tenant, querier) in self.members.iter().filter(|(tenant, _)| selection.includes(tenant)) {
            let set = querier.select(&selection.own, &hints)?;
            let start = found.len;
            found.len = found.len.saturating_add(set.len());
            found.parts.push(Part { tenant: tenant.clone(), start, set });
        }
        Ok(Box::new(found))
    }

    fn may_hold_histograms(&self) -> bool {
        self.members.iter().any(|(_, querier)| querier.may_hold_histograms())
    }

    fn may_hold_windows(&self) -> bool {
        self.members.iter().any(|(_, querier)| querier.may_hold_windows())
    }

    fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        let selection = Selection::new(matchers)?;
        let mut names = BTreeSet::new();
        for (_, querier) in self.members.iter().filter(|(tenant, _)| selection.includes(tenant)) {
            let own = querier.label_names(&selection.own)?;
            names.extend(own.iter().map(|name| shown_name(name).into_owned()));
        }
        if !names.is_empty() {
            names.insert(TENANT_LABEL.to_owned());
        }
        Ok(names.into_iter().collect())
    }

    fn label_values(&self, name: &str, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        let selection = Selection::new(matchers)?;
        let mut values = BTreeSet::new();
        for (tenant, querier) in self.members.iter().filter(|(tenant, _)| selection.includes(tenant)) {
            if name != TENANT_LABEL {
                values.extend(querier.label_values(stored_name(name), &selection.own)?);
            } else if !querier.label_names(&selection.own)?.is_empty() {
                values.insert(tenant.as_str().to_owned());
            }
        }
        Ok(values.into_iter().collect())
    }

    fn warnings(&self) -> Vec<String> {
        let all = self.members.iter().map(|(tenant, querier)| (tenant, querier.warnings()));
        all.flat_map(|(tenant, texts)| of_tenant(tenant, texts)).collect()
    }
}

fn stored_projection(projection: &Projection) -> Projection {
    match projection {
        Projection::Only(names) => {
            let own = names.iter().filter(|name| *name != TENANT_LABEL);
            Projection::Only(own.map(|name| stored_name(name).to_owned()).collect())
        }
        other => other.clone(),
    }
}

fn of_tenant(tenant: &TenantId, texts: Vec<String>) -> impl Iterator<Item = String> {
    texts.into_iter().map(move |text| format!("tenant {tenant}: {text}"))
}

/// The series of the tenants, one after the other.
struct AcrossSet {
    parts: Vec<Part>,
    len: usize,
}

/// The series of one tenant.
struct Part {
    tenant: TenantId,
    /// Index of its first series in the whole.
    start: usize,
    set: Box<dyn SeriesSet>,
}

impl AcrossSet {
    /// Where the series at `index` is, and its index there.
    fn locate(&self, index: usize) -> Option<(&Part, usize)> {
        let behind = self.parts.partition_point(|part| part.start <= index);
        let part = self.parts.get(behind.checked_sub(1)?)?;
        Some((part, index.checked_sub(part.start)?))
    }
}

impl SeriesSet for AcrossSet {
    fn len(&self) -> usize {
        self.len
    }

    fn labels(&self, index: usize) -> Labels {
        let found = self.locate(index).filter(|(part, own)| *own < part.set.len());
        found.map_or_else(Labels::empty, |(part, own)| with_tenant(&part.set.labels(own), &part.tenant))
    }

    fn read(&self, index: usize, into: &mut SampleColumns) -> Result<(), ReadError> {
        into.clear();
        self.locate(index).map_or(Ok(()), |(part, own)| part.set.read(own, into))
    }

    fn read_weighted(
        &self,
        index: usize,
        into: &mut SampleColumns,
        weights: &mut Vec<u32>,
    ) -> Result<(), ReadError> {
        into.clear();
        weights.clear();
        self.locate(index).map_or(Ok(()), |(part, own)| part.set.read_weighted(own, into, weights))
    }

    fn resolution_ms(&self) -> Option<i64> {
        self.parts.iter().filter_map(|part| part.set.resolution_ms()).max()
    }

    fn estimated_samples(&self) -> u64 {
        self.parts.iter().map(|part| part.set.estimated_samples()).fold(0, u64::saturating_add)
    }

    fn warnings(&self) -> Vec<String> {
        self.parts.iter().flat_map(|part| of_tenant(&part.tenant, part.set.warnings())).collect()
    }

    fn notes(&self) -> Vec<String> {
        self.parts.iter().flat_map(|part| of_tenant(&part.tenant, part.set.notes())).collect()
    }
}

#[cfg(test)]
mod tests;
