//! Alerts that were active before a restart, from the series that told of them.
//!
//! Time in which nothing was evaluated does not count for `for`: nobody knows whether the element was there.

use super::alert::{ALERT_NAME, ALERTS_FOR_STATE, Alert, AlertState};
use super::group::{Group, Running};
use super::rule::RuleKind;
use tsdb_core::labels::LabelsBuilder;
use tsdb_core::read::{Queryable, ReadError, SampleColumns, SelectHints};
use tsdb_core::{METRIC_NAME, MatchOp, Matcher, TimeRange, Timestamp, is_stale_nan};

/// How long ago an alert may have been active to be taken up again, ms.
const OUTAGE_TOLERANCE_MS: i64 = 3_600_000;

/// Takes up the alerts of `group` that were active when it was evaluated last, at most an hour before `now`.
///
/// # Errors
/// The store cannot be read: the group has what was found before.
pub(crate) fn restore(group: &mut Group, store: &dyn Queryable, now: Timestamp) -> Result<(), ReadError> {
    let Some(range) = TimeRange::new(now.saturating_sub(OUTAGE_TOLERANCE_MS), now) else { return Ok(()) };
    let querier = store.querier(range)?;
    for running in group.rules_mut() {
        let Some(matchers) = matchers(running) else { continue };
        let set = querier.select(&matchers, &SelectHints::over(range))?;
        let mut columns = SampleColumns::default();
        for index in 0..set.len() {
            set.read(index, &mut columns)?;
            let (Some(last), Some(value)) = (columns.timestamps.last(), columns.values.last()) else {
                continue;
            };
            if is_stale_nan(*value) {
                continue;
            }
            let mut labels = LabelsBuilder::from_labels(&set.labels(index));
            labels.remove(METRIC_NAME);
            let Ok(labels) = labels.build() else { continue };
            // Beyond all times the clock is broken; the nearest time does.
            let active_at = (*value * 1_000.0) as Timestamp;
            let hold = running.rule().text().hold.as_signed_ms();
            let was_firing = last.saturating_sub(active_at) >= hold;
            let down = now.saturating_sub(*last);
            running.alerts_mut().insert(Alert {
                labels,
                annotations: Vec::new(),
                state: if was_firing { AlertState::Firing } else { AlertState::Pending },
                value: 0.0,
                active_at: if was_firing { active_at } else { active_at.saturating_add(down) },
                fired_at: was_firing.then_some(*last),
                resolved_at: None,
                kept_since: None,
            });
        }
    }
    Ok(())
}

/// What the series that tell of the rule's alerts have in common; `None` for a rule without alerts. Labels with
/// templates differ from alert to alert.
fn matchers(running: &Running) -> Option<Vec<Matcher>> {
    let RuleKind::Alerting(_) = running.rule().kind() else { return None };
    let of_rule = [(METRIC_NAME, ALERTS_FOR_STATE), (ALERT_NAME, running.rule().name())];
    let labels = running.rule().text().labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let fixed = labels.filter(|(_, value)| !value.contains("{{"));
    let matchers =
        of_rule.into_iter().chain(fixed).map(|(name, value)| Matcher::new(MatchOp::Equal, name, value));
    matchers.collect::<Result<_, _>>().ok()
}
