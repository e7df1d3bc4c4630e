//! Rules on a simulated clock while senders are late or silent, the server restarts, or somebody sets its clock: no alert
//! fires that has no reason to, and none ends while its reason lasts.

use super::schedule::{Schedule, Surroundings};
use super::tests::DEFAULTS;
use super::watermark::{Moment, Progress, Sent, Standard, Watermarks};
use super::{AlertState, Departed, Group, StoreWorld, World, parse_file};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Instant;
use tsdb_core::read::Queryable;
use tsdb_core::testing::MemStore;
use tsdb_core::{Labels, TenantId, Timestamp};
use tsdb_promql::{Engine, EngineOptions, ParseOptions};

/// The true time at second 0, ms.
const START: Timestamp = 1_775_643_330_000;

/// A reason to fire that lasts (the counters rise), two that never come (samples missing, a sum too small), and one that
/// comes at second 600 and must last five minutes.
const RULES: &str = "groups:
- name: g
  rules:
  - {alert: Busy, expr: 'rate(x[1m]) > 0.5'}
  - {alert: Gaps, expr: 'count_over_time(x[1m]) < 3'}
  - {alert: Slow, expr: 'sum(rate(x[2m])) < 1.5'}
  - {alert: High, expr: 'max(level) > 0', for: 5m}
  - {record: 'sum:x', expr: 'sum(rate(x[1m]))'}
";

/// The world around rules: a store, two senders, and clocks.
struct Simulation {
    store: MemStore,
    engine: Engine,
    external_labels: Labels,
    marks: Watermarks,
    tenant: TenantId,
    /// Seconds since the start.
    second: AtomicI64,
    /// How much the clock of the server is ahead, ms.
    ahead_ms: AtomicI64,
    /// Seconds since the process began.
    process: AtomicI64,
    /// Does everything fail inside?
    breaks: AtomicBool,
    /// What receivers heard, each change once: second, alert, state.
    heard: Mutex<Vec<(i64, String, AlertState)>>,
    known: Mutex<BTreeMap<Labels, AlertState>>,
    /// What happens while a group is in its first turn, by its name.
    meanwhile: Mutex<BTreeMap<String, Meanwhile>>,
}

/// Something that happens once.
type Meanwhile = Box<dyn FnOnce(&Simulation) + Send>;

impl Surroundings for Simulation {
    fn with_world(
        &self,
        _tenant: &TenantId,
        work: &mut dyn FnMut(&dyn World, &dyn Queryable),
    ) -> Result<(), String> {
        assert!(!self.breaks.load(Ordering::Relaxed), "the test says so");
        let world = StoreWorld {
            store: &self.store,
            engine: &self.engine,
            external_labels: &self.external_labels,
            external_url: "",
            started: Instant::now(),
        };
        work(&world, &self.store);
        Ok(())
    }

    fn progress(&self, tenant: &TenantId, until: Timestamp, standard: Standard) -> Progress {
        self.marks.progress(tenant, until, standard, self.moment())
    }

    fn agrees(&self, tenant: &TenantId) -> bool {
        self.marks.agree_with(tenant, self.moment())
    }

    fn recall(&self, _tenant: &TenantId, group: &mut Group) {
        let happens = self.meanwhile.lock().remove(&group.settings().name);
        if let Some(happens) = happens {
            happens(self);
        }
    }

    fn remember(&self, _tenant: &TenantId, _group: &Group) {}

    fn deliver(&self, _tenant: &TenantId, group: &Group, _at: Timestamp, _interval_ms: i64) {
        let mut known = self.known.lock();
        for alert in group.rules().iter().flat_map(|rule| rule.alerts().iter()) {
            let before = known.insert(alert.labels.clone(), alert.state);
            if before != Some(alert.state) && alert.state != AlertState::Pending {
                let name = alert.labels.get("alertname").unwrap_or_default().to_owned();
                self.heard.lock().push((self.second.load(Ordering::Relaxed), name, alert.state));
            }
        }
    }

