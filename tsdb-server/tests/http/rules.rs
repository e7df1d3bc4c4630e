//! Rules over HTTP: evaluated on their threads, told by `/api/v1/rules` and `/api/v1/alerts`, read anew on demand.

use crate::harness::{NOW, Running, SLOW_PREFIX, config, send, start};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tsdb_core::Labels;
use tsdb_server::{Config, Period};

const RULES: &str = "groups:
- name: first
  interval: 20ms
  labels: {team: core}
  rules:
  - {record: 'job:up:sum', expr: 'sum by (job) (up)'}
  - alert: Down
    expr: up == 0
    labels: {severity: page, who: '{{ $labels.job }}'}
    annotations: {summary: '{{ $labels.instance }} is down, value {{ $value }}'}
- name: second
  rules:
  - {alert: Waiting, expr: up == 0, for: 1h}
  - {alert: Broken, expr: 'up * on (job) up'}
";

/// A time behind all evaluations of these tests, s.
const LATER: i64 = NOW / 1_000 + 60;

fn with_rules(folder: &Path, text: &str) -> Config {
    let file = folder.join("rules.yml");
    std::fs::write(&file, text).unwrap();
    let mut config = config();
    config.rules.files = vec![folder.join("*.yml").display().to_string()];
    config.rules.evaluation_interval = Period::from_ms(20);
    config.admin_api = true;
    config
}

/// A server whose rules see two instances of a job, one of them down.
async fn server(folder: &Path, text: &str) -> Running {
    let server = start(with_rules(folder, text)).await;
    for (instance, value) in [("a", 1.0), ("b", 0.0)] {
        let labels =
            Labels::from_pairs([("__name__", "up"), ("job", "node"), ("instance", instance)]).unwrap();
        for at in [NOW - 60_000, NOW, NOW + 60_000] {
            server.stores.of("default").0.put(&labels, at, value);
        }
    }
    server
}

async fn data(server: &Running, path: &str) -> Value {
    let (status, body) = send(server.get(path)).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str::<Value>(&body).unwrap()["data"].clone()
}

/// The answer to `path` as soon as it satisfies `wanted`.
async fn awaited(server: &Running, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..3_000 {
        let answer = data(server, path).await;
        if wanted(&answer) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{path} never became what was expected: {}", data(server, path).await);
}

fn alerts_of<'a>(answer: &'a Value, name: &str) -> Vec<&'a Value> {
    let alerts = answer["alerts"].as_array().unwrap();
    alerts.iter().filter(|alert| alert["labels"]["alertname"] == name).collect()
}

