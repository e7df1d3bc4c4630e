//! Queries under load: whose turn it is, what is refused and why, what is shared, and who is left alone.

use crate::harness::{NOW, Running, config, send, start};
use crate::ingest::{UP, series};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tsdb::Tenants;
use tsdb_core::Labels;
use tsdb_core::testing::ManualClock;
use tsdb_server::{BlockedQuery, Config, Limit, Period, Server};

/// Gives `tenant` so many series that are read slowly.
fn load(server: &Running, tenant: &str, metric: &str, count: usize) {
    for number in 0..count {
        let labels = Labels::from_pairs([("__name__", metric), ("n", &number.to_string())]).unwrap();
        server.stores.of(tenant).0.put(&labels, NOW, 1.0);
    }
}

fn ask(server: &Running, tenant: &str, query: &str) -> reqwest::RequestBuilder {
    let time = (NOW / 1_000).to_string();
    server.get("/api/v1/query").header("X-Tenant-ID", tenant).query(&[("query", query), ("time", &time)])
}

/// The value of a metric of the server itself, summed over those whose labels contain `labels`.
async fn own(server: &Running, metric: &str, labels: &str) -> f64 {
    let (_, text) = send(server.get("/metrics")).await;
    let lines = text.lines().filter(|line| line.starts_with(metric) && line.contains(labels));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Waits until `metric` of the server has reached `value`.
async fn until(server: &Running, metric: &str, value: f64) {
    while own(server, metric, "").await < value {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_one_tenant_leaves_the_others_their_turns_and_ingest_alone() {
    let mut config = config();
    config.queries.concurrency = 2;
    config.limits.query.concurrency = Limit::at(2);
    let server = Arc::new(start(config).await);
    load(&server, "wild", "slow_metric", 2);
    load(&server, "calm", "quick", 2);
    let served = Arc::new(AtomicUsize::new(0));
    let storm: Vec<_> = (0..100)
        .map(|number| {
            let (server, served) = (Arc::clone(&server), Arc::clone(&served));
            tokio::spawn(async move {
                // Each asks for something else, so that none shares the answer of another.
                let (status, body) = send(ask(&server, "wild", &format!("slow_metric + {number}"))).await;
                served.fetch_add(1, Ordering::SeqCst);
                assert_eq!(status, 200, "{body}");
            })
        })
        .collect();
    until(&server, "tsdb_queries_waiting", 90.0).await;
    let before = served.load(Ordering::SeqCst);
    for number in 0..5 {
        assert_eq!(send(ask(&server, "calm", &format!("quick * {number}"))).await.0, 200);
        let write = server.write(&series(UP, &[(NOW + number, 1.0)])).header("X-Tenant-ID", "writer");
        assert_eq!(send(write).await.0, 204);
    }
    let meanwhile = served.load(Ordering::SeqCst) - before;
    assert!(meanwhile <= 30, "{meanwhile} queries of the storm came before five of another tenant");
    assert_eq!(own(&server, "tsdb_queries_refused_total", "tenant=\"calm\"").await, 0.0);
    for query in storm {
        query.await.unwrap();
    }
}

#[tokio::test]
async fn a_full_line_is_429_a_long_wait_503_and_both_name_their_limit() {
    let mut config = config();
    config.limits.query.concurrency = Limit::at(1);
    config.limits.query.max_queued = Limit::at(1);
    config.limits.query.max_queue_wait = Period::from_ms(100);
    let server = Arc::new(start(config).await);
    load(&server, "wild", "slow_metric", 40);
    let running = tokio::spawn({
        let server = Arc::clone(&server);
        async move { send(ask(&server, "wild", "slow_metric")).await.0 }
    });
    until(&server, "tsdb_queries_running", 1.0).await;
    let waiting = tokio::spawn({
        let server = Arc::clone(&server);
        async move { send(ask(&server, "wild", "slow_metric + 1")).await }
    });
    until(&server, "tsdb_queries_waiting", 1.0).await;
    let refused = ask(&server, "wild", "slow_metric + 2").send().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    assert!(refused.text().await.unwrap().contains("max_queued"));
    assert_eq!(send(ask(&server, "calm", "1")).await.0, 200, "another tenant has a line of its own");
    let (status, body) = waiting.await.unwrap();
    assert_eq!(status, 503);
    assert!(body.contains("max_queue_wait"), "{body}");
    for reason in ["max_queued", "max_queue_wait"] {
        let labels = format!("tenant=\"wild\",reason=\"{reason}\"");
        assert_eq!(own(&server, "tsdb_queries_refused_total", &labels).await, 1.0, "{reason}");
    }
    assert_eq!(running.await.unwrap(), 200);
}

#[tokio::test]
async fn blocked_queries_are_refused_with_their_pattern_for_the_tenants_that_it_is_set_for() {
    let mut config = config();
    let blocked = vec![BlockedQuery { pattern: "count\\(.*".into(), regex: true }];
    config.limits.query.blocked = blocked;
    let server = start(config).await;
    let (status, body) = send(ask(&server, "default", "count(up)")).await;
    assert_eq!(status, 403);
    assert!(body.contains("blocked") && body.contains("count"), "{body}");
    assert_eq!(send(ask(&server, "default", "sum(up)")).await.0, 200);
    assert_eq!(own(&server, "tsdb_queries_refused_total", "reason=\"blocked\"").await, 1.0);
}

#[tokio::test]
async fn queries_under_way_are_listed_and_stopped_by_their_tenant_alone() {
    let server = Arc::new(start(Config { admin_api: true, ..config() }).await);
    load(&server, "a", "slow_metric", 400);
    let running = tokio::spawn({
        let server = Arc::clone(&server);
        async move { send(ask(&server, "a", "slow_metric")).await }
    });
    until(&server, "tsdb_queries_running", 1.0).await;
    let list = async |tenant: &str, path: &str| -> serde_json::Value {
        let (status, body) = send(server.get(path).header("X-Tenant-ID", tenant)).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<serde_json::Value>(&body).unwrap()["data"].clone()
    };
    let active = "/api/v1/status/active_queries";
    assert_eq!(list("b", active).await, serde_json::json!([]));
    assert_eq!(list("b", &format!("{active}?all=true")).await[0]["tenant"], "a");
    let of_a = list("a", active).await;
    assert_eq!((&of_a[0]["query"], of_a.as_array().unwrap().len()), (&"slow_metric".into(), 1));
    let cancel = format!("{active}/{}/cancel", of_a[0]["id"].as_str().unwrap());
    assert_eq!(send(server.post(&cancel).header("X-Tenant-ID", "b")).await.0, 404);
    assert_eq!(send(server.post(&cancel).header("X-Tenant-ID", "a")).await.0, 200);
    let (status, body) = running.await.unwrap();
    assert_eq!(status, 503);
    assert!(body.contains("stopped by order"), "{body}");
    assert!(server.stores.of("a").slow_reads() < 400);
    // It is listed until its thread is free.
    while list("a", active).await != serde_json::json!([]) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_query_of_many_at_a_time_is_computed_once() {
    let server = Arc::new(start(config()).await);
    load(&server, "default", "slow_metric", 10);
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { send(ask(&server, "default", "slow_metric")).await })
        })
        .collect();
    let mut answers = Vec::new();
    for one in asked {
        answers.push(one.await.unwrap());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.0 == 200));
    let reads = server.stores.of("default").slow_reads();
    let shared = own(&server, "tsdb_query_cache_queries_total", "shared").await;
    // Whoever came after the answer was there asked anew.
    assert_eq!(reads as f64, (20.0 - shared) * 10.0);
    assert!(shared >= 1.0);
    let alone = ask(&server, "default", "slow_metric").header("Cache-Control", "no-store");
    assert_eq!(send(alone).await, answers[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_ends_when_the_last_client_leaves_and_gives_its_memory_back() {
    let server = Arc::new(start(config()).await);
    load(&server, "default", "slow_metric", 2_000);
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { send(ask(&server, "default", "slow_metric")).await })
        })
        .collect();
    while own(&server, "tsdb_query_cache_queries_total", "shared").await < 2.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (last, others) = clients.split_last().unwrap();
    others.iter().for_each(tokio::task::JoinHandle::abort);
    let reads = || server.stores.of("default").slow_reads();
    let before = reads();
    while reads() < before + 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(own(&server, "tsdb_queries_running", "").await, 1.0, "one still waits for it");
    last.abort();
    while own(&server, "tsdb_queries_running", "").await > 0.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(reads() < 2_000);
    assert_eq!(own(&server, "tsdb_query_memory_bytes", "").await, 0.0);
}

