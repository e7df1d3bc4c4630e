//! Delivery of alerts in a build without it: settings that name receivers are refused.

use super::{AlertingError, ReceiverStatus};
use crate::Config;
use crate::config::AlertingConfig;
use crate::rules::{AlertSink, Departed, Group};
use std::sync::Arc;
use tsdb_core::time::Clock;
use tsdb_core::{TenantId, Timestamp};

/// There is none.
#[derive(Debug)]
pub(crate) enum Notifier {}

impl Notifier {
    /// # Errors
    /// The settings name receivers.
    pub(crate) fn open(config: &Config, _clock: &Arc<dyn Clock>) -> Result<Option<Self>, AlertingError> {
        let AlertingConfig { alertmanagers, webhooks, slack, pagerduty, prometheus_file, .. } =
            &config.alerting;
        let lists = [alertmanagers.is_empty(), webhooks.is_empty(), slack.is_empty(), pagerduty.is_empty()];
        let is_silent = lists.into_iter().all(|empty| empty) && prometheus_file.as_os_str().is_empty();
        if is_silent { Ok(None) } else { Err(AlertingError::NotBuilt) }
    }

    pub(crate) fn start(&self) -> std::io::Result<()> {
        match *self {}
    }

    pub(crate) fn stop(&self) {
        match *self {}
    }

    pub(crate) fn receivers(&self) -> Vec<ReceiverStatus> {
        match *self {}
    }
}

impl AlertSink for Notifier {
    fn evaluated(&self, _tenant: &TenantId, _group: &Group, _at: Timestamp, _interval_ms: i64) {
        match *self {}
    }

    fn departed(&self, _tenant: &TenantId, _rules: &[Departed], _at: Timestamp) {
        match *self {}
    }
}
