//! Queries that take long, and tenants that ask for much, give way to the others, and to ingest.
//!
//! A thread that has used more than so much CPU for a query goes on with a lower priority, the lower the more queries its
//! tenant runs. A tenant has a share of the CPU for its queries, with some credit for bursts; once that is spent its queries
//! run only while nobody else wants the CPU, if another tenant asks at all, and no more of them at a time than there are
//! cores: a thread that has to wait may hold what others want, such as a lock of the allocator, and comes to let go of it the
//! sooner the fewer wait with it. With nobody else there, all of this changes nothing.

use super::queue::Turns;
use crate::priority;
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tsdb_core::TenantId;
use tsdb_promql::Pacer;

/// The clock is read at one of so many calls.
const CALLS_PER_LOOK: u32 = 8;
/// How many steps lower the priority of a long query is.
const STEPS: i32 = 10;
/// The most that are added where a tenant runs many.
const MOST_FOR_MANY: i32 = 9;
/// A tenant's share is one of so many parts of all cores.
const SHARE: i64 = 4;
/// Credit that a share fills within this time is the most that is saved.
const SAVED_MS: i64 = 1_000;
/// Debt that a share pays within this time is the most that is remembered.
const OWED_MS: i64 = 5_000;
/// A tenant that asked nothing for so long is nobody to give way to.
const COMPANY: Duration = Duration::from_secs(60);
/// Of so many tenants at least it is known what they have left.
const MOST_TENANTS: usize = 1_000;

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
    /// CPU time of the job that its tenant has paid for.
    static PAID: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// What tenants have left of their shares.
#[derive(Debug)]
pub(super) struct Credits {
    began: Instant,
    cores: usize,
    /// ns of CPU in each ms.
    rate: i64,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    tenants: BTreeMap<TenantId, Arc<Credit>>,
    /// The two tenants that asked last, the latest first, and when.
    latest: [Option<(TenantId, Instant)>; 2],
}

/// What a tenant has left. Threads of low priority pay as well, so nobody waits for a lock here.
#[derive(Debug)]
struct Credit {
    /// ns of CPU; below zero it is in debt.
    left: AtomicI64,
    /// ms since the start, up to which its share was added.
    filled: AtomicI64,
}

impl Credits {
    /// Shares of all cores.
    pub(super) fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let rate = i64::try_from(cores).unwrap_or(i64::MAX).saturating_mul(1_000_000) / SHARE;
        Self { began: Instant::now(), cores, rate, book: Mutex::default() }
    }

    /// How many queries `tenant` may run at a time, if so many are allowed.
    pub(super) fn concurrency(&self, tenant: &TenantId, allowed: usize) -> usize {
        let (credit, has_company) = self.of(tenant);
        let has_credit = credit.pay(Duration::ZERO, self.now_ms(), self.rate);
        if has_credit || !has_company { allowed } else { allowed.min(self.cores) }
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// The credit of `tenant`, which asks something, and whether another tenant asked lately.
    fn of(&self, tenant: &TenantId) -> (Arc<Credit>, bool) {
        let now = Instant::now();
        let mut book = self.book.lock();
        if book.latest[0].as_ref().is_none_or(|(latest, _)| latest != tenant) {
            book.latest.swap(0, 1);
        }
        book.latest[0] = Some((tenant.clone(), now));
        let before = book.latest[1].as_ref().filter(|(before, _)| before != tenant);
        let has_company = before.is_some_and(|(_, at)| now.saturating_duration_since(*at) < COMPANY);
        let full = || Credit {
            left: AtomicI64::new(self.rate.saturating_mul(SAVED_MS)),
            filled: AtomicI64::new(self.now_ms()),
        };
        if book.tenants.len() >= MOST_TENANTS && !book.tenants.contains_key(tenant) {
            // Whoever comes back begins anew: names that somebody invents are not kept.
            book.tenants.retain(|_, credit| Arc::strong_count(credit) > 1);
        }
        let credit = book.tenants.entry(tenant.clone()).or_insert_with(|| Arc::new(full()));
        (Arc::clone(credit), has_company)
    }
}

