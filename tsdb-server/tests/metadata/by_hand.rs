//! What people write into the tables with the shell of the database: limits in columns, rows that make no sense, files that
//! are damaged.

use crate::rules::alerts;
use crate::server::{Running, config, send};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tsdb::fs::{Fs, OsFs};
use tsdb_core::TenantId;
use tsdb_server::metadata::{EvaluationState, MetadataStore};
use tsdb_server::{Config, Server, SqlMetadata};

const LIMITS: &str = "/api/v1/admin/tenants/acme/limits";
const RULES: &str = "/api/v1/admin/rules";
const ABOVE: &str = r#"{"name":"Above","expression":"m > 0","interval":"1s","for":"0s"}"#;

/// Rows of which each has a mistake but the first of each table.
const ROWS: [&str; 9] = [
    "INSERT INTO tenant_budgets (tenant_id, other_limits) \
     VALUES ('acme', '{\"ingest\":{\"max_samples_per_request\":3}}')",
    "INSERT INTO tenant_budgets (tenant_id, other_limits, max_samples_per_second) VALUES ('broken', '{', 7)",
    "INSERT INTO tenant_budgets (tenant_id, max_samples_per_second) VALUES ('no/tenant', 5)",
    "INSERT INTO alert_rules (tenant_id, rule_name, promql_expression, duration_interval_sec, for_duration_sec) \
     VALUES ('acme', 'Good', 'm > 0', 1, 0)",
    "INSERT INTO alert_rules (tenant_id, rule_name, promql_expression, status) \
     VALUES ('acme', 'Status', 'm > 0', 'active')",
    "INSERT INTO alert_rules (tenant_id, rule_name, promql_expression, severity) \
     VALUES ('acme', 'Severity', 'm > 0', 'critical')",
    "INSERT INTO alert_rules (tenant_id, rule_name, promql_expression, labels) \
     VALUES ('acme', 'Labels', 'm > 0', '{')",
    "INSERT INTO alert_rules (tenant_id, rule_name, promql_expression, duration_interval_sec) \
     VALUES ('acme', 'Interval', 'm > 0', 0)",
    "INSERT INTO alert_rules (tenant_id, rule_name, promql_expression) VALUES ('no/tenant', 'Nobody', 'm > 0')",
];

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "it never came to hold: {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Runs `statement` on the file of SQLite in `folder`.
fn execute(folder: &Path, statement: &'static str) {
    use sqlx::{Connection, Executor};
    let url = format!("sqlite://{}", folder.join("metadata.db").display());
    Runtime::new().unwrap().block_on(async {
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        connection.execute(statement).await.unwrap();
        connection.close().await.unwrap();
    });
}

/// Removes those of `names` that are in `folder`.
fn remove(folder: &Path, names: &[&str]) {
    for path in names.iter().map(|name| folder.join(name)).filter(|path| path.exists()) {
        OsFs.remove_file(&path).unwrap();
    }
}

fn of_acme(request: reqwest::blocking::RequestBuilder) -> (u16, Value) {
    send(request.header("X-Tenant-ID", "acme"))
}

#[test]
fn with_rows_of_sqlite_that_cannot_be_read_the_others_are_in_force_and_a_server_starts() {
    let folder = tempfile::tempdir().unwrap();
    passes_over(&config(folder.path(), ""), &|statement| execute(folder.path(), statement));
}

#[cfg(feature = "postgres")]
#[test]
fn with_rows_of_postgresql_that_cannot_be_read_the_others_are_in_force_and_a_server_starts() {
    let Some(postgres) = crate::postgres::Postgres::start() else { return };
    postgres.execute("postgres", "CREATE DATABASE tsdb");
    let folder = tempfile::tempdir().unwrap();
    let settings = config(folder.path(), &postgres.url("tsdb"));
    passes_over(&settings, &|statement| postgres.execute("tsdb", statement));
}

