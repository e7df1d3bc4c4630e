//! Functions of histograms: a native one is a point of its own; of classic ones, series that differ only in the label
//! `le` are the buckets of one.

mod question;

use super::build::build_vector;
use super::context::Context;
use super::grid::Grid;
use super::groups::{Chosen, Groups, Sight, members_of};
use super::operator::{ABSENT, Identity, Operator, Scratch, VectorOp, as_point, is_absent};
use super::points::Histograms;
use crate::annotation::{Annotation, ForcedMonotonicity};
use crate::failure::QueryError;
use crate::num::{Bucket, MonotonicityFix, bucket_fraction, bucket_quantile};
use crate::plan::HistogramNode;
use crate::span::Span;
use question::{Question, questions};
use tsdb_core::histogram::{FloatHistogram, NanObservations};
use tsdb_core::{Labels, LabelsBuilder};

/// The label that holds the upper bound of a bucket.
const BOUND_LABEL: &str = "le";

/// A function of the histograms of a vector.
struct HistogramOp<'c> {
    context: &'c Context<'c>,
    vector: Operator<'c>,
    identities: Vec<Identity>,
    /// For each histogram its buckets: upper bound and row, in order of bounds.
    histograms: Vec<Vec<(f64, usize)>>,
    /// For each histogram the rows that are no buckets.
    others: Vec<Vec<usize>>,
    questions: Vec<Question>,
    grid: Grid,
    span: Span,
    /// The function, as an explained plan says it.
    name: String,
}

/// The operator of `node`.
///
/// # Errors
/// Those of the vector and the scalars.
pub(super) fn histogram<'c>(
    context: &'c Context<'c>,
    node: &'c HistogramNode,
    grid: Grid,
) -> Result<Operator<'c>, QueryError> {
    let (questions, extra_labels) = questions(context, node, grid)?;
    let vector = build_vector(context, &node.vector, grid)?;
    let bound_label = [BOUND_LABEL.to_owned()];
    let sight = Sight { chosen: Chosen::Except(&bound_label), dropped_names: context.sees_dropped_names() };
    let (groups, numbers) = Groups::of(vector.rows(), sight);
    let bounds: Vec<_> = vector.rows().iter().map(|row| parse_bound(&row.labels)).collect();
    let (mut histograms, mut others) = (Vec::new(), Vec::new());
    for members in members_of(&numbers, groups.len()) {
        let bound = |row: &usize| bounds.get(*row).copied().flatten().map(|bound| (bound, *row));
        let mut buckets: Vec<_> = members.iter().filter_map(bound).collect();
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        histograms.push(buckets);
        others.push(members.into_iter().filter(|row| bound(row).is_none()).collect());
    }
    let rows = groups.len().saturating_mul(questions.len());
    context.budget.check_room(rows)?;
    let mut identities = Vec::with_capacity(rows);
    for extra in &extra_labels {
        for founder in groups.founders() {
            let labels = with_extra(&sight.labels(founder), extra.as_ref());
            identities.push(Identity { labels, drop_name: true });
        }
    }
    let span = node.vector_span;
    let name = node.line();
    Ok(Box::new(HistogramOp { context, vector, identities, histograms, others, questions, grid, span, name }))
}

fn with_extra(labels: &Labels, extra: Option<&(String, String)>) -> Labels {
    let Some((name, value)) = extra else { return labels.clone() };
    let mut builder = LabelsBuilder::from_labels(labels);
    builder.set(name, value);
    builder.build().unwrap_or_else(|_| labels.clone())
}

fn parse_bound(labels: &Labels) -> Option<f64> {
    labels.get(BOUND_LABEL)?.parse().ok()
}

impl HistogramOp<'_> {
    fn answer(
        &self,
        row: usize,
        question: &Question,
        slots: &[f64],
        bounds: &[(f64, usize)],
        natives: &Histograms,
        out: &mut [f64],
    ) {
        let steps = self.grid.steps();
        let mut buckets = Vec::with_capacity(bounds.len());
        let mut found: Option<ForcedMonotonicity> = None;
        for (step, slot) in out.iter_mut().enumerate() {
            *slot = ABSENT;
            if !question.is_asked_at(step) {
                continue;
            }
            buckets.clear();
            let counts = slots.iter().skip(step).step_by(steps.max(1));
            let pairs = bounds.iter().zip(counts).filter(|(_, count)| !is_absent(**count));
            buckets.extend(pairs.map(|((bound, _), count)| Bucket { upper_bound: *bound, count: *count }));
            if let Some(native) = natives.at(step) {
                *slot = self.of_native(row, question, native, !buckets.is_empty(), step);
                continue;
            }
            if buckets.is_empty() {
                continue;
            }
            *slot = as_point(match question {
                Question::Fraction(lower, upper) => {
                    bucket_fraction(lower.at(step), upper.at(step), &mut buckets)
                }
                Question::Quantile { quantile, .. } => {
                    let (value, fix) = bucket_quantile(quantile.at(step), &mut buckets);
                    if let Some(fix) = fix {
                        note_fix(&mut found, &fix, self.grid.time(step));
                    }
                    value
                }
            });
        }
        if let Some(mut found) = found {
            if let (true, Some(identity)) = (self.context.sees_dropped_names(), self.identities.get(row)) {
                found.metric = identity.labels.metric_name().to_owned();
            }
            self.context.annotate(Annotation::ForcedMonotonicity(found), self.span);
        }
    }
}

