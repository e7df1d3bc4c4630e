//! Deletes beside a real Prometheus: the same samples, the same requests, the same answers.

use crate::process::{MetricsServer, Process, ask, eventually};
use crate::real_peers::{compare, free_address, peers, quiet};
use reqwest::Client;
use std::path::Path;
use std::process::Command;
use tsdb_core::labels::write_wire;
use tsdb_core::time::Clock;
use tsdb_core::{Labels, Timestamp};

/// Samples of a series.
const SAMPLES: i64 = 60;

#[tokio::test]
async fn the_same_deletes_leave_the_same_samples_as_in_prometheus() {
    let Some(peers) = peers() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("server.toml");
    std::fs::write(&settings, "self_ingest_interval = \"0s\"\nadmin_api = true\n").unwrap();
    let ours = MetricsServer::start(&folder.path().join("ours"), &["--config", settings.to_str().unwrap()]);
    let (_prometheus, theirs) = prometheus(&peers, folder.path()).await;
    let end = tsdb::SystemClock.now() / 1000 * 1000;
    for url in [&ours.url, &theirs] {
        write(&ours.client, url, end).await;
    }
    let at = |back: i64| ((end / 1000 - back).to_string(), end);
    let deletes = [
        format!("?match[]=heat{{host=\"1\"}}&start={}&end={}", at(40).0, at(20).0),
        format!("?match[]=heat{{host=\"2\"}}&match[]=load{{host=~\"[34]\"}}&start={}", at(10).0),
        "?match[]=load{host=\"0\"}".to_owned(),
        format!("?match[]={{host=\"5\",__name__!=\"heat\"}}&end={}.5", at(30).0),
        format!("?match[]=heat{{host=\"1\"}}&start={}&end={}", at(21).0, at(15).0),
        // Nothing that lies before what is deleted already: Prometheus 3.5 then answers with an index out of range.
        "?match[]=nobody".to_owned(),
        "?match[]={absent=\"\",host=\"6\"}".to_owned(),
        // Mistakes.
        String::new(),
        "?start=1".to_owned(),
        "?match[]=heat{".to_owned(),
        "?match[]=heat&start=soon".to_owned(),
        "?match[]=heat&end=late".to_owned(),
    ];
    for delete in &deletes {
        let expected = order(&ours.client, &theirs, &format!("delete_series{delete}")).await;
        let found = order(&ours.client, &ours.url, &format!("delete_series{delete}")).await;
        assert_eq!(found.0, expected.0, "{delete}: {} instead of {}", found.1, expected.1);
        if !delete.contains("heat{&") && !delete.ends_with("heat{") {
            // The words about a selector's syntax are those of the parser, which has its own tests.
            assert_eq!(found.1, expected.1, "{delete}");
        }
        same_answers(&ours, &theirs, end, delete).await;
    }
    for url in [&ours.url, &theirs] {
        assert_eq!(order(&ours.client, url, "clean_tombstones").await, (204, String::new()), "{url}");
    }
    same_answers(&ours, &theirs, end, "after cleaning up").await;
    let get =
        |url: &str| ours.client.get(format!("{url}/api/v1/admin/tsdb/delete_series?match[]=heat")).send();
    assert_eq!(get(&ours.url).await.unwrap().status(), get(&theirs).await.unwrap().status());
}

/// Compares all samples. Series are not compared: Prometheus goes on telling of those that have no sample left.
async fn same_answers(ours: &MetricsServer, theirs: &str, end: Timestamp, what: &str) {
    let time = (end / 1000).to_string();
    for query in ["heat[5m]", "load[5m]", "count_over_time(load[2m])"] {
        let parameters = [("query", query), ("time", time.as_str())];
        let expected = ask(&ours.client, theirs, "query", &parameters).await;
        let expected = expected.unwrap_or_else(|error| panic!("{what}: {query}: {error}"));
        let found = ours.api("query", &parameters).await.unwrap();
        compare(&expected, &found).unwrap_or_else(|difference| panic!("{what}: {query}: {difference}"));
    }
}

/// Status and body of the answer to an administrative request.
async fn order(client: &Client, url: &str, path: &str) -> (u16, String) {
    let response = client.post(format!("{url}/api/v1/admin/tsdb/{path}")).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Writes a sample a second up to `end` of two metrics on eight hosts.
async fn write(client: &Client, url: &str, end: Timestamp) {
    let mut body = Vec::new();
    for (metric, host) in ["heat", "load"].iter().flat_map(|metric| (0..8).map(move |host| (metric, host))) {
        let name = host.to_string();
        let mut series = Vec::new();
        write_wire(&Labels::from_pairs([("__name__", *metric), ("host", &name)]).unwrap(), &mut series);
        for back in (0..SAMPLES).rev() {
            let (timestamp, value) = (end - back * 1000, (back * host) as f64);
            let sample =
                [vec![0x09], value.to_le_bytes().to_vec(), vec![0x10], varint(timestamp as u64)].concat();
            series.extend([vec![0x12], varint(sample.len() as u64), sample].concat());
        }
        body.extend([vec![0x0a], varint(series.len() as u64), series].concat());
    }
    let request = client
        .post(format!("{url}/api/v1/write"))
        .header("Content-Type", "application/x-protobuf")
        .header("Content-Encoding", "snappy")
        .header("X-Prometheus-Remote-Write-Version", "0.1.0")
        .body(snap::raw::Encoder::new().compress_vec(&body).unwrap());
    assert_eq!(request.send().await.unwrap().status(), 204, "{url}");
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// Starts a Prometheus that takes remote write and administrative requests; answers it and its URL.
async fn prometheus(peers: &Path, folder: &Path) -> (Process, String) {
    let address = free_address();
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, "global: {scrape_interval: 1h}\n").unwrap();
    let mut command = Command::new(peers.join("prometheus"));
    command.args(["--web.enable-remote-write-receiver", "--web.enable-admin-api"]);
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()));
    command.arg(format!("--web.listen-address={address}"));
    let process = Process::start(quiet(&mut command, folder, "prometheus"));
    let url = format!("http://{address}");
    let client = Client::new();
    eventually("Prometheus is ready", async || {
        let answer = client.get(format!("{url}/-/ready")).send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    (process, url)
}
