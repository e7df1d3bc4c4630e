//! Events of PagerDuty, version 2: an incident for each group, triggered while something fires and resolved when all
//! is over.

use super::{Message, Style, annotations};
use crate::Secret;
use crate::rules::Template;
use serde_json::json;

/// Where PagerDuty takes events.
pub(in crate::notify) const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";

/// Tells by one event for each group.
#[derive(Debug)]
pub(in crate::notify) struct PagerDuty {
    pub(in crate::notify) routing_key: Secret,
    pub(in crate::notify) severity: String,
    pub(in crate::notify) summary: Option<Template>,
}

/// The longest summary that PagerDuty takes, and the longest key, in characters.
const LONGEST_SUMMARY: usize = 1_024;
const LONGEST_KEY: usize = 255;
/// The most alerts whose details an event carries: it must stay under half a megabyte.
const MOST_DETAILS: usize = 50;

impl Style for PagerDuty {
    fn bodies(&self, message: &Message<'_>) -> Vec<Vec<u8>> {
        let firing = message.firing() > 0;
        let mut body = json!({
            "routing_key": self.routing_key.reveal(),
            "event_action": if firing { "trigger" } else { "resolve" },
            "dedup_key": dedup_key(message),
        });
        if firing {
            let summary = self.summary.as_ref().map_or_else(|| message.headline(), |t| message.expand(t));
            let source = if message.external_url.is_empty() { "tsdb" } else { message.external_url };
            body["client"] = json!("tsdb");
            body["client_url"] = json!(message.external_url);
            body["payload"] = json!({
                "summary": summary.chars().take(LONGEST_SUMMARY).collect::<String>(),
                "source": source,
                "severity": self.severity(message),
                "custom_details": {"firing": message.firing(), "alerts": details(message)},
            });
        }
        vec![body.to_string().into_bytes()]
    }
}

impl PagerDuty {
    /// One of the four that PagerDuty knows.
    fn severity(&self, message: &Message<'_>) -> &'static str {
        let labelled = message.common_labels().get("severity").copied().unwrap_or_default().to_lowercase();
        let wanted = if self.severity.is_empty() { labelled } else { self.severity.clone() };
        match wanted.as_str() {
            "critical" | "page" => "critical",
            "warning" => "warning",
            "info" => "info",
            _ => "error",
        }
    }
}

fn details(message: &Message<'_>) -> Vec<serde_json::Value> {
    let (members, _) = message.listed();
    let firing = members.into_iter().filter(|member| member.firing).take(MOST_DETAILS);
    let detail = |member| {
        let labels: std::collections::BTreeMap<_, _> = labels_of(member);
        json!({"labels": labels, "annotations": annotations(member)})
    };
    firing.map(detail).collect()
}

fn labels_of(member: &super::Member) -> std::collections::BTreeMap<&str, &str> {
    member.entry.notice.labels.iter().collect()
}

/// The same for all events of a group; a long one is told apart by a hash.
fn dedup_key(message: &Message<'_>) -> String {
    let key = format!("{}/{}", message.receiver, message.group_key());
    if key.chars().count() <= LONGEST_KEY {
        return key;
    }
    let hash =
        tsdb_core::Labels::from_pairs([("key", key.as_str())]).map_or(0, |labels| labels.stable_hash());
    let beginning: String = key.chars().take(LONGEST_KEY.saturating_sub(17)).collect();
    format!("{beginning}~{hash:016x}")
}
