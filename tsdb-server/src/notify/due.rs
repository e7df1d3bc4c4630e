//! Which alerts are sent after an evaluation, and what of them: a pure decision, as Prometheus makes it.
//!
//! A pending alert is not sent. One that fires is sent at once and again after the resend delay, each time to be
//! believed for four delays (or four intervals of its group, if those are longer), so that receivers forget it when
//! this server is gone for long. One that is over is sent at once and again until the rule forgets it.
//!
//! An alert whose rule is deleted or paused is over, other than with Prometheus, where receivers believe in it until its
//! time is out. If the rule goes while the server is down it is so here too.
//!
//! Other than with Prometheus, a rule whose query fails goes on telling of its alerts: they are as they were, and
//! silence would end them.

use super::notice::Notice;
use crate::rules::{Alert, AlertState, Departed, Group, RuleKind};
use std::collections::BTreeMap;
use tsdb_core::labels::LabelsBuilder;
use tsdb_core::{Labels, TenantId, Timestamp};

/// What is the same for all alerts of a server.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// An alert that goes on is sent again after so long, ms.
    pub(crate) resend_ms: i64,
    /// Labels that tell this server from others; those of the alert go first.
    pub(crate) external_labels: Labels,
    /// Where people reach this server, without a slash at the end.
    pub(crate) external_url: String,
}

impl Origin {
    /// Where `expr` can be looked at.
    fn url(&self, expr: &str) -> String {
        format!("{}{}", self.external_url, table_link(expr))
    }
}

/// When which alert was sent last. After a restart nothing is known, and all alerts that fire are sent once more.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// By tenant, file and name of the group, then by place of the rule and labels of the alert.
    groups: BTreeMap<(TenantId, String, String), Sent>,
}

type Sent = BTreeMap<(usize, Labels), Told>;

/// What was told of an alert last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    at: Timestamp,
    /// That it is over?
    over: bool,
}

impl Told {
    const fn of(alert: &Alert, at: Timestamp) -> Self {
        Self { at, over: alert.resolved_at.is_some() }
    }
}

impl Memory {
    /// The notices that are due after `group` of `tenant` was evaluated for the time `at`; they count as sent.
    pub(crate) fn due(
        &mut self,
        tenant: &TenantId,
        group: &Group,
        at: Timestamp,
        interval_ms: i64,
        origin: &Origin,
    ) -> Vec<Notice> {
        let settings = group.settings();
        let key = (tenant.clone(), settings.file.clone(), settings.name.clone());
        let before = self.groups.remove(&key).unwrap_or_default();
        let (mut now, mut due) = (Sent::new(), Vec::new());
        for (place, running) in group.rules().iter().enumerate() {
            let RuleKind::Alerting(_) = running.rule().kind() else { continue };
            let mut generator_url = None;
            for alert in running.alerts().iter() {
                let id = (place, alert.labels.clone());
                let last = before.get(&id).copied();
                if !is_due(alert, last, at, origin.resend_ms) {
                    now.extend(last.map(|last| (id, last)));
                    continue;
                }
                now.insert(id, Told::of(alert, at));
                let url = generator_url.get_or_insert_with(|| origin.url(&running.rule().expr().to_string()));
                due.extend(notice(alert, at, interval_ms, origin, url));
            }
        }
        if !now.is_empty() {
            self.groups.insert(key, now);
        }
        due
    }

    /// The notices that are due when `rule` of `tenant` is no more, since `at`. If it comes back its alerts are news.
    pub(crate) fn departed(
        &mut self,
        tenant: &TenantId,
        rule: &Departed,
        at: Timestamp,
        origin: &Origin,
    ) -> Vec<Notice> {
        let over = |labels: &Labels| rule.alerts.iter().any(|alert| alert.labels == *labels);
        let of_tenant = self.groups.iter_mut().filter(|((of, _, _), _)| of == tenant);
        of_tenant.for_each(|(_, sent)| sent.retain(|(_, labels), _| !over(labels)));
        let url = origin.url(&rule.expr);
        rule.alerts.iter().filter_map(|alert| notice(alert, at, 0, origin, &url)).collect()
    }
}

/// Evaluations are for times that may lie behind the time at which the last one was told, so what changed decides, not
/// when.
fn is_due(alert: &Alert, last: Option<Told>, at: Timestamp, resend_ms: i64) -> bool {
    let Some(last) = last else { return alert.state != AlertState::Pending };
    match alert.state {
        AlertState::Pending => false,
        _ if Told::of(alert, at).over != last.over => true,
        // A clock that went back must not keep receivers waiting until it is where it was.
        _ => last.at.saturating_add(resend_ms) < at || at < last.at,
    }
}