    fn departed(&self, _tenant: &TenantId, rules: &[Departed], _at: Timestamp) {
        for alert in rules.iter().flat_map(|rule| &rule.alerts) {
            let name = alert.labels.get("alertname").unwrap_or_default().to_owned();
            self.known.lock().remove(&alert.labels);
            self.heard.lock().push((self.second.load(Ordering::Relaxed), name, alert.state));
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.now() + self.ahead_ms.load(Ordering::Relaxed),
            monotonic_ms: (self.second.load(Ordering::Relaxed) - self.process.load(Ordering::Relaxed))
                * 1_000,
        }
    }
}

impl Simulation {
    fn new() -> Self {
        Self {
            store: MemStore::new(),
            engine: Engine::new(EngineOptions::default()),
            external_labels: Labels::empty(),
            marks: Watermarks::default(),
            tenant: TenantId::new("a").unwrap(),
            second: AtomicI64::new(0),
            breaks: AtomicBool::new(false),
            ahead_ms: AtomicI64::new(0),
            process: AtomicI64::new(0),
            heard: Mutex::default(),
            known: Mutex::default(),
            meanwhile: Mutex::default(),
        }
    }

    /// The true time, ms.
    fn now(&self) -> Timestamp {
        START + self.second.load(Ordering::Relaxed) * 1_000
    }

    /// A schedule of the rules, as after a start of the process.
    fn start(&self) -> Schedule {
        self.start_with(RULES)
    }

    fn start_with(&self, rules: &str) -> Schedule {
        self.process.store(self.second.load(Ordering::Relaxed), Ordering::Relaxed);
        let schedule = Schedule::new(DEFAULTS);
        self.load(&schedule, rules);
        schedule
    }

    /// Gives `schedule` the groups of `rules` and no others.
    fn load(&self, schedule: &Schedule, rules: &str) {
        let groups = parse_file("rules.yml", rules, &ParseOptions::default()).unwrap();
        let groups = groups.into_iter().map(|group| (self.tenant.clone(), group)).collect();
        schedule.replace(groups, |_, _| true, self);
    }

    /// `sender` sends what it measured at the second `at`.
    fn send(&self, sender: u64, at: i64) {
        let time = START + at * 1_000;
        let instance = sender.to_string();
        for (name, value) in [("x", at as f64), ("level", f64::from(u8::from(at >= 600)))] {
            let labels = Labels::from_pairs([("__name__", name), ("instance", &instance)]).unwrap();
            self.store.put(&labels, time, value);
        }
        self.marks.heard(&self.tenant, Some(sender), Sent { newest: time, samples: 2 }, self.moment());
    }

    /// Lets time pass. `lag` says how many seconds late a sender is at a second; what it did not send before it sends then.
    /// Each samples every quarter of a minute.
    fn run(
        &self,
        schedule: Option<&Schedule>,
        (from, to): (i64, i64),
        lag: impl Fn(u64, i64) -> i64,
        set_clock: impl Fn(i64) -> i64,
    ) {
        for second in from..to {
            self.second.store(second, Ordering::Relaxed);
            self.ahead_ms.store(set_clock(second) * 1_000, Ordering::Relaxed);
            for sender in 0..2 {
                let (before, until) = (second - 1 - lag(sender, second - 1), second - lag(sender, second));
                (before + 1..=until)
                    .filter(|at| *at >= 0 && at % 15 == 0)
                    .for_each(|at| self.send(sender, at));
            }
            if let Some(schedule) = schedule {
                schedule.run_due(self);
            }
        }
    }

    fn heard(&self) -> Vec<(String, AlertState)> {
        self.heard.lock().iter().map(|(_, name, state)| (name.clone(), *state)).collect()
    }

    /// When receivers heard for the first time that `name` fires, s.
    fn fired(&self, name: &str) -> i64 {
        let heard = self.heard.lock();
        heard.iter().find(|(_, alert, state)| alert == name && *state == AlertState::Firing).unwrap().0
    }

    /// The true reasons and no others: two busy instances from the beginning, and a high level.
    fn assert_nothing_false(&self) {
        let busy = ("Busy".to_owned(), AlertState::Firing);
        let high = ("High".to_owned(), AlertState::Firing);
        assert_eq!(self.heard(), [busy.clone(), busy, high], "{:?}", self.heard.lock());
    }
}

const ON_TIME: fn(u64, i64) -> i64 = |_, _| 1;
const RIGHT: fn(i64) -> i64 = |_| 0;

