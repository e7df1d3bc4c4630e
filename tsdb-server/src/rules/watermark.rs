//! How far the data of a tenant has come: what evaluations wait for.
//!
//! **A source** is a sender that stays: who writes by remote write, told apart by the name it gives itself in the header
//! `X-Sender-ID` or, without one, by what it calls its program. A client that pushes JSON is a source only if it names
//! itself: processes that report for themselves come and go, and none of them tells that it goes.
//!
//! **The data has come up to `t`** when it has from every source that counts. A source counts from the first time its
//! samples are near the time of day until it has been silent for five minutes, which is as long as a query looks back;
//! so neither an import of old samples nor a sender that was switched off keeps evaluations waiting. Sources that are late
//! but together carry less than a twentieth of the tenant's samples are let be: a few small senders out of many may not
//! stop everything.
//!
//! A source has come up to `t` when it has sent a sample of `t` or later. For an evaluation that is *on time* it is enough
//! that the source keeps its usual rhythm: its newest sample may lie behind `t` by one and a half times what usually
//! passes between two of its newer samples, and five seconds for the way. So as long as all senders do what they usually
//! do, evaluations wait for nothing, as in Prometheus; once one is late, they wait until it has sent what belongs before
//! `t`.
//!
//! *Not known here:* which series a source sends. A source that is late makes all rules of its tenant wait.

use parking_lot::Mutex;
use std::collections::HashMap;
use tsdb_core::{TenantId, Timestamp};

/// How long a silent source counts, ms.
const SILENCE_MS: i64 = 300_000;
/// How near to the time of day a source must have been to count, ms.
const NEAR_MS: i64 = 180_000;
/// The rhythm of a source that is not known yet, ms.
const FIRST_RHYTHM_MS: i64 = 60_000;
/// Time that samples need for their way, ms.
const WAY_MS: i64 = 5_000;
/// Least allowance for an evaluation that is on time, ms.
const LEAST_ALLOWANCE_MS: i64 = 10_000;
/// Sources of a tenant that are told apart. Further ones are as if they were not there.
const MOST_SOURCES: usize = 1_024;
/// Late sources are awaited if they carry at least one in so many samples of their tenant.
const SHARE: f64 = 20.0;
/// After the start, what was stored before it stands for the sources that were there; they have so long to come back, ms.
const RETURN_MS: i64 = 30_000;

/// Who sends, as a number: the hash of its name.
pub(crate) type SourceId = u64;

/// What the sources of all tenants have sent so far.
#[derive(Debug, Default)]
pub(crate) struct Watermarks {
    tenants: Mutex<HashMap<TenantId, Sources>>,
}

/// The two clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The time of day, ms.
    pub(crate) now: Timestamp,
    /// A clock that is never set, ms.
    pub(crate) monotonic_ms: i64,
}

/// How far the data has come, seen from a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Up to it, or nobody knows of a source that could be late.
    Reached,
    /// Up to this time only.
    Behind(Timestamp),
}

/// How strictly the data must have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standard {
    /// The evaluation is on time: a source in its rhythm is good enough.
    Rhythm,
    /// The evaluation is late already: every sample must be there.
    Complete,
}

#[derive(Debug, Default)]
struct Sources {
    sources: HashMap<SourceId, Source>,
    /// What was in the store at the start.
    before: Option<Before>,
    /// When the first sample since the start came, by the clock that is never set; what was in the store before it may
    /// become known only later.
    first_heard_ms: Option<i64>,
}

#[derive(Debug)]
struct Source {
    newest: Timestamp,
    /// When it was heard last, by the clock that is never set.
    heard_ms: i64,
    /// When it sent something newer last, by the same clock.
    advanced_ms: i64,
    /// What usually passes between two of its newer samples, ms.
    rhythm_ms: i64,
    /// Samples it sends, fading over time.
    weight: f64,
    /// Was it ever near the time of day?
    counts: bool,
}

/// The time before the start.
#[derive(Debug, Clone, Copy)]
struct Before {
    newest: Timestamp,
    started_ms: i64,
}

/// What a source sent with one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// Time of the newest sample, ms.
    pub(crate) newest: Timestamp,
    /// How many samples.
    pub(crate) samples: u64,
}

impl Watermarks {
    /// Takes note of what `source` of `tenant` sent; without a source, that something came in.
    pub(crate) fn heard(&self, tenant: &TenantId, source: Option<SourceId>, sent: Sent, moment: Moment) {
        let mut tenants = self.tenants.lock();
        let sources = match tenants.get_mut(tenant) {
            Some(sources) => sources,
            None => tenants.entry(tenant.clone()).or_default(),
        };
        sources.heard(source, sent, moment);
    }

