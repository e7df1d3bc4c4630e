//! Rule files: Prometheus' YAML.
//!
//! All mistakes of a file are told at once, each with line and column, in the words of Prometheus.

use super::group::{Group, GroupSettings};
use super::rule::{Rule, RuleError, RuleText};
use crate::Period;
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};
use std::collections::{BTreeMap, BTreeSet};
use tsdb_promql::ParseOptions;

/// A mistake in a rule file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RuleFault {
    /// The text is no YAML, or has a field that rule files do not have.
    #[error("{reason}")]
    Syntax {
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A group that cannot be.
    #[error("{line}:{column}: {reason}")]
    Group {
        /// Line of the group, from 1.
        line: u64,
        /// Column of the group, from 1.
        column: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A rule that cannot be.
    #[error("{line}:{column}: group {group:?}, rule {number}, {rule:?}: {error}")]
    Rule {
        /// Line of the part of the rule that is wrong, from 1.
        line: u64,
        /// Column of that part, from 1.
        column: u64,
        /// Name of the group.
        group: String,
        /// Position of the rule in its group, from 1.
        number: usize,
        /// Name of the rule.
        rule: String,
        /// What is wrong with it.
        error: RuleError,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    groups: Vec<Spanned<GroupOfFile>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupOfFile {
    #[serde(default)]
    name: String,
    interval: Option<Period>,
    query_offset: Option<Period>,
    #[serde(default)]
    limit: usize,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    rules: Vec<Spanned<RuleOfFile>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleOfFile {
    record: Option<Spanned<String>>,
    alert: Option<Spanned<String>>,
    expr: Option<Spanned<String>>,
    #[serde(default, rename = "for")]
    hold: Period,
    #[serde(default)]
    keep_firing_for: Period,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// The groups of the rule file `text`, which is called `name`.
///
/// # Errors
/// Every mistake in it.
pub(crate) fn parse_file(
    name: &str,
    text: &str,
    options: &ParseOptions,
) -> Result<Vec<Group>, Vec<RuleFault>> {
    let file: File = match serde_saphyr::from_str(text) {
        Ok(file) => file,
        // A file without anything in it has no groups.
        Err(_) if text.lines().all(|line| line.trim().is_empty() || line.trim().starts_with('#')) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(vec![RuleFault::Syntax { reason: error.to_string() }]),
    };
    let (mut groups, mut faults) = (Vec::new(), Vec::new());
    let mut names = BTreeSet::new();
    for Spanned { value: group, referenced: at, .. } in file.groups {
        faults.extend(faults_of_group(&group, at, &mut names));
        let mut rules = Vec::new();
        for (index, rule) in group.rules.into_iter().enumerate() {
            match checked(rule, &group.labels, options) {
                Ok(rule) => rules.push(rule),
                Err((rule, errors)) => faults.extend(errors.into_iter().map(|(at, error)| RuleFault::Rule {
                    line: at.line(),
                    column: at.column(),
                    group: group.name.clone(),
                    number: index + 1,
                    rule: rule.clone(),
                    error,
                })),
            }
        }
        let settings = GroupSettings {
            file: name.to_owned(),
            name: group.name,
            interval: group.interval,
            query_offset: group.query_offset,
            limit: group.limit,
        };
        groups.push(Group::new(settings, rules));
    }
    if faults.is_empty() { Ok(groups) } else { Err(faults) }
}

fn faults_of_group(group: &GroupOfFile, at: Location, names: &mut BTreeSet<String>) -> Vec<RuleFault> {
    let mut reasons = Vec::new();
    if group.name.is_empty() {
        reasons.push("Groupname must not be empty".to_owned());
    }
    if !names.insert(group.name.clone()) {
        reasons.push(format!("groupname: {:?} is repeated in the same file", group.name));
    }
    if group.interval == Some(Period::default()) {
        reasons.push(format!("group {:?} has an interval of zero", group.name));
    }
    let fault = |reason| RuleFault::Group { line: at.line(), column: at.column(), reason };
    reasons.into_iter().map(fault).collect()
}

type Misplaced = (Location, RuleError);

/// The rule, or its name and what is wrong with it where.
fn checked(
    rule: Spanned<RuleOfFile>,
    of_group: &BTreeMap<String, String>,
    options: &ParseOptions,
) -> Result<Rule, (String, Vec<Misplaced>)> {
    let Spanned { value: rule, referenced: whole, .. } = rule;
    let place = |field: &Option<Spanned<String>>| field.as_ref().map_or(whole, |field| field.referenced);
    let places = (place(&rule.record), place(&rule.alert), place(&rule.expr));
    // A label of the rule hides that of the group.
    let mut labels = of_group.clone();
    labels.extend(rule.labels);
    let text = RuleText {
        number: None,
        record: rule.record.map(|record| record.value).unwrap_or_default(),
        alert: rule.alert.map(|alert| alert.value).unwrap_or_default(),
        expr: rule.expr.map(|expr| expr.value).unwrap_or_default(),
        hold: rule.hold,
        keep_firing: rule.keep_firing_for,
        labels: labels.into_iter().collect(),
        annotations: rule.annotations.into_iter().collect(),
    };
    let name = if text.alert.is_empty() { text.record.clone() } else { text.alert.clone() };
    let located = |error: RuleError| match error {
        RuleError::NoExpression | RuleError::Expression(_) => (places.2, error),
        RuleError::FieldOfAlerts { .. } | RuleError::RecordBraces { .. } => (places.0, error),
        RuleError::RecordAndAlert => (places.0, error),
        RuleError::AnnotationName { .. } | RuleError::LabelName { .. } | RuleError::NeitherRecordNorAlert => {
            (whole, error)
        }
        RuleError::LabelTemplate { .. } | RuleError::AnnotationTemplate { .. } | RuleError::Policy { .. } => {
            (places.1, error)
        }
    };
    Rule::new(text, options).map_err(|errors| (name, errors.into_iter().map(located).collect()))
}