#[tokio::test]
async fn memory_of_all_queries_together_is_bounded_and_named() {
    let mut config = config();
    config.queries.max_memory_bytes = Limit::at(1 << 20);
    let server = start(config).await;
    let large = "/api/v1/query_range?query=quick&start=0&end=1000&step=1";
    load(&server, "default", "quick", 300);
    for number in 0..300 {
        let labels = Labels::from_pairs([("__name__", "quick"), ("n", &number.to_string())]).unwrap();
        (0..4).for_each(|minute| server.stores.of("default").0.put(&labels, minute * 250_000, 1.0));
    }
    let (status, body) = send(server.get(large)).await;
    assert_eq!(status, 422, "nobody else holds any: {body}");
    assert!(body.contains("max_memory_bytes"), "{body}");
    assert_eq!(send(ask(&server, "default", "sum(quick)")).await.0, 200);
    assert_eq!(own(&server, "tsdb_query_memory_bytes", "").await, 0.0);
}

#[tokio::test]
async fn what_takes_long_is_listed_with_what_it_cost() {
    let mut config = config();
    config.limits.query.slow_query = Period::from_ms(100);
    let server = start(config).await;
    load(&server, "default", "slow_metric", 3);
    load(&server, "default", "quick", 3);
    for query in ["quick", "slow_metric"] {
        assert_eq!(send(ask(&server, "default", query)).await.0, 200);
    }
    let (_, body) = send(server.get("/api/v1/status/slow_queries")).await;
    let list: serde_json::Value = serde_json::from_str(&body).unwrap();
    let slow = list["data"].as_array().unwrap().iter().find(|query| query["query"] == "slow_metric");
    assert_eq!(slow.unwrap()["series"], 3, "{body}");
    assert!(own(&server, "tsdb_slow_queries_total", "tenant=\"default\"").await >= 1.0);
}

