//! Queries that take long, and tenants that ask for much, give way to the others, to ingest and to rules.
//!
//! A query that has used more than so much CPU rests half of the time while there is more to do than there are cores and a
//! write, a rule or a younger query is under way. A tenant has a share of the CPU for its queries, with some credit for
//! bursts; once that is spent, and another tenant asks at all, its queries stop at such times until the share has paid for
//! more. No more of them run at a time than there are cores, and until half of the credit is saved again they leave one core
//! to others. With nobody else there, all of this changes nothing.
//!
//! It is done by the queries themselves, where they hold nothing. Priorities of the operating system were tried: a thread that
//! is not let onto the CPU holds what others want, such as a lock of the allocator or of the process' memory map, and writes
//! and cheap queries waited for it for tenths of a second. Nor can a thread take its priority back, so that each such query
//! cost a new thread.

use crate::priority;
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tsdb_core::TenantId;
use tsdb_promql::Pacer;

/// The clock is read at one of so many calls.
const CALLS_PER_LOOK: u32 = 8;
/// A query that gives way looks so soon whether it still must; one that need not stop works as long between two rests.
const REST: Duration = Duration::from_micros(500);
/// One that must stop looks so often before it looks whether it was cancelled.
const LOOKS: usize = 20;
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
    /// CPU time of the job when it rested last.
    static RESTED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// What is under way.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Writes, rules and queries to which others give way.
    pressing: AtomicUsize,
    /// Queries that give way, and do not rest.
    yielding: AtomicUsize,
}

impl Traffic {
    /// Something begins to which queries give way that take long, and ends when the answer is dropped.
    pub(crate) fn press(self: &Arc<Self>) -> Pressing {
        self.pressing.fetch_add(1, Ordering::Relaxed);
        Pressing(Arc::clone(self))
    }

    /// Is there too much to do on so many cores for those that give way, `more` of which would like to go on?
    fn is_dense(&self, cores: usize, more: usize) -> bool {
        let pressing = self.pressing.load(Ordering::Relaxed);
        let yielding = self.yielding.load(Ordering::Relaxed).saturating_add(more);
        pressing > 0 && pressing.saturating_add(yielding) > cores
    }
}

/// Something to which queries give way that take long, while it is under way.
#[derive(Debug)]
pub(crate) struct Pressing(Arc<Traffic>);

