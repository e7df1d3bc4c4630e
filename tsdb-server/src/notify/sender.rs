//! The thread that sends: a task for each receiver, each at its own speed and with its own failures, and one that makes
//! the queues durable.

use super::backoff::{self, Dice};
use super::client::{Receiver, Verdict};
use super::group::{Batch, Grouping};
use super::mailbox::Mailbox;
use super::message::{Message, Style};
use super::queue::{Entry, Told};
use super::{ReceiverStatus, alertmanager};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tsdb_core::Timestamp;
use tsdb_core::time::Clock;

/// How often queues are made durable.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// How long requests under way may go on when the server stops.
const GRACE: Duration = Duration::from_secs(2);
/// The longest sleep of a receiver that waits for a group to be due: clocks may be set.
const LONGEST_SLEEP_MS: i64 = 30_000;

/// A receiver with its queue.
pub(super) struct Post {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) receiver: Receiver,
    pub(super) mailbox: Mailbox,
    pub(super) way: Way,
}

/// How a receiver is told.
pub(super) enum Way {
    /// Alert by alert: grouping is its own affair.
    Alertmanager,
    /// By messages about groups.
    Messages { grouping: Grouping, style: Box<dyn Style>, external_url: String },
}

impl Post {
    pub(super) fn status(&self) -> ReceiverStatus {
        let (queued, queued_bytes) = self.mailbox.look(|queue| (queue.len(), queue.size_bytes()));
        let url = match self.way {
            Way::Alertmanager => self.receiver.url().to_string(),
            // Whoever knows the whole address can write to the channel.
            Way::Messages { .. } => self.receiver.shown(),
        };
        let (name, kind, counted) = (self.name.clone(), self.kind, self.mailbox.tally.now());
        ReceiverStatus { name, kind, url, queued, queued_bytes, counted }
    }

    /// Posts one body about so many alerts, and counts what becomes of it.
    async fn post(&self, body: Vec<u8>, alerts: usize, clock: &dyn Clock) -> Verdict {
        let started = Instant::now();
        let verdict = self.receiver.post(body).await;
        let (tally, now) = (&self.mailbox.tally, clock.now());
        tally.took(started.elapsed());
        match &verdict {
            Verdict::Delivered => tally.sent(alerts, now),
            Verdict::Refused { reason, message } => {
                log::error!("receiver {}: {alerts} alerts were refused: {message}", self.name);
                tally.failed(reason, message.clone(), now);
                tally.dropped("refused", alerts);
            }
            Verdict::Failed { reason, message, .. } => {
                log::warn!("receiver {}: {alerts} alerts wait: {message}", self.name);
                tally.failed(reason, message.clone(), now);
            }
        }
        verdict
    }
}

/// Sends until `stopped` says so.
pub(super) fn run(
    runtime: &Runtime,
    posts: Vec<Arc<Post>>,
    clock: Arc<dyn Clock>,
    mut stopped: watch::Receiver<bool>,
) {
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for post in &posts {
            tasks.spawn(deliver(Arc::clone(post), Arc::clone(&clock), Pauses::new(stopped.clone())));
            tasks.spawn(keep(Arc::clone(post), Pauses::new(stopped.clone())));
        }
        // An error means that whoever could say so is gone.
        drop(stopped.wait_for(|stopped| *stopped).await);
        let ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, ended).await.is_err() {
            log::warn!("requests to receivers of alerts are given up; the alerts stay queued");
        }
    });
    posts.iter().for_each(|post| post.mailbox.keep());
}

/// Waits that end when all is over.
struct Pauses {
    stopped: watch::Receiver<bool>,
    dice: Dice,
    failures: u32,
}

impl Pauses {
    fn new(stopped: watch::Receiver<bool>) -> Self {
        Self { stopped, dice: Dice::default(), failures: 0 }
    }

    /// Waits for `event`; false if all is over.
    async fn until(&mut self, event: impl Future<Output = ()>) -> bool {
        tokio::select! {
            biased;
            _ = self.stopped.wait_for(|stopped| *stopped) => false,
            () = event => true,
        }
    }

