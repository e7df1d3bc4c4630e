//! Match groups in which more than one series of a side share the labels that are matched on.
//!
//! Series come and go, so several may share labels without ever having a point at the same step; whether they do
//! is seen only step by step. The sentences of the errors are Prometheus'.

use super::super::absent::Presence;
use super::super::context::Context;
use super::super::operator::{ABSENT, Identity, VectorOp};
use super::super::points::{Histograms, Point};
use super::join::Rules;
use crate::ast::quote;
use crate::failure::QueryError;
use std::collections::HashMap;
use tsdb_core::labels::is_legacy_label_name;
use tsdb_core::{Labels, METRIC_NAME};

/// What the evaluation of crowds needs to know.
pub(super) struct CrowdRules<'a, 'n> {
    /// The query.
    pub(super) context: &'a Context<'a>,
    /// How the sides become one.
    pub(super) rules: &'a Rules<'n>,
    /// The many side.
    pub(super) many: &'a dyn VectorOp,
    /// The one side.
    pub(super) one: &'a dyn VectorOp,
    /// Number of steps.
    pub(super) steps: usize,
}

type Members = (Vec<usize>, Vec<usize>);
type Rows = Vec<(Identity, Vec<f64>, Histograms)>;
type Row<'a> = (&'a Identity, Vec<f64>, Histograms);

/// The rows of all crowds, each given by its members on the many and on the one side.
///
/// # Errors
/// Series that match more than they may; those of the rows.
pub(super) fn evaluate_crowd(crowd: &CrowdRules<'_, '_>, crowds: &[Members]) -> Result<Rows, QueryError> {
    let mut rows = Vec::new();
    // Two points on the one side are no error at a step at which the many side is altogether empty.
    let mut many_present = None;
    for members in crowds {
        crowd.context.budget.check()?;
        let group = Group::load(crowd, members)?;
        if let Some(clash) = group.first_one_side_clash() {
            let present = match &many_present {
                Some(present) => present,
                None => many_present.insert(Presence::of(crowd.context, crowd.many, crowd.steps)?),
            };
            group.refuse_one_side_clash(clash, present)?;
        }
        rows.append(&mut group.evaluate()?);
    }
    Ok(rows)
}

/// The points of one match group.
struct Group<'a, 'n> {
    crowd: &'a CrowdRules<'a, 'n>,
    many: Vec<Row<'a>>,
    one: Vec<Row<'a>>,
}

