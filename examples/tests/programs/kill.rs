//! Killed in the middle of writing and started again, the server holds everything that it acknowledged.

use crate::process::MetricsServer;
use crate::sender::Sender;
use std::time::Duration;

/// How often the server is killed, unless `KILL_ROUNDS` says otherwise.
const ROUNDS: usize = 6;

/// Senders that write at the same time.
const SENDERS: [&str; 3] = ["a", "b", "c"];

/// A killed process loses nothing in any of them: what is acknowledged is with the operating system.
const DURABILITIES: [&str; 3] = ["commit", "interval", "lazy"];

/// What is under way besides writing when the server dies.
const ORDERS: [&str; 3] =
    ["/internal/force_flush", "/api/v1/admin/tsdb/snapshot", "/api/v1/admin/tsdb/snapshot?skip_head=true"];

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_a_kill_whatever_the_durability() {
    let folder = tempfile::tempdir().unwrap();
    let settings = DURABILITIES.map(|durability| {
        let path = folder.path().join(format!("{durability}.toml"));
        std::fs::write(&path, format!("[storage]\ndurability = \"{durability}\"\n")).unwrap();
        path
    });
    let start = |round: usize| {
        let settings = settings[round % settings.len()].to_str().unwrap();
        MetricsServer::start(&folder.path().join("data"), &["--no-limits", "--config", settings])
    };
    let mut senders = SENDERS.map(Sender::new);
    let rounds = std::env::var("KILL_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        let mut server = start(round);
        assert_eq!(missing(&senders, &server).await, "", "after kill {round}");
        let [a, b, c] = &mut senders;
        let alive = &server;
        let killer = async {
            for _ in 0..15 + round * 7 % 30 {
                assert_eq!(a.send(alive).await.unwrap().status(), 204);
            }
            let order = alive.client.post(format!("{}{}", alive.url, ORDERS[round % ORDERS.len()])).send();
            let begun = tokio::time::timeout(Duration::from_millis(round as u64 % 40), order);
            drop(begun.await);
            alive.process.signal("KILL");
        };
        tokio::join!(b.send_until_dead(alive), c.send_until_dead(alive), killer);
        assert!(!server.process.ended().await.success());
    }
    let server = start(0);
    let acknowledged: usize = senders.iter().map(Sender::acknowledged).sum();
    assert!(acknowledged >= rounds * 15, "{acknowledged} batches were acknowledged");
    assert_eq!(missing(&senders, &server).await, "");
    println!("{rounds} kills, {acknowledged} batches of 40 samples acknowledged, none missing");
}

async fn missing(senders: &[Sender], server: &MetricsServer) -> String {
    let mut all = String::new();
    for sender in senders {
        all += &sender.missing(server).await;
    }
    all
}
