//! Random queries over a small set of series with everything that makes trouble: gaps, stale markers, counter
//! resets, NaN and infinities, buckets.
//!
//! Left out is what Prometheus does not define: which of equal elements `topk` takes, and the calendar of NaN. Also
//! `timestamp` of a selector with both `@` and `offset`, where Prometheus forgets the offset.

use tsdb_core::testing::MemStore;
use tsdb_core::write::Appendable;
use tsdb_promql::testing::{SequenceValue, parse_series};

/// Distance of the samples in ms.
pub(crate) const STEP_MS: i64 = 30_000;

/// The series, in the notation of test scripts.
pub(crate) const SERIES: [&str; 22] = [
    r#"foo{i="1"} 1+1x40"#,
    r#"foo{i="2"} 10-0.5x40"#,
    r#"foo{i="3",j="a"} 5x10 _x5 7x10 stale _ 3x10"#,
    r#"bar{i="1"} 2x40"#,
    r#"bar{i="2",j="b"} 3+2x40"#,
    r#"bar{i="4"} NaN Inf -Inf 0 1 NaN 2 Inf 1x30"#,
    r#"c_total{i="1"} 0+10x10 0+7x10 50+5x10 20x8"#,
    r#"c_total{i="2",j="a"} 100+3.3x40"#,
    r#"c_total{i="3"} _x5 1+1x5 _x7 3+2x10"#,
    r#"gap{i="1"} 1 _ _ 4 _ _ _ _ _ _ _ 12 _ 14 15 stale _ _ 18 19 20x15"#,
    r#"gap{i="2",j="a"} _x20 1x3 stale stale _ 7x10"#,
    r#"st{i="1"} 1 2 3 stale"#,
    r#"st{i="2"} _x10 5+1x10"#,
    r#"h_bucket{i="1",le="0.1"} 0+1x40"#,
    r#"h_bucket{i="1",le="0.5"} 0+3x40"#,
    r#"h_bucket{i="1",le="1"} 0+4x40"#,
    r#"h_bucket{i="1",le="+Inf"} 0+5x40"#,
    r#"h_bucket{i="2",le="0.1"} 0+2x40"#,
    r#"h_bucket{i="2",le="1"} 0+2x40"#,
    r#"h_bucket{i="2",le="+Inf"} 0+2x40"#,
    r#"neg{i="1"} -5+0.25x40"#,
    r#"neg{i="2",j="b"} 1e300 -1e300 1 1e-300 3 -4 5 -6 7x30"#,
];

/// A store that holds [`SERIES`].
pub(crate) fn store() -> MemStore {
    let store = MemStore::new();
    let mut appender = store.appender();
    for line in SERIES {
        let (labels, values) = parse_series(line).unwrap();
        let series = appender.series(&labels).unwrap();
        for (index, value) in values.iter().enumerate() {
            if let SequenceValue::Float(value) = value {
                appender.append(series, i64::try_from(index).unwrap() * STEP_MS, *value);
            }
        }
    }
    assert!(appender.commit().unwrap().refused.is_empty());
    store
}

/// Makes queries: the same for the same seed.
pub(crate) struct Queries {
    state: u64,
    /// Choices that are made before any is drawn, the last one first.
    choices: Vec<u8>,
    /// With all of the language that the referee knows, over its data; else what the Prometheus that is asked knows.
    pub(crate) wide: bool,
}

/// A generator whose first choices are the bytes of a text.
impl From<&[u8]> for Queries {
    fn from(choices: &[u8]) -> Self {
        Self { choices: choices.iter().rev().copied().collect(), ..Self::new(choices.len() as u64) }
    }
}

const RANGE_FUNCTIONS: [&str; 18] = [
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "last_over_time",
    "present_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "changes",
    "resets",
    "deriv",
    "absent_over_time",
];

const MAP_FUNCTIONS: [&str; 18] = [
    "abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn", "round", "deg", "rad", "sin", "cos",
    "atan", "sinh", "tanh", "absent",
];

