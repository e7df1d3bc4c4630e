//! Queries that nobody asks in good faith: deep, long, wide, endless, and growing while they are evaluated.
//!
//! They are drawn from a seed, so a storm can be repeated. All work on series named `m` with the labels `a` (many
//! values) and `b` (few). Some are valid, some exceed a limit, none may hurt whoever evaluates them.

use crate::options::QueryParams;
use std::fmt::Write;

/// A stream of hostile queries.
#[derive(Debug, Clone)]
pub struct HostileQueries {
    state: u64,
}

/// One of them, with the times it is to be evaluated at.
#[derive(Debug, Clone)]
pub struct HostileQuery {
    /// The text.
    pub text: String,
    /// When.
    pub params: QueryParams,
}

impl HostileQueries {
    /// The stream that `seed` starts.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed | 1 }
    }

    /// A number below `bound`, which must not be 0. Source: xorshift64, Marsaglia 2003.
    fn below(&mut self, bound: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.checked_rem(bound).unwrap_or(0)
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let index = self.below(choices.len() as u64);
        usize::try_from(index).ok().and_then(|index| choices.get(index)).copied().unwrap_or("m")
    }

    fn size(&mut self, largest: u64) -> usize {
        // Small ones are as likely as large ones: the limits lie in between.
        let bits = u64::from(64 - largest.leading_zeros());
        let bound = 1_u64 << self.below(bits.max(1)).saturating_add(1).min(62);
        usize::try_from(self.below(bound.min(largest)).saturating_add(1)).unwrap_or(1)
    }

    fn text(&mut self) -> String {
        match self.below(12) {
            0 => self.nested(),
            1 => self.chain(),
            2 => self.window(),
            3 => self.subquery_tower(),
            4 => self.join(),
            5 => self.growing_labels(),
            6 => self.many_values(),
            7 => self.regex(),
            8 => self.huge_parameter(),
            9 => self.many_series(),
            10 => self.wide_aggregation(),
            _ => self.many_selectors(),
        }
    }

    fn nested(&mut self) -> String {
        let (open, close) =
            *[("(", ")"), ("-", ""), ("abs(", ")"), ("sum by (a) (", ")"), ("vector(scalar(", "))")]
                .get(usize::try_from(self.below(5)).unwrap_or(0))
                .unwrap_or(&("(", ")"));
        let depth = self.size(5_000);
        format!("{}m{}", open.repeat(depth), close.repeat(depth))
    }

    fn chain(&mut self) -> String {
        let link =
            self.one_of(&[" + m", " or m", " and m", " unless m", " * 2", " == m", " ^ 2", " or vector(1)"]);
        format!("m{}", link.repeat(self.size(3_000)))
    }

    fn window(&mut self) -> String {
        let function =
            self.one_of(&["rate", "sum_over_time", "quantile_over_time", "deriv", "count_over_time"]);
        let range = self.one_of(&["5m", "100y", "290y", "1ms", "1d"]);
        let modifier =
            self.one_of(&["", " offset 280y", " offset -280y", " @ 9e15", " @ end()", " offset 1ms"]);
        let parameter = if function == "quantile_over_time" { "0.99, " } else { "" };
        format!("{function}({parameter}m[{range}]{modifier})")
    }

    fn subquery_tower(&mut self) -> String {
        let mut text = "m".to_owned();
        for _ in 0..self.size(12) {
            let function = self.one_of(&["max_over_time", "rate", "last_over_time", "stddev_over_time"]);
            let window = self.one_of(&["1h:1s", "30m:1ms", "1d:1m", "100y:1d", "5m:"]);
            text = format!("{function}(({text})[{window}])");
        }
        text
    }

    fn join(&mut self) -> String {
        let matching = self.one_of(&["on ()", "on (b)", "on (a)", "ignoring (a)", "ignoring (b)"]);
        let group = self.one_of(&["", "group_left ()", "group_right ()", "group_left (a, b)"]);
        let operator = self.one_of(&["*", "+", "> bool", "==", "atan2"]);
        let left =
            self.one_of(&["m", "sum by (b) (m)", "m * 1", "label_replace(m, \"b\", \"x\", \"\", \"\")"]);
        let right = self.one_of(&["m", "sum by (b) (m)", "count by (a) (m)", "(m or m * 2)"]);
        format!("{left} {operator} {matching} {group} {right}")
    }

    /// Labels that grow by a factor with each level.
    fn growing_labels(&mut self) -> String {
        let mut text = "m".to_owned();
        let join = self.below(2) == 0;
        for _ in 0..self.size(30) {
            text = if join {
                format!("label_join({text}, \"a\", \"\", \"a\", \"a\", \"a\", \"b\")")
            } else {
                format!("label_replace({text}, \"a\", \"$1$1$1$1$1$1$1$1\", \"a\", \"(.*)\")")
            };
        }
        text
    }

    fn many_values(&mut self) -> String {
        let inner = self.one_of(&["m", "m / 7", "rate(m[5m])", "m * on () group_left () vector(time())"]);
        let grouping = self.one_of(&["", "by (a)", "without (b)"]);
        format!("count_values {grouping} (\"value\", {inner})")
    }

    fn regex(&mut self) -> String {
        let pattern = match self.below(5) {
            0 => "((x{1000}){1000}){1000}".to_owned(),
            1 => format!("({})+y", "(x+)+".repeat(self.size(50))),
            2 => (0..self.size(20_000)).fold(String::new(), |mut list, number| {
                let written = write!(list, "{number}|");
                debug_assert!(written.is_ok(), "a string takes all text");
                list
            }),
            3 => ".*".repeat(self.size(2_000)),
            _ => format!("[{}]{{1,900}}", "\\\\pL\\\\pN".repeat(self.size(100))),
        };
        match self.below(3) {
            0 => format!("m{{a=~\"{pattern}\"}}"),
            1 => format!("m{{a!~\"{pattern}\",b=~\"{pattern}\"}}"),
            _ => format!("label_replace(m, \"c\", \"$1\", \"a\", \"{pattern}\")"),
        }
    }

    fn huge_parameter(&mut self) -> String {
        let number = self.one_of(&["1e18", "-1e18", "NaN", "Inf", "9223372036854775808", "0.5", "m"]);
        let aggregation = self.one_of(&["topk", "bottomk", "limitk", "limit_ratio", "quantile"]);
        let grouping = self.one_of(&["", "by (a)", "without (a)"]);
        let number = if number == "m" { "scalar(sum(m)) * 1e9" } else { number };
        format!("{aggregation} {grouping} ({number}, m)")
    }

    /// More series with each link of a chain.
    fn many_series(&mut self) -> String {
        let mut text = "m".to_owned();
        for number in 0..self.size(400) {
            text.push_str(&format!(" or label_replace(m, \"copy\", \"{number}\", \"\", \"\")"));
        }
        format!("count({text})")
    }

    fn wide_aggregation(&mut self) -> String {
        let labels: Vec<String> = (0..self.size(2_000)).map(|number| format!("l{number}")).collect();
        format!("sum by (a, {}) (m)", labels.join(", "))
    }

    fn many_selectors(&mut self) -> String {
        let count = self.size(400);
        (0..count).fold(String::new(), |mut text, number| {
            let plus = if number == 0 { "" } else { " + " };
            let written = write!(text, "{plus}sum(rate(m{{a!=\"{number}\"}}[{}m]))", number + 1);
            debug_assert!(written.is_ok(), "a string takes all text");
            text
        })
    }

    fn params(&mut self) -> QueryParams {
        const HOUR_MS: i64 = 3_600_000;
        match self.below(8) {
            0 => QueryParams::range(0, i64::MAX, 1),
            1 => QueryParams::range(0, HOUR_MS, 1),
            2 => QueryParams::range(i64::MIN, i64::MAX, i64::MAX),
            3 | 4 => QueryParams::range(0, HOUR_MS, 1_000),
            5 => QueryParams::range(0, HOUR_MS, 60_000),
            _ => QueryParams::instant(HOUR_MS),
        }
    }
}

impl Iterator for HostileQueries {
    type Item = HostileQuery;

    fn next(&mut self) -> Option<HostileQuery> {
        let text = self.text();
        Some(HostileQuery { text, params: self.params() })
    }
}
