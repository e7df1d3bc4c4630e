//! The handle of delivery: takes what the ruler hands over, and owns the thread that sends.

use super::due::{Memory, Origin};
use super::sender::{self, Post};
use super::{AlertingError, Notice, ReceiverStatus, assemble};
use crate::Config;
use crate::rules::{AlertSink, Departed, Group};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::sync::watch;
use tsdb_core::time::Clock;
use tsdb_core::{TenantId, Timestamp};

/// Delivers the alerts of a server.
pub(crate) struct Notifier {
    origin: Origin,
    memory: Mutex<Memory>,
    posts: Vec<Arc<Post>>,
    clock: Arc<dyn Clock>,
    running: Mutex<Option<Running>>,
}

struct Running {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Notifier {
    /// Delivery as the settings say, with the queues from before; `None` if they name no receiver.
    ///
    /// # Errors
    /// Settings that cannot be used, or a queue that cannot be opened.
    pub(crate) fn open(config: &Config, clock: &Arc<dyn Clock>) -> Result<Option<Self>, AlertingError> {
        let origin = assemble::origin(config)?;
        let posts = assemble::posts(config, &origin, clock.now())?;
        if posts.is_empty() {
            return Ok(None);
        }
        let (memory, running, clock) = (Mutex::default(), Mutex::default(), Arc::clone(clock));
        Ok(Some(Self { origin, memory, posts, clock, running }))
    }

    /// Starts the thread that sends.
    ///
    /// # Errors
    /// The operating system has no more threads.
    pub(crate) fn start(&self) -> std::io::Result<()> {
        let mut running = self.running.lock();
        if running.is_some() {
            return Ok(());
        }
        let (stop, stopped) = watch::channel(false);
        let (posts, clock) = (self.posts.clone(), Arc::clone(&self.clock));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = move || sender::run(&runtime, posts, clock, stopped);
        let thread = thread::Builder::new().name("alerts".to_owned()).spawn(work)?;
        *running = Some(Running { stop, thread });
        Ok(())
    }

    /// Ends it after the requests under way, or without them if they take long. What is queued is kept.
    pub(crate) fn stop(&self) {
        let Some(Running { stop, thread }) = self.running.lock().take() else { return };
        stop.send_replace(true);
        if thread.join().is_err() {
            log::error!("the thread that sends alerts failed inside");
        }
    }

    fn put(&self, notices: &[Notice], now: Timestamp) {
        if !notices.is_empty() {
            self.posts.iter().for_each(|post| post.mailbox.put(notices, now));
        }
    }

    /// Every receiver as it is now.
    pub(crate) fn receivers(&self) -> Vec<ReceiverStatus> {
        self.posts.iter().map(|post| post.status()).collect()
    }
}

impl AlertSink for Notifier {
    /// Puts what is due of `group` into the queues.
    fn evaluated(&self, tenant: &TenantId, group: &Group, at: Timestamp, interval_ms: i64) {
        let mut due = self.memory.lock().due(tenant, group, at, interval_ms, &self.origin);
        let now = self.clock.now();
        // An evaluation of the past that says that an alert fired then says nothing of now.
        due.retain(|notice| notice.resolved || notice.ends_at > now);
        self.put(&due, now);
    }

    fn departed(&self, tenant: &TenantId, rules: &[Departed], at: Timestamp) {
        let mut memory = self.memory.lock();
        let due = |rule: &Departed| memory.departed(tenant, rule, at, &self.origin);
        let notices: Vec<_> = rules.iter().filter(|rule| !rule.alerts.is_empty()).flat_map(due).collect();
        drop(memory);
        self.put(&notices, self.clock.now());
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").field("receivers", &self.receivers()).finish_non_exhaustive()
    }
}
