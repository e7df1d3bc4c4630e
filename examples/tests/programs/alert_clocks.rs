//! Alerts that are pending when the server is killed: how long they have been so is not lost.

use crate::alerts::{Place, push};
use crate::process::{MetricsServer, eventually};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Rules in the file, and in the metadata store.
const IN_FILE: usize = 300;
const STORED: usize = 20;

fn rule_file() -> String {
    let mut text = "groups:\n".to_owned();
    for number in 0..IN_FILE {
        if number % 50 == 0 {
            writeln!(text, "- name: group-{number}\n  interval: 1s\n  rules:").unwrap();
        }
        writeln!(text, "  - {{alert: File{number}, expr: broken > 0, for: 1h}}").unwrap();
    }
    text
}

async fn get(server: &MetricsServer, path: &str) -> Value {
    let answer = server.client.get(format!("{}{path}", server.url)).send().await.unwrap();
    serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()["data"].take()
}

/// Since when each alert is pending, to the second, by its name; once all of them are.
async fn pending_since(server: &MetricsServer) -> BTreeMap<String, String> {
    eventually("all alerts are pending", async || {
        let data = get(server, "/api/v1/alerts").await;
        let alerts = data["alerts"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let pending = alerts.iter().filter(|alert| alert["state"] == "pending");
        let since: BTreeMap<_, _> = pending
            .map(|alert| (text(&alert["labels"]["alertname"]), text(&alert["activeAt"])[..19].to_owned()))
            .collect();
        (since.len() == IN_FILE + STORED).then_some(since)
    })
    .await
}

/// Waits until every group was evaluated twice, so that what was known at the start has been judged anew.
async fn judged(server: &MetricsServer) {
    let mut seen: BTreeMap<String, std::collections::BTreeSet<String>> = BTreeMap::new();
    eventually("all groups are evaluated", async || {
        let data = get(server, "/api/v1/rules").await;
        let groups = data["groups"].as_array().unwrap();
        for group in groups.iter().filter(|group| group["lastEvaluation"] != "0001-01-01T00:00:00Z") {
            let name = group["file"].to_string() + group["name"].as_str().unwrap();
            seen.entry(name).or_default().insert(group["lastEvaluation"].to_string());
        }
        (seen.len() == groups.len() && seen.values().all(|times| times.len() >= 2)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_killed_again_and_again_loses_no_clock_of_a_pending_alert() {
    let place = Place::new();
    std::fs::write(place.path("rules.yml"), rule_file()).unwrap();
    // What the metadata store knows of alerts is written every minute: never, here.
    let settings = "[metadata]\npoll_interval = \"1m\"\n";
    let mut server = place.start(settings);
    push(&server, [1], true).await;
    for number in 0..STORED {
        let rule = json!({"name": format!("Stored{number}"), "expression": "broken > 0", "interval": "1s",
                          "for": "1h", "severity": "WARNING"});
        let url = format!("{}/api/v1/admin/rules", server.url);
        let answer = server.client.post(url).body(rule.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 201);
    }
    let since = pending_since(&server).await;
    for wait_ms in [0, 400, 1_500] {
        // At once, between two evaluations, and after some.
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        server.process.signal("KILL");
        server.process.ended().await;
        server = place.start(settings);
        assert_eq!(pending_since(&server).await, since);
    }
    // Senders are back, and half a minute later rules are judged anew.
    push(&server, [1], true).await;
    judged(&server).await;
    assert_eq!(pending_since(&server).await, since);
}
