//! Functions of each value on its own. Rows are changed where they stand.

use super::calendar::calendar_field;
use super::context::Context;
use super::grid::Grid;
use super::native::scaled;
use super::operator::{ABSENT, Identity, Operator, Scratch, VectorOp, as_point, is_absent};
use super::points::{Histograms, Rows};
use super::scalar::Steps;
use crate::failure::QueryError;
use crate::num::{larger, smaller};
use crate::plan::{MapFn, MomentFn, TrigFn};
use std::f64::consts::PI;
use tsdb_core::histogram::FloatHistogram;

/// What is done to each value.
#[derive(Debug)]
pub(super) enum Change {
    /// A function and its scalar arguments.
    Function(MapFn, Vec<Steps>),
    /// The sign is turned.
    Negate,
}

/// A function of each value of a vector.
pub(super) struct MapOp<'c> {
    vector: Operator<'c>,
    identities: Vec<Identity>,
    change: Change,
    grid: Grid,
}

impl<'c> MapOp<'c> {
    /// The values of `vector`, changed; their names are dropped.
    pub(super) fn new(vector: Operator<'c>, change: Change, grid: Grid) -> Self {
        let mut identities = vector.rows().to_vec();
        identities.iter_mut().for_each(|identity| identity.drop_name = true);
        Self { vector, identities, change, grid }
    }

    fn apply(&self, function: MapFn, params: &[Steps], out: &mut [f64]) {
        let param = |index: usize, step: usize| params.get(index).map_or(f64::NAN, |p| p.at(step));
        match function {
            MapFn::Abs => each(out, |_, v| as_point(v.abs())),
            MapFn::Ceil => each(out, |_, v| v.ceil()),
            MapFn::Floor => each(out, |_, v| v.floor()),
            MapFn::Exp => each(out, |_, v| v.exp()),
            MapFn::Sqrt => each(out, |_, v| v.sqrt()),
            MapFn::Ln => each(out, |_, v| v.ln()),
            MapFn::Log2 => each(out, |_, v| v.log2()),
            MapFn::Log10 => each(out, |_, v| v.log10()),
            MapFn::Sgn => each(out, |_, v| sign(v)),
            MapFn::Deg => each(out, |_, v| v * 180.0 / PI),
            MapFn::Rad => each(out, |_, v| v * PI / 180.0),
            MapFn::Trig(function) => trigonometric(function, out),
            MapFn::Round if params.is_empty() => each(out, |_, v| (v + 0.5).floor()),
            MapFn::Round => each(out, |step, v| {
                // Dividing by the inverse errs less than multiplying.
                let inverse = 1.0 / param(0, step);
                (v * inverse + 0.5).floor() / inverse
            }),
            MapFn::Clamp => each(out, |step, v| clamp(v, param(0, step), param(1, step))),
            MapFn::ClampMin => each(out, |step, v| clamp(v, param(0, step), f64::INFINITY)),
            MapFn::ClampMax => each(out, |step, v| clamp(v, f64::NEG_INFINITY, param(0, step))),
            MapFn::Timestamp => each(out, |step, _| self.grid.time(step) as f64 / 1000.0),
            MapFn::Calendar(field) => each(out, |_, v| calendar_field(field, v)),
            MapFn::OfHistogram(_) => {}
        }
    }
}

fn set(out: &mut [f64], step: usize, value: f64) {
    if let Some(slot) = out.get_mut(step) {
        *slot = value;
    }
}

#[inline]
fn each(out: &mut [f64], f: impl Fn(usize, f64) -> f64) {
    for (step, slot) in out.iter_mut().enumerate() {
        if !is_absent(*slot) {
            *slot = f(step, *slot);
        }
    }
}

fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

/// `value` within the bounds; no point if they are turned round. How NaN fares, [`larger`] says.
fn clamp(value: f64, min: f64, max: f64) -> f64 {
    if max < min { ABSENT } else { larger(min, smaller(max, value)) }
}

fn moment(question: MomentFn, histogram: &FloatHistogram) -> f64 {
    match question {
        MomentFn::Mean => histogram.mean(),
        MomentFn::Count => histogram.count(),
        MomentFn::Sum => histogram.sum(),
        MomentFn::Stddev => histogram.standard_deviation(),
        MomentFn::Stdvar => histogram.variance(),
    }
}

fn trigonometric(function: TrigFn, out: &mut [f64]) {
    match function {
        TrigFn::Sin => each(out, |_, v| v.sin()),
        TrigFn::Cos => each(out, |_, v| v.cos()),
        TrigFn::Tan => each(out, |_, v| v.tan()),
        TrigFn::Asin => each(out, |_, v| v.asin()),
        TrigFn::Acos => each(out, |_, v| v.acos()),
        TrigFn::Atan => each(out, |_, v| v.atan()),
        TrigFn::Sinh => each(out, |_, v| v.sinh()),
        TrigFn::Cosh => each(out, |_, v| v.cosh()),
        TrigFn::Tanh => each(out, |_, v| v.tanh()),
        TrigFn::Asinh => each(out, |_, v| v.asinh()),
        TrigFn::Acosh => each(out, |_, v| v.acosh()),
        TrigFn::Atanh => each(out, |_, v| v.atanh()),
    }
}

impl VectorOp for MapOp<'_> {
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
        self.vector.eval(row, scratch, out, histograms)?;
        match &self.change {
            Change::Function(function, params) => {
                if *function == MapFn::Timestamp {
                    // What the point is does not matter.
                    histograms.iter().for_each(|(step, _)| set(out, step, 0.0));
                }
                if let MapFn::OfHistogram(question) = function {
                    out.fill(ABSENT);
                    histograms.iter().for_each(|(step, h)| set(out, step, as_point(moment(*question, h))));
                }
                histograms.clear();
                self.apply(*function, params, out);
            }
            Change::Negate => {
                each(out, |_, v| as_point(-v));
                histograms.change(|_, histogram| Some(scaled(&histogram, -1.0)));
            }
        }
        Ok(())
    }

    fn unique_without_name(&self) -> bool {
        self.vector.unique_without_name()
    }

    fn is_ordered(&self) -> bool {
        self.vector.is_ordered()
    }
    fn is_silent(&self) -> bool {
        self.vector.is_silent()
    }
}

/// A vector of one series without labels.
///
/// # Errors
/// No room in the budget.
pub(super) fn single<'c>(context: &'c Context<'c>, slots: Vec<f64>) -> Result<Operator<'c>, QueryError> {
    let steps = slots.len();
    let identity = Identity::new(tsdb_core::Labels::empty());
    let slots = Rows::of_numbers(slots.into_iter().map(as_point).collect());
    Ok(Box::new(super::operator::Stored::new(context, vec![identity], slots, steps)?))
}
