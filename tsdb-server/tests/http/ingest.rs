//! Both ways in, over HTTP: what is stored, what is refused, and with which words.

use crate::harness::{NOW, Running, config, send, start};
use reqwest::StatusCode;
use tsdb_core::labels::write_wire_pair;
use tsdb_server::{Limit, Limits};

pub(crate) fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

pub(crate) fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], varint(content.len() as u64), content.to_vec()].concat()
}

pub(crate) fn series(pairs: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut message = Vec::new();
    for (name, value) in pairs {
        write_wire_pair(name, value, &mut message);
    }
    for (timestamp, value) in samples {
        let sample =
            [vec![0x09], value.to_le_bytes().to_vec(), vec![0x10], varint(*timestamp as u64)].concat();
        message.extend(field(2, &sample));
    }
    field(1, &message)
}

pub(crate) const UP: &[(&str, &str)] = &[("__name__", "up"), ("job", "x")];

#[tokio::test]
async fn remote_write_stores_samples_bit_for_bit() {
    let server = start(config()).await;
    let payload = f64::from_bits(0x7ff8_0000_0000_1234);
    let samples = [(NOW - 2, 1.5), (NOW - 1, payload), (NOW, f64::NEG_INFINITY)];
    let response = server.write(&series(UP, &samples)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(response.headers()["x-prometheus-remote-write-samples-written"], "3");
    let bits = |samples: &[(i64, f64)]| samples.iter().map(|(t, v)| (*t, v.to_bits())).collect::<Vec<_>>();
    assert_eq!(bits(&server.samples(UP)), bits(&samples));
    assert_eq!(send(server.write(&series(UP, &samples))).await.0, 204, "exact repetitions are accepted");
}

#[tokio::test]
async fn good_samples_are_stored_when_others_are_refused() {
    let server = start(config()).await;
    let other = &[("__name__", "other")][..];
    let body = [
        series(UP, &[(NOW, 1.0)]),
        series(&[("__name__", "a"), ("x", "1"), ("x", "2")], &[(NOW, 1.0), (NOW + 1, 1.0)]),
        series(&[("job", "x")], &[(NOW, 1.0)]),
        series(other, &[(NOW, 1.0), (NOW, 2.0), (NOW + 3_600_000, 1.0), (i64::MAX, 1.0), (i64::MIN, 1.0)]),
    ]
    .concat();
    let response = server.write(&body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.headers()["x-prometheus-remote-write-samples-written"], "2");
    let text = response.text().await.unwrap();
    for part in [
        "7 samples were refused, 2 were stored",
        "duplicate_label: 2",
        "missing_metric_name: 1",
        "duplicate_timestamp: 1",
        "too_far_in_future: 2",
        "too_old: 1",
        "other: duplicate timestamp",
    ] {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
    assert_eq!(server.samples(UP), [(NOW, 1.0)]);
    assert_eq!(server.samples(other), [(NOW, 1.0)]);
}

#[tokio::test]
async fn unsorted_and_empty_labels_name_the_same_series() {
    let server = start(config()).await;
    let body = [
        series(&[("job", "x"), ("__name__", "up")], &[(NOW, 1.0)]),
        series(&[("__name__", "up"), ("empty", ""), ("job", "x")], &[(NOW + 1, 2.0)]),
        series(UP, &[(NOW + 2, 3.0)]),
    ]
    .concat();
    assert_eq!(send(server.write(&body)).await.0, 204);
    assert_eq!(server.samples(UP), [(NOW, 1.0), (NOW + 1, 2.0), (NOW + 2, 3.0)]);
}

#[tokio::test]
async fn a_stale_marker_ends_a_known_series_and_creates_none() {
    let server = start(config()).await;
    let stale = f64::from_bits(tsdb_core::sample::STALE_NAN_BITS);
    assert_eq!(send(server.write(&series(UP, &[(NOW, stale)]))).await.0, 204);
    assert_eq!(server.samples(UP), []);
    assert_eq!(send(server.write(&series(UP, &[(NOW, 1.0), (NOW + 1, stale)]))).await.0, 204);
    assert_eq!(server.samples(UP).last().unwrap().1.to_bits(), stale.to_bits());
}

#[tokio::test]
async fn bad_bodies_get_a_permanent_status_and_a_reason() {
    let server = start(config()).await;
    let good = snap::raw::Encoder::new().compress_vec(&series(UP, &[(NOW, 1.0)])).unwrap();
    let packed = |bytes: &[u8]| snap::raw::Encoder::new().compress_vec(bytes).unwrap();
    let bomb = [vec![0xff, 0xff, 0xff, 0xff, 0x0f], vec![0; 64]].concat();
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("empty", Vec::new(), 400, "snappy"),
        ("no snappy", b"not snappy at all, but long enough".to_vec(), 400, "snappy"),
        ("truncated snappy", good[..good.len() - 1].to_vec(), 400, "snappy"),
        ("declared length beyond the limit", bomb, 413, "max_decoded_bytes"),
        ("endless varint", packed(&[0xff; 100]), 400, "longer than 64 bits"),
        ("wrong wire type", packed(&[0x09, 0, 0, 0, 0, 0, 0, 0, 0]), 400, "expected Bytes"),
        ("truncated message", packed(&series(UP, &[(NOW, 1.0)])[..20]), 400, "ends inside"),
        ("group", packed(&[0x0b]), 400, "wire type"),
    ];
    for (name, body, status, reason) in cases {
        let (found, text) = send(server.write_raw(body)).await;
        assert_eq!(found.as_u16(), status, "{name}: {text}");
        assert!(text.contains(reason), "{name}: {text}");
    }
    assert_eq!(server.samples(UP), [], "nothing of a damaged request is stored");
    assert_eq!(send(server.write_raw(good)).await.0, 204, "the server lives");
}

#[tokio::test]
async fn other_formats_are_415() {
    let server = start(config()).await;
    let body = snap::raw::Encoder::new().compress_vec(b"").unwrap();
    for (kind, encoding) in [
        ("application/x-protobuf;proto=io.prometheus.write.v3.Request", "snappy"),
        ("application/json", "snappy"),
        ("application/x-protobuf", "gzip"),
        ("application/x-protobuf", "identity"),
        ("application/x-protobuf", "br"),
    ] {
        let request = server
            .post("/api/v1/write")
            .header("Content-Type", kind)
            .header("Content-Encoding", encoding)
            .body(body.clone());
        assert_eq!(send(request).await.0, 415, "{kind} {encoding}");
    }
    let named = server
        .post("/api/v1/write")
        .header("Content-Type", "application/x-protobuf;proto=prometheus.WriteRequest")
        .header("Content-Encoding", "snappy");
    assert_eq!(send(named.body(body)).await.0, 204);
}

#[tokio::test]
async fn limits_on_requests_and_rates() {
    let mut config = config();
    config.limits.ingest.max_body_bytes = Limit::at(1_000);
    config.limits.ingest.max_samples_per_request = Limit::at(20);
    config.limits.ingest.samples_per_second = Limit::at(1);
    config.limits.ingest.burst_samples = Limit::at(1);
    let server = start(config).await;
    let many = |n: i64| series(UP, &(0..n).map(|i| (NOW + i, 1.0)).collect::<Vec<_>>());
    let (status, text) = send(server.write_raw(vec![0; 1_001])).await;
    assert_eq!((status.as_u16(), text.contains("max_body_bytes")), (413, true), "{text}");
    let (status, text) = send(server.write(&many(21))).await;
    assert_eq!((status.as_u16(), text.contains("max_samples_per_request")), (413, true), "{text}");
    assert_eq!(server.samples(UP), [], "nothing of a refused request is stored");
    assert_eq!(send(server.write(&many(20))).await.0, 204, "a burst passes once");
    let response = server.write(&many(20)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let delay: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=20).contains(&delay), "{delay}");
}

