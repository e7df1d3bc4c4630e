//! The query API byte for byte: what a real Prometheus answered to the same requests over the same data, and what
//! is ours alone.
//!
//! `golden/api/answers.txt` and `golden/api/trees.txt` were recorded by `golden/api/record` from Prometheus 3.5.3.

use crate::harness::{NOW, Running, SLOW_PREFIX, config, send, start};
use tsdb_core::Labels;
use tsdb_server::{Limit, Period};

const DATA: &str = include_str!("../golden/api/data.txt");
const ANSWERS: &str = include_str!("../golden/api/answers.txt");
const TREES: &str = include_str!("../golden/api/trees.txt");

/// Loads lines of the form `name{label="value",...} value seconds`.
fn load(server: &Running) {
    let store = server.stores.of("default");
    for line in DATA.lines().filter(|line| !line.starts_with('#')) {
        let (head, seconds) = line.rsplit_once(' ').unwrap();
        let (series, value) = head.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let mut pairs = vec![("__name__".to_owned(), name.to_owned())];
        let mut rest = labels.trim_end_matches('}');
        while let Some((label, tail)) = rest.split_once("=\"") {
            let mut values =
                serde_json::Deserializer::from_str(&rest[label.len() + 1..]).into_iter::<String>();
            let value = values.next().unwrap().unwrap();
            let used = values.byte_offset();
            pairs.push((label.to_owned(), value));
            rest = tail[used - 1..].trim_start_matches(',');
        }
        let labels = Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap();
        let ms = (seconds.parse::<f64>().unwrap() * 1000.0) as i64;
        store.0.put(&labels, ms, value.parse().unwrap());
    }
}

/// The request as a URL that the client takes: it refuses some characters that servers accept.
fn escaped(path: &str) -> String {
    path.replace('{', "%7B").replace('}', "%7D").replace('[', "%5B").replace(']', "%5D")
}

#[tokio::test]
async fn answers_are_those_of_prometheus_byte_for_byte() {
    compare_with_recording(ANSWERS, 70).await;
}

#[tokio::test]
async fn trees_and_formatted_texts_of_expressions_are_those_of_prometheus_byte_for_byte() {
    compare_with_recording(TREES, 180).await;
}