    /// Takes note that the store of `tenant` held samples up to `newest` when the server started.
    pub(crate) fn found(&self, tenant: &TenantId, newest: Timestamp, moment: Moment) {
        let mut tenants = self.tenants.lock();
        let before = Before { newest, started_ms: moment.monotonic_ms };
        let known = tenants.entry(tenant.clone()).or_default().before.get_or_insert(before);
        known.newest = known.newest.max(newest);
    }

    /// Has the data of `tenant` come up to `until`?
    pub(crate) fn progress(
        &self,
        tenant: &TenantId,
        until: Timestamp,
        standard: Standard,
        moment: Moment,
    ) -> Progress {
        self.tenants
            .lock()
            .get(tenant)
            .map_or(Progress::Reached, |sources| sources.progress(until, standard, moment))
    }

    /// Do the sources of `tenant` think that it is `now`, more or less? If there are none, nobody objects.
    pub(crate) fn agree_with(&self, tenant: &TenantId, moment: Moment) -> bool {
        let tenants = self.tenants.lock();
        let Some(sources) = tenants.get(tenant) else { return true };
        let newest = sources.counting(moment).map(|source| source.newest).max();
        newest.is_none_or(|newest| newest.abs_diff(moment.now) <= NEAR_MS.unsigned_abs())
    }
}

impl Sources {
    fn heard(&mut self, id: Option<SourceId>, sent: Sent, moment: Moment) {
        self.first_heard_ms.get_or_insert(moment.monotonic_ms);
        let Some(id) = id else { return };
        if !self.sources.contains_key(&id) && self.sources.len() >= MOST_SOURCES {
            let is_gone = |source: &Source| moment.monotonic_ms - source.heard_ms > SILENCE_MS;
            self.sources.retain(|_, source| !is_gone(source));
            if self.sources.len() >= MOST_SOURCES {
                return;
            }
        }
        let source = self.sources.entry(id).or_insert(Source {
            newest: Timestamp::MIN,
            heard_ms: moment.monotonic_ms,
            advanced_ms: moment.monotonic_ms,
            rhythm_ms: FIRST_RHYTHM_MS,
            weight: 0.0,
            counts: false,
        });
        source.heard(sent, moment);
    }

    /// Those that could be late.
    fn counting(&self, moment: Moment) -> impl Iterator<Item = &Source> {
        self.sources.values().filter(move |source| {
            source.counts && moment.monotonic_ms.saturating_sub(source.heard_ms) <= SILENCE_MS
        })
    }

    fn progress(&self, until: Timestamp, standard: Standard, moment: Moment) -> Progress {
        let (mut total, mut late, mut newest) = (0.0, 0.0, None::<Timestamp>);
        for source in self.counting(moment) {
            let allowance = match standard {
                Standard::Rhythm => source.allowance(),
                Standard::Complete => 0,
            };
            total += source.weight;
            if source.newest < until.saturating_sub(allowance) {
                late += source.weight;
                newest = Some(newest.map_or(source.newest, |newest| newest.min(source.newest)));
            }
        }
        let of_sources = newest.filter(|_| late * SHARE >= total);
        let first_heard = self.first_heard_ms;
        let of_before = self.before.filter(|before| before.is_awaited(until, first_heard, moment));
        let of_before = of_before.map(|before| before.newest);
        match of_sources.into_iter().chain(of_before).min() {
            Some(newest) => Progress::Behind(newest),
            None => Progress::Reached,
        }
    }
}

impl Source {
    fn heard(&mut self, sent: Sent, moment: Moment) {
        // A source that falls silent keeps its weight: that it sends nothing is what is to be noticed.
        self.weight += (sent.samples as f64 - self.weight) / 8.0;
        self.heard_ms = moment.monotonic_ms;
        if sent.newest > self.newest {
            let passed = moment.monotonic_ms.saturating_sub(self.advanced_ms);
            if self.newest > Timestamp::MIN {
                let is_first = self.rhythm_ms == FIRST_RHYTHM_MS;
                let change = passed.saturating_sub(self.rhythm_ms);
                self.rhythm_ms = if is_first { passed } else { self.rhythm_ms.saturating_add(change / 8) };
            }
            self.advanced_ms = moment.monotonic_ms;
            self.newest = sent.newest;
        }
        self.counts |= sent.newest.abs_diff(moment.now) <= NEAR_MS.unsigned_abs();
    }

    fn allowance(&self) -> i64 {
        self.rhythm_ms.saturating_mul(3).saturating_div(2).saturating_add(WAY_MS).max(LEAST_ALLOWANCE_MS)
    }
}

