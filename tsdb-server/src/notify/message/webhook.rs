//! Version 4 of the messages that Alertmanager posts to webhooks.

use super::{Member, Message, Style, annotations, ended, time};
use serde::Serialize;
use std::collections::BTreeMap;

/// Tells by one JSON object for each group.
#[derive(Debug)]
pub(in crate::notify) struct Webhook;

/// What stands for the end of an alert that fires.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    receiver: &'a str,
    status: &'static str,
    alerts: Vec<AlertBody<'a>>,
    group_labels: BTreeMap<&'a str, &'a str>,
    common_labels: BTreeMap<&'a str, &'a str>,
    common_annotations: BTreeMap<&'a str, &'a str>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    version: &'static str,
    group_key: String,
    truncated_alerts: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertBody<'a> {
    status: &'static str,
    labels: BTreeMap<&'a str, &'a str>,
    annotations: BTreeMap<&'a str, &'a str>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

impl Style for Webhook {
    fn bodies(&self, message: &Message<'_>) -> Vec<Vec<u8>> {
        let (members, truncated_alerts) = message.listed();
        let body = Body {
            receiver: message.receiver,
            status: message.status(),
            alerts: members.into_iter().map(alert).collect(),
            group_labels: message.group_labels(),
            common_labels: message.common_labels(),
            common_annotations: message.common_annotations(),
            external_url: message.external_url,
            version: "4",
            group_key: message.group_key(),
            truncated_alerts,
        };
        serde_json::to_vec(&body).into_iter().collect()
    }
}

fn alert(member: &Member) -> AlertBody<'_> {
    let notice = &member.entry.notice;
    AlertBody {
        status: if member.firing { "firing" } else { "resolved" },
        labels: notice.labels.iter().collect(),
        annotations: annotations(member),
        starts_at: time(notice.starts_at),
        ends_at: ended(member).map_or_else(|| NO_TIME.to_owned(), time),
        generator_url: &notice.generator_url,
        fingerprint: format!("{:016x}", notice.fingerprint()),
    }
}