/// `None` if the labels of alert and server together are none.
fn notice(alert: &Alert, at: Timestamp, interval_ms: i64, origin: &Origin, url: &str) -> Option<Notice> {
    let mut labels = LabelsBuilder::from_labels(&origin.external_labels);
    for (name, value) in alert.labels.iter() {
        labels.set(name, value);
    }
    let believed_ms = origin.resend_ms.max(interval_ms).saturating_mul(4);
    Some(Notice {
        labels: labels.build().ok()?,
        annotations: alert.annotations.clone(),
        generator_url: url.to_owned(),
        starts_at: alert.fired_at.unwrap_or(alert.active_at),
        ends_at: alert.resolved_at.unwrap_or(at.saturating_add(believed_ms)),
        resolved: alert.resolved_at.is_some(),
        told_at: at,
    })
}

/// The page with the table of what `expr` gives, below the address of the server.
fn table_link(expr: &str) -> String {
    let mut link = "/graph?g0.expr=".to_owned();
    for byte in expr.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                link.push(char::from(byte))
            }
            b' ' => link.push('+'),
            other => link.push_str(&format!("%{other:02X}")),
        }
    }
    link + "&g0.tab=1"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(state: AlertState, resolved_at: Option<Timestamp>) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", "Down"), ("region", "eu")]).unwrap(),
            annotations: Vec::new(),
            state,
            value: 1.0,
            active_at: 1_000,
            fired_at: Some(2_000),
            resolved_at,
            kept_since: None,
        }
    }

    fn told(at: Timestamp, over: bool) -> Option<Told> {
        Some(Told { at, over })
    }

    fn origin() -> Origin {
        Origin {
            resend_ms: 60_000,
            external_labels: Labels::from_pairs([("region", "us"), ("cluster", "a")]).unwrap(),
            external_url: "http://metrics".to_owned(),
        }
    }

    #[test]
    fn a_firing_alert_is_sent_at_once_and_after_the_resend_delay() {
        let firing = alert(AlertState::Firing, None);
        assert!(is_due(&firing, None, 5_000, 60_000));
        assert!(!is_due(&firing, told(5_000, false), 65_000, 60_000));
        assert!(is_due(&firing, told(5_000, false), 65_001, 60_000));
        assert!(is_due(&firing, told(5_000, false), 4_000, 60_000), "the clock went back");
        assert!(is_due(&firing, told(5_000, true), 5_200, 60_000), "it was over, and fires again");
    }

    #[test]
    fn a_pending_alert_is_never_sent() {
        assert!(!is_due(&alert(AlertState::Pending, None), None, 5_000, 60_000));
        assert!(!is_due(&alert(AlertState::Pending, None), told(0, false), 5_000_000, 60_000));
    }

    #[test]
    fn the_end_of_an_alert_is_sent_at_once_and_again() {
        let over = alert(AlertState::Inactive, Some(6_000));
        assert!(is_due(&over, told(5_000, false), 6_000, 60_000));
        assert!(is_due(&over, told(6_100, false), 6_200, 60_000), "it ended before it was last told to fire");
        assert!(!is_due(&over, told(6_000, true), 21_000, 60_000));
        assert!(is_due(&over, told(6_000, true), 66_001, 60_000));
    }

    #[test]
    fn a_firing_alert_is_believed_for_four_delays_or_four_intervals() {
        let firing = alert(AlertState::Firing, None);
        let notice_of = |interval| notice(&firing, 10_000, interval, &origin(), "u").unwrap();
        assert_eq!(notice_of(15_000).ends_at, 10_000 + 4 * 60_000);
        assert_eq!(notice_of(120_000).ends_at, 10_000 + 4 * 120_000);
        assert_eq!((notice_of(1).starts_at, notice_of(1).resolved), (2_000, false));
        let over = notice(&alert(AlertState::Inactive, Some(9_000)), 10_000, 1, &origin(), "u").unwrap();
        assert_eq!((over.ends_at, over.resolved), (9_000, true));
    }

    #[test]
    fn labels_of_the_server_are_added_where_the_alert_has_none_of_that_name() {
        let told = notice(&alert(AlertState::Firing, None), 0, 1, &origin(), "u").unwrap();
        let expected = [("alertname", "Down"), ("cluster", "a"), ("region", "eu")];
        assert_eq!(told.labels, Labels::from_pairs(expected).unwrap());
    }

    #[test]
    fn the_link_escapes_the_expression_as_prometheus_does() {
        assert_eq!(table_link("up == 0"), "/graph?g0.expr=up+%3D%3D+0&g0.tab=1");
    }
}
