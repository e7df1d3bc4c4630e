//! Kernels against functions of one window at a time, written straight from the documentation.

use super::super::super::grid::Grid;
use super::super::super::operator::is_absent;
use super::super::patience::Patience;
use super::super::window::find_windows;
use super::*;
use proptest::prelude::*;

const FUNCTIONS: [RangeFn; 26] = [
    RangeFn::Rate,
    RangeFn::Increase,
    RangeFn::Delta,
    RangeFn::Irate,
    RangeFn::Idelta,
    RangeFn::Sum,
    RangeFn::Avg,
    RangeFn::Count,
    RangeFn::Min,
    RangeFn::Max,
    RangeFn::First,
    RangeFn::Last,
    RangeFn::Present,
    RangeFn::Stddev,
    RangeFn::Stdvar,
    RangeFn::Quantile,
    RangeFn::Mad,
    RangeFn::Changes,
    RangeFn::Resets,
    RangeFn::Deriv,
    RangeFn::PredictLinear,
    RangeFn::Smooth,
    RangeFn::FirstTime,
    RangeFn::LastTime,
    RangeFn::MaxTime,
    RangeFn::MinTime,
];

#[derive(Debug)]
struct Case {
    timestamps: Vec<i64>,
    values: Vec<f64>,
    grid: Grid,
    range_ms: i64,
}

impl Case {
    fn run(&self, function: RangeFn) -> Vec<f64> {
        let view = self.grid.seen_through(None, 0);
        let mut scratch = Scratch::default();
        find_windows(&self.timestamps, view, self.range_ms, &mut scratch.windows);
        let params = match function {
            RangeFn::Smooth => vec![Steps::Constant(0.3), Steps::Constant(0.6)],
            _ => vec![Steps::Constant(0.75)],
        };
        let input = KernelInput {
            timestamps: &self.timestamps,
            values: &self.values,
            view,
            step_time: &|step| self.grid.time(step),
            range_ms: self.range_ms,
            params: &params,
            weights: &Weights::default(),
            patience: &Patience::endless(),
        };
        let mut out = vec![7.0; self.grid.steps()];
        apply(function, &input, &mut scratch, &mut out).unwrap();
        out
    }

    /// The same with a fresh search and a column of its own for every window.
    fn run_naively(&self, function: RangeFn) -> Vec<f64> {
        let alone = self.grid.times().map(|time| {
            let inside = |t: &i64| *t > time - self.range_ms && *t <= time;
            let samples = self.timestamps.iter().zip(&self.values).filter(|(t, _)| inside(t));
            let (timestamps, values) = samples.map(|(t, v)| (*t, *v)).unzip();
            let case = Self { timestamps, values, grid: Grid::instant(time), range_ms: self.range_ms };
            case.by_definition(function)
        });
        alone.collect()
    }

    fn by_definition(&self, function: RangeFn) -> f64 {
        let values = &self.values;
        let pairs = |holds: fn(f64, f64) -> bool| {
            values.array_windows().filter(|[a, b]| holds(*a, *b)).count() as f64
        };
        let number = |v: &&f64| !v.is_nan();
        match function {
            _ if values.is_empty() => ABSENT,
            RangeFn::Resets => pairs(|a, b| b < a),
            RangeFn::Changes => pairs(|a, b| a != b && !(a.is_nan() && b.is_nan())),
            RangeFn::Max => values.iter().filter(number).fold(f64::NAN, |a, b| a.max(*b)),
            RangeFn::Min => values.iter().filter(number).fold(f64::NAN, |a, b| a.min(*b)),
            RangeFn::MaxTime | RangeFn::MinTime => {
                let other = if function == RangeFn::MaxTime { RangeFn::Max } else { RangeFn::Min };
                let extreme = self.by_definition(other);
                let at = values.iter().rposition(|v| *v == extreme).unwrap_or(values.len() - 1);
                self.timestamps[at] as f64 / 1000.0
            }
            RangeFn::Sum => {
                let mut sum = KahanSum::default();
                values.iter().for_each(|v| sum.add(*v));
                sum.value()
            }
            RangeFn::Avg => {
                let mut mean = MeanAccumulator::default();
                values.iter().for_each(|v| mean.add(*v));
                mean.value().unwrap()
            }
            RangeFn::Rate | RangeFn::Increase if values.len() > 1 => self.counter_change(function),
            _ => self.run(function)[0],
        }
    }

