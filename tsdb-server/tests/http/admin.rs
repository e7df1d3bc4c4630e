//! The endpoints that change a store as a whole, on real stores: delete, clean up, snapshot.

use crate::harness::{NOW, Running, config, run, send, start};
use crate::ingest::{UP, series};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tsdb::{Db, Options, Queryable, Tenants, TimeRange};
use tsdb_core::read::SelectHints;
use tsdb_core::testing::ManualClock;
use tsdb_server::{Config, Server};

const DELETE: &str = "/api/v1/admin/tsdb/delete_series";
const CLEAN: &str = "/api/v1/admin/tsdb/clean_tombstones";
const SNAPSHOT: &str = "/api/v1/admin/tsdb/snapshot";

/// A server whose stores are on disk.
struct OnDisk {
    server: Running,
    folder: TempDir,
}

fn options() -> Options {
    Options { background: false, clock: Arc::new(ManualClock::at(NOW)), ..Options::default() }
}

async fn on_disk() -> OnDisk {
    let folder = tempfile::tempdir().unwrap();
    let stores = Tenants::open(folder.path(), options()).unwrap();
    let config = Config { admin_api: true, ..config() };
    let server = Server::new(config, Arc::new(stores), Arc::new(ManualClock::at(NOW))).unwrap();
    OnDisk { server: run(server, Arc::default()).await, folder }
}

impl OnDisk {
    /// Writes `up{job="x"}` for `tenant`: 1 at ten seconds before now, 2 at five, 3 now.
    async fn write(&self, tenant: &str) {
        let body = series(UP, &[(NOW - 10_000, 1.0), (NOW - 5_000, 2.0), (NOW, 3.0)]);
        let request = self.server.write(&body).header("X-Tenant-ID", tenant);
        assert_eq!(send(request).await.0, 204);
    }

    /// The values of the samples of `up` that `tenant` has.
    async fn values(&self, tenant: &str) -> Vec<String> {
        let path = format!("/api/v1/query?query=up%5B1m%5D&time={}", NOW / 1000);
        let (status, text) = send(self.server.get(&path).header("X-Tenant-ID", tenant)).await;
        assert_eq!(status, 200, "{text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        let list = answer["data"]["result"][0]["values"].as_array().cloned().unwrap_or_default();
        list.iter().map(|pair| pair[1].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn what_changes_a_store_needs_the_admin_api_and_no_get() {
    let closed = start(config()).await;
    for path in [DELETE, CLEAN, SNAPSHOT] {
        let (status, text) = send(closed.post(&format!("{path}?match[]=up"))).await;
        assert_eq!((status.as_u16(), text.contains("admin_api")), (403, true), "{path}: {text}");
    }
    let on_disk = on_disk().await;
    on_disk.write("default").await;
    for path in [DELETE, CLEAN, SNAPSHOT] {
        let (status, _) = send(on_disk.server.get(&format!("{path}?match[]=up"))).await;
        assert_eq!(status.as_u16(), 405, "{path}");
    }
    assert_eq!(on_disk.values("default").await, ["1", "2", "3"]);
}

#[tokio::test]
async fn samples_are_deleted_by_selector_and_time() {
    let on_disk = on_disk().await;
    on_disk.write("default").await;
    let server = &on_disk.server;
    let seconds = NOW / 1000;
    let path = format!("{DELETE}?match[]=up&start={}&end={}", seconds - 7, seconds - 3);
    let response = server.post(&path).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.bytes().await.unwrap().len()), (204, 0));
    assert_eq!(on_disk.values("default").await, ["1", "3"]);
    let form = [("match[]", "nobody"), ("match[]", "{job=~\"x|y\"}"), ("end", "2026-04-08T10:15:25Z")];
    assert_eq!(send(server.client.put(server.url(DELETE)).form(&form)).await.0, 204);
    assert_eq!(on_disk.values("default").await, ["3"], "a PUT has a form as well as a POST");
    assert_eq!(send(server.post(&format!("{DELETE}?match[]=up&start=2&end=1"))).await.0, 204);
    assert_eq!(on_disk.values("default").await, ["3"], "there is no time between");
    assert_eq!(send(server.post(&format!("{DELETE}?match[]=up"))).await.0, 204);
    assert_eq!(on_disk.values("default").await, [""; 0]);
    on_disk.write("default").await;
    assert_eq!(on_disk.values("default").await, ["1", "2", "3"], "what comes later is not concerned");
}

#[tokio::test]
async fn a_delete_that_cannot_be_read_deletes_nothing() {
    let on_disk = on_disk().await;
    on_disk.write("default").await;
    let cases = [
        ("", "no match[] parameter provided"),
        ("?start=1", "no match[] parameter provided"),
        ("?match[]=up&match[]=up%7B", "invalid parameter \"match[]\": "),
        ("?match[]=up&start=x", "invalid parameter \"start\": invalid time value for 'start': "),
        ("?match[]=up&end=x", "invalid parameter \"end\": invalid time value for 'end': "),
    ];
    for (query, message) in cases {
        let (status, text) = send(on_disk.server.post(&format!("{DELETE}{query}"))).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status.as_u16(), &answer["errorType"]), (400, &"bad_data".into()), "{query}: {text}");
        assert!(answer["error"].as_str().unwrap().starts_with(message), "{query}: {text}");
    }
    assert_eq!(on_disk.values("default").await, ["1", "2", "3"]);
}

