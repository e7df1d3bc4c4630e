//! The server beside the real things: Prometheus and vmagent write to it, and Prometheus' answers are the measure.
//!
//! The programs are looked for in `$TSDB_PEERS_DIR/usr/bin`, by default `~/.cache/tsdb-peers/usr/bin`, where
//! `scripts/peers` installs them. Where they are absent the tests say `SKIPPED` and pass.

use crate::process::{MetricsServer, Process, ask, eventually};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tsdb_core::testing::skipped;

/// Length of the time that is compared, in seconds: so long the peers are scraped before anything is asked.
const COMPARED_SECONDS: i64 = 25;

/// Queries of every kind, over the metrics of a node exporter and of Prometheus itself.
const QUERIES: &[&str] = &[
    "up",
    "node_load1",
    "node_cpu_seconds_total",
    "node_cpu_seconds_total{mode!=\"idle\",cpu=\"0\"}",
    "{__name__=~\"node_memory_(MemFree|Cached)_bytes\"}",
    "{__name__=~\"go_.*\",job=\"prometheus\"}",
    "node_network_receive_bytes_total{device=~\"l.|e.*\"}",
    "prometheus_http_requests_total{handler!~\"/api.*\"}",
    "rate(node_cpu_seconds_total[10s])",
    "irate(node_cpu_seconds_total{mode=\"user\"}[10s])",
    "increase(prometheus_tsdb_head_samples_appended_total[10s])",
    "delta(node_memory_MemFree_bytes[10s])",
    "idelta(node_memory_MemFree_bytes[10s])",
    "deriv(node_memory_MemFree_bytes[15s])",
    "predict_linear(node_memory_MemFree_bytes[15s], 60)",
    "resets(process_cpu_seconds_total[15s])",
    "changes(node_memory_MemFree_bytes[15s])",
    "sum by (mode) (rate(node_cpu_seconds_total[10s]))",
    "sum without (cpu, mode) (rate(node_cpu_seconds_total[10s]))",
    "avg by (job) (process_resident_memory_bytes)",
    "min(node_filesystem_avail_bytes)",
    "max by (device) (node_disk_io_time_seconds_total)",
    "count by (__name__) ({__name__=~\"node_netstat_.*\"})",
    "count_values(\"value\", up)",
    "stddev by (mode) (node_cpu_seconds_total)",
    "quantile(0.5, node_cpu_seconds_total)",
    "topk(3, node_cpu_seconds_total)",
    "bottomk(2, node_memory_MemFree_bytes or node_memory_Cached_bytes)",
    "group by (job) (up)",
    "histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[15s])))",
    "histogram_quantile(0.5, rate(prometheus_http_response_size_bytes_bucket[20s]))",
    "node_memory_MemTotal_bytes - node_memory_MemFree_bytes",
    "1 - node_memory_MemFree_bytes / node_memory_MemTotal_bytes",
    "node_filesystem_avail_bytes / on (device, mountpoint) node_filesystem_size_bytes",
    "up * on (instance) group_left (sysname) node_uname_info",
    "rate(node_disk_read_bytes_total[10s]) > bool 0",
    "node_load1 > 0 and node_load5 > 0",
    "node_load1 or node_load5",
    "up unless node_load1",
    "node_load1 % 2 ^ 2",
    "-node_load1",
    "node_memory_MemFree_bytes offset 5s",
    "rate(node_cpu_seconds_total{mode=\"system\"}[10s] offset 5s)",
    "max_over_time(rate(node_cpu_seconds_total{mode=\"user\"}[5s])[10s:1s])",
    "avg_over_time(node_memory_MemFree_bytes[10s])",
    "sum_over_time(up[10s])",
    "count_over_time(up[10s])",
    "quantile_over_time(0.9, node_memory_MemFree_bytes[15s])",
    "stddev_over_time(node_memory_MemFree_bytes[15s])",
    "last_over_time(node_load1[10s])",
    "present_over_time(node_load1[10s])",
    "absent(nothing{job=\"x\"})",
    "absent_over_time(nothing[10s])",
    "label_replace(up, \"host\", \"$1\", \"instance\", \"(.*):.*\")",
    "label_join(up, \"both\", \"-\", \"job\", \"instance\")",
    "abs(node_load1 - 5)",
    "round(node_load1, 0.1)",
    "clamp(node_load1, 0.5, 1)",
    "sqrt(node_memory_MemFree_bytes)",
    "ln(node_memory_MemFree_bytes)",
    "floor(process_cpu_seconds_total) + ceil(process_cpu_seconds_total)",
    "scalar(node_memory_MemTotal_bytes) * 2",
    "vector(time())",
    "timestamp(up)",
    "sort_desc(node_filesystem_size_bytes)",
    "hour(vector(time())) + minute() / 60",
    "sum(rate(prometheus_tsdb_head_samples_appended_total[10s])) / ignoring (job) sum(up)",
    "time() - process_start_time_seconds",
    "node_boot_time_seconds @ end()",
];

