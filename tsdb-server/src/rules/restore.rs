//! What is known of a group from before a restart, from the series that its rules left.
//!
//! Alerts are taken up as they were at the last evaluation. What was missed since then is evaluated anew, as far as the
//! data of that time has come; time of which there is no data does not count for `for`.

use super::alert::{ALERT_NAME, ALERTS_FOR_STATE, Alert, AlertState};
use super::group::Group;
use super::rule::RuleKind;
use super::running::Running;
use tsdb_core::labels::LabelsBuilder;
use tsdb_core::read::{Querier, Queryable, ReadError, SampleColumns, SelectHints, SeriesSet};
use tsdb_core::{METRIC_NAME, MatchOp, Matcher, TimeRange, Timestamp, is_stale_nan};

/// How long ago an alert may have been active to be taken up again, ms.
const OUTAGE_TOLERANCE_MS: i64 = 3_600_000;
/// Series of a recording rule that are looked at for its last evaluation.
const MOST_SERIES: usize = 8;

/// Why not all is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store says that something is missing, as while it still reads its log.
    #[error("{0}")]
    Missing(String),
}

/// Takes up the alerts of those rules of `group` whose state is sought that were active when it was evaluated last, at most
/// an hour before `now`. Answers when that was.
///
/// # Errors
/// The store cannot be read, or not all of it: the group has what was found.
pub(crate) fn restore(
    group: &mut Group,
    store: &dyn Queryable,
    now: Timestamp,
    catch_up_ms: i64,
) -> Result<Option<Timestamp>, RestoreError> {
    let reach = OUTAGE_TOLERANCE_MS.max(catch_up_ms);
    let Some(range) = TimeRange::new(now.saturating_sub(reach), now) else { return Ok(None) };
    let querier = store.querier(range)?;
    let (mut lasts, mut latest): (Vec<Option<Timestamp>>, _) = (Vec::new(), None);
    let mut missing = None;
    for running in group.rules_mut() {
        let last = match running.rule().kind() {
            _ if !running.is_sought() => running.last_at(),
            RuleKind::Alerting(_) => alerts(running, querier.as_ref(), range, &mut missing)?,
            RuleKind::Recording => recorded(running, querier.as_ref(), range, &mut missing)?,
        };
        lasts.push(last);
        latest = latest.max(last);
    }
    if let Some(missing) = missing {
        return Err(RestoreError::Missing(missing));
    }
    let Some(latest) = latest else { return Ok(None) };
    for (running, last) in group.rules_mut().iter_mut().zip(lasts) {
        if let Some(last) = last {
            // Others of the group were evaluated since: what is not made up for does not count.
            running.was_evaluated(last);
            running.miss(latest.saturating_sub(last));
        }
        running.was_evaluated(latest);
        if now.saturating_sub(latest) > catch_up_ms {
            // Nothing is made up for: that time does not count.
            running.miss(now.saturating_sub(latest));
        }
    }
    Ok(Some(latest))
}

/// Takes up the alerts of a rule. Answers the time of the last evaluation.
fn alerts(
    running: &mut Running,
    querier: &dyn Querier,
    range: TimeRange,
    missing: &mut Option<String>,
) -> Result<Option<Timestamp>, ReadError> {
    let Some(matchers) = matchers(running) else { return Ok(None) };
    let hold = running.rule().text().hold.as_signed_ms();
    let set = querier.select(&matchers, &SelectHints::over(range))?;
    let mut columns = SampleColumns::default();
    let (mut found, mut latest) = (Vec::new(), None);
    for index in 0..set.len() {
        set.read(index, &mut columns)?;
        let (Some(last), Some(value)) = (columns.timestamps.last(), columns.values.last()) else {
            continue;
        };
        latest = latest.max(Some(*last));
        if is_stale_nan(*value) {
            continue;
        }
        let mut labels = LabelsBuilder::from_labels(&set.labels(index));
        labels.remove(METRIC_NAME);
        let Ok(labels) = labels.build() else { continue };
        // Beyond all times the clock is broken; the nearest time does.
        let active_at = (*value * 1_000.0) as Timestamp;
        let was_firing = last.saturating_sub(active_at) >= hold;
        found.push(Alert {
            labels,
            annotations: Vec::new(),
            state: if was_firing { AlertState::Firing } else { AlertState::Pending },
            value: 0.0,
            active_at,
            fired_at: was_firing.then_some(*last),
            resolved_at: None,
            kept_since: None,
        });
    }
    note(missing, set.as_ref());
    found.into_iter().for_each(|alert| running.alerts_mut().insert(alert));
    Ok(latest)
}

/// When a recording rule was evaluated last.
fn recorded(
    running: &Running,
    querier: &dyn Querier,
    range: TimeRange,
    missing: &mut Option<String>,
) -> Result<Option<Timestamp>, ReadError> {
    let labels = running.rule().text().labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let of_rule = [(METRIC_NAME, running.rule().name())].into_iter().chain(labels);
    let matchers = of_rule.map(|(name, value)| Matcher::new(MatchOp::Equal, name, value));
    let Ok(matchers) = matchers.collect::<Result<Vec<_>, _>>() else { return Ok(None) };
    let set = querier.select(&matchers, &SelectHints::over(range))?;
    let mut columns = SampleColumns::default();
    let mut latest = None;
    for index in 0..set.len().min(MOST_SERIES) {
        set.read(index, &mut columns)?;
        latest = latest.max(columns.timestamps.last().copied());
    }
    note(missing, set.as_ref());
    Ok(latest)
}

/// Keeps the first of the reasons why not all is known.
fn note(missing: &mut Option<String>, set: &dyn SeriesSet) {
    if missing.is_none() {
        *missing = set.warnings().into_iter().next();
    }
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
