//! What an `eval` expects: `expect` lines, series and numbers, and the older forms.

use super::eval::parse_from_to_step;
use super::{Lines, ScriptError, split_word};
use crate::testing::series::{SequenceValue, parse_scalar, parse_series};
use tsdb_core::{Labels, MatchOp, Matcher};

/// What must come out of an evaluation.
#[derive(Debug, Clone, Default)]
pub struct Expectation {
    /// The evaluation must fail; the text of the failure, if it is given, must match all of these.
    pub fail: Option<Vec<TextMatch>>,
    /// If not empty: there must be warnings, each of these must match one, and each must be matched by one.
    pub warn: Vec<TextMatch>,
    /// As `warn`, for infos.
    pub info: Vec<TextMatch>,
    /// There must be warnings of any text.
    pub any_warning: bool,
    /// There must be infos of any text.
    pub any_info: bool,
    /// There must be no warning.
    pub no_warn: bool,
    /// There must be no info.
    pub no_info: bool,
    /// The elements must come in the order of the series lines.
    pub ordered: bool,
    /// Start, end and step (ms) of the points of a range vector.
    pub range_vector: Option<(i64, i64, i64)>,
    /// The value.
    pub value: Expected,
}

/// The value to expect.
#[derive(Debug, Clone)]
pub enum Expected {
    /// Exactly these series.
    Series(Vec<ExpectedSeries>),
    /// A number.
    Scalar(f64),
    /// A text.
    String(Vec<u8>),
}

impl Default for Expected {
    fn default() -> Self {
        Self::Series(Vec::new())
    }
}

/// A series to expect.
#[derive(Debug, Clone)]
pub struct ExpectedSeries {
    /// Its labels, all of them.
    pub labels: Labels,
    /// Its values.
    pub values: Vec<SequenceValue>,
}

/// A condition on a text.
#[derive(Debug, Clone)]
pub enum TextMatch {
    /// Any text.
    Any,
    /// This text.
    Exactly(String),
    /// A text in which the pattern is found.
    Pattern(Matcher),
}

impl TextMatch {
    /// Does `text` satisfy it?
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(wanted) => wanted == text,
            Self::Pattern(pattern) => pattern.matches(text),
        }
    }

    /// A search for `pattern` anywhere in a text. Matchers are anchored; this undoes it.
    fn pattern(pattern: &str) -> Result<Self, ScriptError> {
        let searching = format!("(?s:.*)(?:{pattern})(?s:.*)");
        Matcher::new(MatchOp::Regex, "text", searching)
            .map(Self::Pattern)
            .map_err(|error| ScriptError::new(format!("bad pattern {pattern:?}: {error}")))
    }
}

impl Expectation {
    /// Applies the word behind `eval_`.
    pub(super) fn apply_flag(&mut self, flag: &str) -> Result<(), ScriptError> {
        match flag {
            "fail" => self.fail = Some(Vec::new()),
            "warn" => self.any_warning = true,
            "info" => self.any_info = true,
            "ordered" => self.ordered = true,
            other => return Err(ScriptError::new(format!("unknown kind of eval {other:?}"))),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), ScriptError> {
        if self.no_warn && !self.warn.is_empty() {
            return Err(ScriptError::new("invalid expect lines, warn and no_warn cannot be used together"));
        }
        if self.no_info && !self.info.is_empty() {
            return Err(ScriptError::new("invalid expect lines, info and no_info cannot be used together"));
        }
        if self.fail.as_ref().is_some_and(|fail| fail.len() > 1) {
            return Err(ScriptError::new("invalid expect lines, multiple expect fail lines are not allowed"));
        }
        Ok(())
    }
}

/// Reads the block below an `eval` line.
pub(super) fn parse(lines: &mut Lines<'_>, into: &mut Expectation) -> Result<(), ScriptError> {
    let mut series = Vec::new();
    while let Some(line) = lines.next_of_block() {
        if let Some(fail) = &mut into.fail {
            if let Some(text) = line.strip_prefix("expected_fail_message") {
                fail.push(TextMatch::Exactly(text.trim().into()));
                break;
            }
            if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
                fail.push(TextMatch::pattern(pattern.trim())?);
                break;
            }
        }
        if line.split(' ').next() == Some("expect") {
            parse_expect(line, into)?;
            into.check()?;
        } else if let Some(number) = parse_scalar(line) {
            into.value = Expected::Scalar(number);
            return Ok(());
        } else {
            series.push(expected_series(line, into)?);
        }
    }
    if !series.is_empty() {
        into.value = Expected::Series(series);
    }
    Ok(())
}

fn expected_series(line: &str, expectation: &Expectation) -> Result<ExpectedSeries, ScriptError> {
    let (labels, values) = parse_series(line)?;
    if values.is_empty() && expectation.fail.is_none() {
        return Err(ScriptError::new("a series line needs a value"));
    }
    Ok(ExpectedSeries { labels, values })
}

fn parse_expect(line: &str, into: &mut Expectation) -> Result<(), ScriptError> {
    let (_, rest) = split_word(line);
    if let Some(quoted) = rest.strip_prefix("string") {
        let bytes = crate::lex::unquote(quoted.trim()).map_err(ScriptError::new)?;
        into.value = Expected::String(bytes);
        return Ok(());
    }
    if let Some(times) = rest.strip_prefix("range vector") {
        let (times, _) = parse_from_to_step(times)?;
        into.range_vector = Some(times);
        return Ok(());
    }
    let (kind, rest) = split_word(rest);
    let text = match rest.split_once(':') {
        None if rest.is_empty() => TextMatch::Any,
        Some(("msg", text)) => TextMatch::Exactly(text.trim().into()),
        Some(("regex", pattern)) => TextMatch::pattern(pattern.trim())?,
        _ => return Err(ScriptError::new(format!("bad expect line {line:?}"))),
    };
    match kind {
        "fail" => into.fail.get_or_insert_default().push(text),
        "warn" => into.warn.push(text),
        "info" => into.info.push(text),
        "no_warn" => into.no_warn = true,
        "no_info" => into.no_info = true,
        "ordered" => into.ordered = true,
        other => return Err(ScriptError::new(format!("unknown expectation {other:?}"))),
    }
    Ok(())
}