    fn counter_change(&self, function: RangeFn) -> f64 {
        let (first, last) = (self.values[0], self.values[self.values.len() - 1]);
        let mut change = last - first;
        for [a, b] in self.values.array_windows() {
            if b < a {
                change += a;
            }
        }
        let window = RateWindow {
            start: self.grid.first() - self.range_ms,
            end: self.grid.first(),
            first_time: self.timestamps[0],
            last_time: self.timestamps[self.timestamps.len() - 1],
            first_value: first,
            change,
            samples: self.values.len(),
        };
        Extrapolation { counter: true, per_second: function == RangeFn::Rate }.apply(&window)
    }
}

fn bits(slots: &[f64]) -> Vec<u64> {
    let canonical = |v: &f64| if v.is_nan() && !is_absent(*v) { f64::NAN.to_bits() } else { v.to_bits() };
    slots.iter().map(canonical).collect()
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        10 => (0..50i32).prop_map(|v| f64::from(v) / 4.0),
        3 => any::<f64>().prop_filter("no stale marker", |v| !is_absent(*v)),
        1 => Just(f64::NAN),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(f64::MAX), Just(-f64::MAX)],
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let integer = (-50..50i32).prop_map(f64::from);
    let samples = prop_oneof![
        proptest::collection::vec((1..40i64, value()), 0..60),
        proptest::collection::vec((1..40i64, integer), 0..60),
    ];
    (samples, -100..200i64, 1..120i64, 1..600i64).prop_map(|(samples, start, step, range_ms)| {
        let mut time = 0;
        let (timestamps, values) = samples
            .into_iter()
            .map(|(gap, value)| {
                time += gap;
                (time, value)
            })
            .unzip();
        let grid = Grid::range(start, start + 1500, step, 10_000).unwrap().unwrap();
        Case { timestamps, values, grid, range_ms }
    })
}

proptest! {
    #[test]
    fn sliding_windows_give_the_bits_of_windows_alone(case in case()) {
        for function in FUNCTIONS {
            prop_assert_eq!(bits(&case.run(function)), bits(&case.run_naively(function)), "{:?}", function);
        }
    }
}

#[test]
fn windows_without_samples_are_absent_whatever_the_function() {
    let grid = Grid::range(0, 50, 10, 100).unwrap().unwrap();
    let case = Case { timestamps: vec![1000], values: vec![1.0], grid, range_ms: 5 };
    for function in FUNCTIONS {
        assert!(case.run(function).iter().all(|slot| is_absent(*slot)), "{function:?}");
    }
}

#[test]
fn times_at_the_ends_of_64_bits_do_no_harm() {
    let timestamps = vec![i64::MIN, i64::MIN + 1, 0, i64::MAX - 1, i64::MAX];
    let grid = Grid::range(i64::MAX - 20, i64::MAX, 10, 100).unwrap().unwrap();
    let case = Case { timestamps, values: vec![1.0, 2.0, 3.0, 4.0, 5.0], grid, range_ms: i64::MAX };
    for function in FUNCTIONS {
        assert_eq!(case.run(function).len(), 3, "{function:?}");
    }
}

#[test]
fn a_smoothing_factor_out_of_bounds_is_an_error() {
    let input = KernelInput {
        timestamps: &[1, 2],
        values: &[1.0, 2.0],
        view: Grid::instant(2).seen_through(None, 0),
        step_time: &|_| 2,
        range_ms: 5,
        params: &[Steps::Constant(1.5), Steps::Constant(0.5)],
        weights: &Weights::default(),
        patience: &Patience::endless(),
    };
    let mut scratch = Scratch::default();
    scratch.windows.push((0, 2));
    let error = apply(RangeFn::Smooth, &input, &mut scratch, &mut [0.0]).unwrap_err();
    assert_eq!(error.to_string(), "invalid smoothing factor. Expected: 0 < sf < 1, got: 1.500000");
}
