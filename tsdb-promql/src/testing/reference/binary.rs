//! Operators between two expressions.

use super::{Element, Evaluated, LabelMap, Moment, Outcome, Sample, is_metadata, unknown};
use crate::ast::{Binary, BinaryOp, Cardinality, VectorMatching};
use crate::failure::QueryError;
use std::collections::{BTreeMap, BTreeSet};
use tsdb_core::METRIC_NAME;
use tsdb_core::histogram::{FloatHistogram, ResetHint};

/// What an operator makes of two samples: a comparison that does not hold has no sample, but a pair it was.
type Pair = (Option<Sample>, bool);

impl Moment<'_> {
    pub(super) fn binary(&self, binary: &Binary) -> Outcome<Evaluated> {
        let (lhs, rhs) = (self.eval(&binary.lhs)?, self.eval(&binary.rhs)?);
        match (lhs, rhs) {
            (Evaluated::Scalar(a), Evaluated::Scalar(b)) => {
                let value = match arithmetic(binary.op, a, b) {
                    Some(value) => value,
                    None => f64::from(u8::from(holds(binary.op, a, b).unwrap_or(false))),
                };
                Ok(Evaluated::Scalar(value))
            }
            (Evaluated::Vector(vector), Evaluated::Scalar(number)) => {
                self.with_scalar(binary, vector, number, false).map(Evaluated::Vector)
            }
            (Evaluated::Scalar(number), Evaluated::Vector(vector)) => {
                self.with_scalar(binary, vector, number, true).map(Evaluated::Vector)
            }
            (Evaluated::Vector(lhs), Evaluated::Vector(rhs)) => {
                let matching = binary.matching.clone().unwrap_or_default();
                let result = match binary.op {
                    BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => set(binary.op, &matching, lhs, rhs),
                    _ => self.joined(binary, &matching, lhs, rhs)?,
                };
                self.unique(result).map(Evaluated::Vector)
            }
            _ => unknown("operators of such operands"),
        }
    }

    fn with_scalar(
        &self,
        binary: &Binary,
        vector: Vec<Element>,
        number: f64,
        scalar_left: bool,
    ) -> Outcome<Vec<Element>> {
        let mut result = Vec::new();
        for mut element in vector {
            let scalar = Sample::Number(number);
            let (left, right) =
                if scalar_left { (&scalar, &element.sample) } else { (&element.sample, &scalar) };
            let (sample, kept) = combined(binary, left, right);
            // A comparison passes the element of the vector on, wherever it stands.
            let sample = if kept { sample.map(|_| element.sample.clone()) } else { sample };
            if changes_meaning(binary) {
                self.drop_name(&mut element.labels, &mut element.nameless);
            }
            result.extend(sample.map(|sample| Element { sample, ..element }));
        }
        self.unique(result)
    }

    fn joined(
        &self,
        binary: &Binary,
        matching: &VectorMatching,
        lhs: Vec<Element>,
        rhs: Vec<Element>,
    ) -> Outcome<Vec<Element>> {
        let swapped = matching.cardinality == Cardinality::OneToMany;
        // Prometheus turns the sides round for `group_right`, but not the values that fill them.
        let fills @ (fill_many, fill_one) = (matching.fill_left, matching.fill_right);
        let (many, one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
        if (many.is_empty() || one.is_empty()) && fills == (None, None) {
            return Ok(Vec::new());
        }
        let mut partners: BTreeMap<LabelMap, Element> = BTreeMap::new();
        for element in one {
            let group = signature(&element.labels, matching);
            if partners.insert(group.clone(), element).is_some() {
                let side = if swapped { "left" } else { "right" };
                let message = format!("found duplicate series for the match group {group:?} on the {side}");
                return Err(QueryError::execution(message));
            }
        }
        let filled = |group: &LabelMap, fill: Option<f64>| {
            let sample = Sample::Number(fill?);
            Some(Element { labels: group.clone(), nameless: false, sample })
        };
        let mut join =
            Join { moment: self, binary, matching, swapped, seen: BTreeMap::new(), result: Vec::new() };
        for element in &many {
            let group = signature(&element.labels, matching);
            if let Some(partner) = partners.get(&group).cloned().or_else(|| filled(&group, fill_one)) {
                join.pair(&group, element, &partner)?;
            }
        }
        for (group, partner) in &partners {
            if !join.seen.contains_key(group)
                && let Some(element) = filled(group, fill_many)
            {
                join.pair(group, &element, partner)?;
            }
        }
        Ok(join.result)
    }
}