#[tokio::test]
async fn lifted_limits_take_what_defaults_refuse() {
    let mut config = config();
    config.limits = Limits::lifted();
    let server = start(config).await;
    let many: Vec<String> = (0..100).map(|i| format!("label_{i:03}")).collect();
    let long = "v".repeat(10_000);
    let mut pairs = vec![("__name__", "wide")];
    pairs.extend(many.iter().map(|name| (name.as_str(), long.as_str())));
    assert_eq!(send(server.write(&series(&pairs, &[(NOW + 86_400_000, 1.0)]))).await.0, 204);
    assert_eq!(server.samples(&pairs), [(NOW + 86_400_000, 1.0)]);
}

async fn pushed(server: &Running, body: &str) -> (u16, serde_json::Value) {
    let (status, text) = send(server.push(body.to_owned())).await;
    (status.as_u16(), serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn both_forms_of_json_are_stored() {
    let server = start(config()).await;
    let first = r#"{"samples":[{"metric":"http_requests_total","labels":{"service":"checkout"},"timestampMs":1775643330000,"value":1842.0}]}"#;
    assert_eq!(
        pushed(&server, first).await,
        (202, serde_json::json!({"ingestedCount": 1, "droppedCount": 0}))
    );
    let second = r#"{"tenantId":"default","samples":[
        {"name":"http_requests_total","labels":{"service":"checkout"},"timestamp":"2026-04-08T10:15:31Z","value":1843},
        {"name":"http_requests_total","labels":{"service":"checkout"},"timestamp":1775643332000,"value":"NaN"}]}"#;
    assert_eq!(pushed(&server, second).await.1["ingestedCount"], 2);
    let stored = server.samples(&[("__name__", "http_requests_total"), ("service", "checkout")]);
    assert_eq!(stored[..2], [(1_775_643_330_000, 1842.0), (1_775_643_331_000, 1843.0)]);
    assert!(stored[2].0 == 1_775_643_332_000 && stored[2].1.is_nan());
}

