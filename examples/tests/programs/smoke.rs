//! Every example runs, and does what its documentation says.

use crate::process::{MetricsServer, Process, eventually};
use crate::real_peers::peers;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn embedded_stores_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_embedded")).arg(folder.path().join("db")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("stored 80 samples, refused 0"), "{text}");
    assert!(text.contains("{room=\"kitchen\"} is opened 12.0 times a minute"), "{text}");
    assert!(text.contains("{room=\"office\"} is opened 28.0 times a minute"), "{text}");
}

#[test]
fn a_tenant_that_goes_wild_has_its_budget_and_no_more() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_multi-tenant"));
    let output = command.args(["--seconds", "2"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    for expected in [
        "tsdb_tenant_head_series{tenant=\"shop\"} 200",
        "tsdb_tenant_head_series{tenant=\"wild\"} 300",
        "tsdb_tenant_series_refused_total{tenant=\"wild\",reason=\"active_series\"}",
        "{\"cardinality\":{\"max_active_series\":2000}}: 200",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert!(!text.contains("refused_total{tenant=\"shop\""), "{text}");
}

#[test]
fn own_storage_answers_without_a_database() {
    let output = Command::new(env!("CARGO_BIN_EXE_own_storage")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text, "{room=\"office\"} is opened 5.0 times a minute\n");
}

#[test]
fn own_storage_is_as_short_as_it_says() {
    let lines = include_str!("../../src/bin/own_storage.rs").lines().count();
    assert!(lines < 80, "{lines} lines");
}

/// What the example prints with the programs of `path` at hand.
fn alerting(path: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alerting"));
    let output = command.env("PATH", path).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    let mut rest = text.as_str();
    for expected in [
        "is PENDING",
        "is FIRING",
        "told: FIRING HighErrorRate: ",
        "of the requests fail",
        "is RESOLVED",
        "told: RESOLVED HighErrorRate: ",
    ] {
        let at = rest.find(expected).unwrap_or_else(|| panic!("no {expected:?} in order in {text}"));
        rest = &rest[at..];
    }
    text
}

#[test]
fn alerting_tells_a_receiver_of_fire_and_end() {
    let nothing = tempfile::tempdir().unwrap();
    assert!(alerting(nothing.path()).contains("sends messages by itself"));
}

#[test]
fn alerting_tells_a_real_alertmanager_of_fire_and_end() {
    let Some(peers) = peers() else { return };
    assert!(alerting(&peers).contains("prometheus-alertmanager runs at"));
}

#[tokio::test]
async fn the_server_has_something_to_query_at_once_and_takes_a_push() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = MetricsServer::start(folder.path(), &[]);
    eventually("the server's own metrics can be queried", async || {
        let found = server.api("query", &[("query", "tsdb_head_series > 10")]).await.unwrap();
        found["result"].get(0).cloned()
    })
    .await;
    let now = tsdb_core::time::Clock::now(&tsdb::SystemClock);
    let body =
        format!(r#"{{"samples":[{{"metric":"hello","labels":{{}},"timestampMs":{now},"value":42}}]}}"#);
    let pushed =
        server.client.post(format!("{}/v1/metrics/push", server.url)).body(body).send().await.unwrap();
    assert_eq!(pushed.text().await.unwrap(), r#"{"ingestedCount":1,"droppedCount":0}"#);
    let found = server.api("query", &[("query", "hello")]).await.unwrap();
    assert_eq!(found["result"][0]["value"][1], "42");
    server.process.signal("TERM");
    assert!(server.process.ended().await.success());

    let again = MetricsServer::start(folder.path(), &["--no-limits"]);
    let found = again.api("query", &[("query", "hello")]).await.unwrap();
    assert_eq!(found["result"][0]["value"][1], "42", "a restart keeps it");
}

#[tokio::test]
async fn a_directory_in_use_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let _first = MetricsServer::start(folder.path(), &[]);
    let mut second = Command::new(env!("CARGO_BIN_EXE_metrics-server"));
    second.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path());
    let output = second.stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("in use"), "{output:?}");
}

#[tokio::test]
async fn a_wrong_setting_stops_the_server_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.toml");
    std::fs::write(&file, "[limits.query]\nmax_point = 1\n").unwrap();
    let errors = folder.path().join("errors");
    let mut command = Command::new(env!("CARGO_BIN_EXE_metrics-server"));
    command.arg("--config").arg(&file).stderr(std::fs::File::create(&errors).unwrap());
    assert!(!Process::start(&mut command).ended().await.success());
    assert!(std::fs::read_to_string(&errors).unwrap().contains("max_point"));
}

#[tokio::test]
async fn an_address_in_use_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_metrics-server"));
    command.args(["--listen", &address, "--data-dir"]).arg(folder.path());
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains(&address), "{output:?}");
}

#[tokio::test]
async fn a_default_tenant_that_cannot_be_opened_is_told_and_served_again_once_it_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("default");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("VERSION"), "999\n").unwrap();
    let server = MetricsServer::start(folder.path(), &[]);
    let refused = server.api("query", &[("query", "up")]).await.unwrap_err();
    assert!(
        refused.contains("the store of tenant default cannot be opened") && refused.contains("999"),
        "{refused}"
    );
    let ask =
        |tenant| server.client.get(format!("{}/api/v1/labels", server.url)).header("X-Tenant-ID", tenant);
    let answer = ask("default").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"30".parse().unwrap()));
    assert_eq!(ask("another").send().await.unwrap().status(), 200);
    std::fs::write(broken.join("VERSION"), "1\n").unwrap();
    assert_eq!(ask("default").send().await.unwrap().status(), 200);
}
