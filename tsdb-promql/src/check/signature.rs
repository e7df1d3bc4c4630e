//! The table of functions: what each takes and gives. What they compute is the evaluator's matter.
//!
//! Source: the function reference of Prometheus 3.14.

use crate::ast::ValueType::{self, Matrix, Scalar, String, Vector};
use Ending::{Exact, Repeat, UpTo};

/// What a function takes and gives.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Signature {
    /// Its name.
    pub name: &'static str,
    /// Types of the arguments.
    pub args: &'static [ValueType],
    /// How many arguments may come instead.
    pub ending: Ending,
    /// Type of the result.
    pub returns: ValueType,
    /// Is it behind the feature `promql-experimental-functions`?
    pub experimental: bool,
}

/// How the list of arguments may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All arguments, no more.
    Exact,
    /// The last argument may come not at all, or up to this many times.
    UpTo(usize),
    /// The last argument may come not at all, or any number of times.
    Repeat,
}

impl Signature {
    /// The fewest arguments it takes.
    pub const fn min_args(&self) -> usize {
        match self.ending {
            Exact => self.args.len(),
            UpTo(_) | Repeat => self.args.len().saturating_sub(1),
        }
    }

    /// The most arguments it takes; `None` for any number.
    pub const fn max_args(&self) -> Option<usize> {
        match self.ending {
            Exact => Some(self.args.len()),
            UpTo(times) => Some(self.min_args().saturating_add(times)),
            Repeat => None,
        }
    }

    /// Type of the argument at `index`: beyond the list, that of its last.
    pub fn arg(&self, index: usize) -> Option<ValueType> {
        self.args.get(index).or(self.args.last()).copied()
    }
}

/// The signature of the function `name`, which is compared with case.
pub fn signature(name: &str) -> Option<&'static Signature> {
    let index = SIGNATURES.binary_search_by(|row| row.name.cmp(name)).ok()?;
    SIGNATURES.get(index)
}

/// All functions, sorted by name.
pub fn signatures() -> &'static [Signature] {
    &SIGNATURES
}

const fn row(
    name: &'static str,
    args: &'static [ValueType],
    ending: Ending,
    returns: ValueType,
    experimental: bool,
) -> Signature {
    Signature { name, args, ending, returns, experimental }
}