/// Fires and ends in the beginning, before there are samples for a full window, are of no interest here.
fn begun(simulation: &Simulation) -> Schedule {
    simulation.run(None, (0, 300), ON_TIME, RIGHT);
    let schedule = simulation.start();
    simulation.run(Some(&schedule), (300, 500), ON_TIME, RIGHT);
    schedule
}

#[test]
fn without_faults_alerts_fire_when_their_reason_has_lasted() {
    let simulation = Simulation::new();
    let schedule = begun(&simulation);
    simulation.run(Some(&schedule), (500, 1_800), ON_TIME, RIGHT);
    simulation.assert_nothing_false();
    assert!((900..=931).contains(&simulation.fired("High")), "{}", simulation.fired("High"));
    let counts = schedule.counts();
    assert_eq!((counts.incomplete, counts.caught_up, counts.missed), (0, 0, 0));
}

#[test]
fn samples_that_are_two_minutes_late_fire_and_end_nothing_falsely() {
    let simulation = Simulation::new();
    let schedule = begun(&simulation);
    let lag = |_: u64, second: i64| if (500..2_000).contains(&second) { 120.min(second - 499) } else { 1 };
    simulation.run(Some(&schedule), (500, 2_600), lag, RIGHT);
    simulation.assert_nothing_false();
    let fired = simulation.fired("High");
    assert!((1_000..=1_060).contains(&fired), "late by as much as the samples are: {fired}");
    assert_eq!(schedule.counts().incomplete, 0);
}

#[test]
fn samples_that_do_not_come_for_ten_minutes_leave_alerts_as_they_are_until_they_come() {
    let simulation = Simulation::new();
    let schedule = begun(&simulation);
    // Something comes all the time, so nobody takes the senders for gone; but it comes ever later.
    let lag = |_: u64, second: i64| if (500..1_100).contains(&second) { (second - 499) * 9 / 10 } else { 1 };
    simulation.run(Some(&schedule), (500, 1_500), lag, RIGHT);
    simulation.assert_nothing_false();
    let counts = schedule.counts();
    assert!(counts.incomplete > 5 && counts.caught_up > 5, "{counts:?}");
    assert!((1_095..=1_131).contains(&simulation.fired("High")), "{}", simulation.fired("High"));
}

#[test]
fn one_of_two_senders_that_falls_silent_and_comes_back_fires_nothing() {
    let simulation = Simulation::new();
    let schedule = begun(&simulation);
    let lag = |sender: u64, second: i64| match (sender, second) {
        (1, 500..740) => second - 499,
        _ => 1,
    };
    simulation.run(Some(&schedule), (500, 1_800), lag, RIGHT);
    simulation.assert_nothing_false();
    assert!((900..=1_000).contains(&simulation.fired("High")), "{}", simulation.fired("High"));
}

#[test]
fn a_restart_in_the_middle_of_for_loses_nothing_of_its_clock() {
    let simulation = Simulation::new();
    let schedule = begun(&simulation);
    simulation.run(Some(&schedule), (500, 750), ON_TIME, RIGHT);
    drop(schedule);
    // Two minutes in which nobody takes samples; the senders keep them.
    let lag = |_: u64, second: i64| if (750..875).contains(&second) { second - 749 } else { 1 };
    simulation.run(None, (750, 870), lag, RIGHT);
    simulation.marks.found(&simulation.tenant, START + 749_000, Moment { now: 0, monotonic_ms: 0 });
    let schedule = simulation.start();
    simulation.run(Some(&schedule), (870, 1_500), lag, RIGHT);
    simulation.assert_nothing_false();
    let fired = simulation.fired("High");
    assert!((900..=935).contains(&fired), "{fired}");
    assert!(schedule.counts().caught_up >= 6, "{:?}", schedule.counts());
    let recorded = parse_count(&simulation, "count_over_time(sum:x[10m])", 1_200);
    assert_eq!(recorded, 40.0, "no evaluation is missing among the recorded samples");
}

