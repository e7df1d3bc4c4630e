//! The data directory of a running Prometheus, stopped or killed, becomes a database of ours.

use crate::blocks::import_into;
use crate::peers::{self, Server};
use crate::{dump, peers::eventually};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use tsdb::{Queryable, TimeRange};
use tsdb_core::read::ExemplarQueryable;

/// So often is a target scraped at least: a chunk of the head has 120 samples.
const SCRAPES: usize = 130;

#[expect(clippy::disallowed_methods, reason = "Prometheus refuses samples that lie far from its clock")]
fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What the scraped target says at its `n`th scrape.
fn exposition(n: u64) -> String {
    let now = n as f64;
    let mut text = String::from("# TYPE requests counter\n# HELP requests Of all kinds.\n");
    for series in 0..50 {
        text += &format!("requests_total{{path=\"/{series}\"}} {} # {{trace=\"t{n}\"}} 0.5\n", n * series);
    }
    text += "# TYPE level gauge\n";
    text += &format!("level{{kind=\"sine\"}} {}\nlevel{{kind=\"constant\"}} 7\n", now.sin());
    // Comes and goes, which leaves stale markers.
    if n % 4 < 2 {
        text += "level{kind=\"rare\"} NaN\n";
    }
    // Out of order, and more of it than Prometheus keeps in memory.
    let seconds_ago = (n * 7919) % 3000;
    text += &format!("# TYPE late gauge\nlate {n} {}\n", now_seconds() - seconds_ago);
    text += "# TYPE duration_seconds histogram\n";
    for (bound, factor) in [("0.1", 1), ("0.5", 2), ("+Inf", 3)] {
        text += &format!("duration_seconds_bucket{{le=\"{bound}\"}} {}\n", n * factor);
    }
    text + &format!("duration_seconds_sum {now}\nduration_seconds_count {}\n# EOF\n", n * 3)
}

/// Runs Prometheus until it has scraped for a while; it scrapes itself too, for its native histograms.
fn run(folder: &Path) -> Option<Server> {
    let target = peers::serve(exposition);
    let server = Server::start(folder, &format!("127.0.0.1:{}", target))?;
    let query = "/api/v1/query?query=count_over_time(level%7Bkind=%22sine%22%7D%5B1h%5D)";
    eventually(|| {
        let answer = server.get(query);
        (SCRAPES..10 * SCRAPES).any(|n| answer.contains(&format!("\"{n}\"")))
    });
    Some(server)
}

#[test]
fn the_log_of_a_killed_server_becomes_blocks() {
    let Some(promtool) = peers::program("promtool") else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(mut server) = run(folder.path()) else { return };
    server.post("/api/v1/admin/tsdb/delete_series?match%5B%5D=requests_total%7Bpath=%22/3%22%7D");
    server.kill();
    let (theirs, ours) = (server.data(), folder.path().join("ours"));
    let imported = import_into(&theirs, &ours);
    assert_eq!(imported.findings, []);
    assert!(imported.exemplars > 0 && imported.metadata > 0, "{imported:?}");
    let compared = dump::compare(&promtool, &theirs, &ours);
    assert!(compared.histograms > 50 && compared.samples > 5000, "{compared:?}");
    eprintln!("{compared:?}, {} exemplars, {} metrics", imported.exemplars, imported.metadata);

    let db = dump::open(&ours);
    let metadata = db.metadata();
    let requests = metadata.iter().find(|(name, _)| name == "requests_total" || name == "requests");
    assert_eq!(requests.unwrap().1.help, "Of all kinds.");
    assert!(!db.exemplars(&[Vec::new()], TimeRange::ALL).unwrap().is_empty());
    assert!(db.querier(TimeRange::ALL).is_ok());
    db.close().unwrap();

    let again = import_into(&theirs, &ours);
    assert_eq!((again.known_blocks, again.blocks.len()), (1, 0));
}

#[test]
fn blocks_and_log_of_a_stopped_server_are_one_database() {
    let Some(promtool) = peers::program("promtool") else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(mut server) = run(folder.path()) else { return };
    server.stop();
    let mapped = std::fs::read_dir(server.data().join("chunks_head")).unwrap().map(|file| file.unwrap());
    let mapped: u64 = mapped.map(|file| file.metadata().unwrap().len()).sum();
    assert!(mapped > 1000, "{mapped} bytes of chunks of the head");
    // A block from before, beside the log.
    let block = "01M7YQ28WAFQEPZ6NZVKVRQG18";
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/prometheus").join(block);
    peers::copy(&golden, &server.data().join(block));
    let (theirs, ours) = (server.data(), folder.path().join("ours"));
    let imported = import_into(&theirs, &ours);
    assert_eq!(imported.findings, []);
    let compared = dump::compare(&promtool, &theirs, &ours);
    assert!(compared.samples as u64 <= imported.samples);
    eprintln!("{compared:?}");
}