impl Drop for Pressing {
    fn drop(&mut self) {
        self.0.pressing.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A query that gives way, while it is under way and does not rest.
#[derive(Debug)]
struct Yielding(Arc<Traffic>);

impl Yielding {
    fn begin(traffic: &Arc<Traffic>) -> Self {
        traffic.yielding.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(traffic))
    }
}

impl Drop for Yielding {
    fn drop(&mut self) {
        self.0.yielding.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What tenants have left of their shares.
#[derive(Debug)]
pub(super) struct Credits {
    began: Instant,
    cores: usize,
    /// ns of CPU in each ms.
    rate: i64,
    book: Mutex<Book>,
    traffic: Arc<Traffic>,
}

#[derive(Debug, Default)]
struct Book {
    tenants: BTreeMap<TenantId, Arc<Credit>>,
    /// The two tenants that asked last, the latest first, and when.
    latest: [Option<(TenantId, Instant)>; 2],
}

/// What a tenant has left.
#[derive(Debug)]
struct Credit {
    /// ns of CPU; below zero it is in debt.
    left: AtomicI64,
    /// ms since the start, up to which its share was added.
    filled: AtomicI64,
}

impl Credits {
    /// Shares of so many cores.
    pub(super) fn of_cores(cores: usize, traffic: Arc<Traffic>) -> Self {
        let rate = i64::try_from(cores).unwrap_or(i64::MAX).saturating_mul(1_000_000) / SHARE;
        Self { began: Instant::now(), cores, rate, book: Mutex::default(), traffic }
    }

    pub(super) const fn cores(&self) -> usize {
        self.cores
    }

    /// How many queries `tenant` may run at a time, if so many are allowed.
    pub(super) fn concurrency(&self, tenant: &TenantId, allowed: usize) -> usize {
        let (credit, has_company) = self.of(tenant);
        credit.pay(Duration::ZERO, self.now_ms(), self.rate);
        // With any credit at all it would begin as many at once as wait, before the first of them has cost anything.
        let has_saved = credit.left.load(Ordering::Relaxed) >= self.rate.saturating_mul(SAVED_MS / 2);
        match (has_company, has_saved) {
            (false, _) => allowed,
            (true, true) => allowed.min(self.cores),
            (true, false) => allowed.min(self.cores.saturating_sub(1).max(1)),
        }
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

/// Has a query give way.
#[derive(Debug)]
pub(super) struct GivesWay {
    after: Duration,
    credits: Arc<Credits>,
    credit: Arc<Credit>,
    has_company: bool,
    /// Does it give way to others by now?
    yields: AtomicBool,
    part: Mutex<Part>,
}

/// The part of a query in the traffic.
#[derive(Debug)]
#[expect(dead_code, reason = "guards count as long as they are kept")]
enum Part {
    None,
    Pressing(Pressing),
    Yielding(Yielding),
}

impl GivesWay {
    /// A query of `tenant`, which gives way after so much CPU.
    pub(super) fn new(after: Duration, credits: &Arc<Credits>, tenant: &TenantId) -> Self {
        let (credit, has_company) = credits.of(tenant);
        let (yields, part) = (AtomicBool::new(false), Mutex::new(Part::None));
        Self { after, credits: Arc::clone(credits), credit, has_company, yields, part }
    }

    /// The query begins on this thread, if it is not cancelled before it may.
    pub(super) fn begin(&self, cancel: &AtomicBool) {
        RESTED.set(Duration::ZERO);
        *self.part.lock() = Part::Pressing(self.credits.traffic.press());
        self.look();
        // What a query selects is not paced, so it waits before.
        while self.must_stop() && !cancel.load(Ordering::Relaxed) {
            self.rest(false);
        }
    }

    fn must_stop(&self) -> bool {
        self.yields.load(Ordering::Relaxed) && self.is_dense(0) && !self.has_credit(Duration::ZERO)
    }

    /// Looks at what this thread has used, and rests if it is time to.
    fn look(&self) {
        let used = priority::used();
        // What a thread paid for its last job is more than it has used for a new one.
        let spent = used.checked_sub(PAID.replace(used)).unwrap_or(used);
        let may_go_on = self.has_credit(spent) || !self.has_company;
        if may_go_on && used < self.after {
            return;
        }
        if !self.yields.swap(true, Ordering::Relaxed) {
            *self.part.lock() = Part::Yielding(Yielding::begin(&self.credits.traffic));
        }
        let is_tired = used.saturating_sub(RESTED.get()) >= REST;
        if self.is_dense(0) && (!may_go_on || is_tired) {
            RESTED.set(used);
            self.rest(may_go_on);
        }
    }

    /// Rests until it may go on, or others have done what they had to, or somebody should look whether it was cancelled.
    fn rest(&self, may_go_on: bool) {
        *self.part.lock() = Part::None;
        let mut looks = 0;
        loop {
            thread::park_timeout(REST);
            looks += 1;
            if may_go_on || looks >= LOOKS || !self.is_dense(1) || self.has_credit(Duration::ZERO) {
                break;
            }
        }
        *self.part.lock() = Part::Yielding(Yielding::begin(&self.credits.traffic));
    }

    fn is_dense(&self, more: usize) -> bool {
        self.credits.traffic.is_dense(self.credits.cores, more)
    }

    fn has_credit(&self, spent: Duration) -> bool {
        self.credit.pay(spent, self.credits.now_ms(), self.credits.rate)
    }
}

impl Pacer for GivesWay {
    fn pace(&self) {
        let calls = CALLS.get();
        CALLS.set(calls.wrapping_add(1) % CALLS_PER_LOOK);
        if calls == 0 || (self.yields.load(Ordering::Relaxed) && self.is_dense(0)) {
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
    fn a_tenant_in_debt_leaves_a_core_to_others_until_it_has_saved_for_half_a_second() {
        let credits = Credits::of_cores(2, Arc::default());
        let [one, other] = ["one", "other"].map(|name| TenantId::new(name).unwrap());
        let (credit, _) = credits.of(&one);
        credit.left.store(1, Ordering::Relaxed);
        assert_eq!(credits.concurrency(&one, 32), 32, "there is nobody else");
        credits.of(&other);
        assert_eq!(credits.concurrency(&one, 32), 1);
        credit.left.store(credits.rate * 500, Ordering::Relaxed);
        assert_eq!(credits.concurrency(&one, 32), 2);
        assert_eq!(credits.concurrency(&one, 1), 1);
    }

    #[test]
    fn a_tenant_has_company_while_another_asks() {
        let credits = Credits::of_cores(2, Arc::default());
        let asks = |name: &str| credits.of(&TenantId::new(name).unwrap()).1;
        assert!(!asks("a") && !asks("a"));
        assert!(asks("b") && asks("b") && asks("a") && asks("a"));
        assert!(Arc::ptr_eq(
            &credits.of(&TenantId::new("a").unwrap()).0,
            &credits.of(&TenantId::new("a").unwrap()).0
        ));
    }

    /// A query of a tenant that has company, and owes more than its share pays within seconds.
    fn in_debt(credits: &Arc<Credits>) -> GivesWay {
        let [other, tenant] = ["other", "tenant"].map(|name| TenantId::new(name).unwrap());
        credits.of(&other);
        let query = GivesWay::new(Duration::from_secs(60), credits, &tenant);
        query.credit.pay(Duration::from_secs(60), credits.now_ms(), credits.rate);
        query
    }

    fn begin_job() {
        priority::begin_job();
        PAID.set(Duration::ZERO);
    }

    #[test]
    fn a_query_in_debt_rests_while_there_is_more_to_do_than_there_are_cores_and_no_longer() {
        let credits = Arc::new(Credits::of_cores(1, Arc::default()));
        let query = in_debt(&credits);
        begin_job();
        let write = credits.traffic.press();
        let cancel = AtomicBool::new(false);
        thread::scope(|scope| {
            let begun = scope.spawn(|| {
                begin_job();
                query.begin(&cancel)
            });
            while credits.traffic.pressing.load(Ordering::Relaxed) > 1
                || !query.yields.load(Ordering::Relaxed)
            {
                thread::yield_now();
            }
            assert!(!begun.is_finished());
            cancel.store(true, Ordering::Relaxed);
            begun.join().unwrap();
        });
        let began = Instant::now();
        query.look();
        assert!(began.elapsed() >= REST * 20, "it looks whether it was cancelled, and rests again");
        assert_eq!(credits.traffic.pressing.load(Ordering::Relaxed), 1, "nobody gives way to it");
        assert_eq!(credits.traffic.yielding.load(Ordering::Relaxed), 1);
        drop(write);
        assert!(!query.is_dense(0), "now it goes on");
        drop(query);
        assert_eq!(credits.traffic.yielding.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_query_in_debt_goes_on_where_there_are_cores_for_all() {
        let credits = Arc::new(Credits::of_cores(2, Arc::default()));
        let (query, write) = (in_debt(&credits), credits.traffic.press());
        begin_job();
        query.begin(&AtomicBool::new(false));
        assert!(!query.is_dense(0));
        let another = credits.traffic.press();
        assert!(query.is_dense(0));
        drop((write, another));
    }

    #[test]
    fn others_give_way_to_a_query_until_it_took_long() {
        let credits = Arc::new(Credits::of_cores(1, Arc::default()));
        let query = GivesWay::new(Duration::from_micros(200), &credits, &TenantId::new("a").unwrap());
        begin_job();
        query.begin(&AtomicBool::new(false));
        assert_eq!(credits.traffic.pressing.load(Ordering::Relaxed), 1);
        while priority::used() < Duration::from_millis(2) {
            query.pace();
        }
        query.look();
        let traffic = &credits.traffic;
        let counts = [&traffic.pressing, &traffic.yielding].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts, [0, 1]);
    }
}
