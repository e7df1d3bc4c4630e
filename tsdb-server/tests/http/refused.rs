//! What a refused request leaves behind: no tenant, no series, no slot; and what a broken store answers.

use crate::harness::{NOW, config, send, start};
use crate::ingest::{UP, field, series, varint};
use reqwest::StatusCode;
use std::sync::Arc;
use tsdb_core::testing::ManualClock;
use tsdb_server::{Config, Limit, Server};

fn metadata(metric: &str, help: &str) -> Vec<u8> {
    let kind = [vec![0x08], varint(1)].concat();
    field(3, &[kind, field(2, metric.as_bytes()), field(4, help.as_bytes())].concat())
}

#[tokio::test]
async fn a_request_without_a_storable_sample_creates_no_tenant() {
    let server = start(config()).await;
    let far = NOW + 3_600_000;
    let bodies = [
        Vec::new(),
        vec![0xff; 20],
        [series(UP, &[(NOW, 1.0)]), vec![0x0a, 0x7f]].concat(),
        series(UP, &[(far, 1.0), (i64::MIN, 1.0)]),
        series(&[("__name__", "a"), ("x", "1"), ("x", "2")], &[(NOW, 1.0)]),
        series(UP, &[(NOW, f64::from_bits(tsdb_core::sample::STALE_NAN_BITS))]),
        metadata("up", "Is it up?"),
    ];
    for (number, body) in bodies.iter().enumerate() {
        let (status, text) = send(server.write(body).header("X-Tenant-ID", format!("t{number}"))).await;
        assert!(!status.is_server_error(), "{number}: {text}");
    }
    let pushes = [
        "{}".to_owned(),
        r#"{"samples":[]}"#.to_owned(),
        format!(r#"{{"samples":[{{"metric":"m","timestampMs":{far},"value":1}}]}}"#),
        format!(r#"{{"samples":[{{"metric":"1m","timestampMs":{NOW},"value":1}}]}}"#),
        format!(r#"{{"samples":[{{"metric":"m","timestampMs":{NOW},"value":1}}],"tenantId":"other"}}"#),
        format!(r#"{{"samples":[{{"metric":"m","timestampMs":{NOW},"value":1}}]"#),
    ];
    for (number, body) in pushes.into_iter().enumerate() {
        send(server.push(body).header("X-Tenant-ID", format!("p{number}"))).await;
    }
    assert_eq!(server.stores.tenants(), Vec::<String>::new());
}

#[tokio::test]
async fn refusals_of_a_request_without_a_tenant_are_told_all_the_same() {
    let server = start(config()).await;
    let body = [
        series(UP, &[(NOW + 3_600_000, 1.0)]),
        series(&[("__name__", "a"), ("x", "1"), ("x", "2")], &[(NOW, 1.0)]),
    ];
    let (status, text) = send(server.write(&body.concat())).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("too_far_in_future: 1") && text.contains("duplicate_label: 1"), "{text}");
}

#[tokio::test]
async fn a_refused_request_registers_no_series() {
    let mut config = config();
    config.limits.ingest.max_samples_per_request = Limit::at(3);
    config.limits.ingest.samples_per_second = Limit::at(1);
    config.limits.ingest.burst_samples = Limit::at(1);
    let server = start(config).await;
    let two = [series(UP, &[(NOW, 1.0)]), series(&[("__name__", "new_1")], &[(NOW, 1.0)])].concat();
    assert_eq!(send(server.write(&[two.clone(), vec![0x0a, 0x7f]].concat())).await.0, 400);
    let four = [two.clone(), series(&[("__name__", "new_2")], &[(NOW, 1.0), (NOW + 1, 1.0)])].concat();
    assert_eq!(send(server.write(&four)).await.0, 413);
    assert_eq!(send(server.write(&two)).await.0, 204);
    assert_eq!(send(server.write(&series(&[("__name__", "new_3")], &[(NOW, 1.0)]))).await.0, 429);
    let push = format!(r#"{{"samples":[{{"metric":"new_4","timestampMs":{NOW},"value":1}}]}}"#);
    assert_eq!(send(server.push(push)).await.0, 429);
    let store = server.stores.of("default");
    let known = ["up", "new_1", "new_2", "new_3", "new_4"].map(|name| match name {
        "up" => store.knows(UP),
        _ => store.knows(&[("__name__", name)]),
    });
    assert_eq!(known, [true, true, false, false, false]);
}

#[tokio::test]
async fn known_and_new_series_keep_the_order_of_the_request() {
    let server = start(config()).await;
    assert_eq!(send(server.write(&series(UP, &[(NOW - 1, 0.0)]))).await.0, 204);
    let body = [
        series(UP, &[(NOW, 1.0)]),
        series(&[("__name__", "new")], &[(NOW, 5.0)]),
        series(&[("job", "x"), ("__name__", "up")], &[(NOW + 1, 2.0)]),
        series(UP, &[(NOW + 2, 3.0)]),
    ];
    assert_eq!(send(server.write(&body.concat())).await.0, 204);
    assert_eq!(server.samples(UP), [(NOW - 1, 0.0), (NOW, 1.0), (NOW + 1, 2.0), (NOW + 2, 3.0)]);
    assert_eq!(server.samples(&[("__name__", "new")]), [(NOW, 5.0)]);
}

#[tokio::test]
async fn json_names_each_refusal_once_by_its_index_whether_series_are_known_or_new() {
    let server = start(config()).await;
    let sample = |metric: &str, at: i64| format!(r#"{{"metric":"{metric}","timestampMs":{at},"value":1}}"#);
    let known = format!(r#"{{"samples":[{}]}}"#, sample("known", NOW));
    assert_eq!(send(server.push(known)).await.0, 202);
    let far = NOW + 3_600_000;
    let list = [
        sample("known", NOW + 1),
        sample("1", NOW),
        sample("known", far),
        sample("new", NOW),
        sample("2", NOW),
        sample("known", far),
        sample("new", far),
    ];
    let (_, text) = send(server.push(format!(r#"{{"samples":[{}]}}"#, list.join(",")))).await;
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&answer["ingestedCount"], &answer["droppedCount"]), (&2.into(), &5.into()), "{text}");
    let indices: Vec<_> = answer["errors"].as_array().unwrap().iter().map(|e| e["index"].clone()).collect();
    assert_eq!(indices, [1, 2, 4, 5, 6], "{text}");
}

#[tokio::test]
async fn descriptions_of_metrics_are_capped_cut_and_charged() {
    let mut config = config();
    config.limits.ingest.max_metadata_per_request = Limit::at(3);
    config.limits.ingest.max_metadata_bytes = Limit::at(8);
    config.limits.ingest.samples_per_second = Limit::at(1);
    config.limits.ingest.burst_samples = Limit::at(1);
    let server = start(config).await;
    let four = metadata("up", "x").repeat(4);
    let (status, text) = send(server.write(&four)).await;
    assert_eq!((status.as_u16(), text.contains("max_metadata_per_request")), (413, true), "{text}");
    let body =
        [metadata("up", "7 bytes\u{e9} and more"), metadata("much_too_long", ""), series(UP, &[(NOW, 1.0)])];
    assert_eq!(send(server.write(&body.concat())).await.0, 204);
    let store = server.stores.of("default");
    assert_eq!(store.0.metadata("up").unwrap().help, "7 bytes");
    assert_eq!(store.0.metadata("much_too_long"), None);
    assert_eq!(send(server.write(&metadata("up", "x"))).await.0, 429, "three units are owed");
}

#[tokio::test]
async fn flushing_by_force_needs_the_admin_api() {
    let server = start(config()).await;
    let (status, text) = send(server.post("/internal/force_flush")).await;
    assert_eq!((status.as_u16(), text.contains("admin_api")), (403, true), "{text}");
    let server = start(Config { admin_api: true, ..config() }).await;
    for tenant in ["a", "b"] {
        let request = server.write(&series(UP, &[(NOW, 1.0)])).header("X-Tenant-ID", tenant);
        assert_eq!(send(request).await.0, 204);
    }
    let flush = |tenant: &str| server.post("/internal/force_flush").header("X-Tenant-ID", tenant);
    assert_eq!(send(flush("a")).await.0, 204);
    assert_eq!(send(flush("nobody")).await.0, 204);
    assert_eq!(["a", "b"].map(|tenant| server.stores.of(tenant).flushes()), [1, 0]);
    assert!(!server.stores.tenants().contains(&"nobody".to_owned()));
}

#[tokio::test]
async fn a_tenant_whose_store_cannot_be_opened_answers_503_and_hurts_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("VERSION"), "999\n").unwrap();
    let stores = tsdb::Tenants::open(folder.path(), tsdb::Options::default()).unwrap();
    let server = Server::new(config(), Arc::new(stores), Arc::new(ManualClock::at(NOW))).unwrap();
    let server = crate::harness::run(server, Arc::default()).await;
    let asked = |tenant: &str, path: &str| server.get(path).header("X-Tenant-ID", tenant);
    for path in [
        "/api/v1/query?query=up",
        "/api/v1/series?match[]=up",
        "/api/v1/labels",
        "/api/v1/label/job/values",
        "/api/v1/metadata",
    ] {
        let (status, text) = send(asked("broken", path)).await;
        assert_eq!((status.as_u16(), text.contains("cannot be opened")), (503, true), "{path}: {text}");
        assert_eq!(send(asked("nobody", path)).await.0, 200, "{path}");
    }
    let write = server.write(&series(UP, &[(NOW, 1.0)])).header("X-Tenant-ID", "broken");
    assert_eq!(send(write).await.0, 503, "the sender keeps its samples");
    let write = server.write(&series(UP, &[(NOW, 1.0)])).header("X-Tenant-ID", "whole");
    assert_eq!(send(write).await.0, 204);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_free_the_slot_of_its_work() {
    let mut config = config();
    config.admin_api = true;
    config.limits.ingest.concurrency = Limit::at(1);
    let server = start(config).await;
    assert_eq!(send(server.write(&series(UP, &[(NOW, 1.0)]))).await.0, 204);
    let store = server.stores.of("default");
    store.hold_flushes(true);
    let flush = tokio::spawn(send(server.post("/internal/force_flush")));
    while store.flushes() == 0 {
        tokio::task::yield_now().await;
    }
    flush.abort();
    assert!(flush.await.is_err(), "the client has left");
    let mut write = tokio::spawn(send(server.write(&series(UP, &[(NOW + 1, 1.0)]))));
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut write).await;
    assert!(early.is_err(), "the only slot is taken");
    store.hold_flushes(false);
    assert_eq!(write.await.unwrap().0, 204);
}
