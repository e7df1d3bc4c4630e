//! Budgets: limits of a tenant that differ from the server's.
//!
//! They are kept as names and values, in the form of the section `limits` of the settings, so that a store written by
//! a newer server is still understood: what this server does not know is passed over where limits are applied, and
//! refused where they are set.

use crate::Limits;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use tsdb_core::{TenantId, Timestamp};

/// The budget of a tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantBudget {
    /// Whose it is.
    pub tenant: TenantId,
    /// What of its limits differs from the server's.
    pub overrides: Overrides,
    /// Grows with each change.
    pub version: u64,
    /// Who changed it last.
    pub updated_by: String,
    /// When, ms.
    pub updated_at: Timestamp,
}

/// Limits by their names in the settings: `{"ingest": {"samples_per_second": 100000}}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Overrides(Map<String, Value>);

/// An override that is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct OverrideFault {
    /// Its name, with dots between the sections.
    pub field: String,
    /// What is wrong with it, with the bound if it is one.
    pub reason: String,
}

/// The largest number that every reader of JSON takes for what it is, 2^53 - 1.
const MAX_NUMBER: u64 = (1 << 53) - 1;
/// Names and values in all.
const MAX_FIELDS: usize = 1_000;
/// Bytes of one text.
const MAX_TEXT_BYTES: usize = 1_024;
/// Under this name is what a store holds in place of a JSON object of limits.
const UNREADABLE: &str = "other_limits";
/// The names that limits had, and those of today.
const RENAMED: [(&str, &str); 1] = [("ingest.max_active_series", "cardinality.max_active_series")];

impl Overrides {
    /// The overrides that the JSON text `bytes` is.
    ///
    /// # Errors
    /// The text is no JSON object.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The overrides that a store holds as the JSON text `text`, under the names of today. A text that is no JSON object is one
    /// override, which no server understands.
    pub(crate) fn read(text: &str) -> Self {
        let mut overrides = Self::parse(text.as_bytes()).unwrap_or_else(|_| {
            let whole = (UNREADABLE.to_owned(), Value::from(text));
            Self(Map::from_iter([whole]))
        });
        overrides.rename();
        overrides
    }

    /// Gives limits that had another name the one of today.
    pub(crate) fn rename(&mut self) {
        for (before, today) in RENAMED {
            if let Some(value) = self.take(before)
                && self.value(today).is_none()
            {
                self.set(today, value);
            }
        }
    }

    /// Names and values.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The value under the name `field`, which has dots between the sections.
    pub fn value(&self, field: &str) -> Option<&Value> {
        let mut names = field.split('.');
        let first = self.0.get(names.next()?)?;
        names.try_fold(first, |value, name| value.get(name))
    }

    /// Puts `value` under the name `field`, which has dots between the sections.
    pub fn set(&mut self, field: &str, value: Value) {
        let path: Vec<&str> = field.split('.').collect();
        put(&mut self.0, &path, value);
    }

    /// Takes away the value under the name `field`, and the sections that are empty without it.
    pub fn take(&mut self, field: &str) -> Option<Value> {
        let path: Vec<&str> = field.split('.').collect();
        take(&mut self.0, &path)
    }

    /// The limits of a tenant with these overrides of a server whose limits are `base`, and what of the overrides this
    /// server does not understand: the limit of the server holds there, but for retention, by which nothing is deleted then.
    pub fn apply(&self, base: &Limits) -> (Limits, Vec<OverrideFault>) {
        let mut limits = base.clone();
        let mut faults = Vec::new();
        for (path, value) in self.leaves() {
            match with(&limits, &path, value) {
                Ok(changed) => limits = changed,
                Err(reason) => faults.push(OverrideFault { field: path.join("."), reason }),
            }
        }
        // What says how long data are kept, and is not understood, deletes none.
        let is_of_retention = |fault: &OverrideFault| {
            fault.field.split('.').next().is_some_and(|section| ["retention", UNREADABLE].contains(&section))
        };
        if faults.iter().any(is_of_retention) {
            limits.retention = limits.retention.keeping_everything();
        }
        (limits, faults)
    }

    /// Would all of them be applied?
    ///
    /// # Errors
    /// Those that would not, and why.
    pub fn check(&self, base: &Limits) -> Result<(), Vec<OverrideFault>> {
        let fields = self.leaves().len();
        if fields > MAX_FIELDS {
            let reason = format!("{fields} of them, more than {MAX_FIELDS}");
            return Err(vec![OverrideFault { field: "limits".to_owned(), reason }]);
        }
        match self.apply(base).1 {
            faults if faults.is_empty() => Ok(()),
            faults => Err(faults),
        }
    }

