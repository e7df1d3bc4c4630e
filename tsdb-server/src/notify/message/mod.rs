//! What a message says: the alerts of one group in the words of each kind of receiver.
//!
//! Texts can be templates in the language of rules, evaluated under its budget. They are given `.Status`, `.Receiver`,
//! `.GroupLabels`, `.CommonLabels`, `.CommonAnnotations`, `.ExternalURL`, `.Firing` and `.Resolved` (how many), and
//! `.Alerts`, each with `.Status`, `.Labels`, `.Annotations`, `.StartsAt`, `.EndsAt` and `.GeneratorURL`. They cannot
//! query.

mod pagerduty;
mod slack;
mod webhook;

pub(super) use pagerduty::{PAGERDUTY_URL, PagerDuty};
pub(super) use slack::Slack;
pub(super) use webhook::Webhook;

use super::group::{Batch, Member};
use crate::rfc3339;
use crate::rules::{Template, TemplateError, TemplateSample, TemplateScope, TemplateValue as Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use tsdb_core::{Labels, Timestamp};

/// The most alerts that one message lists.
const MOST_ALERTS: usize = 500;

/// A batch with what its alerts have in common.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) receiver: &'a str,
    pub(super) external_url: &'a str,
    pub(super) batch: &'a Batch,
    pub(super) now: Timestamp,
}

/// How a kind of receiver is told.
pub(super) trait Style: Send + Sync {
    /// The bodies of the requests that tell of `message`.
    fn bodies(&self, message: &Message<'_>) -> Vec<Vec<u8>>;
}

impl Message<'_> {
    /// `firing` if one of the alerts fires.
    pub(super) fn status(&self) -> &'static str {
        if self.firing() > 0 { "firing" } else { "resolved" }
    }

    pub(super) fn firing(&self) -> usize {
        self.batch.members.iter().filter(|member| member.firing).count()
    }

    /// The alerts that are listed, those that fire first, and how many are not.
    pub(super) fn listed(&self) -> (Vec<&Member>, usize) {
        let mut members: Vec<_> = self.batch.members.iter().collect();
        members.sort_by_key(|member| !member.firing);
        let left_out = members.len().saturating_sub(MOST_ALERTS);
        members.truncate(MOST_ALERTS);
        (members, left_out)
    }

    pub(super) fn group_labels(&self) -> BTreeMap<&str, &str> {
        self.batch.key.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// What all alerts have in their labels.
    pub(super) fn common_labels(&self) -> BTreeMap<&str, &str> {
        common(self.batch.members.iter().map(|member| member.entry.notice.labels.iter().collect()))
    }

    /// What all alerts have in their annotations.
    pub(super) fn common_annotations(&self) -> BTreeMap<&str, &str> {
        common(self.batch.members.iter().map(annotations))
    }

    /// What the group is known by, in the form of Alertmanager.
    pub(super) fn group_key(&self) -> String {
        let pairs: Vec<_> = self.batch.key.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        format!("{{}}:{{{}}}", pairs.join(", "))
    }

    /// A line that says how many alerts fire and what they have in common.
    pub(super) fn headline(&self) -> String {
        let count = match self.firing() {
            0 => "RESOLVED".to_owned(),
            firing => format!("FIRING:{firing}"),
        };
        let values: Vec<_> = self.batch.key.iter().map(|(_, value)| value.as_str()).collect();
        let common = self.common_labels();
        let others =
            common.iter().filter(|(name, _)| !self.batch.key.iter().any(|(known, _)| known == *name));
        let others: Vec<_> = others.map(|(_, value)| *value).collect();
        let others = if others.is_empty() { String::new() } else { format!(" ({})", others.join(" ")) };
        format!("[{count}] {}{others}", values.join(" "))
    }

    /// A line for each alert.
    pub(super) fn lines(&self) -> String {
        let (members, left_out) = self.listed();
        let mut lines: Vec<String> = members.iter().map(|member| line(member)).collect();
        if left_out > 0 {
            lines.push(format!("and {left_out} more"));
        }
        lines.join("\n")
    }

    /// What `template` makes of the message; a template that fails says so in its place.
    pub(super) fn expand(&self, template: &Template) -> String {
        template.expand(&self.data(), &MessageScope { message: self }).unwrap_or_else(|error| {
            log::warn!("receiver {}: {error}", self.receiver);
            format!("<error expanding template: {error}>")
        })
    }

    fn data(&self) -> Value {
        let (members, _) = self.listed();
        let alerts = members.iter().enumerate().map(|(at, member)| (format!("{at:06}"), alert_data(member)));
        let firing = self.firing();
        let resolved = self.batch.members.len().saturating_sub(firing);
        let count = |number: usize| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        map([
            ("Status", Value::text(self.status())),
            ("Receiver", Value::text(self.receiver)),
            ("ExternalURL", Value::text(self.external_url)),
            ("GroupLabels", labels(self.group_labels())),
            ("CommonLabels", labels(self.common_labels())),
            ("CommonAnnotations", labels(self.common_annotations())),
            ("Firing", count(firing)),
            ("Resolved", count(resolved)),
            ("Alerts", Value::Map(Arc::new(alerts.collect()))),
        ])
    }
}

