//! A disk that is really full, or really turns read-only, under the running server.

use crate::process::{MetricsServer, eventually};
use crate::sender::Sender;
use crate::volume::{Medium, Volume};
use reqwest::StatusCode;

const SETTINGS: &str = "self_ingest_interval = \"0s\"\n[storage]\ndurability = \"commit\"\n";

fn start(volume: &Volume, settings: &str) -> MetricsServer {
    let path = volume.path().with_file_name("settings.toml");
    std::fs::write(&path, settings).unwrap();
    MetricsServer::start(&volume.path().join("data"), &["--no-limits", "--config", path.to_str().unwrap()])
}

/// Sends batches until one is refused, and holds the refusal to what it must say.
async fn refused(sender: &mut Sender, server: &MetricsServer, why: &str) {
    let mut attempts = 0;
    loop {
        let answer = sender.send(server).await.unwrap();
        if answer.status() == 204 {
            attempts += 1;
            assert!(attempts < 10_000, "the disk never refuses");
            continue;
        }
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key("retry-after"));
        let text = answer.text().await.unwrap();
        assert!(text.contains("the batch was not written") && text.contains(why), "{text}");
        // Balancers leave it what it can do, and who asks for writes learns why not.
        for (path, status) in
            [("/-/ready", StatusCode::OK), ("/-/ready?writes=true", StatusCode::SERVICE_UNAVAILABLE)]
        {
            let answer = server.client.get(format!("{}{path}", server.url)).send().await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
            let text = answer.text().await.unwrap().to_lowercase();
            assert!(text.contains(&why.to_lowercase()) && !text.contains("/default"), "{text}");
        }
        return;
    }
}

/// What the server counts under `name`.
async fn counted(server: &MetricsServer, name: &str) -> f64 {
    let answer = server.client.get(format!("{}/metrics", server.url)).send().await.unwrap();
    let text = answer.text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap().parse().unwrap()
}

