//! `eval` commands.

use super::expect::{self, Expectation};
use super::{Lines, ScriptError, parse_duration, split_word};
use tsdb_core::Timestamp;

/// An expression to evaluate, and what to expect.
#[derive(Debug, Clone)]
pub struct Eval {
    /// The line of the command, from 1.
    pub line: usize,
    /// The expression.
    pub expr: String,
    /// When it is evaluated.
    pub times: Times,
    /// What must come out.
    pub expectation: Expectation,
}

/// When an expression is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Once.
    Instant {
        /// The time, ms.
        at: Timestamp,
    },
    /// At steps.
    Range {
        /// The first, ms.
        start: Timestamp,
        /// Where they end, ms.
        end: Timestamp,
        /// Their distance, ms.
        step_ms: i64,
    },
}

pub(super) fn parse(line: &str, lines: &mut Lines<'_>) -> Result<Eval, ScriptError> {
    let number = lines.number();
    let (command, rest) = split_word(line);
    let flag = match command.strip_prefix("eval") {
        Some("") => None,
        Some(flag) => flag.strip_prefix('_'),
        None => return Err(ScriptError::new(format!("unknown command {command:?}"))),
    };
    let (kind, rest) = split_word(rest);
    let (times, expr) = match kind {
        "instant" => parse_instant(rest)?,
        "range" => parse_range(rest)?,
        other => return Err(ScriptError::new(format!("expected instant or range, found {other:?}"))),
    };
    if expr.is_empty() {
        return Err(ScriptError::new("missing expression"));
    }
    let mut expectation = Expectation::default();
    if let Some(flag) = flag {
        expectation.apply_flag(flag)?;
    }
    expect::parse(lines, &mut expectation)?;
    let times = match expectation.range_vector {
        Some((_, end, _)) => Times::Instant { at: end },
        None => times,
    };
    Ok(Eval { line: number, expr: expr.into(), times, expectation })
}

fn parse_instant(text: &str) -> Result<(Times, &str), ScriptError> {
    let rest = keyword(text, "at")?;
    let (at, expr) = split_word(rest);
    Ok((Times::Instant { at: parse_duration(at)? }, expr))
}

fn parse_range(text: &str) -> Result<(Times, &str), ScriptError> {
    let ((start, end, step_ms), expr) = parse_from_to_step(text)?;
    Ok((Times::Range { start, end, step_ms }, expr))
}

/// Parses `from A to B step C`, and returns what follows.
pub(super) fn parse_from_to_step(text: &str) -> Result<((i64, i64, i64), &str), ScriptError> {
    let (start, rest) = split_word(keyword(text, "from")?);
    let (end, rest) = split_word(keyword(rest, "to")?);
    let (step, rest) = split_word(keyword(rest, "step")?);
    let (start, end, step) = (parse_duration(start)?, parse_duration(end)?, parse_duration(step)?);
    if end < start {
        return Err(ScriptError::new("invalid test definition, end timestamp is before start timestamp"));
    }
    Ok(((start, end, step), rest))
}

fn keyword<'a>(text: &'a str, wanted: &str) -> Result<&'a str, ScriptError> {
    match split_word(text) {
        (word, rest) if word == wanted => Ok(rest),
        (word, _) => Err(ScriptError::new(format!("expected {wanted:?}, found {word:?}"))),
    }
}
