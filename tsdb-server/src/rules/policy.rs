//! What an alerting rule does when there is nothing to judge by: no data, or an evaluation that fails.
//!
//! A rule says so in two annotations, since these are all that a rule file of Prometheus has room for; `promtool` takes
//! such files, and Prometheus shows the annotations and does nothing else with them:
//!
//! ```yaml
//! - alert: ErrorRate
//!   expr: sum(rate(errors_total[5m])) / sum(rate(requests_total[5m])) > 0.05
//!   annotations:
//!     tsdb_no_data: alert     # ok (default), alert, keep
//!     tsdb_on_error: keep     # keep (default), alert, ok
//! ```
//!
//! The defaults are what Prometheus does: an element that is not there ends its alert, whatever the reason; an evaluation
//! that fails changes no alert.

/// Annotation that says what no data means.
pub(crate) const NO_DATA: &str = "tsdb_no_data";
/// Annotation that says what an error means.
pub(crate) const ON_ERROR: &str = "tsdb_on_error";

/// What becomes of the alerts of a rule when it cannot be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// They end, as if all were well.
    Ok,
    /// They stay, and an alert of its own says that the rule cannot be judged.
    Alert,
    /// They stay.
    Keep,
}

/// The policies of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policies {
    /// When there is no data.
    pub(crate) no_data: Policy,
    /// When an evaluation fails.
    pub(crate) on_error: Policy,
}

impl Default for Policies {
    fn default() -> Self {
        Self { no_data: Policy::Ok, on_error: Policy::Keep }
    }
}

impl Policies {
    /// The policies that `annotations` name. What is none is no policy, and the name and the text of it the error.
    pub(super) fn of(annotations: &[(String, String)]) -> Result<Self, (String, String)> {
        let mut policies = Self::default();
        for (name, text) in annotations {
            let slot = match name.as_str() {
                NO_DATA => &mut policies.no_data,
                ON_ERROR => &mut policies.on_error,
                _ => continue,
            };
            *slot = match text.as_str() {
                "ok" => Policy::Ok,
                "alert" => Policy::Alert,
                "keep" => Policy::Keep,
                _ => return Err((name.clone(), text.clone())),
            };
        }
        Ok(policies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policies(annotations: &[(&str, &str)]) -> Result<Policies, (String, String)> {
        let owned: Vec<_> =
            annotations.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Policies::of(&owned)
    }

    #[test]
    fn a_rule_that_says_nothing_does_what_prometheus_does() {
        let expected = Policies { no_data: Policy::Ok, on_error: Policy::Keep };
        assert_eq!(policies(&[("summary", "keep")]), Ok(expected));
    }

    #[test]
    fn a_policy_is_named_by_an_annotation_and_a_misspelt_one_refused() {
        let expected = Policies { no_data: Policy::Alert, on_error: Policy::Ok };
        assert_eq!(policies(&[(NO_DATA, "alert"), (ON_ERROR, "ok")]), Ok(expected));
        assert_eq!(policies(&[(NO_DATA, "allert")]), Err((NO_DATA.into(), "allert".into())));
    }
}