#[tokio::test]
async fn each_dropped_sample_is_named_by_index_and_reason() {
    let server = start(config()).await;
    let sample = |rest: &str| format!(r#"{{"metric":"m","timestampMs":{NOW},"value":1{rest}}}"#);
    let long = "x".repeat(201);
    let cases = [
        ("7".to_owned(), "invalid_sample"),
        (format!(r#"{{"timestampMs":{NOW},"value":1}}"#), "missing_metric_name"),
        (format!(r#"{{"metric":"1m","timestampMs":{NOW},"value":1}}"#), "invalid_metric_name"),
        (format!(r#"{{"metric":7,"timestampMs":{NOW},"value":1}}"#), "invalid_metric_name"),
        (r#"{"metric":"m","value":1}"#.to_owned(), "missing_timestamp"),
        (r#"{"metric":"m","timestamp":"yesterday","value":1}"#.to_owned(), "invalid_timestamp"),
        (r#"{"metric":"m","timestamp":1.5,"value":1}"#.to_owned(), "invalid_timestamp"),
        (r#"{"metric":"m","timestamp":9223372036854775807,"value":1}"#.to_owned(), "too_far_in_future"),
        (r#"{"metric":"m","timestamp":-9223372036854775808,"value":1}"#.to_owned(), "too_old"),
        (r#"{"metric":"m","timestamp":99999999999999999999,"value":1}"#.to_owned(), "invalid_timestamp"),
        (format!(r#"{{"metric":"m","timestampMs":{NOW}}}"#), "missing_value"),
        (format!(r#"{{"metric":"m","timestampMs":{NOW},"value":"1"}}"#), "invalid_value"),
        (format!(r#"{{"metric":"m","timestampMs":{NOW},"value":[1]}}"#), "invalid_value"),
        (format!(r#"{{"metric":"m","name":"m","timestampMs":{NOW},"value":1}}"#), "duplicate_field"),
        (sample(r#","labels":[]"#), "invalid_labels"),
        (sample(r#","labels":{"a":1}"#), "invalid_label_value"),
        (sample(r#","labels":{"a":"1","a":"2"}"#), "duplicate_label"),
        (sample(r#","labels":{"":"1"}"#), "invalid_label_name"),
        (sample(r#","labels":{"a-b":"1"}"#), "invalid_label_name"),
        (sample(r#","labels":{"tenant_id":"1"}"#), "reserved_label"),
        (sample(r#","labels":{"__name__":"1"}"#), "reserved_label"),
        (sample(r#","labels":{"user_id":"1"}"#), "blocked_label"),
        (sample(&format!(r#","labels":{{"a":"{long}"}}"#)), "label_value_too_long"),
        (sample(""), ""),
        (format!(r#"{{"metric":"m","timestampMs":{NOW},"value":2}}"#), "duplicate_timestamp"),
    ];
    let list: Vec<&str> = cases.iter().map(|(text, _)| text.as_str()).collect();
    let (status, answer) = pushed(&server, &format!(r#"{{"samples":[{}]}}"#, list.join(","))).await;
    assert_eq!((status, &answer["ingestedCount"]), (202, &1.into()), "{answer}");
    assert_eq!(answer["droppedCount"], cases.len() - 1);
    let errors = answer["errors"].as_array().unwrap();
    let expected: Vec<_> = cases.iter().enumerate().filter(|(_, (_, reason))| !reason.is_empty()).collect();
    assert_eq!(errors.len(), expected.len(), "{answer}");
    for (error, (index, (text, reason))) in errors.iter().zip(expected) {
        assert_eq!((&error["index"], &error["reason"]), (&index.into(), &(*reason).into()), "{text} {error}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
}

#[tokio::test]
async fn the_list_of_errors_is_capped_and_the_count_is_not() {
    let server = start(config()).await;
    let list = vec!["{}"; 5_000].join(",");
    let (status, answer) = pushed(&server, &format!(r#"{{"samples":[{list}]}}"#)).await;
    assert_eq!((status, &answer["droppedCount"]), (202, &5_000.into()));
    assert_eq!(answer["errors"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn bodies_that_are_no_push_are_400_and_leave_nothing() {
    let server = start(config()).await;
    let good = format!(r#"{{"metric":"m","timestampMs":{NOW},"value":1}}"#);
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    for body in [
        String::new(),
        "garbage".into(),
        "[]".into(),
        "{}".into(),
        r#"{"samples":{}}"#.into(),
        r#"{"samples":null}"#.into(),
        format!(r#"{{"samples":[{good}"#),
        format!(r#"{{"samples":[{good}],"samples":[]}}"#),
        format!(r#"{{"samples":[{good}]}} trailing"#),
        format!(r#"{{"samples":[{good}],"tenantId":7}}"#),
        r#"{"samples":[{"value":1e999}]}"#.into(),
        "{\"samples\":[{\"metric\":\"\u{1}\"}]}".into(),
        deep("[", "]"),
        deep("{\"a\":", "}"),
        format!(r#"{{"samples":[{good},{}]}}"#, deep("[", "]")),
    ] {
        let (status, text) = send(server.push(body.clone())).await;
        assert_eq!(status, 400, "{text} for {body:.80}");
        assert!(text.contains("\"errorType\":\"bad_data\""), "{text}");
    }
    assert_eq!(send(server.push(b"{\"samples\":[{\"metric\":\"\xff\"}]}".to_vec())).await.0, 400);
    assert_eq!(server.samples(&[("__name__", "m")]), []);
}

#[tokio::test]
async fn a_body_cannot_claim_another_tenant() {
    let server = start(config()).await;
    let body =
        format!(r#"{{"samples":[{{"metric":"m","timestampMs":{NOW},"value":1}}],"tenantId":"victim"}}"#);
    assert_eq!(send(server.push(body.clone())).await.0, 403);
    assert_eq!(send(server.push(body.clone()).header("X-Tenant-ID", "attacker")).await.0, 403);
    for tenant in ["default", "attacker", "victim"] {
        assert_eq!(server.samples_of(tenant, &[("__name__", "m")]), [], "{tenant}");
    }
    assert_eq!(send(server.push(body).header("X-Tenant-ID", "victim")).await.0, 202);
    assert_eq!(server.samples_of("victim", &[("__name__", "m")]), [(NOW, 1.0)]);
}

#[tokio::test]
async fn every_content_encoding_and_protobuf_may_be_pushed() {
    let server = start(config()).await;
    let body = |value: u32| {
        format!(r#"{{"samples":[{{"metric":"m","timestampMs":{},"value":1}}]}}"#, NOW + i64::from(value))
    };
    let gzip = {
        use std::io::Write;
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(body(0).as_bytes()).unwrap();
        out.finish().unwrap()
    };
    let zstd = zstd::encode_all(body(1).as_bytes(), 3).unwrap();
    let snappy = snap::raw::Encoder::new().compress_vec(body(2).as_bytes()).unwrap();
    for (encoding, bytes) in
        [("gzip", gzip), ("zstd", zstd), ("snappy", snappy), ("identity", body(3).into())]
    {
        let (status, text) = send(server.push(bytes).header("Content-Encoding", encoding)).await;
        assert_eq!(status, 202, "{encoding}: {text}");
    }
    assert_eq!(server.samples(&[("__name__", "m")]).len(), 4);
    assert_eq!(send(server.push("{}").header("Content-Encoding", "br")).await.0, 415);
    let protobuf = snap::raw::Encoder::new().compress_vec(&series(UP, &[(NOW, 1.0)])).unwrap();
    let request = server
        .post("/v1/metrics/push")
        .header("Content-Type", "application/x-protobuf")
        .header("Content-Encoding", "snappy");
    assert_eq!(send(request.body(protobuf)).await.1, r#"{"ingestedCount":1,"droppedCount":0}"#);
    assert_eq!(server.samples(UP), [(NOW, 1.0)]);
}

#[tokio::test]
async fn compressed_bombs_are_413() {
    let mut config = config();
    config.limits.ingest.max_decoded_bytes = Limit::at(1 << 20);
    let server = start(config).await;
    let zeros = vec![b' '; 50 << 20];
    let zstd = zstd::encode_all(zeros.as_slice(), 3).unwrap();
    let snappy = snap::raw::Encoder::new().compress_vec(&zeros).unwrap();
    for (encoding, bytes) in [("zstd", zstd), ("snappy", snappy)] {
        assert_eq!(send(server.push(bytes).header("Content-Encoding", encoding)).await.0, 413, "{encoding}");
    }
}

#[tokio::test]
async fn a_required_tenant_must_be_named() {
    let mut config = config();
    config.tenant_required = true;
    let server = start(config).await;
    assert_eq!(send(server.write(&series(UP, &[(NOW, 1.0)]))).await.0, 400);
    let named = server.write(&series(UP, &[(NOW, 1.0)])).header("X-Scope-OrgID", "a");
    assert_eq!(send(named).await.0, 204);
    assert_eq!(server.samples_of("a", UP), [(NOW, 1.0)]);
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut config = config();
    config.limits.ingest.body_timeout = "200ms".parse().unwrap();
    let server = start(config).await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head = "POST /v1/metrics/push HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"samples\"";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn stopping_lets_requests_finish() {
    let server = start(config()).await;
    assert_eq!(send(server.write(&series(UP, &[(NOW, 1.0)]))).await.0, 204);
    let address = server.address;
    server.stop().await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "the port is closed");
}
