//! Who is told of alerts: `[alerting]`.

use crate::{Network, Period, Secret};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Who is told of alerts, and how.
///
/// ```toml
/// [alerting]
/// allowed_networks = ["10.0.0.0/8"]
///
/// [[alerting.alertmanagers]]
/// name = "main"
/// urls = ["https://alertmanager-0.example:9093", "https://alertmanager-1.example:9093"]
/// http.bearer_token_file = "/etc/metrics/token"
///
/// [[alerting.slack]]
/// name = "on-call"
/// url = "https://hooks.slack.com/services/..."
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertingConfig {
    /// An alert that goes on is sent again after so long; receivers believe it for four times as long.
    pub resend_delay: Period,
    /// Alerts that may wait for a receiver. Beyond that the oldest that are over go first, then the oldest.
    pub queue_alerts: usize,
    /// Memory of the alerts that wait for a receiver, in bytes; on disk they take up to four times as much.
    pub queue_bytes: usize,
    /// Networks of receivers besides the public internet. An address that is private, loopback, link-local or otherwise
    /// not public is refused unless it is in one of these, also if a name leads to it.
    pub allowed_networks: Vec<Network>,
    /// A settings file of Prometheus: the Alertmanagers under its `alerting:` are told too. Only fixed addresses
    /// (`static_configs`) are read.
    pub prometheus_file: PathBuf,
    /// Alertmanagers, which group alerts, inhibit, silence and send messages to people.
    pub alertmanagers: Vec<AlertmanagerConfig>,
    /// Receivers of messages in the form of Alertmanager's webhooks, for those without an Alertmanager.
    pub webhooks: Vec<WebhookConfig>,
    /// Channels of Slack, likewise.
    pub slack: Vec<SlackConfig>,
    /// Services of PagerDuty, likewise.
    pub pagerduty: Vec<PagerDutyConfig>,
    /// Alerts that keep others from webhooks, Slack and PagerDuty.
    pub inhibit: Vec<InhibitConfig>,
}

/// A cluster of Alertmanagers, each of which is told everything, as they expect it. Spoken to by version 2 of their
/// API.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertmanagerConfig {
    /// What the receiver is called in metrics and files: letters, digits, `_` and `-`.
    pub name: String,
    /// Address of each, with the path before `/api/v2/alerts` if there is one.
    pub urls: Vec<String>,
    /// How they are spoken to.
    #[serde(default)]
    pub http: ReceiverHttpConfig,
}

/// How a receiver is spoken to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReceiverHttpConfig {
    /// How long a request may take; 10 seconds if it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// Name of a user, with `password` or `password_file`.
    pub username: String,
    /// Password of the user.
    pub password: Secret,
    /// A file with the password, read anew for each request.
    pub password_file: PathBuf,
    /// A token that is sent as `Authorization: Bearer`.
    pub bearer_token: Secret,
    /// A file with the token, read anew for each request.
    pub bearer_token_file: PathBuf,
    /// A file with certificates in PEM that are trusted instead of those of the system.
    pub ca_file: PathBuf,
    /// A file with the certificate in PEM that this server shows.
    pub cert_file: PathBuf,
    /// A file with its key in PEM.
    pub key_file: PathBuf,
    /// Trust any certificate: for trials only.
    pub insecure_skip_verify: bool,
}

/// A receiver of messages in version 4 of Alertmanager's webhooks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// What the receiver is called in metrics, files and messages: letters, digits, `_` and `-`.
    pub name: String,
    /// Where messages go.
    pub url: Secret,
    /// When which alerts are told together.
    #[serde(default)]
    pub grouping: GroupingConfig,
    /// How it is spoken to.
    #[serde(default)]
    pub http: ReceiverHttpConfig,
}

/// A channel of Slack, or of a service with the same incoming webhooks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlackConfig {
    /// What the receiver is called in metrics and files: letters, digits, `_` and `-`.
    pub name: String,
    /// The address of the incoming webhook.
    pub url: Secret,
    /// The channel, if the webhook may choose.
    #[serde(default)]
    pub channel: String,
    /// Template of the first line; empty for one that names the alerts.
    #[serde(default)]
    pub title: String,
    /// Template of the text; empty for one with the summary or description of each alert.
    #[serde(default)]
    pub text: String,
    /// When which alerts are told together.
    #[serde(default)]
    pub grouping: GroupingConfig,
    /// How it is spoken to.
    #[serde(default)]
    pub http: ReceiverHttpConfig,
}

/// A service of PagerDuty, by version 2 of its events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PagerDutyConfig {
    /// What the receiver is called in metrics and files: letters, digits, `_` and `-`.
    pub name: String,
    /// The integration key.
    pub routing_key: Secret,
    /// Where events go; empty for PagerDuty itself.
    #[serde(default)]
    pub url: String,
    /// `critical`, `error`, `warning` or `info`; empty for what the label `severity` says, else `error`.
    #[serde(default)]
    pub severity: String,
    /// Template of the summary; empty for one that names the alerts.
    #[serde(default)]
    pub summary: String,
    /// When which alerts are told together.
    #[serde(default)]
    pub grouping: GroupingConfig,
    /// How it is spoken to.
    #[serde(default)]
    pub http: ReceiverHttpConfig,
}

/// When which alerts are told together, by the rules of Alertmanager.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GroupingConfig {
    /// Alerts with equal values of these labels are told together.
    pub by: Vec<String>,
    /// How long the first message of a group waits for more alerts.
    pub wait: Period,
    /// The shortest time between two messages of a group with something new in them.
    pub interval: Period,
    /// A group of which nothing is new is told again after so long.
    pub repeat: Period,
    /// Is the end of alerts told?
    pub send_resolved: bool,
}

/// While an alert fires that has all labels of `source`, those with all labels of `target` are not told, if both have
/// equal values of the labels `equal`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InhibitConfig {
    /// Labels of the alert that keeps others back.
    pub source: BTreeMap<String, String>,
    /// Labels of those that are kept back.
    pub target: BTreeMap<String, String>,
    /// Labels that both have in common.
    #[serde(default)]
    pub equal: Vec<String>,
}

impl Default for AlertingConfig {
    fn default() -> Self {
        Self {
            resend_delay: Period::from_secs(60),
            queue_alerts: 10_000,
            queue_bytes: 16 << 20,
            allowed_networks: Vec::new(),
            prometheus_file: PathBuf::new(),
            alertmanagers: Vec::new(),
            webhooks: Vec::new(),
            slack: Vec::new(),
            pagerduty: Vec::new(),
            inhibit: Vec::new(),
        }
    }
}

impl Default for GroupingConfig {
    fn default() -> Self {
        Self {
            by: vec!["alertname".to_owned()],
            wait: Period::from_secs(30),
            interval: Period::from_secs(300),
            repeat: Period::from_secs(4 * 3_600),
            send_resolved: true,
        }
    }
}
