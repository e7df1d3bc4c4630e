//! Alerting rules of the metadata store: made, changed, paused and deleted over HTTP, and what is left of their alerts
//! after a restart.

use crate::server::{Running, config, send};
use reqwest::blocking::RequestBuilder;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const RULES: &str = "/api/v1/admin/rules";

struct OnDisk {
    server: Running,
    folder: TempDir,
}

fn start() -> OnDisk {
    let folder = tempfile::tempdir().unwrap();
    OnDisk { server: Running::start(config(folder.path(), "")), folder }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "it never came to hold: {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

fn of_acme(request: RequestBuilder) -> (u16, Value) {
    send(request.header("X-Tenant-ID", "acme"))
}

/// The rule `name`, which fires for each series of `m` that is above `above` once it was for `hold`.
fn rule(name: &str, above: i64, hold: &str) -> String {
    json!({"name": name, "expression": format!("m > {above}"), "interval": "1s", "for": hold,
           "severity": "CRITICAL", "annotations": {"summary": "{{ $labels.n }}"}})
    .to_string()
}

fn create(server: &Running, rule: &str) -> (u16, Value) {
    of_acme(server.post(RULES, rule))
}

pub(crate) fn alerts(server: &Running) -> Vec<Value> {
    let answer = of_acme(server.get("/api/v1/alerts")).1;
    answer["data"]["alerts"].as_array().unwrap().clone()
}

#[test]
fn a_rule_is_evaluated_as_soon_as_it_is_made_until_it_is_paused_or_deleted() {
    let OnDisk { folder: _folder, server } = start();
    assert_eq!(server.push("acme", 2), 202);
    let (status, made) = create(&server, &rule("Above", 0, "0s"));
    assert_eq!((status, &made["data"]["tenant"]), (201, &json!("acme")));
    let path = format!("{RULES}/{}", made["data"]["id"]);
    assert_eq!(of_acme(server.get(&path)).1, made);
    assert_eq!(send(server.get(&path).header("X-Tenant-ID", "other")).0, 404);
    eventually("two alerts", || alerts(&server).len() == 2);
    let alert = &alerts(&server)[0];
    assert_eq!(alert["labels"], json!({"alertname": "Above", "n": "0", "severity": "critical"}));
    assert_eq!(alert["annotations"], json!({"summary": "0"}));
    assert_eq!(server.metric("tsdb_metadata_rules"), 1.0);

    let (status, paused) = of_acme(server.patch(&path, r#"{"status":"PAUSED"}"#));
    assert_eq!((status, &paused["data"]["status"]), (200, &json!("PAUSED")));
    assert!(paused["data"]["version"].as_u64() > made["data"]["version"].as_u64());
    assert_eq!(paused["data"]["expression"], "m > 0");
    eventually("no alerts", || alerts(&server).is_empty());
    assert_eq!(of_acme(server.get(&format!("{RULES}?status=ACTIVE"))).1["data"], json!([]));

    assert_eq!(of_acme(server.put(&path, &rule("Above", 0, "0s"))).1["data"]["status"], "ACTIVE");
    eventually("two alerts again", || alerts(&server).len() == 2);
    let since = alerts(&server)[0]["activeAt"].clone();
    assert_eq!(of_acme(server.patch(&path, r#"{"expression":"m > -1","group":"all"}"#)).0, 200);
    eventually("the expression is the new one", || {
        of_acme(server.get("/api/v1/rules")).1["data"]["groups"][0]["name"] == "all"
            && alerts(&server).len() == 2
    });
    assert_eq!(alerts(&server)[0]["activeAt"], since, "a rule keeps its alerts by its number");

    assert_eq!(of_acme(server.delete(&path)).0, 204);
    eventually("no rules", || of_acme(server.get("/api/v1/rules")).1["data"]["groups"] == json!([]));
    assert_eq!((of_acme(server.delete(&path)).0, of_acme(server.patch(&path, "{}")).0), (404, 404));
    let audit = send(server.get("/api/v1/admin/audit")).1;
    let told: Vec<&str> =
        audit["data"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(told, ["delete", "update", "update", "update", "create"]);
}

#[test]
fn a_rule_that_cannot_be_evaluated_is_refused_with_its_mistake() {
    let OnDisk { folder: _folder, server } = start();
    let with = |field: &str, value: Value| {
        let mut rule: Value = serde_json::from_str(&rule("Above", 0, "0s")).unwrap();
        rule[field] = value;
        rule.to_string()
    };
    for (body, words) in [
        (with("expression", json!("m >")), "expression: could not parse expression"),
        (with("annotations", json!({"a": "{{ .x"})), "annotations: annotation \"a\""),
        (with("labels", json!({"a": "{{ nothing }}"})), "labels: label \"a\""),
        (with("expression", json!("m[5m]")), "expression: it gives a range vector"),
        (with("interval", json!("0s")), "interval: it is 0s"),
        (with("severity", json!("SEVERE")), "SEVERE"),
        (with("wrong", json!(1)), "unknown field `wrong`"),
        ("{".to_owned(), "the body is no rule"),
    ] {
        let (status, answer) = create(&server, &body);
        let message = answer["error"].as_str().unwrap();
        assert_eq!((status, message.contains(words)), (400, true), "{body}: {message}");
    }
    let (_, made) = create(&server, &rule("Above", 0, "0s"));
    let path = format!("{RULES}/{}", made["data"]["id"]);
    assert_eq!(of_acme(server.patch(&path, r#"{"expression":"("}"#)).0, 400);
    assert_eq!(of_acme(server.get(&path)).1, made);
    assert_eq!(of_acme(server.get(&format!("{RULES}/x"))).0, 400);
}

#[test]
fn two_who_change_the_same_rule_are_told_by_version() {
    let OnDisk { folder: _folder, server } = start();
    let (_, made) = create(&server, &rule("Above", 0, "0s"));
    let path = format!("{RULES}/{}", made["data"]["id"]);
    let expects = |request: RequestBuilder, version: &str| of_acme(request.header("If-Match", version)).0;
    let first = made["data"]["version"].to_string();
    assert_eq!(expects(server.patch(&path, r#"{"status":"PAUSED"}"#), &first), 200);
    assert_eq!(expects(server.put(&path, &rule("Above", 1, "0s")), &first), 409);
    assert_eq!(expects(server.patch(&path, "{}"), &first), 409);
    assert_eq!(expects(server.delete(&path), &first), 409);
    let second = of_acme(server.get(&path)).1["data"]["version"].to_string();
    assert_eq!(expects(server.delete(&path), &second), 204);
}

#[test]
fn a_tenant_has_as_many_rules_as_its_limit_says() {
    let OnDisk { folder: _folder, server } = start();
    let limits = "/api/v1/admin/tenants/acme/limits";
    assert_eq!(send(server.put(limits, r#"{"rules":{"max_rules":2}}"#)).0, 200);
    let made: Vec<u16> = (0..3).map(|n| create(&server, &rule(&n.to_string(), 0, "0s")).0).collect();
    assert_eq!(made, [201, 201, 400]);
    let message = create(&server, &rule("One", 0, "0s")).1["error"].to_string();
    assert!(message.contains("limits.rules.max_rules is 2"), "{message}");
    assert_eq!(send(server.post(RULES, &rule("One", 0, "0s")).header("X-Tenant-ID", "other")).0, 201);
}

#[test]
fn a_limit_on_rules_that_changes_holds_for_those_that_are_there_when_it_is_answered() {
    let OnDisk { folder: _folder, server } = start();
    for n in 0..3 {
        assert_eq!(create(&server, &rule(&n.to_string(), 0, "0s")).0, 201);
    }
    let evaluated =
        || of_acme(server.get("/api/v1/rules")).1["data"]["groups"].as_array().map_or(0, Vec::len);
    for (limits, expected) in [(r#"{"rules":{"max_rules":1}}"#, 1), ("{}", 3)] {
        assert_eq!(send(server.put("/api/v1/admin/tenants/acme/limits", limits)).0, 200);
        assert_eq!(
            (evaluated(), server.metric("tsdb_metadata_unusable_rules")),
            (expected, 3.0 - expected as f64)
        );
    }
}

#[test]
fn a_rule_that_reads_more_than_its_tenant_may_is_refused_with_the_figures() {
    let OnDisk { folder: _folder, server } = start();
    assert_eq!(server.push("acme", 20), 202);
    let limits = "/api/v1/admin/tenants/acme/limits";
    assert_eq!(send(server.put(limits, r#"{"rules":{"max_estimated_samples":10}}"#)).0, 200);
    let (status, answer) = create(&server, &rule("Above", 0, "0s"));
    let message = answer["error"].to_string();
    assert_eq!(status, 400, "{message}");
    assert!(message.contains("samples, and limits.rules.max_estimated_samples is 10"), "{message}");
    let few = rule("Above", 0, "0s").replace("m > 0", "m{n=\\\"1\\\"} > 0");
    let (status, made) = create(&server, &few);
    assert_eq!(status, 201, "{made}");
    let path = format!("{RULES}/{}", made["data"]["id"]);
    assert_eq!(of_acme(server.patch(&path, r#"{"expression":"m > 1"}"#)).0, 400);
    assert_eq!(of_acme(server.put(&path, &rule("Above", 2, "0s"))).0, 400);
    assert_eq!(of_acme(server.patch(&path, r#"{"for":"1m"}"#)).0, 200);
}

#[test]
fn a_rule_that_became_too_costly_is_paused_and_edited_but_not_resumed() {
    let OnDisk { folder: _folder, server } = start();
    assert_eq!(server.push("acme", 20), 202);
    let (_, made) = create(&server, &rule("Above", 0, "0s"));
    let path = format!("{RULES}/{}", made["data"]["id"]);
    let limits = "/api/v1/admin/tenants/acme/limits";
    assert_eq!(send(server.put(limits, r#"{"rules":{"max_estimated_samples":10}}"#)).0, 200);
    let put = |above: i64, hold: &str, status: &str| {
        let mut rule: Value = serde_json::from_str(&rule("Above", above, hold)).unwrap();
        rule["status"] = json!(status);
        of_acme(server.put(&path, &rule.to_string())).0
    };
    assert_eq!(put(0, "5m", "ACTIVE"), 200, "what it reads is as it was");
    assert_eq!(of_acme(server.patch(&path, r#"{"expression":"m > 0","for":"1m"}"#)).0, 200);
    assert_eq!(of_acme(server.patch(&path, r#"{"expression":"m > 1"}"#)).0, 400);
    assert_eq!(put(1, "5m", "ACTIVE"), 400);
    assert_eq!(put(2, "5m", "PAUSED"), 200, "what is paused reads nothing");
    assert_eq!(of_acme(server.patch(&path, r#"{"expression":"m > 3"}"#)).0, 200);
    assert_eq!(of_acme(server.patch(&path, r#"{"status":"ACTIVE"}"#)).0, 400);
    assert_eq!(put(3, "5m", "ACTIVE"), 400);
    let cheap = r#"{"status":"ACTIVE","expression":"m{n=\"1\"} > 3"}"#;
    assert_eq!(of_acme(server.patch(&path, cheap)).0, 200);
    assert_eq!(of_acme(server.patch(&path, r#"{"status":"PAUSED"}"#)).0, 200);
}

#[test]
fn a_pending_alert_is_known_to_the_millisecond_after_a_restart() {
    let OnDisk { folder, server } = start();
    assert_eq!(server.push("acme", 2), 202);
    assert_eq!(create(&server, &rule("Above", 0, "1h")).0, 201);
    eventually("two alerts", || alerts(&server).len() == 2);
    let before = alerts(&server);
    assert_eq!(before[0]["state"], "pending");
    drop(server);
    let server = Running::start(config(folder.path(), ""));
    eventually("they are back", || alerts(&server).len() == 2);
    for (before, after) in before.iter().zip(alerts(&server)) {
        assert_eq!((&after["labels"], &after["activeAt"]), (&before["labels"], &before["activeAt"]));
    }
}
