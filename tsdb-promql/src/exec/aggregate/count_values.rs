//! `count_values`: how many series of a group have a value, for every value there is.

use super::super::context::Context;
use super::super::operator::{ABSENT, Identity, Operator, Stored, VectorOp, is_absent};
use super::super::points::Rows;
use super::Grouped;
use crate::ast::Grouping;
use crate::failure::QueryError;
use crate::plan::AggregateNode;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use tsdb_core::{Labels, LabelsBuilder};

/// One row for every group and value, with its count at each step.
///
/// # Errors
/// Those of the rows; more results than the budget has room for.
pub(super) fn count_values<'c>(
    context: &'c Context<'c>,
    operator: &dyn VectorOp,
    node: &AggregateNode,
    steps: usize,
) -> Result<Operator<'c>, QueryError> {
    // The label of the value is written over what was there, so it is no part of what groups.
    let mut grouping: Grouping = node.grouping.clone();
    grouping.labels.retain(|label| *label != node.value_label);
    if grouping.without {
        grouping.labels.push(node.value_label.clone());
    }
    // What is written over a label that does not count shows nowhere.
    let hides_value = node.grouping.without && node.grouping.labels.contains(&node.value_label);
    let groups = Grouped::new(context, operator.rows(), &grouping);
    let mut counts = Counts { rows: HashMap::new(), labels: Vec::new(), slots: Vec::new(), steps };
    for (identity, members) in groups.identities.iter().zip(&groups.members) {
        let computed = context.compute(operator, members, steps)?;
        let _held = context.budget.hold(computed.slots.len())?;
        for (row, slots) in computed.slots.chunks(steps.max(1)).enumerate() {
            for (step, value) in slots.iter().enumerate() {
                let histogram = computed.histogram(row, step);
                let key = match histogram {
                    None if is_absent(*value) => continue,
                    _ if hides_value => Key::Hidden,
                    None => Key::Number(canonical_bits(*value)),
                    Some(histogram) => Key::Text(histogram.to_string()),
                };
                let labels = || match (hides_value, histogram) {
                    (true, _) => identity.labels.clone(),
                    (false, None) => with_value(identity, node, &go_decimal(*value)),
                    (false, Some(histogram)) => with_value(identity, node, &histogram.to_string()),
                };
                let slot = counts.slot(context, step, key, labels)?;
                *slot = if is_absent(*slot) { 1.0 } else { *slot + 1.0 };
            }
        }
        counts.rows.clear();
    }
    let identities = counts.labels.into_iter().map(Identity::new).collect();
    Ok(Box::new(Stored::new(context, identities, Rows::of_numbers(counts.slots), steps)?))
}

fn with_value(group: &Identity, node: &AggregateNode, value: &str) -> Labels {
    let mut builder = LabelsBuilder::from_labels(&group.labels);
    builder.set(&node.value_label, value);
    builder.build().unwrap_or_else(|_| group.labels.clone())
}

/// What tells values apart.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Nothing: the label of the value does not show.
    Hidden,
    /// The bits of a number.
    Number(u64),
    /// A histogram as it is written.
    Text(String),
}

struct Counts {
    /// The row of each value of the group at hand.
    rows: HashMap<Key, usize>,
    labels: Vec<Labels>,
    slots: Vec<f64>,
    steps: usize,
}

impl Counts {
    /// The slot of `value` at `step`, in a new row under `labels` if the value is new.
    fn slot(
        &mut self,
        context: &Context<'_>,
        step: usize,
        value: Key,
        labels: impl Fn() -> Labels,
    ) -> Result<&mut f64, QueryError> {
        let row = match self.rows.entry(value) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let row = *new.insert(self.labels.len());
                let needed = row.saturating_add(1).saturating_mul(self.steps);
                context.budget.check_room(needed)?;
                self.labels.push(labels());
                self.slots.resize(needed, ABSENT);
                row
            }
        };
        let place = row.saturating_mul(self.steps).saturating_add(step);
        self.slots.get_mut(place).ok_or_else(QueryError::same_labelset)
    }
}

fn canonical_bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

/// All digits, no exponent, and the names of Go for what is no number.
fn go_decimal(value: f64) -> String {
    if value.is_infinite() {
        return (if value > 0.0 { "+Inf" } else { "-Inf" }).to_owned();
    }
    value.to_string()
}
