//! Running a script.

use super::classic::custom_histograms;
use super::compare::{Steps, check_sorted, compare};
use super::report::{CaseReport, Outcome, Report};
use super::rewrite::{other_times, pinned};
use super::script::{Command, Eval, Expectation, Expected, Load, Script, ScriptError, TextMatch, Times};
use super::{Evaluator, SequenceValue};
use crate::annotation::Annotations;
use crate::ast::Expr;
use crate::failure::QueryError;
use crate::parse::ParseOptions;
use crate::value::{ScalarPoint, Value, VectorSample};
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::read::Queryable;
use tsdb_core::write::{Appendable, Appender};
use tsdb_core::{SeriesRef, Timestamp};

/// Storage that scripts load into and query.
pub trait ScriptStorage: Queryable + Appendable {
    /// The storage as something to query.
    fn as_queryable(&self) -> &dyn Queryable;
}

impl<T: Queryable + Appendable> ScriptStorage for T {
    fn as_queryable(&self) -> &dyn Queryable {
        self
    }
}

/// How scripts are parsed: every part of the language is on.
pub fn test_options() -> ParseOptions {
    ParseOptions::all_features()
}

/// Runs `script`: loads into storages that `open` makes, one at the beginning and one for each `clear`, and
/// evaluates with `evaluator`.
pub fn run(script: &Script, evaluator: &dyn Evaluator, open: &dyn Fn() -> Box<dyn ScriptStorage>) -> Report {
    let mut runner = Runner { evaluator, storage: open() };
    let mut report = Report::default();
    for command in &script.commands {
        match command {
            Command::Clear => runner.storage = open(),
            Command::Load(load) => {
                if let Err(error) = runner.load(load) {
                    report.error = Some(error.at(load.line));
                    return report;
                }
            }
            Command::Eval(eval) => {
                let outcome = runner.eval(eval);
                report.cases.push(CaseReport { line: eval.line, expr: eval.expr.clone(), outcome });
            }
        }
    }
    report
}

struct Runner<'a> {
    evaluator: &'a dyn Evaluator,
    storage: Box<dyn ScriptStorage>,
}