#[test]
fn evaluations_that_fail_inside_cost_themselves_and_the_group_goes_on_as_it_was() {
    let simulation = Simulation::new();
    let schedule = begun(&simulation);
    simulation.breaks.store(true, Ordering::Relaxed);
    simulation.run(Some(&schedule), (500, 560), ON_TIME, RIGHT);
    simulation.breaks.store(false, Ordering::Relaxed);
    simulation.run(Some(&schedule), (560, 1_800), ON_TIME, RIGHT);
    simulation.assert_nothing_false();
    assert!((900..=935).contains(&simulation.fired("High")), "{}", simulation.fired("High"));
}

#[test]
fn a_clock_that_is_set_back_or_forward_fires_and_ends_nothing() {
    for step in [-3_600, -90, 90, 3_600] {
        let simulation = Simulation::new();
        let schedule = begun(&simulation);
        let wrong = |second: i64| if (650..1_250).contains(&second) { step } else { 0 };
        simulation.run(Some(&schedule), (500, 2_600), ON_TIME, wrong);
        simulation.assert_nothing_false();
        assert!(simulation.fired("High") >= 900, "{step}: {}", simulation.fired("High"));
    }
}

#[test]
fn a_rule_that_goes_to_another_group_takes_its_state_along_and_its_alerts_go_on() {
    let simulation = Simulation::new();
    let schedule = begun(&simulation);
    simulation.run(Some(&schedule), (500, 700), ON_TIME, RIGHT);
    let (first, second) = RULES.split_at(RULES.find("  - {alert: High").unwrap());
    let busy = "  - {alert: Busy, expr: 'rate(x[1m]) > 0.5'}\n";
    let other = counting("other");
    // To a group that is new, and from there to one that has been there.
    simulation.load(&schedule, &format!("{}{other}{busy}{second}", first.replace(busy, "")));
    simulation.run(Some(&schedule), (700, 800), ON_TIME, RIGHT);
    simulation.load(&schedule, &format!("{RULES}{other}"));
    simulation.run(Some(&schedule), (800, 1_800), ON_TIME, RIGHT);
    simulation.assert_nothing_false();
    assert!((900..=931).contains(&simulation.fired("High")), "{}", simulation.fired("High"));
    let kept = parse_count(&simulation, "count_over_time(sum:x[10m])", 1_200);
    assert!(kept >= 39.0, "its series has no end and no beginning: {kept}");
}

/// Two of [`RULES`], and all without them.
fn two_alerts() -> (&'static str, String) {
    let alerts =
        "  - {alert: Busy, expr: 'rate(x[1m]) > 0.5'}\n  - {alert: High, expr: 'max(level) > 0', for: 5m}\n";
    let rest = alerts.lines().fold(RULES.to_owned(), |rules, alert| rules.replace(&format!("{alert}\n"), ""));
    (alerts, rest)
}

/// The group `name`, which counts.
fn counting(name: &str) -> String {
    format!("- name: {name}\n  rules:\n  - {{record: 'count:x', expr: count(x)}}\n")
}

#[test]
fn a_rule_that_goes_to_another_group_in_the_first_turn_of_its_own_loses_nothing_of_its_state() {
    let (alerts, rest) = two_alerts();
    // Of two groups that are there from the beginning each is the first once.
    for name in ["other", "k"] {
        let other = counting(name);
        for (before, after) in [
            (RULES.to_owned(), format!("{rest}{other}{alerts}")),
            (RULES.to_owned(), format!("groups:\n{other}{alerts}")),
            (format!("{RULES}{other}"), format!("{rest}{other}{alerts}")),
        ] {
            for is_nested in [false, true] {
                moves_in_the_first_turn(name, &before, &after, is_nested);
            }
        }
    }
}