/// Parses the template of a setting; `None` if it is empty.
pub(super) fn template(name: &str, text: &str) -> Result<Option<Template>, TemplateError> {
    if text.is_empty() { Ok(None) } else { Template::parse(name, text).map(Some) }
}

/// When an alert ended, as far as is known; `None` while it fires.
pub(super) fn ended(member: &Member) -> Option<Timestamp> {
    (!member.firing).then_some(member.entry.notice.ends_at)
}

pub(super) fn annotations(member: &Member) -> BTreeMap<&str, &str> {
    let annotations = member.entry.notice.annotations.iter();
    annotations.map(|(name, text)| (name.as_str(), text.as_str())).collect()
}

fn line(member: &Member) -> String {
    let annotations = annotations(member);
    let said = ["summary", "description", "message"].iter().find_map(|name| annotations.get(name));
    let labels = member.entry.notice.labels.iter();
    let labels: Vec<_> = labels.map(|(name, value)| format!("{name}={value}")).collect();
    let state = if member.firing { "firing" } else { "resolved" };
    match said {
        Some(said) => format!("{state}: {said} ({})", labels.join(", ")),
        None => format!("{state}: {}", labels.join(", ")),
    }
}

fn alert_data(member: &Member) -> Value {
    let notice = &member.entry.notice;
    let time = |at: Timestamp| Value::Time(at.saturating_mul(1_000_000));
    map([
        ("Status", Value::text(if member.firing { "firing" } else { "resolved" })),
        ("Labels", Value::Labels(notice.labels.clone())),
        ("Annotations", labels(annotations(member))),
        ("StartsAt", time(notice.starts_at)),
        ("EndsAt", ended(member).map_or(Value::Nil, time)),
        ("GeneratorURL", Value::text(notice.generator_url.as_str())),
    ])
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(Arc::new(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
}

/// Texts by name, of which one that is not there is the empty string.
fn labels(pairs: BTreeMap<&str, &str>) -> Value {
    Value::Labels(Labels::from_pairs(pairs).unwrap_or_else(|_| Labels::empty()))
}

fn common<'a>(mut all: impl Iterator<Item = BTreeMap<&'a str, &'a str>>) -> BTreeMap<&'a str, &'a str> {
    let mut common = all.next().unwrap_or_default();
    for other in all {
        common.retain(|name, value| other.get(name) == Some(value));
    }
    common
}

struct MessageScope<'a> {
    message: &'a Message<'a>,
}

impl TemplateScope for MessageScope<'_> {
    fn query(&self, _query: &str) -> Result<Vec<TemplateSample>, String> {
        Err("a message cannot query".to_owned())
    }

    fn now(&self) -> Timestamp {
        self.message.now
    }

    fn external_url(&self) -> &str {
        self.message.external_url
    }
}

/// A time as receivers read it.
pub(super) fn time(at: Timestamp) -> String {
    rfc3339::format(at)
}
