//! One rule, checked: what it is called, what it asks, and what becomes of the answer.

use super::policy::Policies;
use super::template::Template;
use crate::Period;
use tsdb_core::{METRIC_NAME, Matcher};
use tsdb_promql::ParseOptions;
use tsdb_promql::ast::{BinaryOp, Expr, selectors};

/// A rule as it is written, group labels included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RuleText {
    /// Its number, if it comes from the metadata store; it keeps its state by it, whatever else changes.
    pub(crate) number: Option<i64>,
    /// Name of the metric that is recorded; empty in an alerting rule.
    pub(crate) record: String,
    /// Name of the alert; empty in a recording rule.
    pub(crate) alert: String,
    /// The PromQL expression.
    pub(crate) expr: String,
    /// How long the expression must give an element before its alert fires.
    pub(crate) hold: Period,
    /// How long an alert goes on firing after the expression gave its element for the last time.
    pub(crate) keep_firing: Period,
    /// Labels that are added, by name.
    pub(crate) labels: Vec<(String, String)>,
    /// Texts for people, by name.
    pub(crate) annotations: Vec<(String, String)>,
}

/// A rule that can be evaluated.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    text: RuleText,
    expr: Expr,
    kind: RuleKind,
    selectors: Vec<Vec<Matcher>>,
}

/// What a rule does.
#[derive(Debug, Clone)]
pub(crate) enum RuleKind {
    /// Stores what its expression gives under a name of its own.
    Recording,
    /// Makes an alert of each element that its expression gives.
    Alerting(AlertingRule),
}

/// The templates of an alerting rule, by the name of the label or annotation.
#[derive(Debug, Clone)]
pub(crate) struct AlertingRule {
    pub(crate) labels: Vec<(String, Template)>,
    pub(crate) annotations: Vec<(String, Template)>,
    /// What becomes of its alerts when it cannot be judged.
    pub(crate) policies: Policies,
}

/// Something wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RuleError {
    #[error("only one of 'record' and 'alert' must be set")]
    RecordAndAlert,
    #[error("one of 'record' or 'alert' must be set")]
    NeitherRecordNorAlert,
    #[error("field 'expr' must be set in rule")]
    NoExpression,
    #[error("could not parse expression: {0}")]
    Expression(#[from] tsdb_promql::ParseError),
    #[error("invalid field '{field}' in recording rule")]
    FieldOfAlerts { field: &'static str },
    #[error("braces present in the recording rule name; should it be in expr?: {name}")]
    RecordBraces { name: String },
    #[error("invalid label name: {name}")]
    LabelName { name: String },
    #[error("invalid annotation name: {name}")]
    AnnotationName { name: String },
    #[error("label {name:?}: {reason}")]
    LabelTemplate { name: String, reason: String },
    #[error("annotation {name:?}: {reason}")]
    AnnotationTemplate { name: String, reason: String },
    #[error("annotation {name:?}: {text:?} is none of ok, alert and keep")]
    Policy { name: String, text: String },
}

/// Variables that stand for what is often needed.
const VARIABLES: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
                         {{$externalURL := .ExternalURL}}{{$value := .Value}}";

impl Rule {
    /// Checks `text`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn new(text: RuleText, options: &ParseOptions) -> Result<Self, Vec<RuleError>> {
        let mut errors = Vec::new();
        match (text.record.is_empty(), text.alert.is_empty()) {
            (false, false) => errors.push(RuleError::RecordAndAlert),
            (true, true) => errors.push(RuleError::NeitherRecordNorAlert),
            _ => {}
        }
        let expr = expression(&text, options).map_err(|error| errors.push(error)).ok();
        if !text.record.is_empty() {
            errors.extend(faults_of_record(&text));
        }
        // Every text is a name in UTF-8 but the empty one.
        let names =
            text.labels.iter().map(|(name, _)| name).filter(|name| name.is_empty() || *name == METRIC_NAME);
        errors.extend(names.map(|name| RuleError::LabelName { name: name.clone() }));
        let names = text.annotations.iter().map(|(name, _)| name).filter(|name| name.is_empty());
        errors.extend(names.map(|name| RuleError::AnnotationName { name: name.clone() }));
        let kind = kind(&text, &mut errors);
        match expr {
            Some(expr) if errors.is_empty() => {
                let selectors = selectors(&expr);
                Ok(Self { text, expr, kind, selectors })
            }
            _ => Err(errors),
        }
    }

    /// The name of the alert or of the recorded metric.
    pub(crate) fn name(&self) -> &str {
        if self.text.alert.is_empty() { &self.text.record } else { &self.text.alert }
    }

    /// The rule as it is written.
    pub(crate) fn text(&self) -> &RuleText {
        &self.text
    }

    pub(crate) fn expr(&self) -> &Expr {
        &self.expr
    }

    pub(crate) fn kind(&self) -> &RuleKind {
        &self.kind
    }

    /// What its condition is about: the expression without its comparison.
    pub(crate) fn subject(&self) -> &Expr {
        subject(&self.expr)
    }

    /// The conditions of each of its selectors.
    pub(crate) fn selectors(&self) -> &[Vec<Matcher>] {
        &self.selectors
    }

    /// What a rule keeps its state by when rules are loaded anew: its number if it has one, otherwise its kind, its name
    /// and its labels.
    pub(crate) fn identity(&self) -> (Option<i64>, bool, &str, &[(String, String)]) {
        match self.text.number {
            Some(number) => (Some(number), false, "", &[]),
            None => (None, self.text.alert.is_empty(), self.name(), &self.text.labels),
        }
    }
}