static SIGNATURES: [Signature; 90] = [
    row("abs", &[Vector], Exact, Vector, false),
    row("absent", &[Vector], Exact, Vector, false),
    row("absent_over_time", &[Matrix], Exact, Vector, false),
    row("acos", &[Vector], Exact, Vector, false),
    row("acosh", &[Vector], Exact, Vector, false),
    row("asin", &[Vector], Exact, Vector, false),
    row("asinh", &[Vector], Exact, Vector, false),
    row("atan", &[Vector], Exact, Vector, false),
    row("atanh", &[Vector], Exact, Vector, false),
    row("avg_over_time", &[Matrix], Exact, Vector, false),
    row("ceil", &[Vector], Exact, Vector, false),
    row("changes", &[Matrix], Exact, Vector, false),
    row("clamp", &[Vector, Scalar, Scalar], Exact, Vector, false),
    row("clamp_max", &[Vector, Scalar], Exact, Vector, false),
    row("clamp_min", &[Vector, Scalar], Exact, Vector, false),
    row("cos", &[Vector], Exact, Vector, false),
    row("cosh", &[Vector], Exact, Vector, false),
    row("count_over_time", &[Matrix], Exact, Vector, false),
    row("day_of_month", &[Vector], UpTo(1), Vector, false),
    row("day_of_week", &[Vector], UpTo(1), Vector, false),
    row("day_of_year", &[Vector], UpTo(1), Vector, false),
    row("days_in_month", &[Vector], UpTo(1), Vector, false),
    row("deg", &[Vector], Exact, Vector, false),
    row("delta", &[Matrix], Exact, Vector, false),
    row("deriv", &[Matrix], Exact, Vector, false),
    row("double_exponential_smoothing", &[Matrix, Scalar, Scalar], Exact, Vector, true),
    row("end", &[], Exact, Scalar, true),
    row("exp", &[Vector], Exact, Vector, false),
    row("first_over_time", &[Matrix], Exact, Vector, false),
    row("floor", &[Vector], Exact, Vector, false),
    row("histogram_avg", &[Vector], Exact, Vector, false),
    row("histogram_count", &[Vector], Exact, Vector, false),
    row("histogram_fraction", &[Scalar, Scalar, Vector], Exact, Vector, false),
    row("histogram_quantile", &[Scalar, Vector], Exact, Vector, false),
    row("histogram_quantiles", &[Vector, String, Scalar, Scalar], UpTo(9), Vector, true),
    row("histogram_stddev", &[Vector], Exact, Vector, false),
    row("histogram_stdvar", &[Vector], Exact, Vector, false),
    row("histogram_sum", &[Vector], Exact, Vector, false),
    row("hour", &[Vector], UpTo(1), Vector, false),
    row("idelta", &[Matrix], Exact, Vector, false),
    row("increase", &[Matrix], Exact, Vector, false),
    row("info", &[Vector, Vector], UpTo(1), Vector, true),
    row("irate", &[Matrix], Exact, Vector, false),
    row("label_join", &[Vector, String, String, String], Repeat, Vector, false),
    row("label_replace", &[Vector, String, String, String, String], Exact, Vector, false),
    row("last_over_time", &[Matrix], Exact, Vector, false),
    row("ln", &[Vector], Exact, Vector, false),
    row("log10", &[Vector], Exact, Vector, false),
    row("log2", &[Vector], Exact, Vector, false),
    row("mad_over_time", &[Matrix], Exact, Vector, true),
    row("max_of", &[Scalar, Scalar], Exact, Scalar, true),
    row("max_over_time", &[Matrix], Exact, Vector, false),
    row("min_of", &[Scalar, Scalar], Exact, Scalar, true),
    row("min_over_time", &[Matrix], Exact, Vector, false),
    row("minute", &[Vector], UpTo(1), Vector, false),
    row("month", &[Vector], UpTo(1), Vector, false),
    row("pi", &[], Exact, Scalar, false),
    row("predict_linear", &[Matrix, Scalar], Exact, Vector, false),
    row("present_over_time", &[Matrix], Exact, Vector, false),
    row("quantile_over_time", &[Scalar, Matrix], Exact, Vector, false),
    row("rad", &[Vector], Exact, Vector, false),
    row("range", &[], Exact, Scalar, true),
    row("rate", &[Matrix], Exact, Vector, false),
    row("resets", &[Matrix], Exact, Vector, false),
    row("round", &[Vector, Scalar], UpTo(1), Vector, false),
    row("scalar", &[Vector], Exact, Scalar, false),
    row("sgn", &[Vector], Exact, Vector, false),
    row("sin", &[Vector], Exact, Vector, false),
    row("sinh", &[Vector], Exact, Vector, false),
    row("sort", &[Vector], Exact, Vector, false),
    row("sort_by_label", &[Vector, String], Repeat, Vector, true),
    row("sort_by_label_desc", &[Vector, String], Repeat, Vector, true),
    row("sort_desc", &[Vector], Exact, Vector, false),
    row("sqrt", &[Vector], Exact, Vector, false),
    row("start", &[], Exact, Scalar, true),
    row("start_timestamp", &[Vector], Exact, Vector, true),
    row("stddev_over_time", &[Matrix], Exact, Vector, false),
    row("stdvar_over_time", &[Matrix], Exact, Vector, false),
    row("step", &[], Exact, Scalar, true),
    row("sum_over_time", &[Matrix], Exact, Vector, false),
    row("tan", &[Vector], Exact, Vector, false),
    row("tanh", &[Vector], Exact, Vector, false),
    row("time", &[], Exact, Scalar, false),
    row("timestamp", &[Vector], Exact, Vector, false),
    row("ts_of_first_over_time", &[Matrix], Exact, Vector, true),
    row("ts_of_last_over_time", &[Matrix], Exact, Vector, true),
    row("ts_of_max_over_time", &[Matrix], Exact, Vector, true),
    row("ts_of_min_over_time", &[Matrix], Exact, Vector, true),
    row("vector", &[Scalar], Exact, Vector, false),
    row("year", &[Vector], UpTo(1), Vector, false),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_unique() {
        assert!(SIGNATURES.array_windows().all(|[a, b]| a.name < b.name));
    }

    #[test]
    fn every_function_is_found_by_its_name() {
        for row in signatures() {
            assert_eq!(signature(row.name), Some(row));
        }
        assert_eq!(signature("Rate"), None);
    }

    #[test]
    fn the_ending_decides_how_many_arguments_may_come() {
        let counts = |name: &str| signature(name).map(|s| (s.min_args(), s.max_args()));
        assert_eq!(counts("time"), Some((0, Some(0))));
        assert_eq!(counts("round"), Some((1, Some(2))));
        assert_eq!(counts("hour"), Some((0, Some(1))));
        assert_eq!(counts("label_join"), Some((3, None)));
        assert_eq!(counts("histogram_quantiles"), Some((3, Some(12))));
    }
}