impl HistogramOp<'_> {
    /// The answer for a native histogram.
    fn of_native(
        &self,
        row: usize,
        question: &Question,
        native: &FloatHistogram,
        has_buckets: bool,
        step: usize,
    ) -> f64 {
        let name = self.identities.get(row).map_or("", |identity| identity.labels.metric_name());
        if has_buckets {
            let metric = name.to_owned();
            self.context.annotate(Annotation::MixedClassicNativeHistograms { metric }, self.span);
            return ABSENT;
        }
        let metric = if self.context.sees_dropped_names() { name.to_owned() } else { String::new() };
        let (estimate, annotation) = match question {
            Question::Quantile { quantile, .. } => {
                let estimate = native.quantile(quantile.at(step));
                let annotation = match estimate.nan {
                    NanObservations::None => None,
                    NanObservations::Skew => Some(Annotation::QuantileNanSkew { metric }),
                    NanObservations::Hit => Some(Annotation::QuantileNanResult { metric }),
                };
                (estimate, annotation)
            }
            Question::Fraction(lower, upper) => {
                let estimate = native.fraction(lower.at(step), upper.at(step));
                let skewed = estimate.nan != NanObservations::None;
                (estimate, skewed.then_some(Annotation::FractionNan { metric }))
            }
        };
        if let Some(annotation) = annotation {
            self.context.annotate(annotation, self.span);
        }
        as_point(estimate.value)
    }

    /// Reads the rows that are no buckets: native histograms are taken, numbers are worth a warning.
    fn read_others(
        &self,
        others: &[usize],
        natives: &mut Histograms,
        scratch: &mut Scratch,
    ) -> Result<(), QueryError> {
        let steps = self.grid.steps();
        let (mut slots, mut more) = (scratch.take_row(steps), Histograms::new());
        for row in others {
            self.vector.eval(*row, scratch, &mut slots, &mut more)?;
            take_natives(natives, &mut more, steps);
            if slots.iter().all(|slot| is_absent(*slot)) {
                continue;
            }
            let Some(identity) = self.vector.rows().get(*row) else { continue };
            let seen = self.context.sees_dropped_names();
            let metric = if seen { identity.labels.metric_name().to_owned() } else { String::new() };
            let label = identity.labels.get(BOUND_LABEL).unwrap_or("").to_owned();
            self.context.annotate(Annotation::BadBucketLabel { metric, label }, self.span);
        }
        scratch.give_row(slots);
        Ok(())
    }
}

fn take_natives(natives: &mut Histograms, more: &mut Histograms, steps: usize) {
    if more.is_empty() {
        return;
    }
    for step in 0..steps {
        if let (None, Some(histogram)) = (natives.at(step), more.take(step)) {
            natives.set(step, steps, histogram);
        }
    }
}

fn note_fix(found: &mut Option<ForcedMonotonicity>, fix: &MonotonicityFix, time: i64) {
    let so_far = found.get_or_insert_with(|| ForcedMonotonicity {
        metric: String::new(),
        first: time,
        last: time,
        min_bucket: fix.min_bound,
        max_bucket: fix.max_bound,
        max_diff: fix.max_difference,
        count: 0,
    });
    so_far.last = time;
    so_far.min_bucket = so_far.min_bucket.min(fix.min_bound);
    so_far.max_bucket = so_far.max_bucket.max(fix.max_bound);
    so_far.max_diff = so_far.max_diff.max(fix.max_difference);
    so_far.count = so_far.count.saturating_add(1);
}

impl VectorOp for HistogramOp<'_> {
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
        histograms.clear();
        let count = self.histograms.len().max(1);
        let members = self.histograms.get(row % count).zip(self.others.get(row % count));
        let (Some((bounds, others)), Some(question)) = (members, self.questions.get(row / count)) else {
            out.fill(ABSENT);
            return Ok(());
        };
        let steps = self.grid.steps();
        let total = bounds.len().saturating_mul(steps);
        let held = self.context.budget.hold(total);
        let _held = held.map_err(|error| error.asked_by(|| self.name.clone()))?;
        let mut natives = Histograms::new();
        self.read_others(others, &mut natives, scratch)?;
        let mut slots = scratch.take_row(total);
        let mut rows = bounds.iter().zip(slots.chunks_mut(steps.max(1)));
        let result = rows.try_for_each(|((_, row), slots)| {
            let mut more = Histograms::new();
            self.vector.eval(*row, scratch, slots, &mut more)?;
            take_natives(&mut natives, &mut more, steps);
            Ok(())
        });
        if result.is_ok() {
            self.answer(row, question, &slots, bounds, &natives, out);
        }
        scratch.give_row(slots);
        result
    }
}