#[tokio::test]
async fn deletes_concern_the_tenant_that_asks() {
    let on_disk = on_disk().await;
    on_disk.write("a").await;
    on_disk.write("b").await;
    let delete = |tenant| on_disk.server.post(&format!("{DELETE}?match[]=up")).header("X-Tenant-ID", tenant);
    assert_eq!(send(delete("a")).await.0, 204);
    assert_eq!(send(delete("nobody")).await.0, 204);
    assert_eq!((on_disk.values("a").await.len(), on_disk.values("b").await.len()), (0, 3));
    assert!(!on_disk.folder.path().join("nobody").exists());
}

/// The files below `dir` that hold tombstones.
fn tombstones(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| match path.is_dir() {
            true => tombstones(&path),
            false => usize::from(path.file_name().unwrap().to_string_lossy().starts_with("tombstones")),
        })
        .sum()
}

#[tokio::test]
async fn deleted_samples_are_taken_off_the_disk_of_the_tenant_that_asks() {
    let on_disk = on_disk().await;
    let folder = |tenant: &str| on_disk.folder.path().join(tenant);
    for tenant in ["a", "b"] {
        on_disk.write(tenant).await;
        let order = async |path: &str| {
            assert_eq!(send(on_disk.server.post(path).header("X-Tenant-ID", tenant)).await.0, 204, "{path}");
        };
        order("/internal/force_flush").await;
        order(&format!("{DELETE}?match[]=up&end={}", NOW / 1000 - 7)).await;
        assert_eq!(tombstones(&folder(tenant)), 2);
    }
    let clean = |tenant| on_disk.server.client.put(on_disk.server.url(CLEAN)).header("X-Tenant-ID", tenant);
    let response = clean("a").send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.bytes().await.unwrap().len()), (204, 0));
    assert_eq!((tombstones(&folder("a")), tombstones(&folder("b"))), (0, 2));
    assert_eq!(on_disk.values("a").await, ["2", "3"]);
    assert_eq!(send(clean("nobody")).await.0, 204);
}

/// Number of series that the snapshot in `dir` holds.
fn series_in(dir: &Path) -> usize {
    let db = Db::open(dir, options()).unwrap();
    let set = db.querier(TimeRange::ALL).unwrap().select(&[], &SelectHints::over(TimeRange::ALL));
    set.unwrap().len()
}

#[tokio::test]
async fn a_snapshot_is_a_store_under_the_name_that_is_answered() {
    let on_disk = on_disk().await;
    on_disk.write("a").await;
    let take = async |query: &str| {
        let request = on_disk.server.post(&format!("{SNAPSHOT}{query}")).header("X-Tenant-ID", "a");
        let (status, text) = send(request).await;
        assert_eq!(status, 200, "{text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["status"], "success");
        answer["data"]["name"].as_str().unwrap().to_owned()
    };
    let (whole, blocks) = (take("").await, take("?skip_head=true").await);
    // As Prometheus names them: the time, and a number.
    assert!(whole.starts_with("20260408T101530Z-") && whole.len() == 33, "{whole}");
    assert_ne!(whole, blocks);
    let snapshots = on_disk.folder.path().join("a/snapshots");
    assert_eq!((series_in(&snapshots.join(whole)), series_in(&snapshots.join(blocks))), (1, 0));
}

#[tokio::test]
async fn a_snapshot_that_makes_no_sense_is_refused() {
    let on_disk = on_disk().await;
    on_disk.write("default").await;
    let (status, text) = send(on_disk.server.post(&format!("{SNAPSHOT}?skip_head=maybe"))).await;
    assert_eq!((status.as_u16(), text.contains("skip_head")), (400, true), "{text}");
    let (status, text) = send(on_disk.server.post(SNAPSHOT).header("X-Tenant-ID", "nobody")).await;
    assert_eq!((status.as_u16(), text.contains("nobody")), (404, true), "{text}");
    let in_memory = start(Config { admin_api: true, ..config() }).await;
    assert_eq!(send(in_memory.write(&series(UP, &[(NOW, 1.0)]))).await.0, 204);
    for path in [SNAPSHOT.to_owned(), format!("{DELETE}?match[]=up")] {
        assert_eq!(send(in_memory.post(&path)).await.0, 400, "{path}: the store has no such thing");
    }
}
