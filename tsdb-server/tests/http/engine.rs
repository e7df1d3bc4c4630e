//! The server over the engine on a real directory: damaged blocks are told of in every answer, and no time, no value and
//! no marker from outside does harm.

use crate::harness::{NOW, Running, config, send};
use crate::ingest::{UP, field, series, varint};
use reqwest::StatusCode;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tsdb::Tenants;
use tsdb_core::testing::ManualClock;
use tsdb_server::{Config, Server};

/// Serves the databases in `folder`, which cache nothing.
async fn serve(folder: &Path) -> Running {
    let config = Config { admin_api: true, ..config() };
    let clock = Arc::new(ManualClock::at(NOW));
    let options = tsdb::Options {
        block_cache_bytes: 0,
        background: false,
        replay: tsdb::Replay::BeforeOpen,
        clock: clock.clone(),
        ..config.engine_options()
    };
    let tenants = Tenants::open(folder, options).unwrap();
    let server = Server::new(config, Arc::new(tenants), clock).unwrap();
    crate::harness::run(server, Arc::default()).await
}

async fn answer(server: &Running, path: &str) -> Value {
    let (status, text) = send(server.get(path)).await;
    assert_eq!(status, StatusCode::OK, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

fn warnings(answer: &Value) -> Vec<&str> {
    answer["warnings"].as_array().into_iter().flatten().map(|warning| warning.as_str().unwrap()).collect()
}

/// The only block of the default tenant.
fn block(folder: &Path) -> PathBuf {
    let entries = std::fs::read_dir(folder.join("default")).unwrap().map(|entry| entry.unwrap().path());
    entries.into_iter().find(|path| path.join("meta.json").exists()).unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0xff;
    std::fs::write(path, bytes).unwrap();
}

const LISTS: [&str; 3] = ["/api/v1/labels", "/api/v1/label/job/values", "/api/v1/series?match[]=up"];

fn query() -> String {
    format!("/api/v1/query?query=up&time={}", NOW / 1000)
}

#[tokio::test]
async fn labels_values_series_and_queries_name_the_damaged_block_that_they_lack() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path()).await;
    assert_eq!(send(server.write(&series(UP, &[(NOW - 1, 1.0)]))).await.0, 204);
    assert_eq!(send(server.post("/internal/force_flush")).await.0, 204);
    for path in LISTS {
        let answer = answer(&server, path).await;
        assert_eq!(warnings(&answer), [""; 0], "{path}");
        assert!(!answer["data"].as_array().unwrap().is_empty(), "{path}");
    }
    let index = block(folder.path()).join("index");
    let whole = std::fs::read(&index).unwrap();
    for (at, byte) in whole.iter().enumerate().skip(12) {
        let mut bytes = whole.clone();
        bytes[at] = !byte;
        std::fs::write(&index, bytes).unwrap();
        for path in LISTS {
            let answer = answer(&server, path).await;
            let told = warnings(&answer);
            let is_whole = !answer["data"].as_array().unwrap().is_empty();
            assert!(
                is_whole || told.iter().any(|told| told.contains(index.to_str().unwrap())),
                "{path} {at}"
            );
        }
    }
    std::fs::write(&index, &whole).unwrap();
    let chunks = block(folder.path()).join("chunks/000001");
    (12..std::fs::metadata(&chunks).unwrap().len() as usize).for_each(|at| flip(&chunks, at));
    let damaged = answer(&server, &query()).await;
    assert!(warnings(&damaged)[0].contains(chunks.to_str().unwrap()), "{damaged}");
    server.stop().await.unwrap();
    // A block that cannot be opened at all is missing in every answer.
    std::fs::write(&index, "").unwrap();
    let server = serve(folder.path()).await;
    for path in LISTS.into_iter().chain([query().as_str()]) {
        let answer = answer(&server, path).await;
        let [told] = warnings(&answer)[..] else { panic!("{path}: {answer}") };
        assert!(told.contains("is set aside"), "{path}: {told}");
    }
}

/// Times at which arithmetic may overflow.
const EXTREMES: [i64; 11] = [
    i64::MIN,
    i64::MIN + 1,
    i64::MIN / 1000,
    -62_135_596_800_000,
    -1,
    0,
    1,
    NOW,
    253_402_300_799_999,
    i64::MAX - 1,
    i64::MAX,
];

#[tokio::test]
async fn samples_at_any_time_are_stored_or_refused_for_good_by_every_way_in() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path()).await;
    for timestamp in EXTREMES {
        let name = format!("at_{}", timestamp.unsigned_abs());
        let body = series(&[("__name__", &name)], &[(timestamp, 1.0)]);
        let (status, text) = send(server.write(&body)).await;
        assert!([204, 400].contains(&status.as_u16()), "remote write at {timestamp}: {text}");
        let push = format!(r#"{{"samples":[{{"metric":"{name}","timestampMs":{timestamp},"value":2}}]}}"#);
        let (status, text) = send(server.push(push)).await;
        assert!([202, 400].contains(&status.as_u16()), "push at {timestamp}: {status} {text}");
        // An exemplar, a native histogram and a start timestamp at that time.
        let exemplar = field(3, &[vec![0x10], varint(timestamp as u64)].concat());
        let histogram = field(4, &[vec![0x78], varint(timestamp as u64)].concat());
        let mut message = Vec::new();
        tsdb_core::labels::write_wire_pair("__name__", "other", &mut message);
        let (status, text) = send(server.write(&field(1, &[message, exemplar, histogram].concat()))).await;
        assert!([204, 400].contains(&status.as_u16()), "others at {timestamp}: {status} {text}");
    }
    let stored = send(server.get(&format!("/api/v1/query?query=at_{NOW}&time={}", NOW / 1000 + 1))).await.1;
    assert!(stored.contains("\"1\""), "{stored}");
    assert_eq!(send(server.post("/internal/force_flush")).await.0, 204);
    server.stop().await.unwrap();
    let server = serve(folder.path()).await;
    let again = send(server.get(&format!("/api/v1/query?query=at_{NOW}&time={}", NOW / 1000 + 1))).await.1;
    assert_eq!(again, stored, "in a block, after a restart");
}

