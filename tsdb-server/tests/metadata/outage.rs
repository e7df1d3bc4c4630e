//! A server whose PostgreSQL is killed, stays away, and comes back.

use crate::postgres::{Postgres, eventually};
use crate::rules::alerts;
use crate::server::{Running, config, send};
use serde_json::json;
use std::time::Duration;
use tsdb_core::TenantId;
use tsdb_server::SqlMetadata;
use tsdb_server::metadata::{AlertRecord, EvaluationState, MetadataStore};

const LIMITS: &str = "/api/v1/admin/tenants/acme/limits";

#[test]
fn with_postgresql_killed_the_last_known_limits_hold_and_configuration_answers_503() {
    let Some(mut postgres) = Postgres::start() else { return };
    postgres.execute("postgres", "CREATE DATABASE tsdb");
    let folder = tempfile::tempdir().unwrap();
    let settings = config(folder.path(), &postgres.url("tsdb"));
    let server = Running::start(settings.clone());
    assert_eq!(send(server.put(LIMITS, r#"{"ingest":{"max_samples_per_request":3}}"#)).0, 200);
    // Someone else changes it, by hand.
    postgres.execute(
        "tsdb",
        "INSERT INTO tenant_budgets (tenant_id, other_limits) \
                              VALUES ('other', '{\"ingest\":{\"max_samples_per_request\":2}}')",
    );
    eventually(|| server.push("other", 3) == 413);

    postgres.kill();
    eventually(|| server.metric("tsdb_metadata_up") == 0.0);
    assert!(server.metric("tsdb_metadata_failures_total") >= 1.0);
    holds_while_away(&server);

    println!("a restart with the database away");
    drop(server);
    let server = Running::start(settings.clone());
    assert_eq!(server.metric("tsdb_metadata_up"), 0.0);
    holds_while_away(&server);

    println!("the database comes back");
    postgres.resume();
    eventually(|| server.metric("tsdb_metadata_up") == 1.0);
    let (status, answer) = send(server.put(LIMITS, r#"{"ingest":{"max_samples_per_request":9}}"#));
    assert_eq!(
        (status, &answer["data"]["overrides"]["ingest"]),
        (200, &json!({"max_samples_per_request": 9}))
    );
    assert_eq!(server.push("acme", 5), 202);
    assert_eq!(server.push("other", 3), 413);

    println!("a database that does not answer");
    postgres.freeze(true);
    eventually(|| server.metric("tsdb_metadata_up") == 0.0);
    assert_eq!(send(server.put(LIMITS, "{}")).0, 503);
    assert_eq!((server.push("acme", 5), server.push("acme", 10)), (202, 413));
    postgres.freeze(false);
    eventually(|| send(server.put(LIMITS, "{}")).0 == 200);
}

/// Limits, samples, queries and readiness while the database is away.
fn holds_while_away(server: &Running) {
    assert_eq!((server.push("acme", 2), server.push("acme", 5)), (202, 413));
    assert_eq!((server.push("other", 2), server.push("other", 3)), (202, 413));
    let count = || send(server.get("/api/v1/query?query=count(m)").header("X-Tenant-ID", "acme"));
    // While the log is replayed after a start, answers say that they may lack samples.
    eventually(|| count().1["warnings"].is_null());
    let found = count();
    assert_eq!((found.0, &found.1["data"]["result"][0]["value"][1]), (200, &json!("2")));
    assert_eq!(server.get("/-/ready").send().unwrap().status(), 200);
    for request in [server.put(LIMITS, "{}"), server.delete(LIMITS), server.get(LIMITS)] {
        let response = request.send().unwrap();
        assert_eq!((response.status().as_u16(), response.headers().contains_key("retry-after")), (503, true));
        let text = response.text().unwrap();
        assert!(text.contains("unavailable") && text.contains("metadata store"), "{text}");
    }
    // A wrong request is wrong all the same.
    assert_eq!(send(server.put(LIMITS, r#"{"wrong":1}"#)).0, 400);
}

#[test]
fn with_postgresql_killed_rules_go_on_and_the_states_of_their_alerts_are_written_later() {
    let Some(mut postgres) = Postgres::start() else { return };
    postgres.execute("postgres", "CREATE DATABASE tsdb");
    let folder = tempfile::tempdir().unwrap();
    let settings = config(folder.path(), &postgres.url("tsdb"));
    let server = Running::start(settings.clone());
    let rule = r#"{"name":"Above","expression":"m > 0","interval":"1s","for":"0s"}"#;
    let made = send(server.post("/api/v1/admin/rules", rule).header("X-Tenant-ID", "acme"));
    assert_eq!(made.0, 201, "{}", made.1);

    postgres.kill();
    eventually(|| server.metric("tsdb_metadata_up") == 0.0);
    assert_eq!(server.push("acme", 2), 202);
    eventually(|| alerts(&server).len() == 2);
    let refused = send(server.post("/api/v1/admin/rules", rule).header("X-Tenant-ID", "acme"));
    assert_eq!(refused.0, 503);

    println!("a restart with the database away");
    drop(server);
    let server = Running::start(settings);
    assert_eq!(server.metric("tsdb_metadata_up"), 0.0);
    assert_eq!(server.push("acme", 3), 202);
    eventually(|| alerts(&server).len() == 3);

    println!("the database comes back");
    postgres.resume();
    let elsewhere = SqlMetadata::connect(&postgres.url("tsdb"), Duration::from_secs(30)).unwrap();
    let acme = TenantId::new("acme").unwrap();
    let fires =
        |record: &AlertRecord| record.state == EvaluationState::Firing && !record.key.series.is_empty();
    eventually(|| elsewhere.alerts(&acme).unwrap().into_iter().filter(fires).count() == 3);
    eventually(|| server.metric("tsdb_metadata_unwritten_alert_states") == 0.0);
}