/// A server over real databases, whose history says when an answer no longer holds.
async fn serve(folder: &std::path::Path, config: Config) -> Running {
    let clock = Arc::new(ManualClock::at(NOW));
    let clock_of_engine = Arc::<ManualClock>::clone(&clock);
    let options = tsdb::Options {
        background: false,
        replay: tsdb::Replay::BeforeOpen,
        clock: clock_of_engine,
        ..config.engine_options()
    };
    let tenants = Tenants::open(folder, options).unwrap();
    let server = Server::new(config, Arc::new(tenants), clock).unwrap();
    crate::harness::run(server, Arc::default()).await
}

fn range() -> String {
    let end = NOW / 1_000;
    format!("/api/v1/query_range?query=sum(up)&start={}&end={end}&step=10", end - 600)
}

async fn write(server: &Running, points: &[(i64, f64)]) {
    let (status, body) = send(server.write(&series(UP, points))).await;
    assert_eq!(status, 204, "{body}");
}

#[tokio::test]
async fn answers_are_given_again_until_a_write_or_a_delete_changes_them() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path(), Config { admin_api: true, ..config() }).await;
    write(&server, &[(NOW - 300_000, 1.0), (NOW - 200_000, 2.0)]).await;
    let uncached = async || send(server.get(&range()).header("Cache-Control", "no-store")).await;
    let found =
        async |kind: &str| own(&server, "tsdb_query_cache_queries_total", &format!("\"{kind}\"")).await;
    let first = send(server.get(&range())).await;
    assert_eq!((first.0.as_u16(), &first), (200, &uncached().await));
    assert_eq!(send(server.get(&range())).await, first);
    assert_eq!((found("missed").await, found("answer").await), (1.0, 1.0));

    write(&server, &[(NOW - 100_000, 3.0)]).await;
    let second = send(server.get(&range())).await;
    assert_eq!(second, uncached().await);
    assert_ne!(second, first, "what was written is seen at once");
    assert_eq!(found("partly").await, 1.0, "the steps before the new sample are kept");

    write(&server, &[(NOW - 250_000, 7.0)]).await;
    let third = send(server.get(&range())).await;
    assert_eq!(third, uncached().await);
    assert_ne!(third, second, "and so is what comes late");

    assert_eq!(send(server.post("/internal/force_flush")).await.0, 204);
    assert_eq!(send(server.get(&range())).await, third);
    assert_eq!(found("answer").await, 2.0, "a flush changes nothing");

    let delete = server.post("/api/v1/admin/tsdb/delete_series?match[]=up");
    assert_eq!(send(delete).await.0, 204);
    let last = send(server.get(&range())).await;
    assert_eq!(last, uncached().await);
    assert!(last.1.contains("\"result\":[]"), "{}", last.1);
}