    /// Every value that is no section, with the names that lead to it.
    fn leaves(&self) -> Vec<(Vec<&str>, &Value)> {
        let mut found = Vec::new();
        // A JSON text is at most 128 levels deep.
        descend(&self.0, &mut Vec::new(), &mut found);
        found
    }
}

fn descend<'a>(
    section: &'a Map<String, Value>,
    path: &mut Vec<&'a str>,
    found: &mut Vec<(Vec<&'a str>, &'a Value)>,
) {
    for (name, value) in section {
        path.push(name);
        match value {
            Value::Object(section) => descend(section, path, found),
            value => found.push((path.clone(), value)),
        }
        path.pop();
    }
}

/// `limits` with `value` under the name `path`; why not, if it is no limit.
fn with(limits: &Limits, path: &[&str], value: &Value) -> Result<Limits, String> {
    if let ([UNREADABLE], Some(text)) = (path, value.as_str())
        && let Err(error) = Overrides::parse(text.as_bytes())
    {
        return Err(format!("it is no JSON object of limits: {error}"));
    }
    bounded(value)?;
    let written = serde_json::to_value(limits).map_err(|error| error.to_string())?;
    let Value::Object(mut all) = written else { return Err("limits have no names".to_owned()) };
    put(&mut all, path, value.clone());
    let limits: Limits = serde_json::from_value(Value::Object(all)).map_err(|error| error.to_string())?;
    match limits.query.max_depth.get() {
        Some(depth) if depth > MAX_DEPTH => Err(format!("{depth} levels, more than {MAX_DEPTH}")),
        _ => Ok(limits),
    }
}

/// How deep queries may nest at most: threads have stacks for so many levels.
const MAX_DEPTH: u64 = 100;

fn bounded(value: &Value) -> Result<(), String> {
    match value {
        Value::Number(number) if number.as_u64().is_some_and(|number| number > MAX_NUMBER) => {
            Err(format!("{number} is more than {MAX_NUMBER}"))
        }
        Value::String(text) if text.len() > MAX_TEXT_BYTES => {
            Err(format!("{} bytes, more than {MAX_TEXT_BYTES}", text.len()))
        }
        Value::Array(values) if values.len() > MAX_FIELDS => {
            Err(format!("{} entries, more than {MAX_FIELDS}", values.len()))
        }
        Value::Array(values) => values.iter().try_for_each(bounded),
        _ => Ok(()),
    }
}

fn put(section: &mut Map<String, Value>, path: &[&str], value: Value) {
    match path {
        [] => {}
        [name] => drop(section.insert((*name).to_owned(), value)),
        [name, rest @ ..] => {
            let below = section.entry((*name).to_owned()).or_insert_with(|| Value::Object(Map::new()));
            if !below.is_object() {
                *below = Value::Object(Map::new());
            }
            if let Value::Object(below) = below {
                put(below, rest, value);
            }
        }
    }
}

fn take(section: &mut Map<String, Value>, path: &[&str]) -> Option<Value> {
    match path {
        [] => None,
        [name] => section.remove(*name),
        [name, rest @ ..] => {
            let Some(Value::Object(below)) = section.get_mut(*name) else { return None };
            let taken = take(below, rest);
            if below.is_empty() {
                section.remove(*name);
            }
            taken
        }
    }
}

impl fmt::Display for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(&self.0).map_err(|_| fmt::Error)?)
    }
}