struct Join<'a> {
    moment: &'a Moment<'a>,
    binary: &'a Binary,
    matching: &'a VectorMatching,
    /// Does the side of which there may be many stand on the right?
    swapped: bool,
    /// Labels of the results of each group.
    seen: BTreeMap<LabelMap, BTreeSet<LabelMap>>,
    result: Vec<Element>,
}

impl Join<'_> {
    fn pair(&mut self, group: &LabelMap, many: &Element, one: &Element) -> Outcome<()> {
        let (left, right) =
            if self.swapped { (&one.sample, &many.sample) } else { (&many.sample, &one.sample) };
        let Some((sample, _)) = fitting(combined(self.binary, left, right), left, right, self.binary) else {
            return Ok(());
        };
        let labels = self.labels(&many.labels, &one.labels);
        let seen = self.seen.entry(group.clone()).or_default();
        let one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        if one_to_one && !seen.is_empty() {
            let message =
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
            return Err(QueryError::execution(message));
        }
        if !seen.insert(labels.clone()) {
            let message = "multiple matches for labels: grouping labels must ensure unique matches";
            return Err(QueryError::execution(message));
        }
        let nameless = self.binary.return_bool;
        self.result.extend(sample.map(|sample| Element { labels, nameless, sample }));
        Ok(())
    }

    fn labels(&self, many: &LabelMap, one: &LabelMap) -> LabelMap {
        let mut labels = many.clone();
        let delayed = self.moment.settings.delayed_name_removal;
        if is_arithmetic(self.binary.op) || (self.binary.return_bool && !delayed) {
            labels.retain(|name, _| !is_metadata(name));
        }
        if self.matching.cardinality == Cardinality::OneToOne {
            labels.retain(|name, _| self.matching.labels.contains(name) == self.matching.on);
        }
        for name in &self.matching.include {
            labels.remove(name);
            if let Some(value) = one.get(name) {
                labels.insert(name.clone(), value.clone());
            }
        }
        labels
    }
}

/// A pair, unless its samples are of types that the operator does not know or histograms that do not fit.
fn fitting(pair: Pair, left: &Sample, right: &Sample, binary: &Binary) -> Option<Pair> {
    let numbers = matches!((left, right), (Sample::Number(_), Sample::Number(_)));
    let compared = holds(binary.op, 0.0, 0.0).is_some();
    let histograms = matches!((left, right), (Sample::Histogram(_), Sample::Histogram(_)))
        && matches!(binary.op, BinaryOp::Equal | BinaryOp::NotEqual);
    let known = pair.0.is_some() || (compared && (numbers || histograms));
    known.then_some(pair)
}

/// The labels by which elements find each other.
fn signature(labels: &LabelMap, matching: &VectorMatching) -> LabelMap {
    let mut group = labels.clone();
    group.retain(|name, _| {
        let named = matching.labels.contains(name);
        if matching.on { named } else { !named && name != METRIC_NAME }
    });
    group
}

fn set(op: BinaryOp, matching: &VectorMatching, lhs: Vec<Element>, rhs: Vec<Element>) -> Vec<Element> {
    let groups = |side: &[Element]| -> BTreeSet<LabelMap> {
        side.iter().map(|element| signature(&element.labels, matching)).collect()
    };
    let (left, right) = (groups(&lhs), groups(&rhs));
    let inside = |element: &Element| right.contains(&signature(&element.labels, matching));
    match op {
        BinaryOp::And => lhs.into_iter().filter(inside).collect(),
        BinaryOp::Unless => lhs.into_iter().filter(|element| !inside(element)).collect(),
        _ => {
            let added = rhs.into_iter().filter(|e| !left.contains(&signature(&e.labels, matching)));
            lhs.into_iter().chain(added).collect()
        }
    }
}

