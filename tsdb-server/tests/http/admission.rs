//! What a tenant may write, over HTTP and on the engine: each limit by its name, and no tenant pays for another.

use crate::harness::{NOW, Running, config, run, send, start};
use crate::ingest::{UP, field, series, varint};
use crate::kinds::write_2;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::fmt::Write;
use std::io::Write as _;
use std::sync::Arc;
use tsdb::Tenants;
use tsdb_core::testing::ManualClock;
use tsdb_server::{Config, HighCardinality, Limit, Period, Server};

/// A server over the engine, and the folder that it writes.
pub(crate) struct OnEngine {
    pub(crate) running: Running,
    pub(crate) clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
}

pub(crate) async fn on_engine(config: Config) -> OnEngine {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(NOW));
    let options = tsdb::Options {
        background: false,
        replay: tsdb::Replay::BeforeOpen,
        clock: clock.clone(),
        ..config.engine_options()
    };
    let tenants = Tenants::open(folder.path(), options).unwrap();
    let server = Server::new(config, Arc::new(tenants), clock.clone()).unwrap();
    let running = run(server, Arc::default()).await;
    OnEngine { running, clock, _folder: folder }
}

impl OnEngine {
    pub(crate) async fn metrics(&self) -> String {
        send(self.running.get("/metrics")).await.1
    }

    async fn count(&self, query: &str) -> u64 {
        let path = format!("/api/v1/query?query={query}&time={}", NOW / 1000);
        let answer: Value = serde_json::from_str(&send(self.running.get(&path)).await.1).unwrap();
        let value = answer["data"]["result"][0]["value"][1].as_str();
        value.map_or(0, |value| value.parse().unwrap())
    }
}

pub(crate) fn of(tenant: &str, request: RequestBuilder) -> RequestBuilder {
    request.header("X-Tenant-ID", tenant)
}

/// Requests of remote write with a sample each of `m{user="<number>"}`.
fn users(numbers: std::ops::Range<usize>) -> Vec<u8> {
    numbers.flat_map(|number| user(&number.to_string())).collect()
}

fn user(value: &str) -> Vec<u8> {
    series(&[("__name__", "m"), ("user", value)], &[(NOW, 1.0)])
}

/// A push of a sample each of these label sets of the metric.
fn pushed(metric: &str, sets: &[&str]) -> String {
    let sample = |labels: &&str| {
        format!("{{\"metric\":\"{metric}\",\"labels\":{{{labels}}},\"timestampMs\":{NOW},\"value\":1}}")
    };
    format!("{{\"samples\":[{}]}}", sets.iter().map(sample).collect::<Vec<_>>().join(","))
}