/// The limits of tenants with `budgets`, and of those that are `named` already; all others have `defaults`. Says also how
/// many of the overrides were passed over.
pub(crate) fn limits_of(
    budgets: &BTreeMap<TenantId, Overrides>,
    defaults: &Limits,
    named: &HashMap<TenantId, Limits>,
) -> (HashMap<TenantId, Limits>, u64) {
    let mut own = named.clone();
    let mut unknown = 0u64;
    for (tenant, overrides) in budgets {
        let (limits, faults) = overrides.apply(named.get(tenant).unwrap_or(defaults));
        for fault in &faults {
            log::warn!("the budget of tenant {tenant} has a limit that this server passes over: {fault}");
        }
        unknown = unknown.saturating_add(faults.len() as u64);
        own.insert(tenant.clone(), limits);
    }
    (own, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limit;
    use serde_json::json;

    fn overrides(value: Value) -> Overrides {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn overrides_change_what_they_name_and_nothing_else() {
        let given = json!({"ingest": {"samples_per_second": 7}, "query": {"timeout": "3s"},
                           "push": {"blocked_labels": ["a"]}});
        let mut expected = Limits::default();
        expected.ingest.samples_per_second = Limit::at(7);
        expected.query.timeout = crate::Period::from_secs(3);
        expected.push.0.blocked_labels = vec!["a".to_owned()];
        assert_eq!(overrides(given).apply(&Limits::default()), (expected, Vec::new()));
    }

    #[test]
    fn what_a_server_does_not_know_is_passed_over_when_applied_and_refused_when_set() {
        let given = overrides(json!({"ingest": {"samples_per_second": 7, "from_the_future": 1},
                                     "novel": {"x": {"y": 2}}}));
        let (limits, faults) = given.apply(&Limits::default());
        assert_eq!(limits.ingest.samples_per_second, Limit::at(7));
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["ingest.from_the_future", "novel.x.y"]);
        assert_eq!(given.check(&Limits::default()), Err(faults));
    }

    #[test]
    fn a_retention_that_is_not_understood_deletes_nothing() {
        let given = overrides(json!({"retention": {"future": 1, "samples": "1d"}}));
        let (limits, faults) = given.apply(&Limits::default());
        assert_eq!(faults.len(), 1);
        let kept = limits.retention.to_engine();
        assert_eq!((kept.samples_ms, kept.max_bytes), (None, None));
        assert!(kept.rollups.len() == 2 && kept.rollups.iter().all(|level| level.retention_ms.is_none()));
        let given = overrides(json!({"retention": {"samples": "1d", "rollups": [
            {"resolution": "1m", "after": "1h", "retention": "30d"}]}}));
        let (limits, faults) = given.apply(&Limits::default());
        let kept = limits.retention.to_engine();
        assert_eq!((faults, kept.samples_ms, kept.rollups.len()), (vec![], Some(86_400_000), 1));
        assert_eq!(kept.max_expired_percent, 75);
    }

    #[test]
    fn a_budget_that_cannot_be_read_leaves_the_limits_of_the_server_and_deletes_nothing() {
        for text in ["", "{", "[1]", "{\"a\":1}}", "null", &"{\"a\":".repeat(200), &"x".repeat(5_000)] {
            let given = Overrides::read(text);
            let (limits, faults) = given.apply(&Limits::default());
            let expected =
                Limits { retention: Limits::default().retention.keeping_everything(), ..Limits::default() };
            assert_eq!(limits, expected, "{text}");
            assert_eq!((faults.len(), faults[0].field.as_str()), (1, "other_limits"), "{text}");
            assert!(faults[0].reason.starts_with("it is no JSON object of limits: "), "{}", faults[0]);
            assert_eq!(given.check(&Limits::default()), Err(faults));
        }
    }

    #[test]
    fn a_limit_that_had_another_name_is_read_under_that_of_today() {
        let given = Overrides::read(r#"{"ingest":{"max_active_series":5}}"#);
        assert_eq!(given, overrides(json!({"cardinality": {"max_active_series": 5}})));
        let both =
            r#"{"ingest":{"max_active_series":5,"burst_samples":1},"cardinality":{"max_active_series":6}}"#;
        let expected = json!({"ingest": {"burst_samples": 1}, "cardinality": {"max_active_series": 6}});
        assert_eq!(Overrides::read(both), overrides(expected));
    }

    #[test]
    fn a_value_that_is_no_limit_is_named_with_its_bound() {
        for (given, field, words) in [
            (json!({"query": {"max_depth": 101}}), "query.max_depth", "100"),
            (json!({"query": {"timeout": 3}}), "query.timeout", "string"),
            (json!({"query": {"timeout": "soon"}}), "query.timeout", "soon"),
            (json!({"ingest": {"samples_per_second": -1}}), "ingest.samples_per_second", "u64"),
            (json!({"ingest": {"samples_per_second": 1.5}}), "ingest.samples_per_second", "u64"),
            (
                json!({"ingest": {"samples_per_second": u64::MAX}}),
                "ingest.samples_per_second",
                "9007199254740991",
            ),
            (json!({"ingest": {"samples_per_second": null}}), "ingest.samples_per_second", "null"),
            (json!({"ingest": 5}), "ingest", "5"),
            (json!({"push": {"blocked_labels": ["x".repeat(2_000)]}}), "push.blocked_labels", "1024"),
        ] {
            let faults = overrides(given.clone()).check(&Limits::default()).unwrap_err();
            assert_eq!(faults.len(), 1, "{given}");
            assert_eq!(faults[0].field, field);
            assert!(faults[0].reason.contains(words), "{given}: {}", faults[0].reason);
        }
    }

    #[test]
    fn a_value_that_is_taken_leaves_no_empty_section() {
        let mut given = overrides(json!({"ingest": {"samples_per_second": 7}, "push": {"max_labels": 3}}));
        assert_eq!(given.value("push.max_labels"), Some(&json!(3)));
        assert_eq!(given.take("push.max_labels"), Some(json!(3)));
        assert_eq!(given.take("push.max_labels"), None);
        assert_eq!(given, overrides(json!({"ingest": {"samples_per_second": 7}})));
        given.set("push.max_labels", json!(4));
        assert_eq!(given.to_string(), r#"{"ingest":{"samples_per_second":7},"push":{"max_labels":4}}"#);
    }
}