async fn compare_with_recording(recording: &str, requests: usize) {
    let server = start(config()).await;
    load(&server);
    let lines: Vec<&str> = recording.lines().collect();
    assert!(lines.len() >= 3 * requests, "the recording is whole");
    let mut differences = Vec::new();
    for [request, status, body] in lines.as_chunks::<3>().0 {
        let mut words = request.splitn(3, ' ');
        let (method, path, form) = (words.next().unwrap(), words.next().unwrap(), words.next());
        let request_builder = match method {
            "POST" => server
                .post(&escaped(path))
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(form.unwrap_or_default().to_owned()),
            _ => server.get(&escaped(path)),
        };
        let (found_status, found) = send(request_builder).await;
        if (found_status.as_str(), comparable(&found)) != (*status, comparable(body)) {
            differences
                .push(format!("{request}\n  expected {status} {body}\n  found    {found_status} {found}"));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

/// What must be equal: everything, but of a query that does not parse only that it does not. Which of several faults
/// a parser meets first is its own affair.
fn comparable(body: &str) -> &str {
    let Some((_, after)) = body.split_once("\"error\":\"") else { return body };
    let prefix = "invalid parameter \\\"query\\\": ";
    let kept = if after.starts_with(prefix) { prefix.len() } else { 0 };
    let at_a_position = after[kept..].starts_with(|first: char| first.is_ascii_digit());
    if at_a_position && after.contains("parse error") {
        return &body[..body.len() - after.len() + kept];
    }
    body
}

#[tokio::test]
async fn the_second_path_of_query_range_answers_alike() {
    let server = start(config()).await;
    load(&server);
    let query = "query_range?query=up&start=1435781430&end=1435781730&step=60";
    let first = send(server.get(&format!("/api/v1/{query}"))).await;
    let second = send(server.get(&format!("/v1/metrics/{query}"))).await;
    assert_eq!(first, second);
    let steps = "query=up&start=2015-07-01T20:10:30Z&end=2015-07-01T20:15:30Z&step=1m".to_owned();
    let form =
        server.post("/v1/metrics/query_range").header("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(send(form.body(steps)).await, first);
}

#[tokio::test]
async fn build_info_tells_clients_which_api_this_is() {
    let server = start(config()).await;
    let (status, body) = send(server.get("/api/v1/status/buildinfo")).await;
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status.as_u16(), &answer["status"]), (200, &"success".into()));
    for key in ["version", "revision", "branch", "buildUser", "buildDate", "goVersion"] {
        assert!(answer["data"][key].is_string(), "{key}");
    }
    let (_, body) = send(server.get("/api/v1/status/runtimeinfo")).await;
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["data"]["serverTime"], "2026-04-08T10:15:30.000Z");
}

#[tokio::test]
async fn metadata_comes_back_with_type_help_and_unit() {
    let server = start(config()).await;
    let body = [&[0x1a, 13, 0x08, 1, 0x12, 2, b'u', b'p', 0x22, 2, b'H', b'.', 0x2a, 1, b's'][..]].concat();
    server.stores.of("default").0.put(&Labels::from_pairs([("__name__", "up")]).unwrap(), NOW, 1.0);
    assert_eq!(send(server.write(&body)).await.0, 204);
    let expected = r#"{"status":"success","data":{"up":[{"type":"counter","unit":"s","help":"H."}]}}"#;
    for path in ["/api/v1/metadata", "/api/v1/metadata?metric=up", "/api/v1/metadata?limit=1"] {
        assert_eq!(send(server.get(path)).await, (200.try_into().unwrap(), expected.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn health_readiness_own_metrics_and_unknown_paths() {
    let server = start(config()).await;
    for path in ["/-/healthy", "/-/ready", "/"] {
        assert_eq!(send(server.get(path)).await.0, 200, "{path}");
    }
    assert_eq!(send(server.get("/api/v1/nothing")).await.0, 404);
    assert_eq!(send(server.client.put(server.url("/api/v1/query"))).await.0, 405);
    let (status, text) = send(server.get("/metrics")).await;
    assert_eq!(status, 200);
    assert!(text.contains("tsdb_http_requests_total{handler=\"/-/healthy\",code=\"200\"} 1\n"), "{text}");
    assert!(text.contains("# TYPE tsdb_http_request_duration_seconds histogram\n"), "{text}");
}

#[tokio::test]
async fn query_limits_name_themselves() {
    let mut config = config();
    config.limits.query.max_query_bytes = Limit::at(10);
    config.limits.query.max_range = Period::from_secs(3_600);
    config.limits.query.max_response_bytes = Limit::at(200);
    let server = start(config).await;
    load(&server);
    let cases = [
        ("/api/v1/query?query=11111111111", 400, "max_query_bytes allows 10"),
        ("/api/v1/query_range?query=1&start=0&end=3601&step=60", 400, "max_range allows"),
        (
            "/api/v1/query_range?query=up&start=1435781430&end=1435781730&step=1",
            422,
            "max_response_bytes allows",
        ),
    ];
    for (path, status, message) in cases {
        let (found, body) = send(server.get(path)).await;
        assert_eq!(found.as_u16(), status, "{body}");
        assert!(body.contains(message), "{body}");
    }
}

#[tokio::test]
async fn hostile_queries_are_refused_and_the_server_lives() {
    let server = start(config()).await;
    load(&server);
    let nested = format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000));
    let long = format!("1{}", "+1".repeat(500_000));
    let regexes = "{a=~\"((a{1000}){1000}){1000}\"}".to_owned();
    for query in [nested, long, regexes, "\u{0}".to_owned(), "sum(".repeat(5_000), "-".repeat(60_000)] {
        let form = server.post("/api/v1/query").form(&[("query", &query)]);
        let (status, body) = send(form).await;
        assert!(status == 400 || status == 422, "{status} {body:.200} for {query:.40}");
    }
    let escapes = ["/api/v1/query?query=%zz", "/api/v1/query?query=%ff", "/api/v1/label/%ff/values"];
    for path in escapes {
        assert_eq!(send(server.get(path)).await.0, 400, "{path}");
    }
    assert_eq!(send(server.get("/api/v1/query?query=1")).await.0, 200);
}

#[tokio::test]
async fn a_form_that_is_too_large_is_413() {
    let server = start(config()).await;
    let (status, body) = send(server.post("/api/v1/query").form(&[("query", "1".repeat(3 << 20))])).await;
    assert_eq!(status, 413, "{body}");
    assert!(body.contains("limits.query.max_body_bytes"), "{body}");
}

#[tokio::test]
async fn a_tenant_sees_its_own_series_and_reading_creates_no_tenant() {
    let server = start(config()).await;
    load(&server);
    let labels = |tenant: &'static str| send(server.get("/api/v1/labels").header("X-Scope-OrgID", tenant));
    assert_eq!(labels("other").await.1, r#"{"status":"success","data":[]}"#);
    assert!(labels("default").await.1.contains("job"));
    let query = server.get("/api/v1/query?query=up&time=1435781500").header("X-Tenant-ID", "other");
    assert_eq!(send(query).await.1, r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#);
    assert_eq!(tsdb_server::Stores::list(&*server.stores).len(), 1, "only the default tenant exists");
    assert_eq!(labels("../x").await.0, 400);
}

#[tokio::test]
async fn a_query_ends_when_its_client_leaves_or_its_time_is_over() {
    let mut config = config();
    config.limits.query.concurrency = Limit::at(1);
    let server = start(config).await;
    for number in 0..5_000 {
        let (name, number) = (format!("{SLOW_PREFIX}metric"), number.to_string());
        let labels = Labels::from_pairs([("__name__", name.as_str()), ("n", &number)]).unwrap();
        server.stores.of("default").0.put(&labels, NOW, 1.0);
    }
    let path = format!("/api/v1/query?query=sum({SLOW_PREFIX}metric)&time={}", NOW / 1_000);
    let impatient = server.get(&path).timeout(std::time::Duration::from_millis(300)).send().await;
    assert!(impatient.is_err_and(|error| error.is_timeout()));
    // The only place for a query is free again, minutes before the query could have ended.
    assert_eq!(send(server.get("/api/v1/query?query=1")).await.0, 200);
    let reads = server.stores.of("default").slow_reads();
    assert!(reads < 500, "{reads} of 5000 series were read for nobody");
    let (status, body) = send(server.get(&format!("{path}&timeout=200ms"))).await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("\"errorType\":\"timeout\""), "{body}");
    for none in ["0", "-5", "-5m"] {
        let (status, body) = send(server.get(&format!("{path}&timeout={none}"))).await;
        assert_eq!(status, if none == "-5m" { 400 } else { 503 }, "{none}: {body}");
    }
}

#[tokio::test]
async fn a_query_that_waits_too_long_for_its_turn_is_told_to_come_back() {
    let mut config = config();
    config.limits.query.concurrency = Limit::at(1);
    config.limits.query.max_queue_wait = Period::from_ms(100);
    let server = start(config).await;
    for number in 0..100 {
        let (name, number) = (format!("{SLOW_PREFIX}metric"), number.to_string());
        let labels = Labels::from_pairs([("__name__", name.as_str()), ("n", &number)]).unwrap();
        server.stores.of("default").0.put(&labels, NOW, 1.0);
    }
    let path = format!("/api/v1/query?query=sum({SLOW_PREFIX}metric)&time={}", NOW / 1_000);
    // Neither is given the answer of the other.
    let ask = || server.get(&path).header("Cache-Control", "no-store").send();
    let (first, second) = tokio::join!(ask(), ask());
    let statuses = [&first, &second].map(|answer| answer.as_ref().unwrap().status().as_u16());
    assert_eq!(statuses.iter().max(), Some(&503), "one of the two had to wait: {statuses:?}");
    assert_eq!(statuses.iter().min(), Some(&200), "the other did not: {statuses:?}");
    let refused = [first, second].into_iter().flatten().find(|answer| answer.status() == 503).unwrap();
    assert_eq!(refused.headers()["retry-after"], "1");
}
