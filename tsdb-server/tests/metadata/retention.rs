//! What is kept of each tenant: as its budget says, shown before it is in force, and safe from slips.

use crate::server::{Running, config, send};
use reqwest::blocking::RequestBuilder;
use serde_json::{Value, json};
use tsdb_server::Config;

const LIMITS: &str = "/api/v1/admin/tenants/acme/limits";
const PLAN: &str = "/api/v1/admin/tsdb/retention";
/// Blocks of each tenant.
const BLOCKS: i64 = 40;

struct World {
    server: Running,
    _folder: tempfile::TempDir,
}

fn start(settings: &str) -> World {
    let world = empty(settings);
    fill(&world.server);
    world
}

/// A server whose blocks are of ten seconds each.
fn empty(settings: &str) -> World {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{settings}\n[storage]\nblock_range = \"10s\"\ncompact = false\n");
    let parsed = Config::parse(&text).unwrap();
    let (storage, limits, tenants) = (parsed.storage, parsed.limits, parsed.tenants);
    let server = Running::start(Config { storage, limits, tenants, ..config(folder.path(), "") });
    World { server, _folder: folder }
}

/// Gives the tenants `acme` and `other` blocks over the last minutes.
fn fill(server: &Running) {
    let now = send(server.get("/api/v1/query?query=time()")).1["data"]["result"][0].as_f64().unwrap();
    let start = (now as i64 / 10 - BLOCKS) * 10_000;
    let sample = |n: i64| json!({"metric": "m", "timestampMs": start + n * 5_000, "value": 1});
    let body = json!({"samples": (0..BLOCKS * 2).map(sample).collect::<Vec<Value>>()}).to_string();
    for tenant in ["acme", "other"] {
        let push = server.post("/v1/metrics/push", &body).header("Content-Type", "application/json");
        assert_eq!(send(of(push, tenant)).0, 202);
        assert_eq!(send(of(server.post("/internal/force_flush", ""), tenant)).0, 204);
    }
}

fn of(request: RequestBuilder, tenant: &str) -> RequestBuilder {
    request.header("X-Tenant-ID", tenant)
}

fn due(server: &Running, tenant: &str) -> usize {
    let (status, answer) = send(of(server.get(PLAN), tenant));
    assert_eq!(status, 200, "{answer}");
    answer["data"]["blocks"].as_array().unwrap().len()
}

#[test]
fn a_tenant_keeps_what_its_budget_says_and_the_others_what_the_settings_say() {
    let World { server, _folder } = start("[limits.retention]\nrollups = []");
    assert_eq!((due(&server, "acme"), due(&server, "other")), (0, 0));
    let body = r#"{"retention":{"samples":"5m"}}"#;
    let (status, answer) = send(of(server.post(PLAN, body), "acme"));
    let tried = &answer["data"];
    let blocks = tried["blocks"].as_array().unwrap();
    assert_eq!((status, &tried["refused"]), (200, &json!(false)));
    assert!((8..=11).contains(&blocks.len()), "{answer}");
    assert_eq!((&blocks[0]["reason"], &blocks[0]["resolutionMs"]), (&json!("age"), &Value::Null));
    assert!(tried["bytes"].as_u64().unwrap() < tried["allBytes"].as_u64().unwrap() / 2);
    assert_eq!(due(&server, "acme"), 0, "that was only asked");

    let (status, answer) = send(server.put(LIMITS, body));
    assert_eq!((status, &answer["data"]["limits"]["retention"]["samples"]), (200, &json!("5m")), "{answer}");
    assert!(due(&server, "acme") >= 8);
    assert_eq!(due(&server, "other"), 0);
    assert_eq!(send(server.delete(LIMITS)).0, 204);
    assert_eq!(due(&server, "acme"), 0);
}

#[test]
fn a_mistyped_retention_is_refused_when_it_is_set() {
    let World { server, _folder } = start("[limits.retention]\nrollups = []");
    for (retention, words) in [
        (json!({"samples": "30s"}), "limits.retention.max_expired_percent to 100"),
        (json!({"max_bytes": 1}), "limits.retention: it would delete 40 blocks"),
        (json!({"samples": "1s"}), "limits.retention: option retention_ms has the value 1000"),
        (json!({"samples": 14}), "limits.retention.samples: "),
        (json!({"rollups": [{"resolution": "0s", "after": "1h", "retention": "1d"}]}), "rollups"),
    ] {
        let (status, answer) = send(server.put(LIMITS, &json!({"retention": retention}).to_string()));
        let message = answer["error"].as_str().unwrap_or_default();
        assert!(status == 400 && message.contains(words), "{retention}: {answer}");
    }
    assert_eq!((due(&server, "acme"), &send(server.get(LIMITS)).1["data"]["version"]), (0, &json!(0)));
    let meant = json!({"retention": {"samples": "30s", "max_expired_percent": 100}}).to_string();
    assert_eq!(send(server.put(LIMITS, &meant)).0, 200);
}

#[test]
fn the_settings_may_name_what_single_tenants_keep() {
    let settings = "[tenants.acme.retention]\nsamples = \"30s\"\n[limits.retention]\nrollups = []";
    let World { server, _folder } = empty(settings);
    // A budget says something else, as long as it is there.
    assert_eq!(send(server.put(LIMITS, r#"{"retention":{"samples":"1d"}}"#)).0, 200);
    fill(&server);
    assert_eq!((due(&server, "acme"), due(&server, "other")), (0, 0));
    let (status, answer) = send(server.delete(LIMITS));
    assert!(status == 400 && answer["error"].as_str().unwrap().contains("would delete"), "{answer}");
    let meant = r#"{"retention":{"max_expired_percent":100}}"#;
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .ends_with(&format!("put {meant} in their place, and delete that once it has gone")),
        "{answer}"
    );
    assert_eq!(send(server.put(LIMITS, meant)).0, 200);
    assert!(due(&server, "acme") > 30);
}
