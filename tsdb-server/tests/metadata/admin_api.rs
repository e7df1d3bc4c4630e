//! The admin API over a file of SQLite: limits of tenants, the catalogue of metrics, the audit log.

use crate::server::{Running, config, send};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tsdb_server::{Config, SqlMetadata};

const LIMITS: &str = "/api/v1/admin/tenants/acme/limits";

struct OnDisk {
    server: Running,
    folder: TempDir,
}

fn start() -> OnDisk {
    let folder = tempfile::tempdir().unwrap();
    OnDisk { server: Running::start(config(folder.path(), "")), folder }
}

fn eventually(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "it never came to hold");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn a_budget_is_in_force_when_it_is_answered_and_until_it_is_deleted() {
    let OnDisk { folder: _folder, server } = start();
    assert_eq!(server.push("acme", 5), 202);
    let (status, answer) = send(server.put(LIMITS, r#"{"ingest":{"max_samples_per_request":3}}"#));
    assert_eq!(status, 200, "{answer}");
    let data = &answer["data"];
    assert_eq!(data["overrides"], json!({"ingest": {"max_samples_per_request": 3}}));
    assert_eq!(data["limits"]["ingest"]["max_samples_per_request"], 3);
    assert_eq!(data["limits"]["ingest"]["samples_per_second"], 50_000);
    assert_eq!((data["tenant"].as_str(), data["updatedBy"].is_string()), (Some("acme"), true));
    assert_eq!(server.push("acme", 5), 413);
    assert_eq!(server.push("other", 5), 202, "budgets of others are none of its business");
    assert_eq!(server.metric("tsdb_metadata_budgets"), 1.0);
    assert_eq!(send(server.get(LIMITS)).1["data"], *data);

    let (_, listed) = send(server.get("/api/v1/admin/tenants"));
    let row = |tenant: &str| {
        let rows = listed["data"].as_array().unwrap();
        rows.iter().find(|row| row["tenant"] == tenant).cloned().unwrap_or_default()
    };
    assert_eq!(row("acme")["overrides"], json!({"ingest": {"max_samples_per_request": 3}}));
    assert_eq!((&row("other")["hasData"], &row("other")["version"]), (&json!(true), &json!(0)));

    assert_eq!(send(server.delete(LIMITS)).0, 204);
    assert_eq!(server.push("acme", 5), 202);
    assert_eq!(send(server.delete(LIMITS)).0, 404);
}

#[test]
fn a_mistake_is_named_with_its_field_and_bound_and_changes_nothing() {
    let OnDisk { folder: _folder, server } = start();
    for (body, words) in [
        (r#"{"ingest":{"max_samples":3}}"#, "limits.ingest.max_samples: unknown field"),
        (r#"{"query":{"max_depth":101}}"#, "limits.query.max_depth: 101 levels, more than 100"),
        (r#"{"query":{"timeout":"soon"}}"#, "limits.query.timeout: \"soon\" is not a duration"),
        (r#"{"ingest":{"samples_per_second":-1}}"#, "limits.ingest.samples_per_second"),
        (r#"[1]"#, "the body is no JSON object"),
        (r#"{"ingest":"#, "the body is no JSON object"),
    ] {
        let (status, answer) = send(server.put(LIMITS, body));
        let message = answer["error"].as_str().unwrap().to_owned();
        assert_eq!((status, message.contains(words)), (400, true), "{body}: {message}");
    }
    let both = r#"{"ingest":{"a":1,"samples_per_second":5},"query":{"b":1}}"#;
    let message = send(server.put(LIMITS, both)).1["error"].as_str().unwrap().to_owned();
    assert!(message.contains("limits.ingest.a") && message.contains("limits.query.b"), "{message}");
    assert_eq!(send(server.get(LIMITS)).1["data"]["version"], 0);
    assert_eq!(send(server.put("/api/v1/admin/tenants/..%2Fx/limits", "{}")).0, 400);
    assert_eq!(send(server.put(LIMITS, &format!("{{\"x\":\"{}\"}}", "y".repeat(300_000)))).0, 413);
}

#[test]
fn two_who_change_the_same_are_told_by_version() {
    let OnDisk { folder: _folder, server } = start();
    let first = server.put(LIMITS, "{}").header("If-Match", "\"0\"").send().unwrap();
    assert_eq!(first.status(), 200);
    let version = first.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(send(server.put(LIMITS, "{}").header("If-Match", "\"0\"")).0, 409);
    assert_eq!(send(server.put(LIMITS, "{}").header("If-Match", &version)).0, 200);
    assert_eq!(send(server.delete(LIMITS).header("If-Match", &version)).0, 409);
    assert_eq!(send(server.delete(LIMITS).header("If-Match", "x")).0, 400);
    assert_eq!(send(server.delete(LIMITS).header("If-Match", "*")).0, 204);
}

#[test]
fn a_budget_changed_elsewhere_is_in_force_within_seconds_and_after_a_restart() {
    let OnDisk { folder, server } = start();
    let elsewhere =
        SqlMetadata::open_file(&folder.path().join("metadata.db"), Duration::from_secs(30)).unwrap();
    use tsdb_server::metadata::{MetadataStore, Overrides, Signature};
    // One limit is of a newer server: it is passed over, the other holds.
    let limits = br#"{"ingest":{"max_samples_per_request":3,"from_the_future":1}}"#;
    let by = Signature { who: "ann".to_owned(), at: 1 };
    let tenant = tsdb_core::TenantId::new("acme").unwrap();
    elsewhere.put_budget(&tenant, &Overrides::parse(limits).unwrap(), None, &by).unwrap();
    eventually(|| server.push("acme", 5) == 413);
    assert_eq!(server.metric("tsdb_metadata_unknown_limits"), 1.0);
    drop(elsewhere);
    drop(server);
    let again = Running::start(config(folder.path(), ""));
    assert_eq!(again.push("acme", 5), 413, "from the first request on");
}

#[test]
fn limits_of_the_settings_are_the_base_of_budgets() {
    let folder = tempfile::tempdir().unwrap();
    let file = Config::parse("[tenants.acme.ingest]\nmax_samples_per_request = 3\n").unwrap();
    let server = Running::start(Config { tenants: file.tenants, ..config(folder.path(), "") });
    assert_eq!(server.push("acme", 5), 413);
    let (_, answer) = send(server.put(LIMITS, r#"{"query":{"max_series":7}}"#));
    assert_eq!(answer["data"]["limits"]["query"]["max_series"], 7);
    assert_eq!(server.push("acme", 5), 413, "what the budget does not name is as in the settings");
    assert_eq!(send(server.put(LIMITS, r#"{"ingest":{"max_samples_per_request":9}}"#)).0, 200);
    assert_eq!(server.push("acme", 5), 202);
}

#[test]
fn senders_fill_the_catalogue_and_people_complete_it() {
    let OnDisk { folder: _folder, server } = start();
    let sent = remote_write_metadata("http_requests_total", "What senders say", "requests");
    let write = || {
        let body = snap::raw::Encoder::new().compress_vec(&sent).unwrap();
        let client = reqwest::blocking::Client::new();
        let request = client.post(server_url(&server)).header("Content-Encoding", "snappy");
        request.header("Content-Type", "application/x-protobuf").body(body).send().unwrap()
    };
    let written = write();
    assert!(written.status().is_success(), "{}", written.text().unwrap());
    let path = "/api/v1/admin/metrics/http_requests_total";
    eventually(|| send(server.get(path)).0 == 200);
    let metric = send(server.get(path)).1["data"].clone();
    assert_eq!((&metric["type"], &metric["unit"]), (&json!("counter"), &json!("requests")));
    assert_eq!(metric["description"], "What senders say");

    let said = r#"{"description":"What people say","ownerService":"web","ownerTeam":"core"}"#;
    let (status, answer) = send(server.put(path, said));
    assert_eq!((status, &answer["data"]["description"]), (200, &json!("What people say")));
    assert_eq!((&answer["data"]["ownerTeam"], &answer["data"]["type"]), (&json!("core"), &json!("counter")));
    assert_eq!(send(server.put(path, r#"{"type":"nonsense"}"#)).0, 400);
    assert_eq!(send(server.put(path, r#"{"colour":"red"}"#)).0, 400);
    let (_, found) = send(server.get("/api/v1/admin/metrics?prefix=http_&limit=5"));
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
    assert_eq!(send(server.get("/api/v1/admin/metrics?prefix=x")).1["data"], json!([]));
    assert_eq!(send(server.get("/api/v1/admin/metrics/unknown")).0, 404);
    // What Prometheus asks for is as ever.
    let (_, metadata) = send(server.get("/api/v1/metadata"));
    assert_eq!(metadata["data"]["http_requests_total"][0]["help"], "What senders say");
}

fn server_url(server: &Running) -> String {
    server.url("/api/v1/write")
}

/// A remote-write 1.0 request that describes a counter.
fn remote_write_metadata(name: &str, help: &str, unit: &str) -> Vec<u8> {
    let mut metadata = vec![0x08, 1];
    for (tag, text) in [(0x12, name), (0x22, help), (0x2a, unit)] {
        metadata.extend([tag, u8::try_from(text.len()).unwrap()]);
        metadata.extend(text.as_bytes());
    }
    let mut request = vec![0x1a, u8::try_from(metadata.len()).unwrap()];
    request.extend(metadata);
    request
}

#[test]
fn the_audit_log_says_who_changed_what_from_what_to_what() {
    let OnDisk { folder: _folder, server } = start();
    send(server.put(LIMITS, r#"{"ingest":{"burst_samples":3}}"#));
    send(server.put(LIMITS, r#"{"ingest":{"burst_samples":4}}"#));
    send(server.put("/api/v1/admin/metrics/m", r#"{"unit":"s"}"#).header("X-Tenant-ID", "other"));
    send(server.put(LIMITS, r#"{"wrong":1}"#));
    let (_, log) = send(server.get("/api/v1/admin/audit"));
    let entries = log["data"].as_array().unwrap().clone();
    let told: Vec<(&Value, &Value, &Value)> =
        entries.iter().map(|entry| (&entry["action"], &entry["kind"], &entry["tenant"])).collect();
    let (create, update) = (json!("create"), json!("update"));
    let (limits, metric) = (json!("limits"), json!("metric"));
    let (acme, other) = (json!("acme"), json!("other"));
    assert_eq!(told, [(&create, &metric, &other), (&update, &limits, &acme), (&create, &limits, &acme)]);
    assert_eq!(entries[1]["before"], json!({"ingest": {"burst_samples": 3}}));
    assert_eq!(entries[1]["after"], json!({"ingest": {"burst_samples": 4}}));
    assert!(entries[0]["who"].is_string() && entries[0]["at"].as_str().unwrap().ends_with('Z'));
    let (_, of_acme) = send(server.get("/api/v1/admin/audit?tenant=acme&limit=1"));
    assert_eq!(of_acme["data"], json!([entries[1]]));
    let (_, rest) = send(server.get(&format!("/api/v1/admin/audit?before={}", entries[1]["id"])));
    assert_eq!(rest["data"], json!([entries[2]]));
}

#[test]
fn without_the_admin_api_nothing_is_told_or_changed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(Config { admin_api: false, ..config(folder.path(), "") });
    assert_eq!(send(server.put(LIMITS, "{}")).0, 403);
    for path in [LIMITS, "/api/v1/admin/tenants", "/api/v1/admin/audit", "/api/v1/admin/metrics"] {
        assert_eq!(send(server.get(path)).0, 403, "{path}");
    }
}