/// Reading goes on: of samples, labels, series, the server's own state.
async fn reads_go_on(sender: &Sender, server: &MetricsServer) {
    assert_eq!(sender.missing(server).await, "");
    assert_eq!(server.api("labels", &[]).await.unwrap(), serde_json::json!(["__name__", "n", "sender"]));
    assert_eq!(server.api("series", &[("match[]", "acked")]).await.unwrap().as_array().unwrap().len(), 40);
    for path in ["/metrics", "/-/healthy", "/-/ready"] {
        let answer = server.client.get(format!("{}{path}", server.url)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
}

/// The names in the directory of the store, without those that every one has.
fn blocks(volume: &Volume) -> Vec<String> {
    let entries = std::fs::read_dir(volume.path().join("data/default")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !["LOCK", "VERSION", "wal"].contains(&name.as_str())).collect()
}

async fn order(server: &MetricsServer, path: &str) -> (StatusCode, String) {
    let answer = server.client.post(format!("{}{path}", server.url)).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

async fn a_full_disk(medium: Medium) {
    let Some(volume) = Volume::mount(medium, 24) else { return };
    let mut server = start(&volume, SETTINGS);
    let mut sender = Sender::new("a");
    for _ in 0..30 {
        assert_eq!(sender.send(&server).await.unwrap().status(), 204);
    }
    let ballast = volume.fill();
    refused(&mut sender, &server, "no space left").await;
    refused(&mut sender, &server, "no space left").await;
    reads_go_on(&sender, &server).await;
    for path in ["/internal/force_flush", "/api/v1/admin/tsdb/snapshot"] {
        let (status, text) = order(&server, path).await;
        assert_eq!(
            (status, text.contains("no space left")),
            (StatusCode::SERVICE_UNAVAILABLE, true),
            "{text}"
        );
    }
    let unfinished: Vec<String> = blocks(&volume).into_iter().filter(|name| name != "snapshots").collect();
    assert_eq!(unfinished, [""; 0], "nothing half written is to be seen");

    // Killed and started again on the full disk, it serves what it has and refuses as before.
    server.process.signal("KILL");
    server.process.ended().await;
    drop(server);
    let server = start(&volume, SETTINGS);
    reads_go_on(&sender, &server).await;
    refused(&mut sender, &server, "no space left").await;

    std::fs::write(ballast, "").unwrap();
    eventually("writes are taken again", async || {
        (sender.send_again(&server).await.unwrap().status() == 204).then_some(())
    })
    .await;
    assert_eq!(order(&server, "/internal/force_flush").await.0, StatusCode::NO_CONTENT);
    assert_eq!(blocks(&volume).len(), 1 + usize::from(volume.path().join("data/default/snapshots").exists()));
    drop(server);
    let server = start(&volume, SETTINGS);
    assert_eq!(sender.missing(&server).await, "");
}

#[tokio::test]
async fn a_full_disk_in_memory_refuses_writes_with_503_and_takes_them_again_by_itself() {
    a_full_disk(Medium::Memory).await;
}

#[tokio::test]
async fn a_full_ext4_refuses_writes_with_503_and_takes_them_again_by_itself() {
    a_full_disk(Medium::Ext4).await;
}

#[tokio::test]
async fn retention_goes_on_while_the_disk_is_full_and_makes_room_for_writes() {
    let Some(volume) = Volume::mount(Medium::Memory, 24) else { return };
    let server = start(
        &volume,
        &format!("{SETTINGS}block_range = \"60s\"\n[limits.retention]\nsamples = \"1200s\"\n"),
    );
    // 50 minutes old: within retention as long as nothing newer has come.
    let mut sender = Sender::new("old");
    for _ in 0..200 {
        assert_eq!(sender.send(&server).await.unwrap().status(), 204);
    }
    assert_eq!(order(&server, "/internal/force_flush").await.0, StatusCode::NO_CONTENT);
    let before = blocks(&volume);
    assert!(!before.is_empty());
    // Now the blocks are past retention, and the next two rounds of maintenance will find them so.
    let now = tsdb_core::time::Clock::now(&tsdb::SystemClock);
    let sample = format!("{{\"samples\":[{{\"metric\":\"now\",\"timestampMs\":{now},\"value\":1}}]}}");
    let push = server.client.post(format!("{}/v1/metrics/push", server.url)).body(sample);
    let push = push.header("Content-Type", "application/json");
    assert_eq!(push.send().await.unwrap().status(), 202);
    let _ballast = volume.fill();
    eventually("the old blocks are gone", async || blocks(&volume).is_empty().then_some(())).await;
    let mut sender = Sender::starting("new", now);
    eventually("writes are taken in the room they left", async || {
        (sender.send(&server).await.unwrap().status() == 204).then_some(())
    })
    .await;
    assert_eq!(sender.missing(&server).await, "");
}

#[tokio::test]
async fn a_disk_that_turns_read_only_refuses_writes_with_503_and_keeps_what_was_acknowledged() {
    let Some(volume) = Volume::mount(Medium::Ext4, 24) else { return };
    let mut server = start(&volume, SETTINGS);
    let mut sender = Sender::new("a");
    for _ in 0..30 {
        assert_eq!(sender.send(&server).await.unwrap().status(), 204);
    }
    if !volume.turn_read_only() {
        return;
    }
    refused(&mut sender, &server, "Read-only file system").await;
    refused(&mut sender, &server, "Read-only file system").await;
    assert_eq!(counted(&server, "tsdb_failed_commits_total").await, 2.0);
    reads_go_on(&sender, &server).await;
    assert_eq!(order(&server, "/internal/force_flush").await.0, StatusCode::SERVICE_UNAVAILABLE);
    server.process.signal("KILL");
    server.process.ended().await;
    drop(server);
    volume.mend();
    let server = start(&volume, SETTINGS);
    assert_eq!(sender.missing(&server).await, "");
    assert_eq!(sender.send_again(&server).await.unwrap().status(), 204);
}
