//! Receivers from settings.

use super::client::Receiver;
use super::due::Origin;
use super::group::Grouping;
use super::guard::Guard;
use super::mailbox::Mailbox;
use super::message::{PAGERDUTY_URL, PagerDuty, Slack, Style, Webhook, template};
use super::queue::Bounds;
use super::sender::{Post, Way};
use super::{AlertingError, alertmanager, prometheus_file};
use crate::Config;
use crate::config::{AlertingConfig, AlertmanagerConfig, GroupingConfig, ReceiverHttpConfig};
use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb_core::{Labels, Timestamp};

/// The folder of the queues in the data directory; no tenant can be called so.
const FOLDER: &str = "alerts.queue";

/// What is the same for all alerts.
pub(super) fn origin(config: &Config) -> Result<Origin, AlertingError> {
    let labels = config.rules.external_labels.iter();
    let url = config.rules.external_url.trim_end_matches('/');
    Ok(Origin {
        resend_ms: config.alerting.resend_delay.as_signed_ms(),
        external_labels: Labels::from_pairs(labels.map(|(name, value)| (name.as_str(), value.as_str())))?,
        external_url: if url.is_empty() { format!("http://{}", config.listen) } else { url.to_owned() },
    })
}

/// Every receiver with its queue, opened.
pub(super) fn posts(
    config: &Config,
    origin: &Origin,
    now: Timestamp,
) -> Result<Vec<Arc<Post>>, AlertingError> {
    let alerting = &config.alerting;
    let mut assembly = Assembly {
        config: alerting,
        folder: config.data_dir.join(FOLDER),
        guard: Arc::new(Guard::new(alerting.allowed_networks.clone())),
        names: BTreeSet::new(),
        posts: Vec::new(),
        external_url: &origin.external_url,
        now,
    };
    assembly.add_alertmanagers(&alerting.alertmanagers)?;
    if !alerting.prometheus_file.as_os_str().is_empty() {
        assembly.add_alertmanagers(&prometheus_file::read(&alerting.prometheus_file)?)?;
    }
    for webhook in &alerting.webhooks {
        let style = Box::new(Webhook);
        assembly.add(
            "webhook",
            &webhook.name,
            webhook.url.reveal(),
            &webhook.http,
            &webhook.grouping,
            style,
        )?;
    }
    for slack in &alerting.slack {
        let parsed = |field, text| template(field, text).map_err(|error| at(&slack.name, error));
        let style = Box::new(Slack {
            channel: slack.channel.clone(),
            title: parsed("title", &slack.title)?,
            text: parsed("text", &slack.text)?,
        });
        assembly.add("slack", &slack.name, slack.url.reveal(), &slack.http, &slack.grouping, style)?;
    }
    for pager in &alerting.pagerduty {
        let style = Box::new(PagerDuty {
            routing_key: pager.routing_key.clone(),
            severity: pager.severity.clone(),
            summary: template("summary", &pager.summary).map_err(|error| at(&pager.name, error))?,
        });
        let url = if pager.url.is_empty() { PAGERDUTY_URL } else { &pager.url };
        assembly.add("pagerduty", &pager.name, url, &pager.http, &pager.grouping, style)?;
    }
    Ok(assembly.posts)
}

struct Assembly<'a> {
    config: &'a AlertingConfig,
    folder: PathBuf,
    guard: Arc<Guard>,
    names: BTreeSet<String>,
    posts: Vec<Arc<Post>>,
    external_url: &'a str,
    now: Timestamp,
}

impl Assembly<'_> {
    /// Each Alertmanager of each cluster has a queue of its own, known by its address.
    fn add_alertmanagers(&mut self, clusters: &[AlertmanagerConfig]) -> Result<(), AlertingError> {
        for cluster in clusters {
            self.claim(&cluster.name)?;
            for url in &cluster.urls {
                let receiver = self.receiver(&cluster.name, &alertmanager::alerts_url(url), &cluster.http)?;
                let name = format!("{}/{}", cluster.name, receiver.url().authority());
                let hash = Labels::from_pairs([("url", receiver.url().as_str())]);
                let hash = hash.map_or(0, |labels| labels.stable_hash());
                let mailbox = self.mailbox(&name, &format!("{}.{hash:016x}", cluster.name))?;
                self.post(Post { name, kind: "alertmanager", receiver, mailbox, way: Way::Alertmanager });
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        kind: &'static str,
        name: &str,
        url: &str,
        http: &ReceiverHttpConfig,
        grouping: &GroupingConfig,
        style: Box<dyn Style>,
    ) -> Result<(), AlertingError> {
        self.claim(name)?;
        let receiver = self.receiver(name, url, http)?;
        let grouping = Grouping {
            config: grouping.clone(),
            inhibit: self.config.inhibit.clone(),
            listening_since: self.now,
        };
        let way = Way::Messages { grouping, style, external_url: self.external_url.to_owned() };
        let mailbox = self.mailbox(name, name)?;
        self.post(Post { name: name.to_owned(), kind, receiver, mailbox, way });
        Ok(())
    }

    fn post(&mut self, post: Post) {
        self.posts.push(Arc::new(post));
    }

    fn claim(&mut self, name: &str) -> Result<(), AlertingError> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let is_good = (1..=64).contains(&name.len()) && name.chars().all(is_name);
        if is_good && self.names.insert(name.to_owned()) {
            return Ok(());
        }
        Err(AlertingError::Name { name: name.chars().take(100).collect() })
    }

    fn receiver(&self, name: &str, url: &str, http: &ReceiverHttpConfig) -> Result<Receiver, AlertingError> {
        Receiver::new(url, http, &self.guard).map_err(|error| at(name, error))
    }

    fn mailbox(&self, name: &str, folder: &str) -> Result<Mailbox, AlertingError> {
        let bounds = Bounds { alerts: self.config.queue_alerts.max(1), bytes: self.config.queue_bytes };
        let folder: &Path = &self.folder.join(folder);
        Mailbox::open(folder, bounds).map_err(|source| AlertingError::Queue { name: name.to_owned(), source })
    }
}

fn at(name: &str, error: impl Error + Send + Sync + 'static) -> AlertingError {
    AlertingError::Receiver { name: name.to_owned(), source: Box::new(error) }
}