fn is_arithmetic(op: BinaryOp) -> bool {
    arithmetic(op, 1.0, 1.0).is_some()
}

fn changes_meaning(binary: &Binary) -> bool {
    is_arithmetic(binary.op) || binary.return_bool
}

fn arithmetic(op: BinaryOp, a: f64, b: f64) -> Option<f64> {
    Some(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Atan2 => a.atan2(b),
        _ => return None,
    })
}

fn holds(op: BinaryOp, a: f64, b: f64) -> Option<bool> {
    Some(match op {
        BinaryOp::Equal => a == b,
        BinaryOp::NotEqual => a != b,
        BinaryOp::Greater => a > b,
        BinaryOp::Less => a < b,
        BinaryOp::GreaterOrEqual => a >= b,
        BinaryOp::LessOrEqual => a <= b,
        _ => return None,
    })
}

fn sum(a: &FloatHistogram, b: &FloatHistogram) -> Option<Sample> {
    let mut sum = a.clone();
    let reconciled = sum.add(b).ok()?;
    sum.compact(0);
    (!reconciled.hint_conflict).then_some(Sample::Histogram(sum))
}

fn difference(a: &FloatHistogram, b: &FloatHistogram) -> Option<Sample> {
    let mut difference = a.clone();
    let reconciled = difference.sub(b).ok()?;
    difference.set_reset_hint(ResetHint::Gauge);
    difference.compact(0);
    (!reconciled.hint_conflict).then_some(Sample::Histogram(difference))
}

/// The sample for `left op right`, and whether it is the left one passed on by a comparison.
fn combined(binary: &Binary, left: &Sample, right: &Sample) -> Pair {
    let compared = |holds: bool| match (binary.return_bool, holds) {
        (true, holds) => (Some(Sample::Number(f64::from(u8::from(holds)))), false),
        (false, true) => (Some(left.clone()), true),
        (false, false) => (None, true),
    };
    let histogram = |change: &dyn Fn(&mut FloatHistogram) -> bool, histogram: &FloatHistogram| {
        let mut result = histogram.clone();
        (change(&mut result).then_some(Sample::Histogram(result)), false)
    };
    match (left, right, binary.op) {
        (Sample::Number(a), Sample::Number(b), op) => match (arithmetic(op, *a, *b), holds(op, *a, *b)) {
            (Some(value), _) => (Some(Sample::Number(value)), false),
            (None, Some(holds)) => compared(holds),
            (None, None) => (None, false),
        },
        (Sample::Histogram(a), Sample::Histogram(b), BinaryOp::Equal) => compared(a.same_data(b)),
        (Sample::Histogram(a), Sample::Histogram(b), BinaryOp::NotEqual) => compared(!a.same_data(b)),
        (Sample::Histogram(a), Sample::Histogram(b), BinaryOp::Add) => (sum(a, b), false),
        (Sample::Histogram(a), Sample::Histogram(b), BinaryOp::Sub) => (difference(a, b), false),
        (Sample::Histogram(a), Sample::Number(factor), BinaryOp::Mul)
        | (Sample::Number(factor), Sample::Histogram(a), BinaryOp::Mul) => {
            let scale = |product: &mut FloatHistogram| {
                product.mul(*factor);
                product.compact(0);
                true
            };
            histogram(&scale, a)
        }
        (Sample::Histogram(a), Sample::Number(divisor), BinaryOp::Div) => {
            let divide = |quotient: &mut FloatHistogram| {
                quotient.div(*divisor);
                quotient.compact(0);
                true
            };
            histogram(&divide, a)
        }
        (Sample::Histogram(a), Sample::Number(bound), BinaryOp::TrimUpper | BinaryOp::TrimLower) => {
            let trim = |trimmed: &mut FloatHistogram| {
                match binary.op {
                    BinaryOp::TrimUpper => trimmed.trim_above(*bound),
                    _ => trimmed.trim_below(*bound),
                }
                true
            };
            histogram(&trim, a)
        }
        _ => (None, false),
    }
}