#[tokio::test]
async fn answers_of_tenants_are_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path(), config()).await;
    for (tenant, value) in [("a", 1.0), ("b", 2.0)] {
        let request = server.write(&series(UP, &[(NOW - 100_000, value)])).header("X-Tenant-ID", tenant);
        assert_eq!(send(request).await.0, 204);
    }
    let of = async |tenant: &str| send(server.get(&range()).header("X-Tenant-ID", tenant)).await.1;
    for _ in 0..2 {
        assert!(of("a").await.contains("\"1\"]") && !of("a").await.contains("\"2\"]"));
        assert!(of("b").await.contains("\"2\"]") && !of("b").await.contains("\"1\"]"));
        assert!(of("c").await.contains("\"result\":[]"));
    }
}

#[tokio::test]
async fn a_dashboard_that_is_refreshed_too_often_gets_the_answer_that_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    config.limits.query.min_refresh = Period::from_secs(3_600);
    let server = serve(folder.path(), config).await;
    write(&server, &[(NOW - 100_000, 1.0)]).await;
    let first = send(server.get(&range())).await;
    write(&server, &[(NOW - 50_000, 2.0)]).await;
    assert_eq!(send(server.get(&range())).await, first);
    let fresh = send(server.get(&range()).header("Cache-Control", "max-age=0, no-store")).await;
    assert_ne!(fresh, first);
    assert_eq!(own(&server, "tsdb_query_cache_queries_total", "young_answer").await, 1.0);
}

#[tokio::test]
async fn the_cache_can_be_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    config.limits.query.result_cache = false;
    let server = serve(folder.path(), config).await;
    write(&server, &[(NOW - 100_000, 1.0)]).await;
    for _ in 0..2 {
        assert_eq!(send(server.get(&range())).await.0, 200);
    }
    assert_eq!(own(&server, "tsdb_query_cache_queries_total", "").await, 0.0);
    assert_eq!(own(&server, "tsdb_query_cache_bytes", "").await, 0.0);
}

#[tokio::test]
async fn a_tenant_with_limits_of_its_own_asks_for_as_much_as_these_allow() {
    let mut config = config();
    config.limits.query.max_points = Limit::at(10);
    config.limits.query.max_query_bytes = Limit::at(40);
    config.limits.query.max_body_bytes = Limit::at(200);
    let own = |points: u64, text: u64, body: u64| {
        let own =
            format!("[query]\nmax_points = {points}\nmax_query_bytes = {text}\nmax_body_bytes = {body}\n");
        own.parse().unwrap()
    };
    config.tenants.insert("more".into(), own(1_000, 4_000, 20_000));
    config.tenants.insert("less".into(), own(2, 10, 60));
    let server = start(config).await;
    let ask = async |tenant: &str, path: &str, text_bytes: usize, points: i64| {
        let text = format!("{:>text_bytes$}", "up");
        let (start, end) = (0.to_string(), (points * 10).to_string());
        let form = [("query", text.as_str()), ("start", &start), ("end", &end), ("step", "10")];
        let whole = server.get(path).header("X-Tenant-ID", tenant).query(&form);
        let posted = server.post(path).header("X-Tenant-ID", tenant).form(&form);
        (send(whole).await.0.as_u16(), send(posted).await.0.as_u16())
    };
    for path in ["/api/v1/query_range", "/api/v1/query_explain"] {
        for (tenant, points, text) in [("more", 1_000, 4_000), ("any", 10, 40), ("less", 2, 10)] {
            assert_eq!(ask(tenant, path, 5, points).await.0, 200, "{tenant} {path}");
            assert_eq!(ask(tenant, path, 5, points + 1).await.0, 400, "{tenant} {path}");
            assert_eq!(ask(tenant, path, text, 1).await.0, 200, "{tenant} {path}");
            assert_eq!(ask(tenant, path, text + 1, 1).await.0, 400, "{tenant} {path}");
        }
    }
    for path in ["/api/v1/query", "/api/v1/query_range", "/api/v1/query_explain", "/api/v1/query_exemplars"] {
        for (tenant, allowed) in [("more", 4_000), ("any", 40), ("less", 10)] {
            assert_eq!(ask(tenant, path, allowed, 1).await, (200, 200), "{tenant} {path}");
            assert_eq!(ask(tenant, path, allowed + 1, 1).await, (400, 400), "{tenant} {path}");
        }
        for (tenant, posted) in [("more", 400), ("any", 413), ("less", 413)] {
            assert_eq!(ask(tenant, path, 5_000, 1).await, (400, posted), "{tenant} {path}");
        }
        assert_eq!(ask("less", path, 70, 1).await.1, 413, "{path}");
        assert_eq!(ask("any", path, 70, 1).await.1, 400, "{path}");
    }
}