/// Such rows come while a server runs, are there when it starts without having known better, and are mended.
fn passes_over(settings: &Config, execute: &dyn Fn(&'static str)) {
    let server = Running::start(settings.clone());
    ROWS.iter().for_each(|row| execute(row));
    eventually("the budget of acme holds", || {
        send(server.get(LIMITS)).1["data"]["limits"]["ingest"]["max_samples_per_request"] == 3
    });
    assert_eq!((server.push("acme", 2), server.push("acme", 4)), (202, 413));
    assert_passed_over(&server);
    drop(server);
    remove(&settings.data_dir, &["tenant-limits.json", "tenant-limits.json.before"]);
    let server = Running::start(settings.clone());
    assert_eq!((server.push("acme", 2), server.push("acme", 4)), (202, 413), "from the first request on");
    assert_passed_over(&server);

    // They are mended with the API.
    assert_eq!(send(server.put("/api/v1/admin/tenants/broken/limits", "{}")).0, 200);
    assert_eq!(server.metric("tsdb_metadata_unknown_limits"), 0.0);
    let (status, told) = of_acme(server.get(&format!("{RULES}/2")));
    assert!(status == 500 && told["error"].as_str().unwrap().contains("status"), "{told}");
    let (status, mended) = of_acme(server.put(&format!("{RULES}/2"), ABOVE));
    assert_eq!((status, &mended["data"]["status"]), (200, &json!("ACTIVE")), "{mended}");
    for rule in [3, 4, 5] {
        assert_eq!(of_acme(server.delete(&format!("{RULES}/{rule}"))).0, 204);
    }
    assert_eq!(server.metric("tsdb_metadata_unusable_rules"), 0.0);
    eventually("two rules have alerts", || server.push("acme", 2) == 202 && alerts(&server).len() == 4);
    let (_, log) = send(server.get("/api/v1/admin/audit"));
    let update = log["data"].as_array().unwrap().iter().find(|entry| entry["name"] == "2").unwrap();
    assert_eq!((&update["action"], &update["after"]["name"]), (&json!("update"), &json!("Above")));
    assert!(update["before"].as_str().unwrap().contains("\"active\" is unknown"), "{update}");
    execute("DELETE FROM tenant_budgets WHERE tenant_id = 'no/tenant'");
    execute("DELETE FROM alert_rules WHERE tenant_id = 'no/tenant'");
    eventually("nothing is left", || server.metric("tsdb_metadata_unreadable") == 0.0);
}

fn assert_passed_over(server: &Running) {
    eventually("all is counted", || server.metric("tsdb_metadata_unreadable") == 5.0);
    let metrics = ["up", "budgets", "unknown_limits", "rules", "unusable_rules"];
    let metrics = metrics.map(|name| server.metric(&format!("tsdb_metadata_{name}")));
    assert_eq!(metrics, [1.0, 2.0, 1.0, 5.0, 4.0]);

    let (_, broken) = send(server.get("/api/v1/admin/tenants/broken/limits"));
    let limits = &broken["data"]["limits"];
    assert_eq!(broken["data"]["overrides"]["other_limits"], "{");
    assert_eq!(limits["ingest"]["samples_per_second"], 7, "what can be read holds");
    assert_eq!(
        (&limits["retention"]["samples"], &limits["rules"]["max_rules"]),
        (&json!("0s"), &json!(2_000))
    );
    let (_, tenants) = send(server.get("/api/v1/admin/tenants"));
    assert!(tenants["data"].as_array().unwrap().iter().any(|row| row["tenant"] == "broken"), "{tenants}");

    let (_, rules) = of_acme(server.get(RULES));
    let names: Vec<_> = rules["data"].as_array().unwrap().iter().map(|rule| &rule["name"]).collect();
    assert_eq!(names, ["Good", "Interval"]);
    let warnings: Vec<_> =
        rules["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    for words in [
        "rule 2 of tenant acme cannot be read: status: \"active\" is unknown",
        "rule 3 of tenant acme cannot be read: severity: \"critical\" is unknown",
        "rule 4 of tenant acme cannot be read: labels of a rule: ",
    ] {
        assert!(warnings.len() == 3 && warnings.iter().any(|told| told.starts_with(words)), "{warnings:?}");
    }
    eventually("the good rule has alerts", || alerts(server).len() == 2);
}

#[test]
fn text_of_sqlite_that_is_no_utf8_is_passed_over_like_other_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    for statement in [
        ROWS[0],
        "INSERT INTO tenant_budgets (tenant_id, other_limits) VALUES ('latin', CAST(x'7b22fc223a317d' AS TEXT))",
        "INSERT INTO tenant_budgets (tenant_id) VALUES (CAST(x'6dfc' AS TEXT))",
        ROWS[3],
        "INSERT INTO alert_rules (tenant_id, rule_name, promql_expression) \
         VALUES ('acme', CAST(x'6dfc' AS TEXT), 'm > 0')",
        "INSERT INTO alert_evaluation_states (rule_id, series_hash, tenant_id, series, current_state, \
         last_evaluated_at) VALUES (1, 'x', 'acme', CAST(x'fc' AS TEXT), 'OK', 0)",
    ] {
        drop(SqlMetadata::open_file(&folder.path().join("metadata.db"), Duration::from_secs(30)).unwrap());
        execute(folder.path(), statement);
    }
    let server = Running::start(config(folder.path(), ""));
    let metrics = ["up", "budgets", "unknown_limits", "rules", "unusable_rules", "unreadable"];
    let metrics = metrics.map(|name| server.metric(&format!("tsdb_metadata_{name}")));
    assert_eq!(metrics, [1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
    assert_eq!((server.push("acme", 2), server.push("acme", 4)), (202, 413));
    assert_eq!(send(server.put("/api/v1/admin/tenants/latin/limits", "{}")).0, 200);
    assert_eq!(of_acme(server.put(&format!("{RULES}/2"), ABOVE)).0, 200);
    assert_eq!(server.metric("tsdb_metadata_unusable_rules"), 0.0);
}

#[test]
fn a_damaged_store_is_as_one_that_is_away_where_there_is_a_copy_of_what_it_said() {
    let folder = tempfile::tempdir().unwrap();
    let settings = config(folder.path(), "");
    let server = Running::start(settings.clone());
    assert_eq!(send(server.put(LIMITS, r#"{"ingest":{"max_samples_per_request":3}}"#)).0, 200);
    drop(server);
    remove(folder.path(), &["metadata.db-wal", "metadata.db-shm"]);
    std::fs::write(folder.path().join("metadata.db"), "no database ".repeat(1_000)).unwrap();
    let server = Running::start(settings.clone());
    assert_eq!((server.push("acme", 2), server.push("acme", 4)), (202, 413));
    assert_eq!(server.metric("tsdb_metadata_up"), 0.0);
    drop(server);
    remove(folder.path(), &["tenant-limits.json", "tenant-limits.json.before"]);
    let error = Server::open(settings).err().unwrap().to_string();
    assert!(error.contains("damaged"), "{error}");
}

#[test]
fn states_of_alerts_are_written_whatever_becomes_of_budgets_and_rules() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(config(folder.path(), ""));
    assert_eq!(of_acme(server.post(RULES, ABOVE)).0, 201);
    execute(folder.path(), "ALTER TABLE change_counter RENAME TO elsewhere");
    eventually("the change is seen", || server.metric("tsdb_metadata_up") == 0.0);
    assert_eq!(server.push("acme", 2), 202);
    let store = SqlMetadata::open_file(&folder.path().join("metadata.db"), Duration::from_secs(30)).unwrap();
    let acme = TenantId::new("acme").unwrap();
    eventually("two alerts are written", || {
        let firing = store.alerts(&acme).unwrap().into_iter();
        firing.filter(|it| it.state == EvaluationState::Firing && !it.key.series.is_empty()).count() == 2
    });
}

#[test]
fn a_copy_that_could_not_be_written_is_written_as_soon_as_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(config(folder.path(), ""));
    let copy = folder.path().join("tenant-limits.json");
    std::fs::create_dir(&copy).unwrap();
    assert_eq!(send(server.put(LIMITS, r#"{"ingest":{"max_samples_per_request":3}}"#)).0, 200);
    assert!(copy.is_dir(), "nothing can be written there");
    std::fs::remove_dir(&copy).unwrap();
    let is_written =
        || std::fs::read_to_string(&copy).is_ok_and(|text| text.contains("\"max_samples_per_request\":3"));
    eventually("the copy is written", is_written);
}

#[test]
fn limits_in_columns_hold_and_can_be_put_back_as_they_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(config(folder.path(), ""));
    execute(
        folder.path(),
        "INSERT INTO tenant_budgets (tenant_id, max_active_series, max_samples_per_second, \
         allowed_custom_labels_count) VALUES ('acme', 2, 1000, 3)",
    );
    eventually("the budget is known", || server.metric("tsdb_metadata_budgets") == 1.0);
    assert_eq!(server.metric("tsdb_metadata_unknown_limits"), 0.0);
    let (_, told) = send(server.get(LIMITS));
    let expected = json!({"cardinality": {"max_active_series": 2}, "ingest": {"samples_per_second": 1_000},
                          "push": {"max_labels": 3}});
    assert_eq!(told["data"]["overrides"], expected);
    for field in ["/cardinality/max_active_series", "/ingest/samples_per_second", "/push/max_labels"] {
        assert_eq!(told["data"]["limits"].pointer(field), expected.pointer(field));
    }
    refuses_a_series_more(&server, "acme", 2);
    let (status, put) = send(server.put(LIMITS, &told["data"]["overrides"].to_string()));
    assert_eq!((status, &put["data"]["limits"]), (200, &told["data"]["limits"]), "{put}");

    println!("the name that the limit had");
    execute(
        folder.path(),
        "INSERT INTO tenant_budgets (tenant_id, other_limits) \
         VALUES ('other', '{\"ingest\":{\"max_active_series\":1}}')",
    );
    eventually("the second is known", || server.metric("tsdb_metadata_budgets") == 2.0);
    assert_eq!(server.metric("tsdb_metadata_unknown_limits"), 0.0);
    refuses_a_series_more(&server, "other", 1);

    println!("a column of SQLite takes text");
    execute(folder.path(), "UPDATE tenant_budgets SET max_active_series = 'many' WHERE tenant_id = 'other'");
    eventually("the text is no limit", || server.metric("tsdb_metadata_unknown_limits") == 1.0);
    let (_, told) = send(server.get("/api/v1/admin/tenants/other/limits"));
    assert_eq!(told["data"]["overrides"]["cardinality"]["max_active_series"], "many");
    assert_eq!(server.metric("tsdb_metadata_up"), 1.0);
}

/// Has `tenant` no more than `limit` series, whatever it sends? Batches that come while the log is replayed are not asked.
fn refuses_a_series_more(server: &Running, tenant: &str, limit: usize) {
    assert_eq!(server.push(tenant, limit), 202);
    let ask = || send(server.get("/api/v1/query?query=count(m)").header("X-Tenant-ID", tenant)).1;
    eventually("all is replayed", || ask()["warnings"].is_null());
    assert_eq!(server.push(tenant, limit + 1), 202);
    assert_eq!(ask()["data"]["result"][0]["value"][1], limit.to_string());
}