fn expression(text: &RuleText, options: &ParseOptions) -> Result<Expr, RuleError> {
    if text.expr.is_empty() {
        return Err(RuleError::NoExpression);
    }
    Ok(tsdb_promql::parse(&text.expr, options)?)
}

fn kind(text: &RuleText, errors: &mut Vec<RuleError>) -> RuleKind {
    let policies = Policies::of(&text.annotations).unwrap_or_else(|(name, text)| {
        errors.push(RuleError::Policy { name, text });
        Policies::default()
    });
    if text.alert.is_empty() {
        return RuleKind::Recording;
    }
    let labels = templates(&text.alert, &text.labels, errors, |name, reason| RuleError::LabelTemplate {
        name,
        reason,
    });
    let annotations = templates(&text.alert, &text.annotations, errors, |name, reason| {
        RuleError::AnnotationTemplate { name, reason }
    });
    RuleKind::Alerting(AlertingRule { labels, annotations, policies })
}

/// What a condition is about: `a` of `a > 5`, of `5 < a`, and of `a > 5 and b`.
fn subject(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(paren) => subject(&paren.expr),
        Expr::Binary(binary) if binary.op.is_comparison() && !binary.return_bool => {
            let is_number = matches!(*binary.lhs, Expr::Number(_));
            if is_number { &binary.rhs } else { &binary.lhs }
        }
        Expr::Binary(binary) if matches!(binary.op, BinaryOp::And | BinaryOp::Unless) => subject(&binary.lhs),
        other => other,
    }
}

fn faults_of_record(text: &RuleText) -> Vec<RuleError> {
    let mut errors = Vec::new();
    let of_alerts = [
        ("annotations", !text.annotations.is_empty()),
        ("for", text.hold != Period::default()),
        ("keep_firing_for", text.keep_firing != Period::default()),
    ];
    let set = of_alerts.into_iter().filter(|(_, set)| *set);
    errors.extend(set.map(|(field, _)| RuleError::FieldOfAlerts { field }));
    let name = &text.record;
    if name.contains(['{', '}']) {
        errors.push(RuleError::RecordBraces { name: name.clone() });
    }
    errors
}

fn templates(
    alert: &str,
    texts: &[(String, String)],
    errors: &mut Vec<RuleError>,
    fault: impl Fn(String, String) -> RuleError,
) -> Vec<(String, Template)> {
    let mut parsed = Vec::new();
    for (name, text) in texts {
        match Template::parse(&format!("__alert_{alert}"), &format!("{VARIABLES}{text}")) {
            Ok(template) => parsed.push((name.clone(), template)),
            Err(error) => errors.push(fault(name.clone(), error.to_string())),
        }
    }
    parsed
}
