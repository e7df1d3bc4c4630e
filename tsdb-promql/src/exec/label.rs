//! `label_replace` and `label_join`: functions of labels alone.

use super::context::Context;
use super::operator::{Identity, Operator, Scratch, VectorOp, is_metadata};
use super::points::Histograms;
use crate::failure::QueryError;
use crate::plan::{LabelJoinNode, LabelReplaceNode};
use tsdb_core::{Labels, LabelsBuilder, METRIC_NAME};

/// Rows of an operator under other labels.
struct RelabelOp<'c> {
    operator: Operator<'c>,
    identities: Vec<Identity>,
}

impl VectorOp for RelabelOp<'_> {
    fn rows(&self) -> &[Identity] {
        &self.identities
    }

    fn eval(
        &self,
        row: usize,
        scratch: &mut Scratch,
        out: &mut [f64],
        histograms: &mut Histograms,
    ) -> Result<(), QueryError> {
        self.operator.eval(row, scratch, out, histograms)
    }

    fn is_ordered(&self) -> bool {
        self.operator.is_ordered()
    }
    fn is_silent(&self) -> bool {
        self.operator.is_silent()
    }
}

/// The longest label value that a query may make, bytes. Values grow by a factor with each level of a query, so without
/// a limit a short query fills any memory.
const MAX_VALUE_BYTES: usize = 1 << 20;

/// The label `destination` of each series becomes the expansion of the template, if the source label matches.
///
/// # Errors
/// A value that is too long, or more labels than the budget has room for.
pub(super) fn label_replace<'c>(
    context: &Context<'_>,
    operator: Operator<'c>,
    node: &LabelReplaceNode,
) -> Result<Operator<'c>, QueryError> {
    relabel(context, operator, &node.destination, |labels| {
        let source = labels.get(&node.source).unwrap_or("");
        let replaced = node.pattern.replace_within(source, &node.template, MAX_VALUE_BYTES);
        replaced.transpose().map_err(|_| too_long("label_replace"))
    })
}

/// The label `destination` of each series becomes the values of the source labels, one behind the other.
///
/// # Errors
/// As for [`label_replace`].
pub(super) fn label_join<'c>(
    context: &Context<'_>,
    operator: Operator<'c>,
    node: &LabelJoinNode,
) -> Result<Operator<'c>, QueryError> {
    relabel(context, operator, &node.destination, |labels| {
        let values: Vec<_> = node.sources.iter().map(|source| labels.get(source).unwrap_or("")).collect();
        let separators = node.separator.len().saturating_mul(values.len());
        let bytes = values.iter().fold(separators, |bytes, value| bytes.saturating_add(value.len()));
        if bytes > MAX_VALUE_BYTES {
            return Err(too_long("label_join"));
        }
        Ok(Some(values.join(&node.separator)))
    })
}

fn too_long(function: &str) -> QueryError {
    QueryError::execution(format!(
        "{function} makes a label value beyond the limit of {MAX_VALUE_BYTES} bytes"
    ))
}

fn relabel<'c>(
    context: &Context<'_>,
    operator: Operator<'c>,
    destination: &str,
    value: impl Fn(&Labels) -> Result<Option<String>, QueryError>,
) -> Result<Operator<'c>, QueryError> {
    let mut identities = operator.rows().to_vec();
    for identity in &mut identities {
        if identity.drop_name && !context.sees_dropped_names() {
            // From here on the name may be a new one, so the old one has to go.
            identity.labels = identity.labels.filter(|name| !is_metadata(name));
            identity.drop_name = false;
        }
        context.budget.check()?;
        if let Some(value) = value(&identity.labels)? {
            identity.labels = with_label(&identity.labels, destination, &value);
            // Labels that a query makes are its own: eight bytes take as much memory as a sample.
            context.budget.keep(identity.labels.encoded_len().div_ceil(8))?;
            identity.drop_name &= destination != METRIC_NAME;
        }
    }
    Ok(Box::new(RelabelOp { operator, identities }))
}

fn with_label(labels: &Labels, name: &str, value: &str) -> Labels {
    let mut builder = LabelsBuilder::from_labels(labels);
    builder.set(name, value);
    // Names of labels are unique here by construction, so this cannot fail.
    builder.build().unwrap_or_else(|_| labels.clone())
}