    fn is_over(&self) -> bool {
        *self.stopped.borrow()
    }

    fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Waits before the next try.
    async fn after_failure(&mut self, asked: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        let wait = backoff::wait(self.failures, asked, self.dice.throw());
        self.until(tokio::time::sleep(wait)).await;
    }
}

async fn keep(post: Arc<Post>, mut pauses: Pauses) {
    while pauses.until(tokio::time::sleep(SYNC_INTERVAL)).await {
        let post = Arc::clone(&post);
        drop(tokio::task::spawn_blocking(move || post.mailbox.keep()).await);
    }
}

async fn deliver(post: Arc<Post>, clock: Arc<dyn Clock>, mut pauses: Pauses) {
    while !pauses.is_over() {
        match &post.way {
            Way::Alertmanager => tell_alertmanager(&post, clock.as_ref(), &mut pauses).await,
            Way::Messages { grouping, style, external_url } => {
                let round = Round { post: &post, grouping, style: style.as_ref(), external_url };
                round.tell(clock.as_ref(), &mut pauses).await;
            }
        }
    }
}

/// Sends the alerts that have waited longest, or waits for some.
async fn tell_alertmanager(post: &Post, clock: &dyn Clock, pauses: &mut Pauses) {
    let batch: Vec<Entry> =
        post.mailbox.look(|queue| queue.iter().take(alertmanager::BATCH).cloned().collect());
    if batch.is_empty() {
        pauses.until(post.mailbox.rung()).await;
        return;
    }
    match post.post(alertmanager::body(&batch), batch.len(), clock).await {
        Verdict::Delivered | Verdict::Refused { .. } => {
            post.mailbox.remove(&batch);
            pauses.succeeded();
        }
        Verdict::Failed { retry_after, .. } => pauses.after_failure(retry_after).await,
    }
}

/// One look at a receiver that is told by messages.
struct Round<'a> {
    post: &'a Post,
    grouping: &'a Grouping,
    style: &'a dyn Style,
    external_url: &'a str,
}

impl Round<'_> {
    /// Sends the messages that are due, or waits until one may be.
    async fn tell(&self, clock: &dyn Clock, pauses: &mut Pauses) {
        let now = clock.now();
        let plan = self.post.mailbox.look(|queue| self.grouping.plan(queue, now));
        self.post.mailbox.remove(&plan.forgotten);
        if plan.due.is_empty() {
            let wait = plan.next.map_or(LONGEST_SLEEP_MS, |next| next.saturating_sub(now));
            let wait = Duration::from_millis(wait.clamp(1, LONGEST_SLEEP_MS).unsigned_abs());
            let rung = self.post.mailbox.rung();
            pauses.until(async { drop(tokio::time::timeout(wait, rung).await) }).await;
            return;
        }
        for batch in &plan.due {
            if pauses.is_over() {
                return;
            }
            if let Verdict::Failed { retry_after, .. } = self.send(batch, now, clock).await {
                return pauses.after_failure(retry_after).await;
            }
            pauses.succeeded();
        }
    }

    async fn send(&self, batch: &Batch, now: Timestamp, clock: &dyn Clock) -> Verdict {
        let message = Message { receiver: &self.post.name, external_url: self.external_url, batch, now };
        let mut verdict = Verdict::Delivered;
        for body in self.style.bodies(&message) {
            verdict = self.post.post(body, batch.members.len(), clock).await;
            if matches!(verdict, Verdict::Failed { .. }) {
                return verdict;
            }
        }
        let entries = |firing: bool| -> Vec<Entry> {
            let members = batch.members.iter().filter(|member| member.firing == firing);
            members.map(|member| member.entry.clone()).collect()
        };
        let (firing, over) = (entries(true), entries(false));
        self.post.mailbox.tell(&firing, Told { at: now, firing: true });
        // One of which something newer has come meanwhile stays, and what is newer is told.
        self.post.mailbox.tell(&over, Told { at: now, firing: false });
        self.post.mailbox.remove(&over);
        verdict
    }
}
