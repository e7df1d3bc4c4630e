//! The sorting functions. They order instant queries; a range query has no order but that of labels.

use super::context::Context;
use super::groups::{Chosen, Sight};
use super::operator::{Identity, Operator, Scratch, Stored, VectorOp, is_absent};
use super::points::{Histogram, Histograms, Rows};
use crate::failure::QueryError;
use crate::num::{ascending_nan_last, compare_natural, descending_nan_last};
use crate::plan::{SortKey, SortNode};
use std::cmp::Ordering;
use tsdb_core::Labels;

struct Element {
    identity: Identity,
    labels: Labels,
    value: f64,
    histogram: Option<Histogram>,
}

/// The points of the one step of `operator`, in order.
///
/// # Errors
/// Those of the rows.
pub(super) fn sort<'c>(
    context: &'c Context<'c>,
    operator: &dyn VectorOp,
    node: &SortNode,
) -> Result<Operator<'c>, QueryError> {
    let stored = context.store(operator, 1)?;
    let sight = Sight { chosen: Chosen::All, dropped_names: context.sees_dropped_names() };
    let rows = stored.rows().iter().enumerate();
    let mut elements: Vec<_> = rows
        .filter_map(|(row, identity)| {
            let value = stored.row(row).first().copied()?;
            let histogram = stored.histogram(row, 0).cloned();
            // Histograms have no order by value: they are left out of it.
            let kept = match (&node.key, &histogram) {
                (SortKey::Labels(_), Some(_)) => true,
                _ => !is_absent(value),
            };
            let (identity, labels) = (identity.clone(), sight.labels(identity));
            kept.then_some(Element { identity, labels, value, histogram })
        })
        .collect();
    elements.sort_by(|a, b| compare(node, a, b));
    let mut histograms = Vec::with_capacity(elements.len());
    let (identities, values) = elements
        .into_iter()
        .map(|element| {
            let mut row = Histograms::new();
            row.repeat(1, element.histogram.as_ref());
            histograms.push(row);
            (element.identity, element.value)
        })
        .unzip();
    Ok(Box::new(Stored::new(context, identities, Rows::new(values, histograms), 1)?.ordered()))
}

/// What sorting makes of `operator` where there is no order: by value, histograms are left out all the same.
pub(super) fn unordered<'c>(operator: Operator<'c>, node: &SortNode) -> Operator<'c> {
    match &node.key {
        SortKey::Value => Box::new(NumbersOp { vector: operator }),
        SortKey::Labels(_) => operator,
    }
}

/// A vector without its histograms.
struct NumbersOp<'c> {
    vector: Operator<'c>,
}

impl VectorOp for NumbersOp<'_> {
    fn rows(&self) -> &[Identity] {
        self.vector.rows()
    }

    fn eval(
        &self,
        row: usize,
        scratch: &mut Scratch,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        self.vector.eval(row, scratch, out, histograms)?;
        histograms.clear();
        Ok(())
    }

    fn unique_without_name(&self) -> bool {
        self.vector.unique_without_name()
    }

    fn is_silent(&self) -> bool {
        self.vector.is_silent()
    }
}

fn compare(node: &SortNode, a: &Element, b: &Element) -> Ordering {
    match &node.key {
        SortKey::Value if node.descending => descending_nan_last(&a.value, &b.value),
        SortKey::Value => ascending_nan_last(&a.value, &b.value),
        SortKey::Labels(names) => {
            let value = |element: &Element, name: &str| element.labels.get(name).unwrap_or("").to_owned();
            let by_names = names.iter().map(|name| compare_natural(&value(a, name), &value(b, name)));
            let order = by_names.fold(Ordering::Equal, Ordering::then).then_with(|| a.labels.cmp(&b.labels));
            if node.descending { order.reverse() } else { order }
        }
    }
}