#[tokio::test]
async fn answers_equal_those_of_prometheus() {
    let Some(peers) = peers() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("server.toml");
    // Nothing but what Prometheus sends: its answers know nothing of our own metrics.
    std::fs::write(&settings, "self_ingest_interval = \"0s\"\n").unwrap();
    let ours = MetricsServer::start(&folder.path().join("ours"), &["--config", settings.to_str().unwrap()]);
    let (_node, node) = node_exporter(&peers, folder.path());
    let (_prometheus, prometheus) = prometheus(&peers, folder.path(), &node, &ours.url);
    let (start, end) = settled(&ours, &prometheus).await;

    let (start, end) = (start.to_string(), end.to_string());
    let mut differences = Vec::new();
    let (mut compared, mut answered) = (0usize, 0usize);
    for query in QUERIES {
        for (path, times) in [
            ("query", vec![("time", end.as_str())]),
            ("query_range", vec![("start", start.as_str()), ("end", end.as_str()), ("step", "1")]),
        ] {
            let parameters: Vec<_> = [("query", *query)].into_iter().chain(times).collect();
            let expected = ask(&ours.client, &prometheus, path, &parameters).await.unwrap();
            let found = ours.api(path, &parameters).await.unwrap_or_else(|e| panic!("{query}: {e}"));
            compared += 1;
            answered += usize::from(expected["result"].as_array().is_some_and(|list| !list.is_empty()));
            if let Err(difference) = compare(&expected, &found) {
                differences.push(format!("{path} {query}\n    {difference}"));
            }
        }
    }
    eprintln!("{compared} answers compared, {answered} of them not empty, {} differ", differences.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(answered >= 80, "only {answered} of {compared} queries had an answer at all");
    compare_metadata(&ours, &prometheus, "node_cpu_seconds_total").await;
    compare_status(&ours, &prometheus).await;
}

#[tokio::test]
async fn vmagent_writes_too() {
    let Some(peers) = peers() else { return };
    let folder = tempfile::tempdir().unwrap();
    let ours = MetricsServer::start(&folder.path().join("ours"), &[]);
    let (_node, node) = node_exporter(&peers, folder.path());
    let scrape = folder.path().join("scrape.yml");
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: node, static_configs: [{{targets: ['{node}']}}]}}]\n"
    );
    std::fs::write(&scrape, config).unwrap();
    let mut vmagent = Command::new(peers.join("vmagent"));
    vmagent.arg(format!("-promscrape.config={}", scrape.display()));
    vmagent.arg(format!("-remoteWrite.url={}/api/v1/write", ours.url));
    vmagent.arg(format!("-remoteWrite.tmpDataPath={}", folder.path().join("vmagent").display()));
    vmagent.args(["-remoteWrite.flushInterval=1s", "-httpListenAddr=127.0.0.1:0"]);
    let _vmagent = Process::start(quiet(&mut vmagent, folder.path(), "vmagent"));
    eventually("samples of vmagent", async || {
        let enough =
            ours.api("query", &[("query", "count_over_time(up{job=\"node\"}[1m]) >= 5")]).await.unwrap();
        enough["result"].get(0).cloned()
    })
    .await;
    let series =
        ours.api("query", &[("query", "count({job=\"node\",__name__=~\"node_.*\"})")]).await.unwrap();
    let count: f64 = series["result"][0]["value"][1].as_str().unwrap().parse().unwrap();
    assert!(count > 100.0, "{series}");
}