#[tokio::test]
async fn alerts_and_rules_are_told_in_the_form_of_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), RULES).await;
    let answer = awaited(&server, "/api/v1/alerts", |answer| {
        !alerts_of(answer, "Down").is_empty() && !alerts_of(answer, "Waiting").is_empty()
    })
    .await;
    let mut alert = alerts_of(&answer, "Down")[0].clone();
    assert!(alert.as_object_mut().unwrap().remove("activeAt").is_some_and(|at| at.is_string()));
    let expected = json!({
        "labels": {"alertname": "Down", "instance": "b", "job": "node", "severity": "page", "team": "core", "who": "node"},
        "annotations": {"summary": "b is down, value 0"},
        "state": "firing",
        "value": "0e+00",
    });
    assert_eq!(alert, expected);
    assert_eq!(alerts_of(&answer, "Waiting")[0]["state"], "pending");
    let rules =
        awaited(&server, "/api/v1/rules", |answer| answer["groups"][1]["rules"][1]["health"] == "err").await;
    let [first, second] = [&rules["groups"][0], &rules["groups"][1]];
    assert_eq!(
        (&first["name"], &first["interval"], &first["limit"]),
        (&json!("first"), &json!(0.02), &json!(0))
    );
    let recording = &first["rules"][0];
    let told = [
        &recording["name"],
        &recording["query"],
        &recording["health"],
        &recording["type"],
        &recording["labels"],
    ];
    let expected = [
        json!("job:up:sum"),
        json!("sum by (job) (up)"),
        json!("ok"),
        json!("recording"),
        json!({"team": "core"}),
    ];
    assert_eq!(told, expected.each_ref());
    assert_eq!(second["rules"][0]["duration"], 3600);
    assert!(second["rules"][1]["lastError"].as_str().unwrap().contains("many-to-many"), "{second}");
    let recorded = data(&server, &format!("/api/v1/query?query=job:up:sum&time={LATER}")).await;
    assert_eq!(
        recorded["result"][0]["metric"],
        json!({"__name__": "job:up:sum", "job": "node", "team": "core"})
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn rules_are_filtered_and_paged() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), RULES).await;
    let names = |answer: &Value| -> Vec<String> {
        let groups = answer["groups"].as_array().unwrap().iter();
        let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
        rules.map(|rule| rule["name"].as_str().unwrap().to_owned()).collect()
    };
    for (filter, expected) in [
        ("type=record", &["job:up:sum"][..]),
        ("type=alert&rule_group[]=first", &["Down"]),
        ("rule_name[]=Down&rule_name[]=Broken", &["Down", "Broken"]),
        ("match[]={severity=\"page\"}", &["Down"]),
        ("file[]=none", &[]),
    ] {
        assert_eq!(names(&data(&server, &format!("/api/v1/rules?{filter}")).await), expected, "{filter}");
    }
    let first = data(&server, "/api/v1/rules?group_limit=1&exclude_alerts=true").await;
    assert_eq!(names(&first), ["job:up:sum", "Down"]);
    assert_eq!(first["groups"][0]["rules"][1]["alerts"], Value::Null);
    let token = first["groupNextToken"].as_str().unwrap();
    let rest = data(&server, &format!("/api/v1/rules?group_limit=1&group_next_token={token}")).await;
    assert_eq!(
        (names(&rest), &rest["groupNextToken"]),
        (vec!["Waiting".to_owned(), "Broken".to_owned()], &Value::Null)
    );
    for wrong in [
        "type=none",
        "group_limit=0",
        "group_next_token=x",
        "group_limit=1&group_next_token=x",
        "match[]={",
        "exclude_alerts=maybe",
    ] {
        assert_eq!(send(server.get(&format!("/api/v1/rules?{wrong}"))).await.0, 400, "{wrong}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn rules_are_read_anew_and_a_mistake_leaves_them_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), RULES).await;
    let before = awaited(&server, "/api/v1/alerts", |answer| !alerts_of(answer, "Waiting").is_empty()).await;
    let since = alerts_of(&before, "Waiting")[0]["activeAt"].clone();
    std::fs::write(folder.path().join("rules.yml"), "groups: [{name: x, rules: [{alert: A, expr: 'sum('}]}]")
        .unwrap();
    let (status, body) = send(server.post("/-/reload")).await;
    assert_eq!(status, 500);
    assert!(
        body.contains("rules.yml: 1:45: group \\\"x\\\", rule 1, \\\"A\\\": could not parse expression"),
        "{body}"
    );
    assert_eq!(data(&server, "/api/v1/rules").await["groups"].as_array().unwrap().len(), 2);
    let text = "groups: [{name: second, rules: [{alert: Waiting, expr: up == 0, for: 2h}]}]";
    std::fs::write(folder.path().join("rules.yml"), text).unwrap();
    assert_eq!(send(server.post("/-/reload")).await.0, 200);
    awaited(&server, "/api/v1/rules", |answer| answer["groups"].as_array().unwrap().len() == 1).await;
    let after = awaited(&server, "/api/v1/alerts", |answer| !alerts_of(answer, "Waiting").is_empty()).await;
    assert_eq!(alerts_of(&after, "Waiting")[0]["activeAt"], since, "the clock of 'for' goes on");
    let gone = format!("/api/v1/query?query=job:up:sum%20or%20ALERTS%7Balertname=%22Down%22%7D&time={LATER}");
    awaited(&server, &gone, |answer| answer["result"] == json!([])).await;
    server.stop().await.unwrap();
}

/// Writes two files with a group each, whose names end in `version`; the second is none if `broken`.
fn write_files(folder: &Path, version: usize, broken: bool) {
    for part in ["a", "b"] {
        let expr = if broken && part == "b" { "sum(" } else { "up == 0" };
        let rules =
            format!("[{{alert: Down{part}, expr: '{expr}', for: 1h}}, {{record: 'r:{part}', expr: up}}]");
        let text = format!("groups: [{{name: {part}{version}, rules: {rules}}}]");
        std::fs::write(folder.join(format!("{part}.yml")), text).unwrap();
    }
}

fn group_names(answer: &Value) -> Vec<&str> {
    let groups = answer["groups"].as_array().unwrap();
    groups.iter().map(|group| group["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn files_and_limits_change_in_the_middle_of_traffic_as_a_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), "groups: []").await;
    write_files(folder.path(), 0, false);
    assert_eq!(send(server.post("/-/reload")).await.0, 200);
    let limits = "/api/v1/admin/tenants/default/limits";
    let change = async {
        for round in 1..40_usize {
            let broken = round % 3 == 0;
            write_files(folder.path(), round, broken);
            let (status, said) = send(server.post("/-/reload")).await;
            assert_eq!((status == 200, said.contains("b.yml")), (!broken, broken), "{said}");
            let of_rules = if broken { json!(-1) } else { json!(100 + round) };
            let put = server
                .client
                .put(server.url(limits))
                .body(json!({"rules": {"max_rules": of_rules}}).to_string());
            assert_eq!(send(put).await.0, if broken { 400 } else { 200 });
            let told = data(&server, "/api/v1/rules").await;
            let expected = if broken { round - 1 } else { round };
            assert_eq!(group_names(&told), [format!("a{expected}"), format!("b{expected}")]);
        }
    };
    let mut requests = 0;
    let traffic = async {
        loop {
            let sample =
                json!({"metric": "m", "labels": {"a": "b"}, "timestampMs": NOW + requests, "value": 1});
            let (written, queried, told) = tokio::join!(
                send(server.push(json!({"samples": [sample]}).to_string())),
                send(server.get("/api/v1/query?query=up")),
                data(&server, "/api/v1/rules"),
            );
            assert_eq!((written.0.as_u16(), queried.0.as_u16()), (202, 200), "{} {}", written.1, queried.1);
            let names = group_names(&told);
            assert_eq!(names.len(), 2, "{names:?}");
            assert_eq!(names[0][1..], names[1][1..], "both files are of one time");
            requests += 1;
        }
    };
    tokio::select! { () = change => {}, never = traffic => never }
    assert!(requests > 0);
    // In the end it is as if nothing had been.
    awaited(&server, "/api/v1/alerts", |answer| alerts_of(answer, "Downa").len() == 1).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_group_that_hangs_keeps_no_other_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "groups: [{{name: slow, rules: [{{record: a, expr: 'count({{__name__=~\"{SLOW_PREFIX}.*\"}})'}}]}}, \
         {{name: quick, rules: [{{record: b, expr: up}}]}}]"
    );
    let server = server(folder.path(), "groups: []").await;
    for number in 0..200 {
        let name = format!("{SLOW_PREFIX}{number}");
        let labels = Labels::from_pairs([("__name__", name.as_str())]).unwrap();
        server.stores.of("default").0.put(&labels, NOW, 1.0);
    }
    std::fs::write(folder.path().join("rules.yml"), text).unwrap();
    assert_eq!(send(server.post("/-/reload")).await.0, 200);
    awaited(&server, "/api/v1/rules", |answer| {
        let groups = answer["groups"].as_array().unwrap();
        let evaluated = |name: &str| {
            let group = groups.iter().find(|group| group["name"] == name).unwrap();
            group["lastEvaluation"] != "0001-01-01T00:00:00Z"
        };
        assert!(!evaluated("slow"), "it takes ten seconds");
        evaluated("quick")
    })
    .await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn rules_that_cannot_be_loaded_make_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let stores = || std::sync::Arc::new(crate::harness::Memories::default());
    let clock = || std::sync::Arc::new(tsdb_core::testing::ManualClock::at(NOW));
    let mut wrong = with_rules(folder.path(), "groups: [{name: g, rules: [{record: 'a{b}', expr: up}]}]");
    let error = tsdb_server::Server::new(wrong.clone(), stores(), clock()).err().unwrap().to_string();
    assert!(
        error.contains("braces present in the recording rule name; should it be in expr?: a{b}"),
        "{error}"
    );
    wrong.rules.files = vec![folder.path().join("none.yml").display().to_string()];
    let error = tsdb_server::Server::new(wrong, stores(), clock()).err().unwrap().to_string();
    assert!(error.contains("none.yml cannot be read"), "{error}");
}

#[tokio::test]
async fn rules_tell_what_became_of_their_last_evaluations() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), RULES).await;
    let many = |answer: &Value| {
        answer["groups"][0]["rules"][0]["history"].as_array().is_some_and(|history| history.len() > 3)
    };
    let path = "/v1/rules/history?rule_name[]=Down&rule_name[]=Broken";
    let told = awaited(&server, path, many).await;
    let [down, broken] = [&told["groups"][0]["rules"][0], &told["groups"][1]["rules"][0]];
    assert_eq!((&down["state"], &down["alerts"][0]["state"]), (&json!("FIRING"), &json!("firing")));
    assert_eq!(down["history"][0]["samples"], 2, "ALERTS and ALERTS_FOR_STATE");
    assert_eq!(broken["state"], "ERROR");
    assert!(broken["history"][0]["reason"].as_str().unwrap().contains("many-to-many"), "{broken}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_rule_is_tried_over_the_past_before_it_is_a_rule() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), "groups: []").await;
    let question = json!({
        "rule": {"alert": "Down", "expr": "up == 0", "for": "1m", "labels": {"severity": "page"}},
        "start": (NOW - 60_000) / 1_000,
        "end": NOW / 1_000 + 60,
        "step": "30s",
    });
    let (status, body) = send(server.post("/v1/rules/test").body(question.to_string())).await;
    assert_eq!(status, 200, "{body}");
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(told["data"]["evaluations"], 5, "{told}");
    assert_eq!(told["data"]["wouldHaveFired"], json!(["2026-04-08T10:15:30.000Z"]), "{told}");
    let now = json!({"rule": {"alert": "Down", "expr": "up == 0"}});
    let (_, body) = send(server.post("/v1/rules/test").body(now.to_string())).await;
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(told["data"]["rules"][0]["state"], "FIRING", "{told}");
    for wrong in [
        json!({"rule": {"alert": "A", "expr": "sum("}}),
        json!({"rule": {"alert": "A", "expr": "up"}, "start": 5, "end": 4}),
        json!({"rule": {"alert": "A", "expr": "up"}, "start": 0, "end": 1e9, "step": "1s"}),
        json!({"rules": []}),
    ] {
        assert_eq!(send(server.post("/v1/rules/test").body(wrong.to_string())).await.0, 400, "{wrong}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn rules_of_a_tenant_see_its_data_and_are_told_to_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = with_rules(folder.path(), RULES);
    config.rules.tenants.insert(
        "team".to_owned(),
        tsdb_server::TenantRulesConfig { files: std::mem::take(&mut config.rules.files) },
    );
    let server = start(config).await;
    let labels = Labels::from_pairs([("__name__", "up"), ("job", "theirs"), ("instance", "x")]).unwrap();
    for at in [NOW - 60_000, NOW, NOW + 60_000] {
        server.stores.of("team").0.put(&labels, at, 0.0);
    }
    let ask = || server.get("/api/v1/alerts").header("X-Tenant-ID", "team");
    let mut told = String::new();
    for _ in 0..500 {
        told = send(ask()).await.1;
        if told.contains("theirs") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(told.contains("\"job\":\"theirs\""), "{told}");
    assert_eq!(data(&server, "/api/v1/alerts").await, json!({"alerts": []}));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_rules_of_several_tenants_are_told_page_by_page_each_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = with_rules(folder.path(), RULES);
    let files = std::mem::take(&mut config.rules.files);
    for tenant in ["a", "b", "c"] {
        let own = tsdb_server::TenantRulesConfig { files: files.clone() };
        config.rules.tenants.insert(tenant.to_owned(), own);
    }
    config.access.trusted_across_tenants = true;
    let server = start(config).await;
    let (mut names, mut token) = (Vec::new(), String::new());
    while names.len() < 10 {
        let path = format!("/api/v1/rules?group_limit=1&group_next_token={token}");
        let (status, body) = send(server.get(&path).header("X-Tenant-ID", "a|b")).await;
        assert_eq!(status, 200, "{body}");
        let page = serde_json::from_str::<Value>(&body).unwrap()["data"].clone();
        names.extend(page["groups"].as_array().unwrap().iter().map(|group| group["name"].clone()));
        match page["groupNextToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(names, ["first", "second", "first", "second"]);
    server.stop().await.unwrap();
}
