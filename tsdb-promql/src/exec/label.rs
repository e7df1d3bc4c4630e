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

/// The label `destination` of each series becomes the expansion of the template, if the source label matches.
pub(super) fn label_replace<'c>(
    context: &Context<'_>,
    operator: Operator<'c>,
    node: &LabelReplaceNode,
) -> Operator<'c> {
    relabel(context, operator, &node.destination, |labels| {
        node.pattern.replace(labels.get(&node.source).unwrap_or(""), &node.template)
    })
}

/// The label `destination` of each series becomes the values of the source labels, one behind the other.
pub(super) fn label_join<'c>(
    context: &Context<'_>,
    operator: Operator<'c>,
    node: &LabelJoinNode,
) -> Operator<'c> {
    relabel(context, operator, &node.destination, |labels| {
        let values: Vec<_> = node.sources.iter().map(|source| labels.get(source).unwrap_or("")).collect();
        Some(values.join(&node.separator))
    })
}

fn relabel<'c>(
    context: &Context<'_>,
    operator: Operator<'c>,
    destination: &str,
    value: impl Fn(&Labels) -> Option<String>,
) -> Operator<'c> {
    let mut identities = operator.rows().to_vec();
    for identity in &mut identities {
        if identity.drop_name && !context.sees_dropped_names() {
            // From here on the name may be a new one, so the old one has to go.
            identity.labels = identity.labels.filter(|name| !is_metadata(name));
            identity.drop_name = false;
        }
        if let Some(value) = value(&identity.labels) {
            identity.labels = with_label(&identity.labels, destination, &value);
            identity.drop_name &= destination != METRIC_NAME;
        }
    }
    Box::new(RelabelOp { operator, identities })
}

fn with_label(labels: &Labels, name: &str, value: &str) -> Labels {
    let mut builder = LabelsBuilder::from_labels(labels);
    builder.set(name, value);
    // Names of labels are unique here by construction, so this cannot fail.
    builder.build().unwrap_or_else(|_| labels.clone())
}