/// Start and end of a time, in Unix seconds, over which both servers hold the same number of samples.
pub(crate) async fn settled(ours: &MetricsServer, prometheus: &str) -> (i64, i64) {
    let first = eventually("Prometheus has scraped both targets", async || {
        let both = [("query", "max(timestamp(up)) and count(up == 1) == 2")];
        let found = ask(&ours.client, prometheus, "query", &both).await.ok()?;
        number(&found).map(|seconds| seconds as i64)
    })
    .await;
    let (start, end) = (first + 1, first + 1 + COMPARED_SECONDS);
    let all = format!("{{__name__=~\".+\"}}[{COMPARED_SECONDS}s]");
    let at = end.to_string();
    let parameters = [("query", all.as_str()), ("time", at.as_str())];
    eventually("both hold all samples up to the end", async || {
        let newest = ask(&ours.client, prometheus, "query", &[("query", "min(timestamp(up))")]).await.ok()?;
        if number(&newest)? <= end as f64 + 1.0 {
            return None;
        }
        let expected = samples(&ask(&ours.client, prometheus, "query", &parameters).await.ok()?);
        let found = samples(&ours.api("query", &parameters).await.ok()?);
        (expected == found).then_some(())
    })
    .await;
    (start, end)
}

/// Number of samples in a matrix.
fn samples(data: &Value) -> usize {
    let count = |list: &Value| list.as_array().map_or(0, Vec::len);
    data["result"].as_array().unwrap().iter().map(|s| count(&s["values"]) + count(&s["histograms"])).sum()
}

/// The value of the only element of a vector.
fn number(data: &Value) -> Option<f64> {
    data["result"][0]["value"][1].as_str()?.parse().ok()
}

/// Are two results equal, value by value? Floats may differ by 1e-12 of their size.
pub(crate) fn compare(expected: &Value, found: &Value) -> Result<(), String> {
    if expected["resultType"] != found["resultType"] {
        return Err(format!("type {} instead of {}", found["resultType"], expected["resultType"]));
    }
    let (expected, found) = (points(expected), points(found));
    for (series, points) in &expected {
        let other = found.get(series).ok_or_else(|| format!("{series} is missing"))?;
        if points.len() != other.len() {
            return Err(format!("{series} has {} points instead of {}", other.len(), points.len()));
        }
        for ((time, value), (other_time, other_value)) in points.iter().zip(other) {
            if time != other_time || !equal(*value, *other_value) {
                return Err(format!(
                    "{series} is {other_value} at {other_time} instead of {value} at {time}"
                ));
            }
        }
    }
    match found.keys().find(|series| !expected.contains_key(*series)) {
        Some(series) => Err(format!("{series} is too much")),
        None => Ok(()),
    }
}

fn equal(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
}

/// The points of a result by series.
fn points(data: &Value) -> BTreeMap<String, Vec<(String, f64)>> {
    let point = |pair: &Value| (pair[0].to_string(), pair[1].as_str().unwrap().parse().unwrap());
    let list = data["result"].as_array().unwrap();
    match data["resultType"].as_str() {
        Some("scalar" | "string") => BTreeMap::from([(String::new(), vec![point(&data["result"])])]),
        Some("vector") => list.iter().map(|s| (s["metric"].to_string(), vec![point(&s["value"])])).collect(),
        _ => list
            .iter()
            .map(|s| (s["metric"].to_string(), s["values"].as_array().unwrap().iter().map(point).collect()))
            .collect(),
    }
}

/// What Prometheus sends of its metrics' types arrives.
pub(crate) async fn compare_metadata(ours: &MetricsServer, prometheus: &str, metric: &str) {
    let url = |base: &str| format!("{base}/api/v1/metadata?metric={metric}");
    let expected = ours.client.get(url(prometheus)).send().await.unwrap().text().await.unwrap();
    let found = eventually("metadata of a metric", async || {
        let text = ours.client.get(url(&ours.url)).send().await.unwrap().text().await.unwrap();
        text.contains("counter").then_some(text)
    })
    .await;
    assert_eq!(found, expected);
}