#[tokio::test]
async fn questions_about_any_time_are_answered_or_refused_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path()).await;
    assert_eq!(send(server.write(&series(UP, &[(NOW, 1.0)]))).await.0, 204);
    let numbers =
        ["NaN", "Inf", "-Inf", "1e308", "-1e308", "1e19", "-0", "0.0000001", "9223372036854775.807"];
    let texts = EXTREMES.iter().map(|time| time.to_string()).chain(numbers.map(str::to_owned));
    for time in texts {
        for path in [
            format!("query?query=up&time={time}"),
            format!("query?query=up&timeout={time}"),
            format!("query?query=up%5B{time}s%5D"),
            format!("query?query=up%20offset%20{time}s"),
            format!("query?query=up%20%40%20{time}"),
            format!("query_range?query=up&start={time}&end={time}&step=1"),
            format!("query_range?query=up&start=0&end={time}&step=1e9"),
            format!("query_range?query=up&start={time}&end={}&step=1e15", NOW / 1000),
            format!("query_range?query=up&start=0&end=1&step={time}"),
            format!("query_exemplars?query=up&start={time}&end={time}"),
            format!("series?match[]=up&start={time}&end={}", NOW / 1000),
            format!("series?match[]=up&start=0&end={time}"),
            format!("labels?start={time}&end={time}"),
            format!("label/job/values?start={time}"),
        ] {
            let (status, text) = send(server.get(&format!("/api/v1/{path}"))).await;
            // A timeout of nothing is over at once, as in Prometheus.
            let is_over = status.as_u16() == 503 && path.contains("timeout=");
            assert!(is_over || [200, 400, 422].contains(&status.as_u16()), "{path}: {status} {text}");
        }
    }
}

#[tokio::test]
async fn odd_numbers_come_back_through_head_log_and_block() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = serve(folder.path()).await;
    let odd = [
        (f64::from_bits(0xfff0_0000_0000_0001), "NaN"),
        (-0.0, "-0"),
        (5e-324, "5e-324"),
        (-f64::MIN_POSITIVE / 2.0, "-1.1125369292536007e-308"),
        (f64::MAX, "1.7976931348623157e+308"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
    ];
    for (index, (value, _)) in odd.iter().enumerate() {
        let body = series(&[("__name__", "odd"), ("n", &index.to_string())], &[(NOW - 1000, *value)]);
        assert_eq!(send(server.write(&body)).await.0, 204);
    }
    let stale = f64::from_bits(tsdb_core::sample::STALE_NAN_BITS);
    let ended = series(&[("__name__", "odd"), ("n", "ended")], &[(NOW - 1000, 1.0), (NOW - 500, stale)]);
    assert_eq!(send(server.write(&ended)).await.0, 204);
    for place in ["head", "log", "block"] {
        let answer = answer(&server, &format!("/api/v1/query?query=odd&time={}", NOW / 1000)).await;
        let found = answer["data"]["result"].as_array().unwrap().clone();
        assert_eq!(found.len(), odd.len(), "{place}: the stale marker, and no other NaN, ends a series");
        for sample in found {
            let index: usize = sample["metric"]["n"].as_str().unwrap().parse().unwrap();
            assert_eq!(sample["value"][1], odd[index].1, "{place}");
        }
        if place == "log" {
            assert_eq!(send(server.post("/internal/force_flush")).await.0, 204);
        } else {
            server.stop().await.unwrap();
            server = serve(folder.path()).await;
        }
    }
}

#[tokio::test]
async fn a_stale_marker_of_a_series_that_nobody_knows_makes_none_whatever_brings_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path()).await;
    // The tenant exists.
    assert_eq!(send(server.write(&series(UP, &[(NOW, 1.0)]))).await.0, 204);
    let stale = tsdb_core::sample::STALE_NAN_BITS.to_le_bytes().to_vec();
    let version_1 =
        series(&[("__name__", "gone")], &[(NOW, f64::from_le_bytes(stale.clone().try_into().unwrap()))]);
    let mut message = Vec::new();
    tsdb_core::labels::write_wire_pair("__name__", "gone", &mut message);
    let histogram = [vec![0x19], stale.clone(), vec![0x78], varint(NOW as u64)].concat();
    let histogram = field(1, &[message, field(4, &histogram)].concat());
    for body in [version_1, histogram] {
        assert_eq!(send(server.write(&body)).await.0, 204);
    }
    let symbols: Vec<u8> =
        ["", "__name__", "gone"].iter().flat_map(|text| field(4, text.as_bytes())).collect();
    let sample = field(2, &[vec![0x09], stale, vec![0x10], varint(NOW as u64)].concat());
    let version_2 = [symbols, field(5, &[field(1, &[1, 2]), sample].concat())].concat();
    let request = server
        .post("/api/v1/write")
        .header("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
        .header("Content-Encoding", "snappy")
        .body(snap::raw::Encoder::new().compress_vec(&version_2).unwrap());
    assert_eq!(send(request).await.0, 204);
    let known = answer(&server, "/api/v1/label/__name__/values").await;
    assert_eq!(known["data"], serde_json::json!(["up"]));
}