impl Runner<'_> {
    fn load(&mut self, load: &Load) -> Result<(), ScriptError> {
        let mut appender = self.storage.appender();
        for series in &load.series {
            let mut reference = None;
            for (index, value) in series.values.iter().enumerate() {
                if matches!(value, SequenceValue::Missing) {
                    continue;
                }
                let at = load.step_ms.saturating_mul(i64::try_from(index).unwrap_or(i64::MAX));
                let reference = match reference {
                    Some(reference) => reference,
                    None => {
                        let named = appender.series(&series.labels);
                        *reference.insert(named.map_err(|error| ScriptError::new(error.to_string()))?)
                    }
                };
                match value {
                    SequenceValue::Missing => {}
                    SequenceValue::Float(value) => appender.append(reference, at, *value),
                    SequenceValue::Histogram(value) => {
                        append_histogram(&mut *appender, reference, at, value.histogram()?)?
                    }
                }
                if let Some(offset) = series.start_offset(index) {
                    appender.set_start(at.saturating_add(offset));
                }
            }
        }
        if load.with_nhcb {
            for (labels, samples) in custom_histograms(load)? {
                let named = appender.series(&labels);
                let reference = named.map_err(|error| ScriptError::new(error.to_string()))?;
                for (at, histogram) in samples {
                    append_histogram(&mut *appender, reference, at, histogram)?;
                }
            }
        }
        let report = appender.commit().map_err(|error| ScriptError::new(error.to_string()))?;
        match report.refused.first() {
            Some(refused) => {
                Err(ScriptError::new(format!("sample {}: {}", refused.position, refused.reason)))
            }
            None => Ok(()),
        }
    }

    fn eval(&self, eval: &Eval) -> Outcome {
        match self.try_eval(eval) {
            Ok(()) => Outcome::Passed,
            Err(reason) => Outcome::Failed { reason },
        }
    }

    fn try_eval(&self, eval: &Eval) -> Result<(), String> {
        let expr = crate::parse(&eval.expr, &test_options()).map_err(|error| error.to_string())?;
        match eval.times {
            Times::Range { start, end, step_ms } => {
                let source = self.storage.as_queryable();
                let result = self.evaluator.range(source, &expr, start, end, step_ms);
                self.check(eval, &eval.expr, result).map(drop)
            }
            Times::Instant { at } => {
                self.check_instant(eval, &expr, &eval.expr, at)?;
                let Some(pinned) = pinned(&expr, at) else { return Ok(()) };
                let text = pinned.to_string();
                // Positions in annotations are those within the rewritten text.
                let pinned =
                    crate::parse(&text, &test_options()).map_err(|error| format!("{text}: {error}"))?;
                other_times(at).into_iter().try_for_each(|at| self.check_instant(eval, &pinned, &text, at))
            }
        }
    }

    /// Evaluates once, and once more as the middle step of a range query.
    fn check_instant(&self, eval: &Eval, expr: &Expr, text: &str, at: Timestamp) -> Result<(), String> {
        let source = self.storage.as_queryable();
        let describe = |reason: String, how: &str| format!("{reason} ({how}: {text} at {at} ms)");
        let result = self.evaluator.instant(source, expr, at);
        let value = self.check(eval, text, result).map_err(|reason| describe(reason, "instant query"))?;
        let Some(value) = value else { return Ok(()) };
        let excluded = eval.expectation.range_vector.is_some()
            || matches!(eval.expectation.value, Expected::String(_))
            || ["start()", "end()", "range()", "step()"].iter().any(|call| text.contains(call));
        if excluded {
            return Ok(());
        }
        self.check_middle_step(eval, expr, at, &value).map_err(|reason| describe(reason, "range query"))
    }

    fn check_middle_step(
        &self,
        eval: &Eval,
        expr: &Expr,
        at: Timestamp,
        instant: &Value,
    ) -> Result<(), String> {
        const MINUTE: i64 = 60_000;
        let source = self.storage.as_queryable();
        let (start, end) = (at.saturating_sub(MINUTE), at.saturating_add(MINUTE));
        let result = self.evaluator.range(source, expr, start, end, MINUTE).map_err(unexpected)?;
        if eval.expectation.ordered {
            return Ok(());
        }
        let Value::Matrix(matrix) = result.value else {
            return Err(format!("a range query returned {:?}", result.value));
        };
        check_sorted(&matrix)?;
        let middle = matrix.into_iter().filter_map(|series| {
            if let Some(point) = series.histograms.iter().find(|point| point.timestamp == at) {
                return Some(VectorSample::of_histogram(series.labels, at, point.histogram.clone()));
            }
            let index = series.timestamps.iter().position(|t| *t == at)?;
            Some(VectorSample::new(series.labels, at, *series.values.get(index)?))
        });
        let middle: Vec<_> = middle.collect();
        let value = match (instant, middle.first()) {
            (Value::Scalar(_), Some(sample)) => {
                Value::Scalar(ScalarPoint { timestamp: at, value: sample.value })
            }
            _ => Value::Vector(middle),
        };
        compare(&value, &eval.expectation.value, false, steps_of(eval))
    }

    /// Checks a result; gives its value back unless the evaluation was expected to fail.
    fn check(
        &self,
        eval: &Eval,
        text: &str,
        result: Result<crate::value::QueryResult, QueryError>,
    ) -> Result<Option<Value>, String> {
        let expectation = &eval.expectation;
        match (result, &expectation.fail) {
            (Err(error), None) => Err(unexpected(error)),
            (Err(error), Some(wanted)) => {
                let message = error.to_string();
                match wanted.iter().find(|wanted| !wanted.matches(&message)) {
                    Some(wanted) => Err(format!("expected an error matching {wanted:?}, got: {message}")),
                    None => Ok(None),
                }
            }
            (Ok(_), Some(_)) => Err("expected an error but got none".into()),
            (Ok(result), None) => {
                check_annotations(expectation, &result.annotations, text)?;
                compare(&result.value, &expectation.value, expectation.ordered, steps_of(eval))?;
                Ok(Some(result.value))
            }
        }
    }
}

fn append_histogram(
    appender: &mut dyn Appender,
    series: SeriesRef,
    at: Timestamp,
    histogram: FloatHistogram,
) -> Result<(), ScriptError> {
    let added = appender.append_histogram(series, at, histogram);
    added.map_err(|error| ScriptError::new(error.to_string()))
}

fn unexpected(error: QueryError) -> String {
    format!("unexpected error: {error}")
}

fn steps_of(eval: &Eval) -> Steps {
    match (eval.expectation.range_vector, eval.times) {
        (Some((start, end, step_ms)), _) | (None, Times::Range { start, end, step_ms }) => {
            Steps { start, end, step_ms }
        }
        (None, Times::Instant { at }) => Steps { start: at, end: at, step_ms: 0 },
    }
}

fn check_annotations(expectation: &Expectation, found: &Annotations, text: &str) -> Result<(), String> {
    let (warnings, infos) = (found.warnings(text), found.infos(text));
    check_texts("warning", &warnings, &expectation.warn, expectation.any_warning, expectation.no_warn)?;
    check_texts("info", &infos, &expectation.info, expectation.any_info, expectation.no_info)
}

fn check_texts(
    kind: &str,
    found: &[String],
    wanted: &[TextMatch],
    some: bool,
    none: bool,
) -> Result<(), String> {
    if none && !found.is_empty() {
        return Err(format!("unexpected {kind} annotations: {found:?}"));
    }
    if found.is_empty() && (some || !wanted.is_empty()) {
        return Err(format!("expected {kind} annotations but none were found"));
    }
    if wanted.is_empty() {
        return Ok(());
    }
    if let Some(missing) = wanted.iter().find(|wanted| !found.iter().any(|text| wanted.matches(text))) {
        return Err(format!("expected {kind} annotation matching {missing:?}, found: {found:?}"));
    }
    match found.iter().find(|text| !wanted.iter().any(|wanted| wanted.matches(text))) {
        Some(surplus) => Err(format!("unexpected {kind} annotation {surplus:?}")),
        None => Ok(()),
    }
}