impl Credit {
    /// Takes `spent` of it at `now_ms`, with `rate` ns added in each ms. Says whether anything is left.
    fn pay(&self, spent: Duration, now_ms: i64, rate: i64) -> bool {
        let filled = self.filled.fetch_max(now_ms, Ordering::Relaxed);
        let share = now_ms.saturating_sub(filled).max(0).saturating_mul(rate);
        let change = share.saturating_sub(i64::try_from(spent.as_nanos()).unwrap_or(i64::MAX));
        let left = self.left.fetch_add(change, Ordering::Relaxed).saturating_add(change);
        let (least, most) = (rate.saturating_mul(-OWED_MS), rate.saturating_mul(SAVED_MS));
        if left < least {
            self.left.fetch_max(least, Ordering::Relaxed);
        } else if left > most {
            self.left.fetch_min(most, Ordering::Relaxed);
        }
        left > 0
    }
}

/// Lowers the priority of the threads of a query.
#[derive(Debug)]
pub(super) struct GivesWay {
    after: Duration,
    turns: Arc<Turns>,
    tenant: TenantId,
    credits: Arc<Credits>,
    credit: Arc<Credit>,
    has_company: bool,
}

impl GivesWay {
    /// A query of `tenant`, which gives way after so much CPU of a thread.
    pub(super) fn new(
        after: Duration,
        turns: &Arc<Turns>,
        credits: &Arc<Credits>,
        tenant: &TenantId,
    ) -> Self {
        let (credit, has_company) = credits.of(tenant);
        let (turns, credits) = (Arc::clone(turns), Arc::clone(credits));
        Self { after, turns, tenant: tenant.clone(), credits, credit, has_company }
    }

    /// Looks at what this thread has used. Also before it begins: what a query selects is not paced.
    pub(super) fn look(&self) {
        let used = priority::used();
        // What a thread paid for its last job is more than it has used for a new one.
        let spent = used.checked_sub(PAID.replace(used)).unwrap_or(used);
        let has_credit = self.credit.pay(spent, self.credits.now_ms(), self.credits.rate);
        if !has_credit && self.has_company {
            priority::idle();
        } else if used >= self.after && !priority::was_lowered() {
            let others = self.turns.running(&self.tenant).saturating_sub(1);
            let for_many = i32::try_from(others).unwrap_or(i32::MAX).min(MOST_FOR_MANY);
            priority::lower(STEPS.saturating_add(for_many));
        }
    }
}

impl Pacer for GivesWay {
    fn pace(&self) {
        let calls = CALLS.get();
        CALLS.set(calls.wrapping_add(1) % CALLS_PER_LOOK);
        if calls == 0 {
            self.look();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_saved_for_a_second_and_debt_is_forgotten_after_five() {
        let (rate, ms) = (250_000, Duration::from_millis);
        let credit = Credit { left: AtomicI64::new(0), filled: AtomicI64::new(0) };
        assert!(credit.pay(ms(0), 60_000, rate));
        assert!(credit.pay(ms(249), 60_000, rate), "a second of a quarter of a core");
        assert!(!credit.pay(ms(2), 60_000, rate));
        assert!(credit.pay(ms(2), 60_020, rate));
        assert!(!credit.pay(ms(60_000), 60_020, rate));
        assert!(!credit.pay(ms(0), 65_010, rate));
        assert!(credit.pay(ms(0), 65_030, rate));
    }

    #[test]
    fn a_tenant_has_company_while_another_asks() {
        let credits = Credits::new();
        let asks = |name: &str| credits.of(&TenantId::new(name).unwrap()).1;
        assert!(!asks("a") && !asks("a"));
        assert!(asks("b") && asks("b") && asks("a") && asks("a"));
        assert!(Arc::ptr_eq(
            &credits.of(&TenantId::new("a").unwrap()).0,
            &credits.of(&TenantId::new("a").unwrap()).0
        ));
    }
}
