//! What every metadata store promises: each function is given an empty one.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use tsdb_core::metadata::MetricType;
use tsdb_core::{Labels, TenantId};
use tsdb_server::Period;
use tsdb_server::metadata::{
    AlertKey, AlertRecord, AlertRuleSpec, AuditAction, AuditKind, AuditQuery, Declaration, EvaluationState,
    MetadataErrorKind, MetadataStore, MetricQuery, NoDataPolicy, ObservedMetric, Overrides, Revision, RuleId,
    RuleStatus, Severity, Signature,
};

/// A promise, by its name.
pub(crate) type Promise = (&'static str, fn(&dyn MetadataStore));

/// All of them.
pub(crate) const ALL: [Promise; 13] = [
    ("an empty store has nothing", an_empty_store_has_nothing),
    ("budgets are as they were put", budgets_are_as_they_were_put),
    (
        "a change that expects another version is a conflict",
        a_change_that_expects_another_version_is_a_conflict,
    ),
    ("changes name the tenants that changed", changes_name_the_tenants_that_changed),
    ("a revision from the future is answered with everything", a_revision_from_the_future_means_everything),
    ("people overrule senders field by field", people_overrule_senders_field_by_field),
    ("metrics come by name and in pages", metrics_come_by_name_and_in_pages),
    ("rules are as they were created", rules_are_as_they_were_created),
    ("rules belong to their tenants", rules_belong_to_their_tenants),
    ("a rule that cannot be stored is refused by field", a_rule_that_cannot_be_stored_is_refused_by_field),
    ("alerts survive and go with their rule", alerts_survive_and_go_with_their_rule),
    ("many alerts at once", many_alerts_at_once),
    ("the audit log tells every change", the_audit_log_tells_every_change),
];

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn by(who: &str, at: i64) -> Signature {
    Signature { who: who.to_owned(), at }
}

fn overrides(value: Value) -> Overrides {
    Overrides::parse(value.to_string().as_bytes()).unwrap()
}

fn all_metrics() -> MetricQuery {
    MetricQuery { prefix: String::new(), after: None, limit: 100 }
}

fn all_entries() -> AuditQuery {
    AuditQuery { tenant: None, before: None, limit: 100 }
}

fn kind<T: std::fmt::Debug>(outcome: Result<T, tsdb_server::metadata::MetadataError>) -> MetadataErrorKind {
    outcome.unwrap_err().kind()
}

fn an_empty_store_has_nothing(store: &dyn MetadataStore) {
    let a = tenant("a");
    assert_eq!(store.budgets().unwrap(), []);
    assert_eq!(store.budget(&a).unwrap(), None);
    assert_eq!(store.metrics(&a, &all_metrics()).unwrap(), []);
    assert_eq!(store.metric(&a, "up").unwrap(), None);
    assert_eq!(store.rules(&a, None).unwrap().rules, []);
    assert_eq!(store.rule(&a, RuleId(1)).unwrap(), None);
    assert_eq!(store.alerts(&a).unwrap(), []);
    assert_eq!(store.audit(&all_entries()).unwrap(), []);
    let changes = store.changes(Revision::START).unwrap();
    assert_eq!((changes.budgets, changes.rules, changes.all), (vec![], vec![], true));
    let one = by("x", 1);
    assert_eq!(kind(store.delete_budget(&a, None, &one)), MetadataErrorKind::NotFound);
    assert_eq!(kind(store.delete_rule(&a, RuleId(1), None, &one)), MetadataErrorKind::NotFound);
    let spec = AlertRuleSpec::new("n", "up");
    assert_eq!(kind(store.update_rule(&a, RuleId(1), &spec, None, &one)), MetadataErrorKind::NotFound);
}

fn budgets_are_as_they_were_put(store: &dyn MetadataStore) {
    let all = [
        json!({}),
        json!({"ingest": {"samples_per_second": 100_000}}),
        // The columns of the table, besides each other and besides what has none.
        json!({"ingest": {"samples_per_second": 1, "burst_samples": 3}, "cardinality": {"max_active_series": 2},
               "push": {"max_labels": 4, "blocked_labels": ["a", "b"]}}),
        json!({"ingest": {"samples_per_second": 0}}),
        json!({"ingest": {"samples_per_second": "of another type"}, "cardinality": {"max_active_series": -1},
               "push": {"max_labels": 9_007_199_254_740_991u64}}),
        json!({"unknown": {"deep": {"er": [1, "x", null, {"y": 2.5}]}}, "text": "\u{0} \u{1f600} \" \\"}),
    ];
    for (number, value) in all.into_iter().enumerate() {
        let (id, given) = (tenant(&format!("t{number}")), overrides(value));
        let put = store.put_budget(&id, &given, None, &by("ann", 5)).unwrap();
        assert_eq!((&put.tenant, &put.overrides, put.updated_at), (&id, &given, 5));
        assert_eq!(put.updated_by, "ann");
        assert_eq!(store.budget(&id).unwrap(), Some(put));
    }
    let a = tenant("t1");
    let first = store.budget(&a).unwrap().unwrap();
    let second = store.put_budget(&a, &overrides(json!({"x": 1})), None, &by("bob", 6)).unwrap();
    assert!(second.version > first.version);
    assert_eq!((second.overrides.to_string().as_str(), second.updated_by.as_str()), (r#"{"x":1}"#, "bob"));
    assert_eq!(store.budget(&a).unwrap(), Some(second));
    store.delete_budget(&a, None, &by("bob", 7)).unwrap();
    assert_eq!(store.budget(&a).unwrap(), None);
    let left: Vec<_> = store.budgets().unwrap().into_iter().map(|budget| budget.tenant).collect();
    assert_eq!(left, ["t0", "t2", "t3", "t4", "t5"].map(tenant));
}

fn a_change_that_expects_another_version_is_a_conflict(store: &dyn MetadataStore) {
    let (a, one, none) = (tenant("a"), by("x", 1), Overrides::default());
    assert_eq!(kind(store.put_budget(&a, &none, Some(4), &one)), MetadataErrorKind::Conflict);
    let first = store.put_budget(&a, &none, Some(0), &one).unwrap().version;
    assert_eq!(kind(store.put_budget(&a, &none, Some(0), &one)), MetadataErrorKind::Conflict);
    let second = store.put_budget(&a, &none, Some(first), &one).unwrap().version;
    assert_eq!(kind(store.delete_budget(&a, Some(first), &one)), MetadataErrorKind::Conflict);
    store.delete_budget(&a, Some(second), &one).unwrap();
    let anew = store.put_budget(&a, &none, Some(0), &one).unwrap().version;
    assert!(anew > second, "a budget that was away must not look as if it had never been");

    let said = Declaration::default();
    assert_eq!(kind(store.declare_metric(&a, "m", &said, Some(1), &one)), MetadataErrorKind::Conflict);
    let first = store.declare_metric(&a, "m", &said, Some(0), &one).unwrap().version;
    assert!(store.declare_metric(&a, "m", &said, Some(first), &one).unwrap().version > first);

    let spec = AlertRuleSpec::new("n", "up");
    let rule = store.create_rule(&a, &spec, &one).unwrap();
    let changed = store.update_rule(&a, rule.id, &spec, Some(rule.version), &one).unwrap();
    assert!(changed.version > rule.version);
    let late = store.update_rule(&a, rule.id, &spec, Some(rule.version), &one);
    assert_eq!(kind(late), MetadataErrorKind::Conflict);
    assert_eq!(kind(store.delete_rule(&a, rule.id, Some(rule.version), &one)), MetadataErrorKind::Conflict);
    store.delete_rule(&a, rule.id, Some(changed.version), &one).unwrap();
}

fn changes_name_the_tenants_that_changed(store: &dyn MetadataStore) {
    let (a, b, one) = (tenant("a"), tenant("b"), by("x", 1));
    let start = store.changes(Revision::START).unwrap();
    store.put_budget(&a, &Overrides::default(), None, &one).unwrap();
    let rule = store.create_rule(&b, &AlertRuleSpec::new("n", "up"), &one).unwrap();
    // Before the first change there is nothing that a revision could stand for.
    let all = store.changes(start.revision).unwrap();
    assert_eq!((all.budgets, all.rules), (vec![a.clone()], vec![b.clone()]));
    let none = store.changes(all.revision).unwrap();
    assert_eq!((none.revision, none.all), (all.revision, false));
    assert_eq!((none.budgets, none.rules), (vec![], vec![]));

    store.observe_metrics(&a, &[], 2).unwrap();
    store.declare_metric(&a, "m", &Declaration::default(), None, &one).unwrap();
    store.save_alerts(&b, &[record(rule.id, &[], 1)], &[]).unwrap();
    let unmoved = store.changes(all.revision).unwrap();
    assert_eq!((unmoved.budgets, unmoved.rules), (vec![], vec![]), "only budgets and rules are told");

    store.delete_budget(&a, None, &one).unwrap();
    let of_budgets = store.changes(all.revision).unwrap();
    assert!(of_budgets.revision > all.revision);
    assert_eq!((of_budgets.budgets, of_budgets.rules, of_budgets.all), (vec![a.clone()], vec![], false));
    store.update_rule(&b, rule.id, &rule.spec, None, &one).unwrap();
    let of_rules = store.changes(of_budgets.revision).unwrap();
    assert_eq!((of_rules.budgets, of_rules.rules), (vec![], vec![b.clone()]));
    store.delete_rule(&b, rule.id, None, &one).unwrap();
    assert_eq!(store.changes(of_rules.revision).unwrap().rules, std::slice::from_ref(&b));
    let rest = store.changes(Revision::START).unwrap();
    assert_eq!((rest.budgets, rest.rules, rest.all), (vec![], vec![], true));
}

fn a_revision_from_the_future_means_everything(store: &dyn MetadataStore) {
    let (a, one) = (tenant("a"), by("x", 1));
    store.put_budget(&a, &Overrides::default(), None, &one).unwrap();
    let now = store.changes(Revision::START).unwrap();
    let changes = store.changes(Revision(now.revision.0 + 1_000)).unwrap();
    assert_eq!((changes.all, changes.budgets, changes.revision), (true, vec![a], now.revision));
}

fn people_overrule_senders_field_by_field(store: &dyn MetadataStore) {
    let (a, one) = (tenant("a"), by("x", 1));
    let observed = |unit: &str, active_series| ObservedMetric {
        name: "m".to_owned(),
        metric_type: MetricType::Counter,
        unit: unit.to_owned(),
        help: "what senders say".to_owned(),
        active_series,
    };
    store.observe_metrics(&a, &[observed("s", None)], 10).unwrap();
    let metric = store.metric(&a, "m").unwrap().unwrap();
    assert_eq!((metric.metric_type, metric.unit.as_str(), metric.version), (MetricType::Counter, "s", 0));
    assert_eq!((metric.created_at, metric.updated_at, metric.active_series), (10, 10, None));

    let said = Declaration {
        description: Some("what people say\u{1f600}".to_owned()),
        owner_service: "checkout".to_owned(),
        owner_team: "payments".to_owned(),
        ..Declaration::default()
    };
    let declared = store.declare_metric(&a, "m", &said, None, &by("x", 20)).unwrap();
    store.observe_metrics(&a, &[observed("seconds", Some(7))], 30).unwrap();
    let metric = store.metric(&a, "m").unwrap().unwrap();
    assert_eq!((metric.unit.as_str(), metric.active_series), ("seconds", Some(7)));
    assert_eq!(metric.description, "what people say\u{1f600}");
    assert_eq!((metric.owner_service.as_str(), metric.owner_team.as_str()), ("checkout", "payments"));
    assert_eq!((metric.version, &metric.declared), (declared.version, &said));
    assert_eq!((metric.created_at, metric.updated_at), (10, 30));

    store.observe_metrics(&a, &[observed("seconds", None)], 40).unwrap();
    assert_eq!(store.metric(&a, "m").unwrap().unwrap().active_series, Some(7), "a count stays");
    let nothing = Declaration::default();
    store.declare_metric(&a, "m", &nothing, None, &one).unwrap();
    store.observe_metrics(&a, &[observed("seconds", None)], 50).unwrap();
    let metric = store.metric(&a, "m").unwrap().unwrap();
    assert_eq!((metric.description.as_str(), metric.owner_team.as_str()), ("what senders say", ""));

    // A text that no store takes is made one that it does, or passed over with its metric.
    let odd = ObservedMetric { help: "a\0b".to_owned(), ..observed("s", None) };
    let lost = ObservedMetric { name: "n\0".to_owned(), ..observed("s", None) };
    store.observe_metrics(&a, &[lost, odd], 60).unwrap();
    assert_eq!(store.metric(&a, "m").unwrap().unwrap().description, "a\u{fffd}b");
    let unstorable = Declaration { unit: Some("\0".to_owned()), ..Declaration::default() };
    assert_eq!(kind(store.declare_metric(&a, "m", &unstorable, None, &one)), MetadataErrorKind::Invalid);
    assert_eq!(kind(store.declare_metric(&a, "", &nothing, None, &one)), MetadataErrorKind::Invalid);
}

fn metrics_come_by_name_and_in_pages(store: &dyn MetadataStore) {
    let (a, b) = (tenant("a"), tenant("b"));
    let observed = |name: &str| ObservedMetric {
        name: name.to_owned(),
        metric_type: MetricType::Gauge,
        unit: String::new(),
        help: String::new(),
        active_series: None,
    };
    // By bytes, whatever the language of the database.
    let names = ["Zulu", "a%b", "a_b", "ab", "b", "b_c", "\u{e4}"];
    let given: Vec<_> = names.iter().rev().map(|name| observed(name)).collect();
    store.observe_metrics(&a, &given, 1).unwrap();
    store.observe_metrics(&b, &[observed("other")], 1).unwrap();
    let found = |prefix: &str, after: Option<&str>, limit| {
        let query = MetricQuery { prefix: prefix.to_owned(), after: after.map(str::to_owned), limit };
        let metrics = store.metrics(&a, &query).unwrap();
        metrics.into_iter().map(|metric| metric.name).collect::<Vec<_>>()
    };
    assert_eq!(found("", None, 100), names);
    assert_eq!(found("", None, 3), &names[..3]);
    assert_eq!(found("", Some("a_b"), 2), ["ab", "b"]);
    assert_eq!(found("a_", None, 100), ["a_b"], "a wildcard of the database is none");
    assert_eq!(found("a%", None, 100), ["a%b"]);
    assert_eq!(found("a", Some("a%b"), 100), ["a_b", "ab"]);
    assert_eq!(found("\u{e4}", None, 100), ["\u{e4}"]);
    let many: Vec<_> = (0..3_000).map(|number| observed(&format!("many_{number:04}"))).collect();
    store.observe_metrics(&a, &many, 2).unwrap();
    assert_eq!(found("many_", Some("many_2997"), 100), ["many_2998", "many_2999"]);
}

fn full_spec() -> AlertRuleSpec {
    AlertRuleSpec {
        group: "slo".to_owned(),
        interval: Period::from_secs(60),
        hold: Period::from_secs(0),
        keep_firing_for: Period::from_secs(120),
        severity: Severity::Critical,
        status: RuleStatus::Paused,
        no_data: NoDataPolicy::NoData,
        labels: BTreeMap::from([("team".to_owned(), "a\"b\u{1f600}".to_owned())]),
        annotations: BTreeMap::from([("summary".to_owned(), "{{ $value }}\n".to_owned())]),
        ..AlertRuleSpec::new("TooManyErrors", "rate(errors_total[5m]) > 1")
    }
}

fn rules_are_as_they_were_created(store: &dyn MetadataStore) {
    let a = tenant("a");
    let plain = AlertRuleSpec::new("n", "up == 0");
    let first = store.create_rule(&a, &full_spec(), &by("x", 1)).unwrap();
    let second = store.create_rule(&a, &plain, &by("x", 2)).unwrap();
    let twin = store.create_rule(&a, &plain, &by("x", 3)).unwrap();
    assert_eq!((&first.spec, &first.tenant, first.created_at), (&full_spec(), &a, 1));
    assert!(first.id < second.id && second.id < twin.id);
    assert_eq!(store.rule(&a, first.id).unwrap().as_ref(), Some(&first));
    // By group, which the plain ones have none of.
    assert_eq!(store.rules(&a, None).unwrap().rules, [second.clone(), twin.clone(), first.clone()]);
    assert_eq!(store.rules(&a, Some(RuleStatus::Active)).unwrap().rules, [second.clone(), twin]);
    assert_eq!(store.rules(&a, Some(RuleStatus::Paused)).unwrap().rules, [first]);

    let changed = store.update_rule(&a, second.id, &full_spec(), None, &by("y", 9)).unwrap();
    assert_eq!((&changed.spec, changed.created_at, changed.updated_at), (&full_spec(), 2, 9));
    assert_eq!(store.rule(&a, second.id).unwrap(), Some(changed));
    store.delete_rule(&a, second.id, None, &by("y", 10)).unwrap();
    assert_eq!(store.rule(&a, second.id).unwrap(), None);
}

fn rules_belong_to_their_tenants(store: &dyn MetadataStore) {
    let (a, b, one) = (tenant("a"), tenant("b"), by("x", 1));
    let rule = store.create_rule(&a, &AlertRuleSpec::new("n", "up"), &one).unwrap();
    store.save_alerts(&a, &[record(rule.id, &[("x", "1")], 5)], &[]).unwrap();
    assert_eq!(store.rule(&b, rule.id).unwrap(), None);
    assert_eq!(store.rules(&b, None).unwrap().rules, []);
    assert_eq!(store.alerts(&b).unwrap(), []);
    assert_eq!(kind(store.update_rule(&b, rule.id, &rule.spec, None, &one)), MetadataErrorKind::NotFound);
    assert_eq!(kind(store.delete_rule(&b, rule.id, None, &one)), MetadataErrorKind::NotFound);
    let key = record(rule.id, &[("x", "1")], 5).key;
    store.save_alerts(&b, &[record(rule.id, &[("x", "1")], 99)], &[key]).unwrap();
    assert_eq!(store.alerts(&a).unwrap(), [record(rule.id, &[("x", "1")], 5)]);
}

fn a_rule_that_cannot_be_stored_is_refused_by_field(store: &dyn MetadataStore) {
    let (a, one) = (tenant("a"), by("x", 1));
    let plain = AlertRuleSpec::new("n", "up");
    let half = Period::from_ms(1_500);
    let long = BTreeMap::from([("l".to_owned(), "x".repeat(5_000))]);
    let cases = [
        ("name", AlertRuleSpec::new("", "up")),
        ("name", AlertRuleSpec::new("n\0", "up")),
        ("expression", AlertRuleSpec::new("n", "")),
        ("expression", AlertRuleSpec::new("n", "x".repeat(100_000))),
        ("interval", AlertRuleSpec { interval: half, ..plain.clone() }),
        ("interval", AlertRuleSpec { interval: Period::from_secs(0), ..plain.clone() }),
        ("for", AlertRuleSpec { hold: Period::from_secs(400 * 86_400), ..plain.clone() }),
        ("keepFiringFor", AlertRuleSpec { keep_firing_for: half, ..plain.clone() }),
        ("labels.l", AlertRuleSpec { labels: long, ..plain.clone() }),
    ];
    let rule = store.create_rule(&a, &plain, &one).unwrap();
    for (field, spec) in cases {
        let created = store.create_rule(&a, &spec, &one).unwrap_err();
        assert_eq!(created.kind(), MetadataErrorKind::Invalid);
        assert!(created.to_string().starts_with(field), "{field}: {created}");
        assert_eq!(kind(store.update_rule(&a, rule.id, &spec, None, &one)), MetadataErrorKind::Invalid);
    }
    assert_eq!(store.rules(&a, None).unwrap().rules, [rule]);
}

fn record(rule: RuleId, labels: &[(&str, &str)], at: i64) -> AlertRecord {
    AlertRecord {
        key: AlertKey { rule, series: Labels::from_pairs(labels.iter().copied()).unwrap() },
        state: EvaluationState::Pending,
        first_triggered_at: Some(at - 1),
        fired_at: None,
        kept_since: None,
        resolved_at: None,
        last_evaluated_at: at,
        last_value: Some(0.1),
        last_error: None,
    }
}

fn alerts_survive_and_go_with_their_rule(store: &dyn MetadataStore) {
    let (a, one) = (tenant("a"), by("x", 1));
    let rule = store.create_rule(&a, &AlertRuleSpec::new("n", "up"), &one).unwrap();
    let other = store.create_rule(&a, &AlertRuleSpec::new("m", "up"), &one).unwrap();
    let long = "x".repeat(20_000);
    let mut full = record(rule.id, &[("a", "\0 \u{1f600} \""), ("z", &long)], 1_775_643_330_123);
    full.state = EvaluationState::Firing;
    full.fired_at = Some(1);
    full.kept_since = Some(-2);
    full.resolved_at = Some(i64::MAX);
    full.last_value = Some(f64::NEG_INFINITY);
    full.last_error = Some("why".to_owned());
    let whole = AlertRecord { state: EvaluationState::Error, ..record(rule.id, &[], 7) };
    let mut wordy = record(other.id, &[("a", "1")], 8);
    wordy.last_value = Some(f64::NAN);
    wordy.last_error = Some("\0".to_owned());
    store.save_alerts(&a, &[full.clone(), whole.clone(), wordy], &[]).unwrap();
    let mut kept = record(other.id, &[("a", "1")], 8);
    kept.last_value = None;
    kept.last_error = Some("\u{fffd}".to_owned());
    let sorted = || {
        let mut alerts = store.alerts(&a).unwrap();
        alerts.sort_by(|x, y| x.key.cmp(&y.key));
        alerts
    };
    assert_eq!(sorted(), [whole.clone(), full.clone(), kept.clone()]);

    // Twice the same in one batch: the later holds. One of a rule that is no more costs the others nothing.
    let early = AlertRecord { state: EvaluationState::Ok, ..whole.clone() };
    let stray = record(RuleId(rule.id.0 + 1_000), &[], 9);
    store.save_alerts(&a, &[early, stray, whole.clone()], &[full.key]).unwrap();
    assert_eq!(sorted(), [whole.clone(), kept.clone()]);
    store.update_rule(&a, rule.id, &AlertRuleSpec::new("changed", "up"), None, &one).unwrap();
    assert_eq!(sorted(), [whole, kept.clone()], "a changed rule keeps its alerts");
    store.delete_rule(&a, rule.id, None, &one).unwrap();
    assert_eq!(sorted(), [kept]);
}

fn many_alerts_at_once(store: &dyn MetadataStore) {
    let (a, one) = (tenant("a"), by("x", 1));
    let rule = store.create_rule(&a, &AlertRuleSpec::new("n", "up"), &one).unwrap();
    let many = |at| {
        let one = |number: i32| record(rule.id, &[("pod", &format!("p{number}"))], at);
        (0..2_500).map(one).collect::<Vec<_>>()
    };
    store.save_alerts(&a, &many(1), &[]).unwrap();
    store.save_alerts(&a, &many(2), &[]).unwrap();
    let alerts = store.alerts(&a).unwrap();
    assert_eq!(
        (alerts.len(), alerts.iter().filter(|alert| alert.last_evaluated_at == 2).count()),
        (2_500, 2_500)
    );
    let gone: Vec<_> = alerts.into_iter().skip(10).map(|alert| alert.key).collect();
    store.save_alerts(&a, &[], &gone).unwrap();
    assert_eq!(store.alerts(&a).unwrap().len(), 10);
}

fn the_audit_log_tells_every_change(store: &dyn MetadataStore) {
    let (a, b) = (tenant("a"), tenant("b"));
    let limits = json!({"ingest": {"samples_per_second": 5}});
    store.put_budget(&a, &overrides(limits.clone()), None, &by("ann", 1)).unwrap();
    store.put_budget(&a, &Overrides::default(), None, &by("bob", 2)).unwrap();
    store.delete_budget(&a, None, &by("cid", 3)).unwrap();
    let said = Declaration { unit: Some("s".to_owned()), ..Declaration::default() };
    store.declare_metric(&b, "m", &said, None, &by("dan", 4)).unwrap();
    let rule = store.create_rule(&a, &AlertRuleSpec::new("n", "up"), &by("eve", 5)).unwrap();
    store.delete_rule(&a, rule.id, None, &by("fay", 6)).unwrap();
    // What was refused leaves no trace.
    store.put_budget(&a, &Overrides::default(), Some(77), &by("gil", 7)).unwrap_err();

    let log = store.audit(&all_entries()).unwrap();
    let told: Vec<_> =
        log.iter().map(|e| (e.who.as_str(), e.at, e.action, e.kind, e.tenant.as_str())).collect();
    use AuditAction::{Create, Delete, Update};
    let expected = [
        ("fay", 6, Delete, AuditKind::Rule, "a"),
        ("eve", 5, Create, AuditKind::Rule, "a"),
        ("dan", 4, Create, AuditKind::Metric, "b"),
        ("cid", 3, Delete, AuditKind::Limits, "a"),
        ("bob", 2, Update, AuditKind::Limits, "a"),
        ("ann", 1, Create, AuditKind::Limits, "a"),
    ];
    assert_eq!(told, expected);
    assert_eq!(log[0].name, rule.id.to_string());
    assert_eq!((log[0].after.as_ref(), log[1].before.as_ref()), (None, None));
    assert_eq!(log[0].before, log[1].after);
    assert_eq!(log[0].before.as_ref().unwrap()["expression"], "up");
    assert_eq!((log[2].name.as_str(), log[2].after.as_ref()), ("m", Some(&json!({"unit": "s"}))));
    assert_eq!((log[4].before.as_ref(), log[4].after.as_ref()), (Some(&limits), Some(&json!({}))));

    let of_b = AuditQuery { tenant: Some(b), ..all_entries() };
    assert_eq!(store.audit(&of_b).unwrap(), [log[2].clone()]);
    let second_page = AuditQuery { before: Some(log[1].id), limit: 2, ..all_entries() };
    assert_eq!(store.audit(&second_page).unwrap(), log[2..4]);
}
