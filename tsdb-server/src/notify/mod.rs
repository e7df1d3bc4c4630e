//! Delivery of alerts: to Alertmanagers, or by messages of our own to webhooks, Slack and PagerDuty.
//!
//! After each evaluation the ruler hands over a group; what of its alerts is due goes into a queue for each receiver,
//! and a thread of its own sends from there. Evaluation waits for no receiver, and receivers wait for none of each
//! other.
//!
//! ```text
//! due        alerts of a group + time   -> notices, as Prometheus decides
//! queue      newest state of each alert, bounded            journal  the same on disk
//! mailbox    queue + journal of one receiver, shared by ruler and sender
//! group      what is known + time       -> messages that are due (receivers without Alertmanager)
//! message    the words of webhooks, Slack and PagerDuty
//! guard      which addresses may be spoken to              client   one request and what its answer means
//! sender     the thread, and a task for each receiver
//! ```
//!
//! What is promised: an alert that was due is sent until the receiver takes or refuses it, over restarts of either side
//! and kills of this one, at least once, each alert's states in order, a state that a newer one followed perhaps not at
//! all. What is refused (4xx) is not sent again, and counted. What does not fit is counted and dropped, the oldest
//! alerts that are over first.
//!
//! Left out: service discovery of Alertmanagers, relabelling of alerts, proxies, routes and silences.

#[cfg(feature = "alert-delivery")]
mod alertmanager;
#[cfg(feature = "alert-delivery")]
mod assemble;
#[cfg(feature = "alert-delivery")]
mod backoff;
#[cfg(feature = "alert-delivery")]
mod client;
#[cfg(feature = "alert-delivery")]
mod due;
mod error;
#[cfg(feature = "alert-delivery")]
mod group;
#[cfg(feature = "alert-delivery")]
mod guard;
#[cfg(feature = "alert-delivery")]
mod journal;
#[cfg(feature = "alert-delivery")]
mod mailbox;
#[cfg(feature = "alert-delivery")]
mod message;
#[cfg(feature = "alert-delivery")]
mod notice;
#[cfg(feature = "alert-delivery")]
mod notifier;
#[cfg(feature = "alert-delivery")]
mod prometheus_file;
#[cfg(feature = "alert-delivery")]
mod queue;
#[cfg(feature = "alert-delivery")]
mod sender;
mod tally;
#[cfg(not(feature = "alert-delivery"))]
mod without;

pub use error::AlertingError;
#[cfg(feature = "alert-delivery")]
use notice::Notice;
#[cfg(feature = "alert-delivery")]
pub(crate) use notifier::Notifier;
pub(crate) use tally::Counted;
#[cfg(not(feature = "alert-delivery"))]
pub(crate) use without::Notifier;

/// A receiver as it is now.
#[derive(Debug, Clone)]
pub(crate) struct ReceiverStatus {
    /// What it is called in metrics.
    pub(crate) name: String,
    /// `alertmanager`, `webhook`, `slack` or `pagerduty`.
    pub(crate) kind: &'static str,
    /// Its address, without what may be secret in it.
    pub(crate) url: String,
    /// Alerts in its queue. Those of a receiver without Alertmanager stay there while they fire.
    pub(crate) queued: usize,
    /// Their memory, in bytes.
    pub(crate) queued_bytes: usize,
    pub(crate) counted: Counted,
}