impl Queries {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, choices: Vec::new(), wide: false }
    }

    /// A query that yields an instant vector, or fails.
    pub(crate) fn next(&mut self) -> String {
        let depth = if self.wide { 1 + self.below(3) } else { 3 };
        self.vector(depth)
    }

    /// A number below `count`. Xorshift, after Marsaglia.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        if let Some(choice) = self.choices.pop() {
            return usize::from(choice) % count;
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).unwrap() % count
    }

    pub(crate) fn one<T: Copy>(&mut self, options: &[T]) -> T {
        options[self.below(options.len())]
    }

    fn selector(&mut self) -> String {
        let all = ["foo", "bar", "c_total", "gap", "st", "h_bucket", "neg", "nh", "nh_total", "mixed"];
        let name = if self.wide { self.one(&all) } else { self.one(&all[..7]) };
        let matchers = self.one(&["", "", "", r#"{i="1"}"#, r#"{i!="1"}"#, r#"{i=~"1|2"}"#, r#"{j=""}"#]);
        format!("{name}{matchers}")
    }

    fn modifiers(&mut self) -> String {
        let at = self.one(&["", "", "", "", " @ 300", " @ 0", " @ 1000"]);
        let offset = self.one(&["", "", "", " offset 1m", " offset -90s", " offset 7m"]);
        format!("{at}{offset}")
    }

    fn range(&mut self, depth: usize) -> String {
        let (operand, window) = match self.below(4) {
            0 if depth > 0 => {
                (format!("({})", self.vector(depth - 1)), self.one(&["5m:1m", "3m:30s", "4m:90s"]))
            }
            _ => (self.selector(), self.one(&["5m", "1m", "30s", "10m", "90s", "3m"])),
        };
        format!("{operand}[{window}]{}", self.modifiers())
    }

    fn scalar(&mut self, depth: usize) -> String {
        match self.below(8) {
            0 if depth > 0 => format!("scalar({})", self.vector(depth - 1)),
            1 if depth > 0 => "time()".into(),
            2 if depth > 0 => {
                let operator = self.one(&["+", "-", "*", "/", "%", "^", "== bool", "< bool", "atan2"]);
                format!("({} {operator} {})", self.scalar(depth - 1), self.scalar(depth - 1))
            }
            _ => self.one(&["0", "1", "2", "0.5", "-1", "NaN", "Inf", "1e3", "60"]).into(),
        }
    }

    fn grouping(&mut self) -> &'static str {
        self.one(&[
            "",
            "",
            " by (i)",
            " without (i)",
            " by (j)",
            " without (j, le)",
            " by (i, j)",
            " by (le)",
        ])
    }

    fn vector(&mut self, depth: usize) -> String {
        let Some(below) = depth.checked_sub(1) else {
            return format!("{}{}", self.selector(), self.modifiers());
        };
        match self.below(if self.wide { 14 } else { 10 }) {
            0 | 1 => format!("{}({})", self.one(&RANGE_FUNCTIONS), self.range(depth)),
            10..=13 => self.beyond(depth, below),
            2 => {
                let quantile = self.one(&["0", "0.5", "0.9", "1", "2", "-1", "NaN"]);
                format!("quantile_over_time({quantile}, {})", self.range(depth))
            }
            3 => format!("{}({})", self.one(&MAP_FUNCTIONS), self.vector(below)),
            4 => self.aggregation(below),
            5 => {
                let operator = self.one(&["+", "-", "*", "/", "%", "^", "==", "!=", ">", "<=", "> bool"]);
                format!("({} {operator} {})", self.vector(below), self.scalar(below))
            }
            6 => {
                let operator = self.one(&["+", "-", "*", "/", "==", ">", "< bool", "and", "or", "unless"]);
                let matching = self.one(&["", "", "on(i)", "ignoring(j)", "on()"]);
                format!("({} {operator} {matching} {})", self.vector(below), self.vector(below))
            }
            7 => {
                let matching =
                    self.one(&["on(i) group_left()", "on(i) group_left(j)", "ignoring(j) group_right()"]);
                let operator = self.one(&["+", "*", "/", ">", "== bool"]);
                format!("({} {operator} {matching} {})", self.vector(below), self.vector(below))
            }
            8 => self.rarity(below),
            _ => format!("-({})", self.vector(below)),
        }
    }

    fn aggregation(&mut self, below: usize) -> String {
        let grouping = self.grouping();
        if self.below(4) == 0 {
            let quantile = self.one(&["0", "0.5", "0.9", "1", "2", "NaN"]);
            return format!("quantile{grouping}({quantile}, {})", self.vector(below));
        }
        let name = self.one(&["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]);
        format!("{name}{grouping}({})", self.vector(below))
    }

    fn rarity(&mut self, below: usize) -> String {
        match self.below(7) {
            0 => format!(r#"label_replace({}, "j", "$1-x", "i", "(.*)")"#, self.vector(below)),
            1 => format!(r#"label_join({}, "k", "+", "i", "j")"#, self.vector(below)),
            2 => format!("clamp({}, {}, {})", self.vector(below), self.scalar(0), self.scalar(0)),
            3 => format!("vector({})", self.scalar(below)),
            5 => format!("timestamp({} offset 1m)", self.selector()),
            4 => format!("predict_linear({}, {})", self.range(below), self.one(&["60", "3600", "-60"])),
            _ => {
                let buckets = self.one(&[
                    "h_bucket",
                    "rate(h_bucket[5m])",
                    "sum by (le) (h_bucket)",
                    "h_bucket offset 3m",
                ]);
                format!("histogram_quantile({}, {buckets})", self.one(&["0", "0.5", "0.9", "1", "2"]))
            }
        }
    }

    /// What only the referee is asked.
    fn beyond(&mut self, depth: usize, below: usize) -> String {
        match self.below(14) {
            0 => {
                let name = self.one(&["limitk", "topk", "bottomk"]);
                format!(
                    "count by (i) ({name}{}({}, {}))",
                    self.grouping(),
                    self.scalar(0),
                    self.vector(below)
                )
            }
            1 => {
                // Rounded, for the last digits of a number may differ.
                format!(r#"count_values{}("v", round({}, 0.25))"#, self.grouping(), self.vector(below))
            }
            2 => format!("limit_ratio({}, {})", self.one(&["0.3", "-0.7", "1", "-2"]), self.vector(below)),
            3 | 4 => {
                let names =
                    ["mad_over_time", "first_over_time", "ts_of_first_over_time", "ts_of_last_over_time"];
                let more =
                    ["ts_of_max_over_time", "ts_of_min_over_time", "last_over_time", "resets", "changes"];
                let name = if self.below(2) == 0 { self.one(&names) } else { self.one(&more) };
                format!("{name}({})", self.range(depth))
            }
            5 => {
                let factors = self.one(&["0.5, 0.1", "0.9, 0.5", "0.1, 0.9", "1, 0.5"]);
                format!("double_exponential_smoothing({}, {factors})", self.range(depth))
            }
            6 => self.filled(below),
            7 => {
                let names = ["histogram_count", "histogram_sum", "histogram_avg", "histogram_stddev"];
                format!("{}({})", self.one(&names), self.vector(below))
            }
            8 => format!("histogram_quantile({}, {})", self.one(&["0.5", "0.9"]), self.vector(below)),
            9 => {
                let names =
                    ["hour", "minute", "month", "year", "day_of_week", "day_of_year", "days_in_month"];
                format!(
                    "{}(vector(time() * {}))",
                    self.one(&names),
                    self.one(&["1", "1e5", "-777777", "1e6"])
                )
            }
            10 => format!("(start() + {} * step() - end() + range())", self.scalar(below)),
            11 => format!("timestamp({})", self.vector(below)),
            12 => {
                let name = self.one(&["clamp_min", "clamp_max", "round"]);
                format!("{name}({}, {})", self.vector(below), self.one(&["1", "0.5", "-3", "7"]))
            }
            _ => format!("({} {} 2)", self.vector(below), self.one(&["</", ">/", "atan2", "%"])),
        }
    }

    /// A join in which missing elements are filled.
    fn filled(&mut self, below: usize) -> String {
        let operator = self.one(&["+", "-", "*", ">", "<= bool"]);
        let matching =
            self.one(&["on(i)", "ignoring(j)", "on(i, j)", "on(i) group_left(j)", "on(i) group_right()"]);
        let fill = self.one(&["fill(0)", "fill_left(3)", "fill_right(-1)", "fill_left(1) fill_right(2)"]);
        format!("({} {operator} {matching} {fill} {})", self.vector(below), self.vector(below))
    }
}
