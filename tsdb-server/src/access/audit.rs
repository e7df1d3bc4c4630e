//! Who did what that somebody may ask about later: administration, and requests that were refused for who sent them.
//!
//! Each is a line of `key="value"` pairs in the log, of the target `audit`, and counts in
//! `tsdb_audit_events_total`. Refusals write few lines a second, since whoever is refused can repeat it at will; those
//! left out are counted.

use super::caller::Caller;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The target of audit lines in the log.
const TARGET: &str = "audit";

/// Lines about refusals in a second.
const REFUSALS_PER_SECOND: u32 = 20;

/// What became of what is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// It was done.
    Done,
    /// It was allowed and failed.
    Failed,
    /// The caller is known and may not.
    Forbidden,
    /// The caller could not prove who it is.
    Unauthenticated,
}

impl Outcome {
    /// Its name in audit lines and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Forbidden => "forbidden",
            Self::Unauthenticated => "unauthenticated",
        }
    }
}

/// Something to be told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event<'a> {
    /// Whoever did it, if it is known.
    pub(crate) caller: Option<&'a Caller>,
    /// The other end of the connection.
    pub(crate) from: Option<SocketAddr>,
    /// What was asked: the template of a route.
    pub(crate) action: &'static str,
    /// Of which tenants, as the request names them.
    pub(crate) tenants: &'a str,
    pub(crate) outcome: Outcome,
    /// More about it, for people.
    pub(crate) detail: &'a str,
}

/// The record of such events.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    counts: Mutex<BTreeMap<(&'static str, Outcome), u64>>,
    refusals: Mutex<Option<(Instant, u32)>>,
    untold: AtomicU64,
}

impl Audit {
    /// Records `event`.
    pub(crate) fn record(&self, event: &Event<'_>) {
        *self.counts.lock().entry((event.action, event.outcome)).or_default() += 1;
        let refused = matches!(event.outcome, Outcome::Forbidden | Outcome::Unauthenticated);
        if refused && !self.may_tell(Instant::now()) {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let level = if refused { log::Level::Warn } else { log::Level::Info };
        log::log!(target: TARGET, level, "{}", line(event));
    }

    fn may_tell(&self, now: Instant) -> bool {
        let mut refusals = self.refusals.lock();
        let (since, told) = match *refusals {
            Some((since, told)) if now.saturating_duration_since(since) < Duration::from_secs(1) => {
                (since, told)
            }
            _ => (now, 0),
        };
        *refusals = Some((since, told.saturating_add(1)));
        told < REFUSALS_PER_SECOND
    }

    /// Events so far, by action and outcome.
    pub(crate) fn counts(&self) -> Vec<(&'static str, &'static str, u64)> {
        self.counts.lock().iter().map(|((action, outcome), n)| (*action, outcome.as_str(), *n)).collect()
    }

    /// Events that no line tells.
    pub(crate) fn untold(&self) -> u64 {
        self.untold.load(Ordering::Relaxed)
    }
}

/// The text of an event. Values are quoted and escaped: nothing that a request holds makes a line or a pair of its own.
fn line(event: &Event<'_>) -> String {
    let (who, method) =
        event.caller.map_or(("", "none"), |caller| (caller.name.as_ref(), caller.method.as_str()));
    let from = event.from.map(|address| address.to_string()).unwrap_or_default();
    format!(
        "who={who:?} method={method:?} from={from:?} action={:?} tenant={:?} outcome={:?} detail={:?}",
        event.action,
        event.tenants,
        event.outcome.as_str(),
        event.detail
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(tenants: &str, outcome: Outcome) -> Event<'_> {
        Event { caller: None, from: None, action: "/api/v1/query", tenants, outcome, detail: "" }
    }

    #[test]
    fn what_a_request_holds_stays_within_its_quotes() {
        let text = line(&event("a\" outcome=\"done\"\nwho=\"admin", Outcome::Forbidden));
        assert_eq!(
            text,
            "who=\"\" method=\"none\" from=\"\" action=\"/api/v1/query\" \
             tenant=\"a\\\" outcome=\\\"done\\\"\\nwho=\\\"admin\" outcome=\"forbidden\" detail=\"\""
        );
    }

    #[test]
    fn refusals_are_all_counted_and_not_all_told() {
        let audit = Audit::default();
        for _ in 0..REFUSALS_PER_SECOND * 3 {
            audit.record(&event("a", Outcome::Unauthenticated));
        }
        assert_eq!(audit.counts(), [("/api/v1/query", "unauthenticated", 60)]);
        assert!(audit.untold() > 0, "{}", audit.untold());
        audit.record(&event("a", Outcome::Done));
        assert_eq!(audit.counts().len(), 2);
    }
}
