//! Rules over a store in memory.

use super::entry::{Defaults, Entry, Replacement, key};
use super::moves::Identity;
use super::restore::restore;
use super::watermark::Moment;
use super::*;
use crate::rules::group::GroupSettings;
use std::cell::RefCell;
use tsdb_core::read::{Queryable, SelectHints};
use tsdb_core::testing::MemStore;
use tsdb_core::write::Appendable;
use tsdb_core::{Labels, Matcher, TenantId, TimeRange, Timestamp};
use tsdb_promql::{Engine, EngineOptions, ParseOptions, VectorSample};

/// A world over a store in memory.
struct Memory {
    store: MemStore,
    external: Labels,
    down: RefCell<Option<String>>,
    newest: RefCell<Option<Timestamp>>,
}

impl Memory {
    fn new() -> Self {
        let external = Labels::from_pairs([("region", "eu")]).unwrap();
        Self { store: MemStore::new(), external, down: RefCell::new(None), newest: RefCell::new(None) }
    }

    fn put(&self, series: &str, at: Timestamp, value: f64) {
        let newest = self.newest.borrow().map_or(at, |newest| newest.max(at));
        self.newest.replace(Some(newest));
        self.store.put(&labels(series), at, value);
    }

    /// The elements of `query` at `at`, as `labels => value`.
    fn ask(&self, query: &str, at: Timestamp) -> Vec<String> {
        let mut lines: Vec<_> = self
            .query_text(query, at)
            .unwrap()
            .into_iter()
            .map(|sample| format!("{} => {}", sample.labels, sample.value))
            .collect();
        lines.sort();
        lines
    }
}

impl World for Memory {
    fn query(&self, expr: &tsdb_promql::ast::Expr, at: Timestamp) -> Result<Answer, String> {
        if let Some(reason) = &*self.down.borrow() {
            return Err(reason.clone());
        }
        let result = Engine::new(EngineOptions::default()).instant(&self.store, &expr.to_string(), at);
        let result = result.map_err(|error| error.to_string())?;
        Ok(Answer { samples_read: result.stats.samples_read, vector: vector(result.value)? })
    }

    fn query_text(&self, query: &str, at: Timestamp) -> Result<Vec<VectorSample>, String> {
        let expr = tsdb_promql::parse(query, &ParseOptions::default()).map_err(|error| error.to_string())?;
        self.query(&expr, at).map(|answer| answer.vector)
    }

    fn series(&self, matchers: &[Matcher], range: TimeRange, most: usize) -> Result<Vec<Labels>, String> {
        let querier = self.store.querier(range).map_err(|error| error.to_string())?;
        let set = querier.select(matchers, &SelectHints::over(range)).map_err(|error| error.to_string())?;
        Ok((0..set.len().min(most)).map(|index| set.labels(index)).collect())
    }

    fn newest(&self) -> Option<Timestamp> {
        *self.newest.borrow()
    }

    fn store(&self, samples: &[RuleSample]) -> Result<Vec<(usize, String)>, String> {
        let mut appender = self.store.appender();
        for sample in samples {
            let series = appender.series(&sample.labels).map_err(|error| error.to_string())?;
            appender.append(series, sample.timestamp, sample.value);
        }
        let report = appender.commit().map_err(|error| error.to_string())?;
        Ok(report.refused.iter().map(|refused| (refused.position, refused.reason.to_string())).collect())
    }

    fn external_labels(&self) -> &Labels {
        &self.external
    }

    fn external_url(&self) -> &str {
        "http://metrics.example"
    }