async fn answered(request: RequestBuilder) -> (u16, Value) {
    let (status, text) = send(request).await;
    (status.as_u16(), serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn series_over_a_budget_are_refused_one_by_one_and_the_others_are_stored() {
    let mut config = config();
    config.limits.cardinality.max_active_series = Limit::at(3);
    let engine = on_engine(config).await;
    let server = &engine.running;
    assert_eq!(send(server.write(&users(0..2))).await.0, 204);
    let later = series(&[("__name__", "m"), ("user", "1")], &[(NOW + 1, 1.0)]);
    let bad = series(&[("user", "x")], &[(NOW, 1.0)]);
    let mixed = [users(2..5), bad.clone(), later].concat();
    let response = server.write(&mixed).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST, "sent again it would be refused again");
    assert_eq!(response.headers()["x-prometheus-remote-write-samples-written"], "2");
    assert!(response.headers().get("retry-after").is_none());
    let text = response.text().await.unwrap();
    for part in [
        "3 samples were refused, 2 were stored (active_series: 2, missing_metric_name: 1)",
        "the limit max_active_series of 3 is reached, there are 3; refused series: m{user=\"3\"}",
    ] {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
    // In an order that is none: known all the same.
    let known = series(&[("user", "0"), ("__name__", "m")], &[(NOW + 2, 1.0)]);
    let response = server.write(&[users(9..10), bad, known].concat()).send().await.unwrap();
    assert_eq!(
        response.headers()["x-prometheus-remote-write-samples-written"],
        "1",
        "read once, known ones flow"
    );
    let text = response.text().await.unwrap();
    assert!(text.contains("active_series: 1, missing_metric_name: 1"), "{text}");
    let (status, answer) = answered(server.push(pushed("n", &["", "\"email\":\"x\""]))).await;
    assert_eq!((status, &answer["ingestedCount"], &answer["droppedCount"]), (202, &0.into(), &2.into()));
    let reasons: Vec<_> = answer["errors"].as_array().unwrap().iter().map(|error| &error["reason"]).collect();
    assert_eq!(reasons, ["active_series", "blocked_label"]);
    assert_eq!(engine.count("count(m)").await, 3);
    let metrics = engine.metrics().await;
    for line in [
        "tsdb_refused_samples_total{tenant=\"default\",reason=\"active_series\"} 4",
        "tsdb_refused_samples_total{tenant=\"default\",reason=\"missing_metric_name\"} 2",
        "tsdb_refused_samples_total{tenant=\"default\",reason=\"blocked_label\"} 1",
        "tsdb_tenant_series_refused_total{tenant=\"default\",reason=\"active_series\"} 4",
        "tsdb_tenant_head_series{tenant=\"default\"} 3",
        "tsdb_tenant_series_created_last_minute{tenant=\"default\"} 3",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn each_limit_on_series_has_its_reason_and_says_what_it_allows() {
    let mut config = config();
    let limits = &mut config.limits.cardinality;
    limits.max_series_per_metric = Limit::at(4);
    limits.max_label_values_per_metric = Limit::at(2);
    limits.max_new_series_per_minute.push = Limit::at(9);
    let declared = HighCardinality { approved: false, max_series: Limit::NONE };
    limits.high_cardinality.insert("spans".to_owned(), declared);
    let engine = on_engine(config).await;
    let user = |user: usize, code: usize| format!("\"user\":\"{user}\",\"code\":\"{code}\"");
    let sets: Vec<String> = [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (1, 1)].map(|(u, c)| user(u, c)).into();
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    let told = |answer: Value| -> Vec<(u64, String, String)> {
        let errors = answer["errors"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        errors
            .iter()
            .map(|e| (e["index"].as_u64().unwrap(), text(&e["reason"]), text(&e["message"])))
            .collect()
    };
    let push = |body: String| async { told(answered(engine.running.push(body)).await.1) };
    let errors = push(pushed("m", &sets)).await;
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!((errors[0].0, errors[0].1.as_str()), (2, "label_values_per_metric"));
    assert!(
        errors[0].2.contains(
            "max_label_values_per_metric of 2 is reached, there are 2 values of the label \"user\""
        )
    );
    let errors = push(pushed("m", &["\"code\":\"1\""])).await;
    assert_eq!(errors[0].1, "series_per_metric");
    assert!(errors[0].2.contains("max_series_per_metric of 4 is reached, there are 4"), "{errors:?}");
    let errors = push(pushed("spans", &[""])).await;
    assert_eq!(errors[0].1, "not_approved");
    let many: Vec<String> = (0..6).map(|number| format!("\"l{number}\":\"x\"")).collect();
    let sets: Vec<&str> = many.iter().map(String::as_str).collect();
    let errors = push(pushed("few", &sets[..4])).await;
    assert_eq!(errors, []);
    let errors = push(pushed("other", &sets)).await;
    assert_eq!(errors.iter().map(|error| error.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(errors[0].2.contains("max_new_series_per_minute of 9 is reached, there are 9"), "{errors:?}");
    assert_eq!(
        send(engine.running.write(&series(UP, &[(NOW, 1.0)]))).await.0,
        204,
        "remote write has a budget of its own"
    );
}

#[tokio::test]
async fn limits_of_a_tenant_change_while_the_server_runs() {
    let mut config = config();
    config.admin_api = true;
    config.limits.cardinality.max_active_series = Limit::at(1);
    let server = &on_engine(config).await.running;
    let write = |tenant: &'static str, numbers| async move {
        send(of(tenant, server.write(&users(numbers)))).await.0.as_u16()
    };
    let give = |tenant, limits: Value| async move {
        let url = server.url(&format!("/api/v1/admin/tenants/{tenant}/limits"));
        assert_eq!(send(reqwest::Client::new().put(url).json(&limits)).await.0, 200);
    };
    assert_eq!((write("a", 0..1).await, write("b", 0..1).await), (204, 204));
    give("a", json!({"cardinality": {"max_active_series": 3}, "ingest": {"max_samples_per_request": 2}}))
        .await;
    assert_eq!((write("a", 0..2).await, write("b", 0..2).await), (204, 400));
    assert_eq!(write("a", 0..3).await, 413);
    give("a", json!({})).await;
    assert_eq!((write("a", 0..3).await, write("a", 0..2).await), (400, 204), "known series stay");
    give("b", json!({"cardinality": {"max_active_series": 0}})).await;
    assert_eq!(write("b", 0..50).await, 204);
}

#[tokio::test]
async fn each_tenant_has_its_window_for_late_samples_which_changes_while_the_server_runs() {
    let mut config = config();
    config.admin_api = true;
    config.limits.ingest.out_of_order_window = Period::from_secs(60);
    let engine = on_engine(config).await;
    let server = &engine.running;
    let write = |tenant: &'static str, at: i64| async move {
        send(of(tenant, server.write(&series(UP, &[(at, 1.0)])))).await
    };
    let give = |limits: Value| async move {
        let url = server.url("/api/v1/admin/tenants/a/limits");
        assert_eq!(send(reqwest::Client::new().put(url).json(&limits)).await.0, 200);
    };
    for tenant in ["a", "b"] {
        assert_eq!(write(tenant, NOW).await.0, 204);
        assert_eq!(write(tenant, NOW - 60_000).await.0, 204);
        let (status, text) = write(tenant, NOW - 60_001).await;
        assert!(status == 400 && text.contains("too_old: 1"), "{status} {text}");
    }
    give(json!({"ingest": {"out_of_order_window": "1h"}})).await;
    assert_eq!(write("a", NOW - 3_600_000).await.0, 204);
    assert_eq!(write("b", NOW - 3_600_000).await.0, 400);
    give(json!({"ingest": {"out_of_order_window": "0s"}})).await;
    let (status, text) = write("a", NOW - 1).await;
    assert!(status == 400 && text.contains("out_of_order: 1"), "{status} {text}");
}

#[tokio::test]
async fn a_metric_is_declared_to_have_many_series_while_the_server_runs() {
    let mut config = config();
    config.admin_api = true;
    config.limits.cardinality.max_series_per_metric = Limit::at(1);
    let server = &on_engine(config).await.running;
    let limits = server.url("/api/v1/admin/tenants/default/limits");
    assert_eq!(send(server.write(&users(0..2))).await.0, 400);
    let declared = json!({"cardinality": {"high_cardinality": {"m": {"approved": true, "max_series": 3}}}});
    let put = reqwest::Client::new().put(limits).json(&declared);
    let (status, answer) = send(put).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(send(server.write(&users(0..3))).await.0, 204);
    assert_eq!(send(server.write(&users(0..4))).await.0, 400);
}

#[tokio::test]
async fn a_tenant_over_its_rate_is_told_when_to_come_back_in_both_versions() {
    let mut config = config();
    config.limits.ingest.samples_per_second = Limit::at(1);
    config.limits.ingest.burst_samples = Limit::at(1);
    let engine = on_engine(config).await;
    let server = &engine.running;
    let many: Vec<(i64, f64)> = (0..500).map(|step| (NOW + step, 1.0)).collect();
    assert_eq!(
        send(server.write(&series(UP, &many))).await.0,
        204,
        "larger than the burst, but not for ever"
    );
    let requests =
        [server.write(&series(UP, &[(NOW, 1.0)])), server.push(pushed("m", &[""])), write_2(server, b"")];
    for request in requests {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        let delay: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((400..=500).contains(&delay), "{delay}");
        assert!(response.text().await.unwrap().contains("samples_per_second"));
    }
    let line = "tsdb_refused_write_requests_total{tenant=\"default\",reason=\"too_many_requests\"} 3";
    assert!(engine.metrics().await.contains(line));
}

#[tokio::test]
async fn tenants_that_somebody_invents_are_counted_together() {
    let mut config = config();
    config.limits.push.0.blocked_labels = vec!["x".to_owned()];
    let engine = on_engine(config).await;
    for number in 0..20 {
        let request = of(&format!("t{number}"), engine.running.push(pushed("m", &["\"x\":\"1\""])));
        assert_eq!(send(request).await.0, 202);
    }
    let metrics = engine.metrics().await;
    assert!(
        metrics.contains("tsdb_refused_samples_total{tenant=\"\",reason=\"blocked_label\"} 20"),
        "{metrics}"
    );
}

#[tokio::test]
async fn one_tenant_floods_and_the_others_go_on() {
    let mut config = config();
    config.limits.ingest.samples_per_second = Limit::at(100);
    config.limits.ingest.burst_samples = Limit::at(1_000);
    config.limits.cardinality.max_active_series = Limit::at(500);
    let engine = on_engine(config).await;
    let server = &engine.running;
    let flood = async {
        let mut refused = 0;
        for round in 0..40 {
            let request = server.write(&users(round * 2_000..round * 2_000 + 2_000));
            refused += usize::from(send(of("wild", request)).await.0 == StatusCode::TOO_MANY_REQUESTS);
        }
        refused
    };
    let calm = async {
        for step in 0..40 {
            let body = series(UP, &[(NOW + step, 1.0)]);
            assert_eq!(send(of("calm", server.write(&body))).await.0, 204, "request {step}");
        }
    };
    let (refused, ()) = tokio::join!(flood, calm);
    assert!(refused >= 38, "the first request is taken, the others are told to wait: {refused}");
    let stats = engine.metrics().await;
    assert!(stats.contains("tsdb_tenant_head_series{tenant=\"wild\"} 500"), "{stats}");
    assert!(stats.contains("tsdb_tenant_head_series{tenant=\"calm\"} 1"), "{stats}");
}

#[tokio::test]
async fn a_random_label_costs_its_tenant_new_series_and_nobody_a_known_one() {
    let mut config = config();
    config.limits.cardinality.max_new_series_per_minute.remote_write = Limit::at(100);
    let engine = on_engine(config).await;
    let server = &engine.running;
    assert_eq!(send(server.write(&users(0..50))).await.0, 204);
    for round in 0..20 {
        let bomb: Vec<u8> = (0..200).flat_map(|number| user(&format!("random {round} {number}"))).collect();
        let known: Vec<u8> = (0..50_usize)
            .flat_map(|number| {
                series(&[("__name__", "m"), ("user", &number.to_string())], &[(NOW + 1 + round, 1.0)])
            })
            .collect();
        let response = server.write(&[bomb, known].concat()).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let written = if round == 0 { "100" } else { "50" };
        assert_eq!(response.headers()["x-prometheus-remote-write-samples-written"], written, "round {round}");
    }
    assert_eq!(engine.count("count(m)").await, 100);
    assert_eq!(engine.count("min(count_over_time(m{user=~%22[0-9]%2B%22}[1m]))").await, 1);
}

#[tokio::test]
async fn a_label_value_of_ten_megabytes_is_refused_before_it_is_kept() {
    let engine = on_engine(config()).await;
    let server = &engine.running;
    let huge = "v".repeat(10 << 20);
    let response = server.write(&[user(&huge), user("small")].concat()).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let text = response.text().await.unwrap();
    assert!(
        text.contains("label_value_too_long: 1") && text.contains("max_value_chars allows 4096"),
        "{}",
        &text[..200]
    );
    let (status, answer) = answered(server.push(pushed("m", &[&format!("\"a\":\"{huge}\"")]))).await;
    assert_eq!((status, &answer["errors"][0]["reason"]), (202, &"label_value_too_long".into()));
    let pairs = send(server.get("/api/v1/label/user/values")).await.1;
    assert!(pairs.contains("[\"small\"]"), "{pairs}");
}

#[tokio::test]
async fn a_million_labels_or_series_are_refused_by_their_number() {
    let engine = on_engine(config()).await;
    let server = &engine.running;
    let mut wide = vec![("__name__".to_owned(), "m")];
    wide.extend((0..1_000_000).map(|number| (format!("l{number:07}"), "")));
    wide.iter_mut().skip(1).for_each(|(_, value)| *value = "v");
    let pairs: Vec<(&str, &str)> = wide.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let (status, text) = send(server.write(&series(&pairs, &[(NOW, 1.0)]))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{}", &text[..200]);
    assert!(text.contains("max_labels allows 64"), "{}", &text[..200]);
    let one = series(&[("__name__", "m")], &[(NOW, 1.0)]);
    let (status, text) = send(server.write(&one.repeat(1_000_000))).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(text.contains("max_samples_per_request"), "{text}");
    let metrics = engine.metrics().await;
    assert!(!metrics.contains("tsdb_tenant_head_series{"), "no tenant was made:\n{metrics}");
    assert!(metrics.contains("tsdb_refused_write_requests_total{tenant=\"\",reason=\"too_large\"} 1"));
}

#[tokio::test]
async fn odd_labels_are_put_in_order_or_refused() {
    let engine = on_engine(config()).await;
    let server = &engine.running;
    let unsorted = series(&[("b", "2"), ("a", "1"), ("__name__", "m"), ("c", "")], &[(NOW, 1.0)]);
    assert_eq!(send(server.write(&unsorted)).await.0, 204, "sorted, and an empty value is none");
    for (odd, reason) in [
        (series(&[("__name__", "m"), ("", "x")], &[(NOW, 1.0)]), "invalid_label_name"),
        (series(&[("__name__", "m"), ("a", "x"), ("a", "y")], &[(NOW, 1.0)]), "duplicate_label"),
        (series(&[("__name__", ""), ("a", "x")], &[(NOW, 1.0)]), "missing_metric_name"),
        (series(&[("__name__", "m"), ("__name__", "n")], &[(NOW, 1.0)]), "duplicate_label"),
    ] {
        let (status, text) = send(server.write(&odd)).await;
        assert_eq!((status.as_u16(), text.contains(reason)), (400, true), "{reason}: {text}");
    }
    assert_eq!(engine.count("count(m{a=%221%22,b=%222%22,c=%22%22})").await, 1);
    assert_eq!(engine.count("count({__name__=~%22.%2B%22})").await, 1);
}

#[tokio::test]
async fn strange_texts_are_stored_as_they_are_and_escaped_where_they_are_shown() {
    let engine = on_engine(config()).await;
    let server = &engine.running;
    let strange = "a\u{0}b\nc\u{202e}d<script>\"\\";
    let good = series(&[("__name__", strange), (strange, strange)], &[(NOW, 1.0)]);
    let mut label = field(1, b"name");
    label.extend(field(2, b"\xff\xfe"));
    let mut broken = field(1, &[field(1, b"__name__"), field(2, b"m")].concat());
    broken.extend(field(1, &label));
    broken.extend(field(
        2,
        &[vec![0x09], 1f64.to_le_bytes().to_vec(), vec![0x10], varint(NOW as u64)].concat(),
    ));
    let (status, text) = send(server.write(&[good, field(1, &broken)].concat())).await;
    assert_eq!((status.as_u16(), text.contains("invalid_utf8: 1")), (400, true), "{text}");
    let answer = send(server.get("/api/v1/series?match[]=%7B__name__!%3D%22%22%7D")).await.1;
    assert!(!answer.contains('\u{0}') && !answer.contains('\n'), "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (&answer["data"][0]["__name__"], &answer["data"][0][strange]),
        (&strange.into(), &strange.into())
    );
    let (_, answer) = answered(server.push(pushed("m", &["\"<script>\":\"x\""]))).await;
    let message = answer["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("<script>"), "{message}: JSON, and never a page");
}

#[tokio::test]
async fn names_that_look_like_others_are_stored_and_counted() {
    let engine = on_engine(config()).await;
    let server = &engine.running;
    for name in ["up", "\u{443}p", "u\u{440}", "temp\u{e9}rature"] {
        assert_eq!(send(server.write(&series(&[("__name__", name)], &[(NOW, 1.0)]))).await.0, 204);
    }
    let metrics = engine.metrics().await;
    assert!(metrics.contains("tsdb_look_alike_series_total{tenant=\"default\"} 2"), "{metrics}");
    assert_eq!(engine.count("count({__name__=~%22.%2B%22})").await, 4);
}

/// `bytes` as a stream of this encoding, at its strongest.
fn packed(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            out.write_all(bytes).unwrap();
            out.finish().unwrap()
        }
        "zstd" => zstd::encode_all(bytes, 19).unwrap(),
        _ => snap::raw::Encoder::new().compress_vec(bytes).unwrap(),
    }
}

#[tokio::test]
async fn bombs_nested_ones_too_are_refused_and_charged_to_who_sends_them() {
    let mut config = config();
    config.limits.ingest.max_decoded_bytes = Limit::at(1 << 20);
    config.limits.ingest.samples_per_second = Limit::at(1_000);
    config.limits.ingest.burst_samples = Limit::at(1_000);
    let server = start(config).await;
    let zeros = vec![0; 40 << 20];
    for encoding in ["gzip", "zstd", "snappy"] {
        let bomb = packed(encoding, &zeros);
        for (kind, body, expected) in [("plain", bomb.clone(), 413), ("nested", packed(encoding, &bomb), 400)]
        {
            let tenant = format!("{encoding}-{kind}");
            let nested_is_large = encoding == "snappy" && kind == "nested";
            let expected = if nested_is_large { 413 } else { expected };
            let send_bomb =
                || send(of(&tenant, server.push(body.clone()).header("Content-Encoding", encoding)));
            assert_eq!(send_bomb().await.0.as_u16(), expected, "{tenant}");
            if expected == 413 && !nested_is_large {
                assert_eq!(send_bomb().await.0.as_u16(), 429, "{tenant}");
            }
        }
    }
    assert_eq!(send(of("other", server.push(pushed("m", &[""])))).await.0, 202);
    for (encodings, body) in
        [("gzip, zstd", packed("zstd", &packed("gzip", &zeros))), ("deflate", vec![0x78, 0x9c])]
    {
        let request = server.push(body).header("Content-Encoding", encodings);
        assert_eq!(send(request).await.0.as_u16(), 415, "{encodings}");
    }
    let mut lie = varint(60 << 20);
    lie.extend([0; 100]);
    assert_eq!(send(of("liar", server.write_raw(lie))).await.0.as_u16(), 413, "by the declared size");
    let mut text = String::new();
    write!(text, "{:?}", server.stores.tenants()).unwrap();
    assert_eq!(text, "[\"other\"]");
}