impl Before {
    /// Are sources still awaited that were there before the start, of which the first came back at `first_heard_ms`?
    fn is_awaited(&self, until: Timestamp, first_heard_ms: Option<i64>, moment: Moment) -> bool {
        let since = |start: i64| moment.monotonic_ms.saturating_sub(start);
        let all_back = first_heard_ms.is_some_and(|first| since(first) > RETURN_MS);
        self.newest < until && !all_back && since(self.started_ms) <= SILENCE_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000;
    const DAY: i64 = 86_400 * SECOND;

    struct Fleet {
        marks: Watermarks,
        tenant: TenantId,
    }

    impl Fleet {
        fn new() -> Self {
            Self { marks: Watermarks::default(), tenant: TenantId::new("a").unwrap() }
        }

        /// `source` sends samples of the second `newest` at the second `at`.
        fn send(&self, source: u64, newest: i64, at: i64) {
            let sent = Sent { newest: DAY + newest * SECOND, samples: 100 };
            self.marks.heard(&self.tenant, Some(source), sent, moment(at));
        }

        /// How many seconds the data is behind the second `at`.
        fn behind(&self, until: i64, standard: Standard, at: i64) -> Option<i64> {
            match self.marks.progress(&self.tenant, DAY + until * SECOND, standard, moment(at)) {
                Progress::Reached => None,
                Progress::Behind(newest) => Some(until - (newest - DAY) / SECOND),
            }
        }
    }

    fn moment(at: i64) -> Moment {
        Moment { now: DAY + at * SECOND, monotonic_ms: at * SECOND }
    }

    /// A fleet of `sources` that send every quarter of a minute up to the second `until`.
    fn steady(sources: u64, until: i64) -> Fleet {
        let fleet = Fleet::new();
        for at in (0..=until).step_by(15) {
            (0..sources).for_each(|source| fleet.send(source, at, at));
        }
        fleet
    }

    #[test]
    fn as_long_as_senders_keep_their_rhythm_nothing_waits() {
        let fleet = steady(3, 600);
        for at in 600..615 {
            assert_eq!(fleet.behind(at, Standard::Rhythm, at), None);
        }
        assert_eq!(fleet.behind(625, Standard::Rhythm, 625), None, "one round a little late");
        assert_eq!(fleet.behind(640, Standard::Rhythm, 640), Some(40));
    }

    #[test]
    fn what_is_late_is_awaited_to_the_last_sample() {
        let fleet = steady(1, 600);
        assert_eq!(fleet.behind(610, Standard::Complete, 612), Some(10));
        fleet.send(0, 615, 616);
        assert_eq!(fleet.behind(610, Standard::Complete, 616), None);
    }

    #[test]
    fn one_silent_sender_of_several_is_late_until_it_is_taken_for_gone() {
        let fleet = steady(3, 600);
        for at in (615..=1_200).step_by(15) {
            fleet.send(0, at, at);
            fleet.send(1, at, at);
            let behind = fleet.behind(at, Standard::Rhythm, at);
            let expected = (630..=900).contains(&at).then_some(at - 600);
            assert_eq!(behind, expected, "{at}");
        }
    }

    #[test]
    fn a_small_sender_among_many_holds_nothing_up() {
        let fleet = steady(25, 600);
        (1..25).for_each(|source| fleet.send(source, 660, 660));
        assert_eq!(fleet.behind(660, Standard::Rhythm, 660), None);
    }

    #[test]
    fn an_import_of_old_samples_is_no_late_sender() {
        let fleet = steady(1, 600);
        fleet.send(9, -50_000, 600);
        assert_eq!(fleet.behind(600, Standard::Rhythm, 600), None);
    }

    #[test]
    fn a_tenant_without_senders_is_never_late() {
        assert_eq!(Fleet::new().behind(600, Standard::Complete, 600), None);
    }

    #[test]
    fn after_a_start_those_who_were_there_before_are_awaited_for_a_while() {
        let fleet = Fleet::new();
        fleet.marks.found(&fleet.tenant, DAY, moment(100));
        assert_eq!(fleet.behind(100, Standard::Rhythm, 100), Some(100));
        fleet.send(0, 110, 110);
        assert_eq!(fleet.behind(115, Standard::Rhythm, 115), Some(115), "others may follow");
        fleet.send(0, 135, 135);
        assert_eq!(fleet.behind(141, Standard::Rhythm, 141), None);
        let silent = Fleet::new();
        silent.marks.found(&silent.tenant, DAY, moment(100));
        assert_eq!(silent.behind(401, Standard::Rhythm, 401), None, "nobody comes back");
    }

    #[test]
    fn a_sample_that_comes_before_the_store_was_looked_at_counts_for_those_who_are_back() {
        let fleet = Fleet::new();
        let sent = Sent { newest: DAY + 101 * SECOND, samples: 1 };
        fleet.marks.heard(&fleet.tenant, None, sent, moment(101));
        fleet.marks.found(&fleet.tenant, DAY, moment(100));
        assert_eq!(fleet.behind(131, Standard::Rhythm, 131), Some(131));
        assert_eq!(fleet.behind(132, Standard::Rhythm, 132), None);
    }
}