    fn stopwatch(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

fn labels(text: &str) -> Labels {
    let (name, rest) = text.split_once('{').unwrap_or((text, "}"));
    let pairs = rest.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='));
    Labels::from_pairs([("__name__", name)].into_iter().chain(pairs)).unwrap()
}

fn group(yaml: &str) -> Group {
    let text = format!("groups:\n- name: g\n  rules:\n{yaml}");
    parse_file("test.yml", &text, &ParseOptions::default()).unwrap().remove(0)
}

fn states(group: &Group) -> Vec<String> {
    let rules = group.rules().iter();
    rules
        .flat_map(|rule| rule.alerts().iter().map(|alert| format!("{} {}", alert.labels, alert.state.name())))
        .collect()
}

/// What holds in tests.
pub(super) const DEFAULTS: Defaults = Defaults {
    interval_ms: 15_000,
    query_offset_ms: 0,
    max_wait_ms: 180_000,
    catch_up_ms: 3_600_000,
    limit: 0,
    history: 10,
};
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;

const DOWN: &str = "  - alert: Down\n    expr: up == 0\n    for: 1m\n    labels: {severity: page}\n    \
                    annotations: {summary: '{{ $labels.job }} in {{ $externalLabels.region }}: {{ $value }}'}\n";

#[test]
fn an_alert_is_pending_then_fires_then_is_over_and_forgotten() {
    let world = Memory::new();
    let mut group = group(DOWN);
    for step in 0..8 {
        world.put("up{job=a}", step * 30 * SECOND, if (1..=4).contains(&step) { 0.0 } else { 1.0 });
    }
    let alert = r#"{alertname="Down", job="a", severity="page"}"#;
    let expected = ["", "pending", "pending", "firing", "firing", "inactive", "inactive"];
    for (step, expected) in expected.into_iter().enumerate() {
        let at = i64::try_from(step).unwrap() * 30 * SECOND;
        group.evaluate(Pass::current(at), &world);
        let expected: Vec<_> =
            [expected].into_iter().filter(|s| !s.is_empty()).map(|s| format!("{alert} {s}")).collect();
        assert_eq!(states(&group), expected, "step {step}");
    }
    assert_eq!(
        world.ask("ALERTS", 90 * SECOND),
        [r#"ALERTS{alertname="Down", alertstate="firing", job="a", severity="page"} => 1"#]
    );
    assert_eq!(
        world.ask("ALERTS_FOR_STATE", 90 * SECOND),
        [r#"ALERTS_FOR_STATE{alertname="Down", job="a", severity="page"} => 30"#]
    );
    assert_eq!(world.ask("ALERTS or ALERTS_FOR_STATE", 150 * SECOND), [""; 0], "stale at once");
    group.evaluate(Pass::current(150 * SECOND + 15 * MINUTE), &world);
    assert_eq!(states(&group).len(), 1, "receivers are told of the end for a while");
    group.evaluate(Pass::current(151 * SECOND + 15 * MINUTE), &world);
    assert_eq!(states(&group).len(), 0);
}

#[test]
fn annotations_follow_the_value() {
    let world = Memory::new();
    let mut group = group(DOWN);
    world.put("up{job=a}", 0, 0.0);
    group.evaluate(Pass::current(0), &world);
    let alerts: Vec<_> = group.rules()[0].alerts().iter().cloned().collect();
    assert_eq!(alerts[0].annotations, [("summary".to_owned(), "a in eu: 0".to_owned())]);
    assert_eq!(alerts[0].active_at, 0);
}

#[test]
fn an_alert_is_kept_firing_for_as_long_as_the_rule_says() {
    let world = Memory::new();
    let mut group = group("  - {alert: A, expr: x > 0, keep_firing_for: 1m}\n");
    world.put("x", 0, 1.0);
    world.put("x", 30 * SECOND, 0.0);
    let expected = ["firing", "firing", "firing", "inactive"];
    for (step, state) in (0..).zip(expected) {
        group.evaluate(Pass::current(step * 30 * SECOND), &world);
        assert_eq!(states(&group), [format!("{{alertname=\"A\"}} {state}")], "step {step}");
    }
}

#[test]
fn a_pending_alert_whose_element_goes_starts_anew() {
    let world = Memory::new();
    let mut group = group("  - {alert: A, expr: x > 0, for: 1m}\n");
    for (step, value) in (0..).zip([1.0, 0.0, 1.0, 1.0]) {
        world.put("x", step * 30 * SECOND, value);
        group.evaluate(Pass::current(step * 30 * SECOND), &world);
    }
    assert_eq!(states(&group), [r#"{alertname="A"} pending"#]);
}

#[test]
fn a_query_that_fails_leaves_everything_as_it_is() {
    let world = Memory::new();
    let mut group = group(DOWN);
    world.put("up{job=a}", 0, 0.0);
    group.evaluate(Pass::current(0), &world);
    group.evaluate(Pass::current(MINUTE), &world);
    *world.down.borrow_mut() = Some("the store is down".to_owned());
    let done = group.evaluate(Pass::current(2 * MINUTE), &world);
    assert_eq!(done, Evaluation { samples: 0, failed: 1 });
    assert_eq!(states(&group), [r#"{alertname="Down", job="a", severity="page"} firing"#]);
    assert_eq!(group.rules()[0].health(), &Health::Bad("the store is down".to_owned()));
}

#[test]
fn too_many_alerts_or_series_are_an_error_that_gives_the_numbers() {
    let world = Memory::new();
    let rules = "groups: [{name: g, limit: 2, rules: [{alert: A, expr: x}, {record: 'a:b', expr: x}]}]";
    let mut group = parse_file("f", rules, &ParseOptions::default()).unwrap().remove(0);
    for job in ["a", "b", "c"] {
        world.put(&format!("x{{job={job}}}"), 0, 1.0);
    }
    group.evaluate(Pass::current(0), &world);
    let health: Vec<_> = group.rules().iter().map(|rule| rule.health().clone()).collect();
    let bad = |what: &str| Health::Bad(format!("exceeded limit of 2 with 3 {what}"));
    assert_eq!(health, [bad("alerts"), bad("series")]);
}

#[test]
fn elements_that_become_one_alert_are_an_error() {
    let world = Memory::new();
    let mut group = group(
        "  - {alert: A, expr: '{__name__=~\"x|y\"}'}\n  - {record: 'a:b', expr: '{__name__=~\"x|y\"}'}\n",
    );
    world.put("x", 0, 1.0);
    world.put("y", 0, 1.0);
    assert_eq!(group.evaluate(Pass::current(0), &world).failed, 2);
}

#[test]
fn recorded_series_have_name_and_labels_of_the_rule_and_go_stale_with_their_element() {
    let world = Memory::new();
    let mut group = group(
        "  - {record: 'job:x:sum', expr: sum by (job) (x), labels: {team: core}}\n  - {record: twice, expr: '2 * job:x:sum'}\n",
    );
    world.put("x{job=a,i=1}", 0, 1.0);
    world.put("x{job=a,i=2}", 0, 2.0);
    group.evaluate(Pass::current(0), &world);
    assert_eq!(
        world.ask("twice", 0),
        [r#"twice{job="a", team="core"} => 6"#],
        "a rule sees what those before it gave"
    );
    world.put("x{job=a,i=1}", MINUTE, tsdb_core::STALE_NAN);
    world.put("x{job=a,i=2}", MINUTE, tsdb_core::STALE_NAN);
    group.evaluate(Pass::current(MINUTE), &world);
    assert_eq!(world.ask("{__name__=~\".*x.*|twice\"}", MINUTE), [""; 0]);
}

#[test]
fn an_offset_moves_question_and_samples_into_the_past() {
    let world = Memory::new();
    let text = "groups: [{name: g, query_offset: 1m, rules: [{record: r, expr: x}]}]";
    let mut group = parse_file("f", text, &ParseOptions::default()).unwrap().remove(0);
    world.put("x", MINUTE, 7.0);
    group.evaluate(Pass::current(2 * MINUTE), &world);
    assert_eq!(world.ask("timestamp(r)", 2 * MINUTE), ["{} => 60"]);
}

#[test]
fn a_new_form_of_a_group_takes_over_the_state_of_its_rules() {
    let world = Memory::new();
    let mut before =
        group(&format!("{DOWN}  - {{record: gone, expr: up}}\n  - {{record: kept, expr: up}}\n"));
    world.put("up{job=a}", 0, 0.0);
    before.evaluate(Pass::current(0), &world);
    before.evaluate(Pass::current(MINUTE), &world);
    let longer = DOWN.replace("for: 1m", "for: 5m").replace("summary", "text");
    let mut after = group(&format!("  - {{record: kept, expr: up}}\n{longer}"));
    after.take_over(before);
    after.evaluate(Pass::current(2 * MINUTE), &world);
    let alert = after.rules()[1].alerts().iter().next().unwrap();
    assert_eq!((alert.active_at, alert.state), (0, AlertState::Pending), "the clock of 'for' goes on");
    assert_eq!(alert.annotations[0].0, "text");
    assert_eq!(world.ask("gone", 2 * MINUTE), [""; 0], "a rule that is no more leaves no series behind");
    assert_eq!(world.ask("kept", 2 * MINUTE).len(), 1);
}

#[test]
fn a_rule_that_comes_while_a_group_is_evaluated_keeps_its_state_however_often_the_group_is_changed_meanwhile()
{
    let world = Memory::new();
    world.put("up{job=a}", 0, 0.0);
    let mut elsewhere = group(DOWN);
    elsewhere.evaluate(Pass::current(0), &world);
    let own = "  - {record: own, expr: up}\n";
    let tenant = TenantId::new("a").unwrap();
    let entry = |rules: &str| {
        let key = key(&tenant, &group(rules));
        let mut entry = Entry::new(&key, group(rules), DEFAULTS, Moment { now: 0, monotonic_ms: 0 });
        (entry.group.take().unwrap(), entry)
    };
    let arrives = || {
        let mut with_it = group(&format!("{own}{DOWN}"));
        with_it.rules_mut()[1].arrive(elsewhere.rules()[0].clone());
        Replacement::new(Some(with_it), Vec::new())
    };
    let becomes = |rules: &str| Replacement::new(Some(group(rules)), Vec::new());
    let ends = |mut entry: Entry, evaluated: Group| {
        let departed = entry.evaluated(evaluated, DEFAULTS);
        (states(entry.known()), departed.len())
    };
    let pending = r#"{alertname="Down", job="a", severity="page"} pending"#;

    let (evaluated, mut stays) = entry(own);
    for replacement in [arrives(), becomes(&format!("{DOWN}{own}")), becomes(DOWN)] {
        assert!(stays.become_group(replacement, DEFAULTS).is_empty());
        assert_eq!(states(stays.known()), [pending], "readers see it at once");
    }
    assert_eq!(ends(stays, evaluated), (vec![pending.to_owned()], 1), "its own rule is gone");

    let (evaluated, mut goes) = entry(own);
    for replacement in [arrives(), becomes(own)] {
        assert!(goes.become_group(replacement, DEFAULTS).is_empty());
    }
    assert_eq!(ends(goes, evaluated), (vec![], 1), "who came and is gone has departed");

    let (evaluated, mut moves) = entry(own);
    let went = vec![Identity::of(&elsewhere.rules()[0])];
    for replacement in [arrives(), Replacement::new(Some(group(own)), went)] {
        assert!(moves.become_group(replacement, DEFAULTS).is_empty());
    }
    assert_eq!(ends(moves, evaluated), (vec![], 0), "who came and went on has its state elsewhere");

    let (evaluated, mut vanishes) = entry(own);
    for replacement in [arrives(), Replacement::new(None, Vec::new())] {
        assert!(vanishes.become_group(replacement, DEFAULTS).is_empty());
    }
    assert_eq!(ends(vanishes, evaluated), (vec![], 2));
}

#[test]
fn every_mistake_of_a_file_is_told_with_its_place() {
    let text = "groups:\n- name: g\n  rules:\n  - record: a:b\n    expr: sum(\n    for: 1m\n  - alert: A\n    expr: up\n    \
                labels: {__name__: x}\n    annotations: {summary: '{{ nope }}'}\n  - expr: up\n- name: g\n  rules:\n  \
                - {record: 'x{y}', alert: B, expr: ''}\n";
    let faults = parse_file("f", text, &ParseOptions::default()).unwrap_err();
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    let expected = [
        "5:11: group \"g\", rule 1, \"a:b\": could not parse expression",
        "4:13: group \"g\", rule 1, \"a:b\": invalid field 'for' in recording rule",
        "group \"g\", rule 2, \"A\": invalid label name: __name__",
        "group \"g\", rule 2, \"A\": annotation \"summary\": error parsing template __alert_A: template: __alert_A:1: function \"nope\" not defined",
        "group \"g\", rule 3, \"\": one of 'record' or 'alert' must be set",
        "groupname: \"g\" is repeated in the same file",
        "group \"g\", rule 1, \"B\": only one of 'record' and 'alert' must be set",
        "group \"g\", rule 1, \"B\": field 'expr' must be set in rule",
        "group \"g\", rule 1, \"B\": braces present in the recording rule name; should it be in expr?: x{y}",
    ];
    for expected in expected {
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{expected} is not in {faults:#?}");
    }
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
}

#[test]
fn what_is_no_rule_file_is_refused_and_an_empty_one_has_no_groups() {
    for text in ["", "# nothing\n", "groups: []", "groups:\n"] {
        assert_eq!(
            parse_file("f", text, &ParseOptions::default()).map(|groups| groups.len()),
            Ok(0),
            "{text:?}"
        );
    }
    for text in [
        "group: []",
        "groups: [{name: g, interval: 5}]",
        "groups: [{name: g, rules: [{expr: 1, fro: 1m}]}]",
        "- [",
        "groups: [{rules: []}]",
    ] {
        let faults = parse_file("f", text, &ParseOptions::default()).unwrap_err();
        assert!(!faults[0].to_string().is_empty(), "{text:?}");
    }
    let settings =
        GroupSettings { file: "f".into(), name: "g".into(), interval: None, query_offset: None, limit: 0 };
    let parsed = parse_file("f", "groups: [{name: g}]", &ParseOptions::default()).unwrap();
    assert_eq!(parsed[0].settings(), &settings);
}

#[test]
fn alerts_are_taken_up_again_after_a_restart() {
    let world = Memory::new();
    let rules = "  - {alert: Waiting, expr: x > 0, for: 10m}\n  - {alert: Firing, expr: x > 0, for: 1m}\n";
    let mut before = group(rules);
    for minute in 0..10 {
        world.put("x", minute * MINUTE, 1.0);
    }
    for minute in 0..=3 {
        before.evaluate(Pass::current(minute * MINUTE), &world);
    }
    let mut after = group(rules);
    after.seek();
    let last = restore(&mut after, &world.store, 5 * MINUTE, 60 * MINUTE).unwrap();
    assert_eq!(last, Some(3 * MINUTE));
    assert_eq!(states(&after), [r#"{alertname="Waiting"} pending"#, r#"{alertname="Firing"} firing"#]);
    for minute in 4..=5 {
        after.evaluate(Pass { mode: Mode::CatchUp, ..Pass::current(minute * MINUTE) }, &world);
    }
    let since = |group: &Group| -> Vec<_> {
        group.rules().iter().flat_map(|rule| rule.alerts().iter().map(|a| a.active_at)).collect()
    };
    assert_eq!(since(&after), [0, 0], "the data of the outage is there: the clock of 'for' went on");
    let mut forgotten = group(rules);
    forgotten.seek();
    restore(&mut forgotten, &world.store, 90 * MINUTE, 60 * MINUTE).unwrap();
    assert_eq!(states(&forgotten), [""; 0], "what was an hour ago is not taken up");
}

#[test]
fn time_of_which_there_is_no_data_does_not_count_for_an_alert() {
    let world = Memory::new();
    let rules = "  - {alert: Waiting, expr: 'rate(x[1m]) > 0', for: 10m}\n";
    let mut before = group(rules);
    let sent = |minutes: std::ops::Range<i64>| {
        for step in minutes.start * 4..minutes.end * 4 {
            world.put("x", step * 15 * SECOND, step as f64);
        }
    };
    sent(0..5);
    for minute in 1..=4 {
        before.evaluate(Pass::current(minute * MINUTE), &world);
    }
    let mut after = group(rules);
    after.seek();
    restore(&mut after, &world.store, 12 * MINUTE, 60 * MINUTE).unwrap();
    for minute in 5..=10 {
        after.evaluate(Pass { mode: Mode::CatchUp, ..Pass::current(minute * MINUTE) }, &world);
    }
    sent(11..30);
    after.evaluate(Pass::current(12 * MINUTE), &world);
    let alert = after.rules()[0].alerts().iter().next().unwrap().clone();
    assert_eq!(alert.state, AlertState::Pending, "eleven minutes, five of which nobody knows of");
    assert_eq!(alert.active_at, 6 * MINUTE);
}

/// The state of the only rule, and why there is no data.
fn standing(group: &Group) -> (&'static str, Option<&'static str>) {
    let running = &group.rules()[0];
    (running.state().name(), running.absence().map(|absence| absence.name()))
}

#[test]
fn no_data_says_why() {
    let world = Memory::new();
    let rule = "  - {alert: A, expr: 'rate(requests[1m]) > 5'}\n";
    let mut group_ = group(rule);
    world.put("up{job=a,instance=b}", 0, 1.0);
    group_.evaluate(Pass::current(0), &world);
    assert_eq!(standing(&group_), ("NO_DATA", Some("never_existed")));
    for step in 0..=20 {
        world.put("requests{job=a,instance=b}", step * 15 * SECOND, 10.0);
        world.put("up{job=a,instance=b}", step * 15 * SECOND, 1.0);
    }
    group_.evaluate(Pass::current(5 * MINUTE), &world);
    assert_eq!(standing(&group_), ("OK", None), "there is data, and it is below the bound");
    world.put("up{job=a,instance=b}", 8 * MINUTE, 0.0);
    group_.evaluate(Pass::current(8 * MINUTE), &world);
    assert_eq!(standing(&group_), ("NO_DATA", Some("target_down")));
    let mut other = group(rule);
    world.put("up{job=a,instance=b}", 9 * MINUTE, 1.0);
    other.evaluate(Pass::current(9 * MINUTE), &world);
    assert_eq!(standing(&other), ("NO_DATA", Some("ended")));
    let mut other = group(rule);
    other.evaluate(Pass::current(20 * MINUTE), &world);
    assert_eq!(standing(&other), ("NO_DATA", Some("ingest_lag")));
}

#[test]
fn a_share_of_nothing_is_zero_traffic_for_a_rule_that_asks() {
    let world = Memory::new();
    for step in 0..=4 {
        world.put("errors", step * 15 * SECOND, 3.0);
        world.put("requests", step * 15 * SECOND, 9.0);
    }
    let expr = "rate(errors[1m]) / rate(requests[1m]) > 0.05";
    let rule = |policy: &str| {
        group(&format!("  - {{alert: A, expr: '{expr}', annotations: {{tsdb_no_data: {policy}}}}}\n"))
    };
    let mut asks = rule("alert");
    asks.evaluate(Pass::current(MINUTE), &world);
    assert_eq!(standing(&asks), ("NO_DATA", Some("zero_traffic")));
    assert_eq!(states(&asks), [r#"{alertname="A", no_data="true"} firing"#]);
    let reason = asks.rules()[0].alerts().iter().next().unwrap().annotations.last().unwrap().clone();
    assert_eq!(reason.0, "tsdb_reason");
    let mut does_not = rule("ok");
    does_not.evaluate(Pass::current(MINUTE), &world);
    assert_eq!(standing(&does_not), ("OK", None));
}

#[test]
fn a_policy_decides_what_no_data_does_to_an_alert() {
    for (policy, expected) in [
        ("ok", vec![r#"{alertname="A"} inactive"#]),
        ("keep", vec![r#"{alertname="A"} firing"#]),
        ("alert", vec![r#"{alertname="A"} firing"#, r#"{alertname="A", no_data="true"} firing"#]),
    ] {
        let world = Memory::new();
        let mut group = group(&format!(
            "  - {{alert: A, expr: 'sum(x) > 0', annotations: {{tsdb_no_data: {policy}}}}}\n"
        ));
        world.put("x", 0, 1.0);
        group.evaluate(Pass::current(0), &world);
        group.evaluate(Pass::current(10 * MINUTE), &world);
        assert_eq!(states(&group), expected, "{policy}");
        world.put("x", 11 * MINUTE, 0.0);
        group.evaluate(Pass::current(11 * MINUTE), &world);
        assert!(states(&group).iter().all(|state| state.ends_with("inactive")), "{policy}");
    }
}

#[test]
fn a_policy_decides_what_an_error_does_to_an_alert() {
    for (policy, expected) in [
        ("ok", vec![r#"{alertname="A"} inactive"#]),
        ("keep", vec![r#"{alertname="A"} firing"#]),
        ("alert", vec![r#"{alertname="A"} firing"#, r#"{alertname="A", evaluation_error="true"} firing"#]),
    ] {
        let world = Memory::new();
        let mut group =
            group(&format!("  - {{alert: A, expr: x > 0, annotations: {{tsdb_on_error: {policy}}}}}\n"));
        world.put("x", 0, 1.0);
        group.evaluate(Pass::current(0), &world);
        *world.down.borrow_mut() = Some("the store is down".to_owned());
        group.evaluate(Pass::current(MINUTE), &world);
        assert_eq!(
            (states(&group), standing(&group).0),
            (expected.iter().map(ToString::to_string).collect(), "ERROR")
        );
    }
}

#[test]
fn evaluations_that_failed_are_made_up_for_with_the_data_of_their_time() {
    let world = Memory::new();
    let mut group = group("  - {alert: A, expr: x > 0, for: 3m}\n  - {record: r, expr: x}\n");
    for minute in 0..=4 {
        world.put("x", minute * MINUTE, f64::from(u8::from(minute != 2)));
    }
    for minute in 0..=4 {
        let down = (1..=2).contains(&minute).then(|| "the store is down".to_owned());
        *world.down.borrow_mut() = down;
        group.evaluate(Pass::current(minute * MINUTE), &world);
    }
    let alert = group.rules()[0].alerts().iter().next().unwrap().clone();
    assert_eq!((alert.state, alert.active_at), (AlertState::Pending, 3 * MINUTE), "it was gone meanwhile");
    assert_eq!(world.ask("count_over_time(r[5m])", 4 * MINUTE), ["{} => 5"]);
}

#[test]
fn a_rule_that_makes_a_million_alerts_is_capped_before_it_makes_them() {
    let world = Memory::new();
    let mut group = group("  - {alert: A, expr: x}\n");
    for instance in 0..1_000 {
        world.put(&format!("x{{instance={instance}}}"), 0, 1.0);
    }
    group.evaluate(Pass { limit: 100, ..Pass::current(0) }, &world);
    assert_eq!(group.rules()[0].health(), &Health::Bad("exceeded limit of 100 with 1000 alerts".to_owned()));
    assert_eq!(states(&group).len(), 0);
}

#[test]
fn a_trial_says_when_a_rule_would_have_fired_and_stores_nothing() {
    let world = Memory::new();
    for minute in 0..=20 {
        world.put("x", minute * MINUTE, f64::from(u8::from((5..12).contains(&minute))));
    }
    let times = Times { start: 0, end: 20 * MINUTE, step_ms: MINUTE };
    let group = group("  - {alert: A, expr: x > 0, for: 3m}\n");
    let trial = try_out(group, times, 0, &world, &|| false);
    let changes: Vec<_> =
        trial.changes.iter().map(|change| (change.at / MINUTE, change.state.name())).collect();
    assert_eq!(changes, [(5, "pending"), (8, "firing"), (12, "inactive")]);
    assert_eq!((trial.evaluations, trial.cut_short), (21, false));
    assert_eq!(world.ask("ALERTS", 9 * MINUTE), [""; 0]);
}
