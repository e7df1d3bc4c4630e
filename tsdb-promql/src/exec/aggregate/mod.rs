//! Aggregations: the series of a group become one, or few.
//!
//! All are computed when the operator is built, because every series has to be read for any group. [`fold`] streams
//! series through accumulators of group and step and holds no series; [`top`], [`quantile`] and [`count_values`]
//! need all points of a step at one time.

mod count_values;
mod fold;
mod histograms;
mod limit;
mod quantile;
mod top;

use super::build::build_vector;
use super::context::Context;
use super::grid::Grid;
use super::groups::{Chosen, Groups, Sight, members_of};
use super::operator::{Identity, NoSeries, Operator, Stored, VectorOp};
use super::points::Rows;
use super::scalar::{Steps, eval_scalar};
use crate::annotation::Annotation;
use crate::ast::{AggregateOp, Grouping};
use crate::failure::QueryError;
use crate::num::{MeanAccumulator, VarianceAccumulator};
use crate::plan::AggregateNode;
use crate::span::Span;
use fold::{Counted, Largest, One, Smallest, Summed, fold};

/// Which series form a group.
pub(super) struct Grouped {
    /// The series that results of each group get.
    pub(super) identities: Vec<Identity>,
    /// The rows of each group.
    pub(super) members: Vec<Vec<usize>>,
}

impl Grouped {
    fn new(context: &Context<'_>, rows: &[Identity], grouping: &Grouping) -> Self {
        let dropped_names = context.sees_dropped_names();
        let chosen = if grouping.without {
            Chosen::ExceptAndName(&grouping.labels)
        } else {
            Chosen::Only(&grouping.labels)
        };
        let sight = Sight { chosen, dropped_names };
        let (groups, numbers) = Groups::of(rows, sight);
        let members = members_of(&numbers, groups.len());
        let identities = groups.founders().iter().zip(&members).map(|(founder, members)| {
            let dropped = |row: &usize| rows.get(*row).is_some_and(|identity| identity.drop_name);
            let drop_name = dropped_names && members.iter().any(dropped);
            Identity { labels: sight.labels(founder), drop_name }
        });
        let identities = identities.collect();
        Self { identities, members }
    }

    /// Puts the rows of each group in the order of their labels. Who chooses the first of equals then chooses the same,
    /// wherever their samples are kept.
    fn order(&mut self, rows: &[Identity]) {
        let labels = |row: &usize| rows.get(*row).map(|identity| &identity.labels);
        for members in &mut self.members {
            if !members.is_sorted_by_key(labels) {
                members.sort_by(|a, b| labels(a).cmp(&labels(b)));
            }
        }
    }
}

/// What the aggregations share.
pub(super) struct Input<'a, 'c> {
    /// The query.
    pub(super) context: &'c Context<'c>,
    /// The series.
    pub(super) operator: &'a dyn VectorOp,
    /// Their groups.
    pub(super) groups: Grouped,
    /// Number of steps.
    pub(super) steps: usize,
    /// The aggregation.
    pub(super) node: &'a AggregateNode,
}

impl Input<'_, '_> {
    /// Notes that histograms are left out.
    fn ignore_histograms(&self, span: Span) {
        let aggregation = self.node.op.name();
        self.context.annotate(Annotation::HistogramIgnoredInAggregation { aggregation }, span);
    }
}

/// The operator of `node`.
///
/// # Errors
/// Those of the series; a parameter that is no number.
pub(super) fn aggregate<'c>(
    context: &'c Context<'c>,
    node: &'c AggregateNode,
    grid: Grid,
) -> Result<Operator<'c>, QueryError> {
    let param = node.param.as_ref().map(|param| eval_scalar(context, param, grid)).transpose()?;
    let param = param.unwrap_or(Steps::Constant(f64::NAN));
    let mut operator = build_vector(context, &node.vector, grid)?;
    let steps = grid.steps();
    if !node.streamed {
        operator = Box::new(context.store(&*operator, steps)?);
    }
    if node.op == AggregateOp::CountValues {
        return count_values::count_values(context, &*operator, node, steps);
    }
    let mut groups = Grouped::new(context, operator.rows(), &node.grouping);
    if matches!(node.op, AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK) {
        groups.order(operator.rows());
    }
    let input = Input { context, operator: &*operator, groups, steps, node };
    let slots = match node.op {
        AggregateOp::Sum => fold::<Summed>(&input)?,
        AggregateOp::Avg => fold::<MeanAccumulator>(&input)?,
        AggregateOp::Min => fold::<Smallest>(&input)?,
        AggregateOp::Max => fold::<Largest>(&input)?,
        AggregateOp::Count => fold::<Counted>(&input)?,
        AggregateOp::Group => fold::<One>(&input)?,
        AggregateOp::Stdvar => fold::<VarianceAccumulator>(&input)?,
        AggregateOp::Stddev => {
            let mut variances = fold::<VarianceAccumulator>(&input)?;
            variances.slots.iter_mut().for_each(|slot| *slot = square_root(*slot));
            variances
        }
        AggregateOp::Quantile => Rows::of_numbers(quantile::quantiles(&input, &param, node.param_span)?),
        AggregateOp::TopK | AggregateOp::BottomK => {
            return top::top(&input, &param, node.op == AggregateOp::TopK);
        }
        AggregateOp::LimitK => return limit::limit_k(&input, &param),
        AggregateOp::LimitRatio => return limit::limit_ratio(&input, &param, node.param_span),
        AggregateOp::CountValues => return Ok(Box::new(NoSeries)),
    };
    Ok(Box::new(Stored::new(context, input.groups.identities, slots, steps)?))
}

fn square_root(slot: f64) -> f64 {
    if super::operator::is_absent(slot) { slot } else { slot.sqrt() }
}
