//! Compactors as processes of their own: killed at any moment, two at a time, and nothing is lost.

use crate::process::{MetricsServer, Process, eventually};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Samples that are pushed, one each five seconds.
const SAMPLES: i64 = 400;

fn settings(folder: &Path) -> String {
    let file = folder.join("settings.toml");
    let store = folder.join("store");
    let text = format!(
        "[limits.retention]\nrollups = []\n[storage]\nblock_range = \"10s\"\ncompact = false\n[object_storage]\nurl = \"file://{}\"\nkeep_local = \"1s\"\n\
         interval = \"100ms\"\nlease = \"1s\"\n",
        store.display()
    );
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

fn compactor(folder: &Path, settings: &str, number: usize) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metrics-server"));
    command.args(["--role", "compact", "--config", settings, "--data-dir"]);
    Process::start(command.arg(folder.join(format!("compactor-{number}"))))
}

async fn push(server: &MetricsServer, now: i64) {
    let sample = |n: i64| {
        let at = now - (SAMPLES - n) * 5_000;
        format!(r#"{{"metric":"m","labels":{{"host":"a"}},"timestampMs":{at},"value":{n}}}"#)
    };
    let samples: Vec<String> = (0..SAMPLES).map(sample).collect();
    let body = format!(r#"{{"samples":[{}]}}"#, samples.join(","));
    let url = format!("{}/v1/metrics/push", server.url);
    let said = server.client.post(url).body(body).send().await.unwrap().text().await.unwrap();
    assert!(said.contains(&format!("\"ingestedCount\":{SAMPLES}")), "{said}");
    let url = format!("{}/internal/force_flush", server.url);
    assert!(server.client.post(url).send().await.unwrap().status().is_success());
}

/// All samples, as the server answers.
async fn all(server: &MetricsServer) -> serde_json::Value {
    let found = server.api("query", &[("query", "m[2h]")]).await.unwrap();
    found["result"][0]["values"].clone()
}

async fn blocks(server: &MetricsServer) -> f64 {
    let found = server.api("query", &[("query", "tsdb_object_storage_blocks")]).await.unwrap();
    let text = found["result"][0]["value"][1].as_str().unwrap_or("0").to_owned();
    text.parse().unwrap()
}

#[tokio::test]
async fn compactors_that_are_killed_again_and_again_lose_nothing_and_get_there() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let arguments = ["--config", &settings, "--role", "serve", "--no-limits"];
    let server = MetricsServer::start(&folder.path().join("server"), &arguments);
    let now = tsdb_core::time::Clock::now(&tsdb::SystemClock);
    push(&server, now).await;
    let expected = all(&server).await;
    assert_eq!(expected.as_array().unwrap().len() as i64, SAMPLES);
    eventually("old blocks are on object storage", async || (blocks(&server).await > 150.0).then_some(()))
        .await;
    for round in 0..12 {
        let pair = [compactor(folder.path(), &settings, 0), compactor(folder.path(), &settings, 1)];
        // Both are killed: earlier and earlier in their lives, and later and later.
        tokio::time::sleep(Duration::from_millis(100 + 150 * (round % 6))).await;
        drop(pair);
        assert_eq!(all(&server).await, expected, "round {round}");
    }
    let mut last = [compactor(folder.path(), &settings, 2), compactor(folder.path(), &settings, 3)];
    eventually("the blocks are merged", async || (blocks(&server).await < 60.0).then_some(())).await;
    assert_eq!(all(&server).await, expected);
    // One may have done all of it before the other was there.
    let is_there = |number: usize| folder.path().join(format!("compactor-{number}")).exists().then_some(());
    for (number, compactor) in (2..).zip(&mut last) {
        eventually("the compactor is there", async || is_there(number)).await;
        compactor.signal("TERM");
        assert!(compactor.ended().await.success());
    }
}

#[tokio::test]
async fn a_compactor_without_object_storage_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_metrics-server"))
        .args(["--role", "compact", "--data-dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("object_storage.url is empty"), "{said}");
}