/// The rules `before` become those `after` while the group `g` is in its first turn after a restart; if `is_nested` that of
/// the group `other` lies around it.
fn moves_in_the_first_turn(other: &str, before: &str, after: &str, is_nested: bool) {
    let simulation = Simulation::new();
    let schedule = begun(&simulation);
    simulation.run(Some(&schedule), (500, 700), ON_TIME, RIGHT);
    let schedule = Arc::new(simulation.start_with(before));
    let (changed, rules) = (Arc::clone(&schedule), after.to_owned());
    let change = move |simulation: &Simulation| simulation.load(&changed, &rules);
    simulation.meanwhile.lock().insert("g".to_owned(), Box::new(change));
    if is_nested {
        let under_way = Arc::clone(&schedule);
        let first = move |simulation: &Simulation| {
            while simulation.meanwhile.lock().contains_key("g") {
                simulation.second.fetch_add(1, Ordering::Relaxed);
                under_way.run_due(simulation);
            }
        };
        simulation.meanwhile.lock().insert(other.to_owned(), Box::new(first));
    }
    simulation.run(Some(&schedule), (700, 1_500), ON_TIME, RIGHT);
    assert!(simulation.meanwhile.lock().is_empty());
    simulation.assert_nothing_false();
    let fired = simulation.fired("High");
    assert!((900..=931).contains(&fired), "{fired}: {before} {after} {is_nested}");
    let kept = parse_count(&simulation, "min(count_over_time(ALERTS{alertname='Busy'}[10m]))", 1_200);
    assert!(kept >= 39.0, "its series has no end and no beginning: {kept}: {before} {after} {is_nested}");
}

#[test]
fn a_rule_that_leaves_a_group_that_waits_for_its_first_turn_is_restored_in_the_one_that_had_its_own() {
    let (alerts, rest) = two_alerts();
    let [first, second] = ["k", "other"].map(counting);
    for is_twice in [false, true] {
        let simulation = Simulation::new();
        let schedule = begun(&simulation);
        simulation.run(Some(&schedule), (500, 700), ON_TIME, RIGHT);
        let others = simulation.start_with(&format!("groups:\n{first}{second}"));
        let mut now = 700;
        while others.published().iter().any(|group| group.evaluated_at.is_none()) {
            simulation.run(Some(&others), (now, now + 1), ON_TIME, RIGHT);
            now += 1;
        }
        simulation.load(&others, &format!("{RULES}{first}{second}"));
        if is_twice {
            simulation.load(&others, &format!("{rest}{first}{alerts}{second}"));
        }
        simulation.load(&others, &format!("{rest}{first}{second}{alerts}"));
        simulation.run(Some(&others), (now, 1_500), ON_TIME, RIGHT);
        simulation.assert_nothing_false();
        let (fired, away) = (simulation.fired("High"), now - 700);
        assert!((900..=931 + away + 30).contains(&fired), "{fired}, {away}: {is_twice}");
        assert!(now < 760 && fired < now + 270, "{fired}, {now}: its clock went on");
        let ends = parse_count(&simulation, "max(changes(ALERTS{alertname='Busy'}[15m]))", 1_500);
        assert_eq!(ends, 0.0);
    }
}

#[test]
fn alerts_of_a_rule_that_is_no_more_are_over_at_once_unless_another_rule_makes_them_too() {
    let simulation = Simulation::new();
    let schedule = begun(&simulation);
    let busy = "  - {alert: Busy, expr: 'rate(x[1m]) > 0.5'}\n";
    let twin = "- name: twin\n  rules:\n  - {alert: Busy, expr: 'rate(x[1m]) > 0.5 and x{instance=\"1\"}'}\n";
    simulation.load(&schedule, &format!("{RULES}{twin}"));
    simulation.run(Some(&schedule), (500, 600), ON_TIME, RIGHT);
    let before = simulation.heard().len();
    simulation.load(&schedule, &format!("{}{twin}", RULES.replace(busy, "")));
    assert_eq!(
        simulation.heard()[before..],
        [("Busy".to_owned(), AlertState::Inactive)],
        "that of instance 0"
    );
    simulation.load(&schedule, "groups: []");
    let over = simulation.heard()[before + 1..].to_vec();
    assert_eq!(over, [("Busy".to_owned(), AlertState::Inactive)], "that of instance 1");
    simulation.run(Some(&schedule), (600, 700), ON_TIME, RIGHT);
    assert!(schedule.published().is_empty());
    let left = parse_count(&simulation, "count(ALERTS) or vector(0)", 700);
    assert_eq!(left, 0.0, "and their series have ended");
}

fn parse_count(simulation: &Simulation, query: &str, second: i64) -> f64 {
    let result = simulation.engine.instant(&simulation.store, query, START + second * 1_000).unwrap();
    super::vector(result.value).unwrap()[0].value
}
