//! Remote write 2.0 from a real Prometheus: native histograms, exemplars and descriptions, compared with its own answers.

use crate::process::{MetricsServer, Process, ask};
use crate::real_peers::{compare, compare_metadata, free_address, peers, quiet, settled};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// Queries over native histograms that answer numbers.
const QUERIES: &[&str] = &[
    "up",
    "work_total",
    "rate(work_total[10s])",
    "histogram_count(prometheus_http_request_duration_seconds)",
    "histogram_sum(rate(prometheus_http_request_duration_seconds[10s]))",
    "histogram_avg(prometheus_http_request_duration_seconds)",
    "histogram_quantile(0.9, sum(rate(prometheus_http_request_duration_seconds[10s])))",
    "histogram_fraction(0, 0.1, prometheus_http_request_duration_seconds)",
    "histogram_count(sum by (handler) (increase(prometheus_http_request_duration_seconds[15s])))",
    "histogram_stddev(prometheus_http_request_duration_seconds)",
    "count_over_time(prometheus_http_request_duration_seconds[10s])",
];

/// The longest window of these queries.
const LONGEST_WINDOW_SECONDS: i64 = 15;

#[tokio::test]
async fn prometheus_writes_version_2_with_histograms_and_exemplars() {
    let Some(peers) = peers() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("server.toml");
    std::fs::write(&settings, "self_ingest_interval = \"0s\"\n").unwrap();
    let ours = MetricsServer::start(&folder.path().join("ours"), &["--config", settings.to_str().unwrap()]);
    let exporter = exporter();
    let (_prometheus, prometheus) = start_prometheus(&peers, folder.path(), &exporter, &ours.url);
    let (start, end) = settled(&ours, &prometheus).await;
    // What lies before `start` is not awaited, and no window may reach there.
    let (start, end) = ((start + LONGEST_WINDOW_SECONDS).to_string(), end.to_string());
    let (mut differences, mut answered) = (Vec::new(), 0);
    for query in QUERIES {
        let times = [("query", *query), ("start", start.as_str()), ("end", end.as_str()), ("step", "1")];
        let expected = ask(&ours.client, &prometheus, "query_range", &times).await.unwrap();
        let found = ours.api("query_range", &times).await.unwrap_or_else(|e| panic!("{query}: {e}"));
        answered += usize::from(expected["result"].as_array().is_some_and(|list| !list.is_empty()));
        if let Err(difference) = compare(&expected, &found) {
            differences.push(format!("{query}\n    {difference}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(answered, QUERIES.len(), "every query has an answer");

    let whole = [("query", "prometheus_http_request_duration_seconds"), ("time", end.as_str())];
    let expected = ask(&ours.client, &prometheus, "query", &whole).await.unwrap();
    assert!(expected["result"][0]["histogram"].is_array(), "native histograms are there: {expected}");
    assert_eq!(sorted(ours.api("query", &whole).await.unwrap()), sorted(expected));

    let exemplars = [("query", "work_total"), ("start", start.as_str()), ("end", end.as_str())];
    let expected = ask(&ours.client, &prometheus, "query_exemplars", &exemplars).await.unwrap();
    assert!(expected[0]["exemplars"].as_array().is_some_and(|list| list.len() > 5), "{expected}");
    assert_eq!(ours.api("query_exemplars", &exemplars).await.unwrap(), expected);
    compare_metadata(&ours, &prometheus, "prometheus_http_requests_total").await;
}

/// The elements of a vector in order of their text.
fn sorted(mut data: serde_json::Value) -> Vec<String> {
    let list = data["result"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let mut texts: Vec<String> = list.iter().map(ToString::to_string).collect();
    texts.sort();
    texts
}

/// An exporter of a counter that grows with each scrape and has an exemplar for it; answers its address.
fn exporter() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for scrape in 1.. {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut head = [0; 4096];
            drop(stream.read(&mut head));
            let body = format!(
                "# HELP work Work done.\n# TYPE work counter\n\
                 work_total {scrape} # {{trace_id=\"trace-{scrape}\"}} 0.{scrape}\n# EOF\n"
            );
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    address
}

/// Starts a Prometheus that scrapes `exporter` and itself every second and writes to `remote`; answers it and its URL.
fn start_prometheus(peers: &Path, folder: &Path, exporter: &str, remote: &str) -> (Process, String) {
    let address = free_address();
    let file = folder.join("prometheus.yml");
    let config = format!(
        "global: {{scrape_interval: 1s, external_labels: {{}}}}\n\
         scrape_configs:\n\
         - {{job_name: work, static_configs: [{{targets: ['{exporter}']}}]}}\n\
         - {{job_name: prometheus, static_configs: [{{targets: ['{address}']}}]}}\n\
         storage: {{exemplars: {{max_exemplars: 10000}}}}\n\
         remote_write:\n\
         - {{url: '{remote}/api/v1/write', protobuf_message: io.prometheus.write.v2.Request, \
         send_exemplars: true, send_native_histograms: true, queue_config: {{batch_send_deadline: 1s}}}}\n"
    );
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(peers.join("prometheus"));
    command.arg("--enable-feature=native-histograms,exemplar-storage,metadata-wal-records");
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()));
    command.arg(format!("--web.listen-address={address}"));
    (Process::start(quiet(&mut command, folder, "prometheus")), format!("http://{address}"))
}
