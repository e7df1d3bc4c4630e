//! Rules of the metadata store: checked before they are stored, and made into groups.
//!
//! Rules that name a group and have one interval make a group; a rule that names none is a group of its own. A rule that
//! cannot be evaluated, because somebody wrote it by hand or with a newer program, is passed over and counted.

use crate::limits::RuleLimits;
use crate::metadata::{AlertRule, AlertRuleSpec, ErrorPolicy, MetadataError, NoDataPolicy, RuleStatus};
use crate::rules::{Group, GroupSettings, NO_DATA_POLICY, ON_ERROR_POLICY, Rule, RuleError, RuleText};
use std::collections::BTreeMap;
use tsdb_core::TenantId;
use tsdb_promql::ParseOptions;
use tsdb_promql::ast::ValueType;
use tsdb_promql::check::value_type;

/// What the names of their files begin with.
const FILE: &str = "metadata:";
/// Label of alerts that says how bad it is.
const SEVERITY: &str = "severity";

/// Are the rules of `group` from the metadata store?
pub(super) fn is_stored(group: &Group) -> bool {
    group.settings().file.starts_with(FILE)
}

/// Can `spec` be stored and evaluated?
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(spec: &AlertRuleSpec, options: &ParseOptions) -> Result<(), MetadataError> {
    spec.check()?;
    let faults = match Rule::new(text(0, spec), options) {
        Ok(rule) => return check_type(&rule),
        Err(faults) => faults,
    };
    let field = match faults.first() {
        Some(RuleError::LabelName { .. } | RuleError::LabelTemplate { .. }) => "labels",
        Some(RuleError::AnnotationName { .. } | RuleError::AnnotationTemplate { .. }) => "annotations",
        _ => "expression",
    };
    let reasons: Vec<String> = faults.iter().map(ToString::to_string).collect();
    Err(MetadataError::invalid(field, reasons.join("; ")))
}

/// An alert is made of each element of a vector.
fn check_type(rule: &Rule) -> Result<(), MetadataError> {
    match value_type(rule.expr()) {
        ValueType::Vector | ValueType::Scalar => Ok(()),
        other => Err(MetadataError::invalid(
            "expression",
            format!("it gives a {}, not an instant vector or scalar", other.documented()),
        )),
    }
}

/// May `tenant` have a rule whose evaluations read so many `samples`, about?
///
/// # Errors
/// The limit.
pub(crate) fn check_cost(samples: u64, limits: &RuleLimits) -> Result<(), MetadataError> {
    match limits.max_estimated_samples.get() {
        Some(limit) if samples > limit => {
            let reason = format!(
                "each evaluation would read about {samples} samples, and limits.rules.max_estimated_samples is {limit}"
            );
            Err(MetadataError::invalid("expression", reason))
        }
        _ => Ok(()),
    }
}

/// May `tenant`, which has `count` rules, have one more?
///
/// # Errors
/// The limit.
pub(crate) fn check_count(tenant: &TenantId, count: usize, limits: &RuleLimits) -> Result<(), MetadataError> {
    match limits.max_rules.exceeded_by(count.saturating_add(1)) {
        None => Ok(()),
        Some(limit) => {
            let reason = format!("tenant {tenant} has {count}, and limits.rules.max_rules is {limit}");
            Err(MetadataError::invalid("rules", reason))
        }
    }
}

/// The groups of those of `rules` that are to be evaluated, and how many of them cannot be.
pub(super) fn groups(
    rules: &[AlertRule],
    limits: &RuleLimits,
    options: &ParseOptions,
) -> (Vec<Group>, usize) {
    let mut by_number: Vec<&AlertRule> = rules.iter().collect();
    by_number.sort_by_key(|rule| rule.id);
    let over = by_number.split_off(by_number.len().min(limits.max_rules.as_len()));
    let active = |rule: &&AlertRule| rule.spec.status == RuleStatus::Active;
    let mut unusable = over.into_iter().filter(active).count();
    let mut members: BTreeMap<(String, String), (&AlertRule, Vec<Rule>)> = BTreeMap::new();
    for rule in by_number.into_iter().filter(active) {
        match usable(rule, options) {
            Ok(checked) => {
                members.entry(place(rule)).or_insert_with(|| (rule, Vec::new())).1.push(checked);
            }
            Err(reason) => {
                log::warn!("rule {} of tenant {}: {reason}", rule.id, rule.tenant);
                unusable = unusable.saturating_add(1);
            }
        }
    }
    let groups = members.into_iter().map(|((file, name), (first, rules))| {
        let interval = Some(first.spec.interval);
        Group::new(GroupSettings { file, name, interval, query_offset: None, limit: 0 }, rules)
    });
    (groups.collect(), unusable)
}

/// `rule` as it is evaluated; why it cannot be, if somebody stored it by other ways than the API.
fn usable(rule: &AlertRule, options: &ParseOptions) -> Result<Rule, String> {
    rule.spec.check().map_err(|error| error.to_string())?;
    Rule::new(text(rule.id.0, &rule.spec), options).map_err(|faults| {
        let reasons: Vec<String> = faults.iter().map(ToString::to_string).collect();
        reasons.join("; ")
    })
}

/// File and name of the group of `rule`.
fn place(rule: &AlertRule) -> (String, String) {
    if rule.spec.group.is_empty() {
        (format!("{FILE}rule"), rule.id.to_string())
    } else {
        (format!("{FILE}{}", rule.spec.interval), rule.spec.group.clone())
    }
}

fn text(number: i64, spec: &AlertRuleSpec) -> RuleText {
    let mut labels = spec.labels.clone();
    labels.entry(SEVERITY.to_owned()).or_insert_with(|| spec.severity.as_str().to_ascii_lowercase());
    let mut annotations = spec.annotations.clone();
    // The fields decide, not what stands under the names that files use for the same.
    for (name, policy) in
        [(NO_DATA_POLICY, no_data(spec.no_data)), (ON_ERROR_POLICY, on_error(spec.on_error))]
    {
        match policy {
            Some(policy) => drop(annotations.insert(name.to_owned(), policy.to_owned())),
            None => drop(annotations.remove(name)),
        }
    }
    RuleText {
        number: Some(number),
        record: String::new(),
        alert: spec.name.clone(),
        expr: spec.expression.clone(),
        hold: spec.hold,
        keep_firing: spec.keep_firing_for,
        labels: labels.into_iter().collect(),
        annotations: annotations.into_iter().collect(),
    }
}

/// The policy as files write it, if it is not what they mean without one.
const fn no_data(policy: NoDataPolicy) -> Option<&'static str> {
    match policy {
        NoDataPolicy::Ok => None,
        NoDataPolicy::NoData => Some("alert"),
        NoDataPolicy::KeepState => Some("keep"),
    }
}

/// The same for errors.
const fn on_error(policy: ErrorPolicy) -> Option<&'static str> {
    match policy {
        ErrorPolicy::KeepState => None,
        ErrorPolicy::Error => Some("alert"),
        ErrorPolicy::Ok => Some("ok"),
    }
}