/// Both count the same series and label pairs, and list the same numbers for each metric, label and label pair. A scrape may
/// lie between two answers, so they are asked again.
async fn compare_status(ours: &MetricsServer, prometheus: &str) {
    const LISTS: [&str; 4] = [
        "seriesCountByMetricName",
        "labelValueCountByLabelName",
        "memoryInBytesByLabelName",
        "seriesCountByLabelValuePair",
    ];
    let counts = async |base: &str| -> BTreeMap<String, String> {
        let url = format!("{base}/api/v1/status/tsdb?limit=10000");
        let text = ours.client.get(url).send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        let data = &answer["data"];
        let head =
            ["numSeries", "numLabelPairs"].map(|name| (name.to_owned(), data["headStats"][name].to_string()));
        let listed = LISTS.into_iter().flat_map(|list| {
            let entries = data[list].as_array().unwrap().iter();
            let descending = data[list].as_array().unwrap().windows(2);
            assert!(
                descending.into_iter().all(|pair| pair[0]["value"].as_u64() >= pair[1]["value"].as_u64()),
                "{list}"
            );
            entries.map(move |one| (format!("{list}: {}", one["name"]), one["value"].to_string()))
        });
        listed.chain(head).collect()
    };
    let compared = eventually("equal counts of series", async || {
        let (found, expected) = (counts(&ours.url).await, counts(prometheus).await);
        let differing = |name: &&String| found.get(*name) != expected.get(*name);
        for name in found.keys().chain(expected.keys()).filter(differing).take(5) {
            eprintln!("{name}: {:?} here, {:?} there", found.get(name), expected.get(name));
        }
        (found == expected).then_some(found.len())
    })
    .await;
    assert!(compared > 1_000, "{compared} numbers were compared");
}

pub(crate) fn peers() -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/tsdb-peers"));
    let folder = std::env::var_os("TSDB_PEERS_DIR").map(PathBuf::from).or_else(home)?.join("usr/bin");
    let absent: Vec<_> = ["prometheus", "prometheus-alertmanager", "prometheus-node-exporter", "vmagent"]
        .into_iter()
        .filter(|program| !folder.join(program).is_file())
        .collect();
    if absent.is_empty() {
        return Some(folder);
    }
    let place = folder.display();
    skipped(&format!("{absent:?} not found in {place}; install them with scripts/peers"));
    None
}

/// Starts a node exporter; answers it and its address.
fn node_exporter(peers: &Path, folder: &Path) -> (Process, String) {
    let address = free_address();
    let mut command = Command::new(peers.join("prometheus-node-exporter"));
    command.arg(format!("--web.listen-address={address}"));
    (Process::start(quiet(&mut command, folder, "node-exporter")), address)
}

/// Starts a Prometheus that scrapes `node` and itself every second and writes to `remote`; answers it and its URL.
fn prometheus(peers: &Path, folder: &Path, node: &str, remote: &str) -> (Process, String) {
    let address = free_address();
    let file = folder.join("prometheus.yml");
    let config = format!(
        "global: {{scrape_interval: 1s}}\n\
         scrape_configs:\n\
         - {{job_name: node, static_configs: [{{targets: ['{node}']}}]}}\n\
         - {{job_name: prometheus, static_configs: [{{targets: ['{address}']}}]}}\n\
         remote_write:\n\
         - {{url: '{remote}/api/v1/write', queue_config: {{batch_send_deadline: 1s}}, metadata_config: {{send_interval: 2s}}}}\n"
    );
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(peers.join("prometheus"));
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()));
    command.arg(format!("--web.listen-address={address}"));
    (Process::start(quiet(&mut command, folder, "prometheus")), format!("http://{address}"))
}

/// The same command with its output in a file.
pub(crate) fn quiet<'c>(command: &'c mut Command, folder: &Path, name: &str) -> &'c mut Command {
    command.stdout(Stdio::null()).stderr(File::create(folder.join(format!("{name}.log"))).unwrap())
}

/// An address on which nothing listens at the moment.
pub(crate) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
