//! Queries under way: who asks what, since when, and a way to stop them.

use crate::api::write_json_string;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tsdb_core::{TenantId, Timestamp};

/// All queries under way.
#[derive(Debug, Default)]
pub(crate) struct ActiveQueries {
    next: AtomicU64,
    under_way: Mutex<BTreeMap<u64, Arc<ActiveQuery>>>,
}

/// What a query asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) tenant: TenantId,
    pub(crate) text: String,
    /// First and last step, ms.
    pub(crate) range: (Timestamp, Timestamp),
    /// Distance of the steps, ms; 0 for an instant query.
    pub(crate) step_ms: i64,
    /// When it came, ms.
    pub(crate) asked: Timestamp,
}

/// A query under way.
#[derive(Debug)]
pub(crate) struct ActiveQuery {
    pub(crate) id: u64,
    pub(crate) what: Description,
    since: Instant,
    runs: AtomicBool,
    stopped: AtomicBool,
    cancel: Arc<AtomicBool>,
}

/// An entry in the list, until it is dropped.
#[derive(Debug)]
pub(crate) struct Listed {
    all: Arc<ActiveQueries>,
    query: Arc<ActiveQuery>,
}

impl ActiveQueries {
    /// Lists a query, which is stopped by setting `cancel`.
    pub(crate) fn list(self: &Arc<Self>, what: Description, cancel: Arc<AtomicBool>) -> Listed {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (since, runs, stopped) = (Instant::now(), AtomicBool::new(false), AtomicBool::new(false));
        let query = Arc::new(ActiveQuery { id, what, since, runs, stopped, cancel });
        self.under_way.lock().insert(id, Arc::clone(&query));
        Listed { all: Arc::clone(self), query }
    }

    /// Those of `tenant`, or all of them, the oldest first.
    pub(crate) fn of(&self, tenant: Option<&TenantId>) -> Vec<Arc<ActiveQuery>> {
        let under_way = self.under_way.lock();
        let wanted = |query: &&Arc<ActiveQuery>| tenant.is_none_or(|tenant| query.what.tenant == *tenant);
        under_way.values().filter(wanted).map(Arc::clone).collect()
    }

    /// Stops the query `id` if it is one of `tenant`, or whoever asks it. `false` if there is none.
    pub(crate) fn stop(&self, id: u64, tenant: Option<&TenantId>) -> bool {
        let query = self.under_way.lock().get(&id).map(Arc::clone);
        let Some(query) = query.filter(|query| tenant.is_none_or(|tenant| query.what.tenant == *tenant))
        else {
            return false;
        };
        query.stopped.store(true, Ordering::Relaxed);
        query.cancel.store(true, Ordering::Relaxed);
        true
    }
}

impl ActiveQuery {
    /// Since when it is listed.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Writes it as an object.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{{\"id\":\"{}\",\"state\":", self.id).as_bytes());
        let state = match (self.stopped.load(Ordering::Relaxed), self.runs.load(Ordering::Relaxed)) {
            (true, _) => "stopping",
            (false, true) => "running",
            (false, false) => "waiting",
        };
        write_json_string(state, out);
        self.what.write(out);
        out.extend_from_slice(format!(",\"durationSeconds\":{}}}", self.age().as_secs_f64()).as_bytes());
    }
}

impl Description {
    /// Writes its members, each behind a comma.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for (name, text) in [("tenant", self.tenant.as_str()), ("query", self.text.as_str())] {
            out.extend_from_slice(format!(",\"{name}\":").as_bytes());
            write_json_string(text, out);
        }
        let (start, end) = self.range;
        let numbers = [("startMs", start), ("endMs", end), ("stepMs", self.step_ms), ("askedMs", self.asked)];
        for (name, number) in numbers {
            out.extend_from_slice(format!(",\"{name}\":{number}").as_bytes());
        }
    }
}

impl Listed {
    /// Notes that its turn has come.
    pub(crate) fn runs(&self) {
        self.query.runs.store(true, Ordering::Relaxed);
    }

    /// Was it stopped by order?
    pub(crate) fn is_stopped(&self) -> bool {
        self.query.stopped.load(Ordering::Relaxed)
    }

    /// The query.
    #[cfg(test)]
    pub(crate) fn query(&self) -> &ActiveQuery {
        &self.query
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.all.under_way.lock().remove(&self.query.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(tenant: &str) -> Description {
        let tenant = TenantId::new(tenant).unwrap();
        Description { tenant, text: "up{a=\"b\"}".into(), range: (0, 60_000), step_ms: 15_000, asked: 7 }
    }

    #[test]
    fn a_query_is_listed_until_it_ends_and_stopped_by_its_tenant_alone() {
        let all = Arc::new(ActiveQueries::default());
        let cancel = Arc::new(AtomicBool::new(false));
        let listed = all.list(what("a"), Arc::clone(&cancel));
        let _other = all.list(what("b"), Arc::default());
        let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
        assert_eq!((all.of(None).len(), all.of(Some(&a)).len()), (2, 1));
        let id = listed.query().id;
        assert!(!all.stop(id, Some(&b)) && !cancel.load(Ordering::Relaxed));
        listed.runs();
        let mut out = Vec::new();
        listed.query().write(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(r#"{"id":"0","state":"running","tenant":"a","query":"up{a=\"b\"}","startMs":0,"endMs":60000,"stepMs":15000,"askedMs":7,"durationSeconds":"#), "{text}");
        assert!(all.stop(id, Some(&a)) && cancel.load(Ordering::Relaxed) && listed.is_stopped());
        drop(listed);
        assert!(!all.stop(id, None) && all.of(Some(&a)).is_empty());
    }
}