impl<'a, 'n> Group<'a, 'n> {
    fn load(crowd: &'a CrowdRules<'a, 'n>, members: &Members) -> Result<Self, QueryError> {
        let load = |operator: &'a dyn VectorOp, rows: &[usize]| {
            let computed = crowd.context.compute(operator, rows, crowd.steps)?;
            let identities = rows.iter().filter_map(|row| operator.rows().get(*row));
            let rows = computed.slots.chunks(crowd.steps.max(1)).map(<[f64]>::to_vec);
            let histograms = computed.histograms.into_iter().chain(std::iter::repeat(Histograms::new()));
            let rows = identities.zip(rows).zip(histograms);
            Ok::<_, QueryError>(rows.map(|((identity, slots), h)| (identity, slots, h)).collect::<Vec<_>>())
        };
        Ok(Self { crowd, many: load(crowd.many, &members.0)?, one: load(crowd.one, &members.1)? })
    }

    /// The first step at which two series of the one side have a point.
    fn first_one_side_clash(&self) -> Option<usize> {
        (0..self.crowd.steps).find(|step| points_at(&self.one, *step).nth(1).is_some())
    }

    fn refuse_one_side_clash(&self, first: usize, many_present: &Presence) -> Result<(), QueryError> {
        for step in first..self.crowd.steps {
            let mut points = points_at(&self.one, step);
            let (Some((a, _)), Some((b, _))) = (points.next(), points.next()) else { continue };
            if many_present.at(step) || self.crowd.rules.fills() {
                return Err(self.duplicate_series(a, b));
            }
        }
        Ok(())
    }

    fn duplicate_series(&self, a: &Identity, b: &Identity) -> QueryError {
        let rules = self.crowd.rules;
        let listed = |name: &str| rules.matching.labels.iter().any(|label| label == name);
        let on = rules.matching.on;
        let group = b.labels.filter(|name| listed(name) == on && (on || name != METRIC_NAME));
        let side = if rules.swapped { "left" } else { "right" };
        let mut series = [format_labels(&self.shown(a)), format_labels(&self.shown(b))];
        series.sort();
        let [a, b] = series;
        let group = format_labels(&group);
        QueryError::execution(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: \
             [{a}, {b}];many-to-many matching not allowed: matching labels must be unique on one side"
        ))
    }

    fn shown(&self, identity: &Identity) -> Labels {
        if self.crowd.rules.sight.dropped_names {
            identity.labels.clone()
        } else {
            identity.shown().into_owned()
        }
    }

    fn evaluate(&self) -> Result<Rows, QueryError> {
        let rules = self.crowd.rules;
        let mut results = Results { rows: Vec::new(), known: HashMap::new(), steps: self.crowd.steps };
        for step in 0..self.crowd.steps {
            let mut pairs: Vec<(Identity, Option<Point>)> = Vec::new();
            let meet = |many: &Identity, value: &Point, one: &Identity, one_value: &Point| {
                let point = rules.point(self.crowd.context, value, one_value).ok()?;
                Some((rules.result(many, one), point))
            };
            let one = points_at(&self.one, step).next();
            for (many, value) in points_at(&self.many, step) {
                let filled = || rules.one_fill.map(|fill| (self.stand_in(many), Point::Number(fill)));
                let found = one.as_ref().map(|(identity, point)| ((*identity).clone(), point.clone()));
                if let Some((one, one_value)) = found.or_else(filled) {
                    pairs.extend(meet(many, &value, &one, &one_value));
                }
            }
            if pairs.is_empty()
                && let (Some((one, one_value)), Some(fill)) = (one, rules.many_fill)
            {
                pairs.extend(meet(&self.stand_in(one), &Point::Number(fill), one, &one_value));
            }
            if rules.is_one_to_one() && pairs.len() > 1 {
                return Err(QueryError::execution(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                ));
            }
            for (identity, point) in pairs {
                results.put(step, identity, point)?;
            }
        }
        Ok(results.rows)
    }

    /// The series that stands in for one that is missing: the labels that were matched on.
    fn stand_in(&self, other: &Identity) -> Identity {
        Identity::new(self.crowd.rules.sight.labels(other))
    }
}

/// All labels in braces, the metric name among them.
fn format_labels(labels: &Labels) -> String {
    let pair = |(name, value): (&str, &str)| {
        let value = quote(value.as_bytes());
        if is_legacy_label_name(name) {
            format!("{name}={value}")
        } else {
            format!("{}={value}", quote(name.as_bytes()))
        }
    };
    format!("{{{}}}", labels.iter().map(pair).collect::<Vec<_>>().join(", "))
}

/// The series that have a point at `step`, with the point.
fn points_at<'a>(rows: &'a [Row<'a>], step: usize) -> impl Iterator<Item = (&'a Identity, Point)> {
    rows.iter().filter_map(move |(identity, slots, histograms)| {
        Point::at(slots, histograms, step).map(|point| (*identity, point))
    })
}

/// Rows by their labels.
struct Results {
    rows: Rows,
    /// For the labels of a row, its number and the last step that was put there.
    known: HashMap<Labels, (usize, usize)>,
    steps: usize,
}

impl Results {
    /// A result counts as one even if a comparison has filtered it out.
    fn put(&mut self, step: usize, identity: Identity, point: Option<Point>) -> Result<(), QueryError> {
        let row = match self.known.get_mut(&identity.labels) {
            Some((_, last)) if *last == step => {
                return Err(QueryError::execution(
                    "multiple matches for labels: grouping labels must ensure unique matches",
                ));
            }
            Some((row, last)) => {
                *last = step;
                *row
            }
            None => {
                self.known.insert(identity.labels.clone(), (self.rows.len(), step));
                self.rows.push((identity, vec![ABSENT; self.steps], Histograms::new()));
                self.rows.len() - 1
            }
        };
        if let Some((_, slots, histograms)) = self.rows.get_mut(row) {
            Point::put(point, slots, histograms, step);
        }
        Ok(())
    }
}
