//! Rules that change while their alerts fire, and what a real Alertmanager hears of it.

use crate::alerts::{Place, active, alertmanager, push, start_alertmanager};
use crate::process::{MetricsServer, eventually};
use crate::real_peers::{free_address, peers};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A request to the admin API about rules; the data of its answer.
async fn rules(server: &MetricsServer, method: Method, path: &str, body: &Value) -> Value {
    let url = format!("{}/api/v1/admin/rules{path}", server.url);
    let answer = server.client.request(method, url).body(body.to_string()).send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str::<Value>(&text).map_or(Value::Null, |mut answer| answer["data"].take())
}

async fn reload(server: &MetricsServer, place: &Place, text: &str) {
    std::fs::write(place.path("rules.yml"), text).unwrap();
    let answer = server.client.post(format!("{}/-/reload", server.url)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

fn names(alerts: &[Value]) -> BTreeSet<&str> {
    alerts.iter().map(|alert| alert["labels"]["alertname"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn alerts_of_rules_that_are_deleted_or_paused_are_over_at_a_real_alertmanager_at_once() {
    let Some(peers) = peers() else { return };
    let place = Place::new();
    let address = free_address();
    let url = format!("http://{address}");
    let _theirs = start_alertmanager(&peers, place.folder.path(), &address, &[]);
    // Alertmanager believes in an alert for 40 minutes, unless it is told that it is over.
    let settings = alertmanager(&url, "resend_delay = \"10m\"") + "[metadata]\npoll_interval = \"100ms\"\n";
    let server = place.start(&settings);
    push(&server, [1], true).await;
    let stored = json!({"name": "Stored", "expression": "broken > 0", "interval": "1s", "for": "0s",
                        "severity": "CRITICAL"});
    let id = rules(&server, Method::POST, "", &stored).await["id"].to_string();
    let both = active(&server.client, &url, 2).await;
    assert_eq!(names(&both), BTreeSet::from(["Broken", "Stored"]));

    rules(&server, Method::PATCH, &format!("/{id}"), &json!({"status": "PAUSED"})).await;
    assert_eq!(names(&active(&server.client, &url, 1).await), BTreeSet::from(["Broken"]));
    rules(&server, Method::PATCH, &format!("/{id}"), &json!({"status": "ACTIVE"})).await;
    active(&server.client, &url, 2).await;
    rules(&server, Method::DELETE, &format!("/{id}"), &Value::Null).await;
    assert_eq!(names(&active(&server.client, &url, 1).await), BTreeSet::from(["Broken"]));

    // In another group and file it is the same alert.
    let moved = std::fs::read_to_string(place.path("rules.yml")).unwrap().replace("name: parts", "name: all");
    let since = server.client.get(format!("{}/api/v1/alerts", server.url));
    let since = async || {
        let answer = since.try_clone().unwrap().send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["data"]["alerts"][0]["activeAt"].clone()
    };
    let before = since().await;
    reload(&server, &place, &moved).await;
    eventually("the group has its name", async || {
        let groups = server.client.get(format!("{}/api/v1/rules", server.url)).send().await.unwrap();
        let groups = groups.text().await.unwrap();
        (groups.contains(r#""name":"all""#) && !groups.contains(r#""name":"parts""#)).then_some(())
    })
    .await;
    assert_eq!(since().await, before);
    assert_eq!(names(&active(&server.client, &url, 1).await), BTreeSet::from(["Broken"]));

    reload(&server, &place, "groups: []\n").await;
    active(&server.client, &url, 0).await;
}
