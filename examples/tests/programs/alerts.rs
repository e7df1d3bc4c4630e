//! Delivery of alerts by the server as a process: to a real Alertmanager, and to receivers that fail in every way.

use crate::process::{MetricsServer, Process, eventually};
use crate::real_peers::{free_address, peers, quiet};
use crate::receiver::{Answer, Receiver};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tsdb_core::testing::skipped;
use tsdb_core::time::Clock;

const RULES: &str = "groups:
- name: parts
  interval: 200ms
  rules:
  - alert: Broken
    expr: broken > 0
    labels: {severity: page}
    annotations: {summary: '{{ $labels.part }} is broken'}
";

/// A folder with the settings of a server, its data and its rules.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rules.yml"), RULES).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the settings; `alerting` is what stands in their table `[alerting]` and behind.
    fn configure(&self, alerting: &str) -> PathBuf {
        let rules = self.path("rules.yml");
        let text = format!(
            "self_ingest_interval = \"0s\"\nadmin_api = true\n\
             [rules]\nfiles = [{rules:?}]\nexternal_labels = {{ cluster = \"test\" }}\n\
             [alerting]\n{alerting}"
        );
        let path = self.path("server.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn start(&self, alerting: &str) -> MetricsServer {
        let settings = self.configure(alerting);
        MetricsServer::start(&self.path("data"), &["--config", settings.to_str().unwrap()])
    }
}

/// Settings for one Alertmanager on this machine.
pub(crate) fn alertmanager(url: &str, more: &str) -> String {
    format!(
        "allowed_networks = [\"127.0.0.0/8\"]\n{more}\n\
         [[alerting.alertmanagers]]\nname = \"am\"\nurls = [{url:?}]\nhttp.timeout = \"1s\"\n"
    )
}

/// Says of each of `parts` whether it is broken.
pub(crate) async fn push(server: &MetricsServer, parts: impl IntoIterator<Item = usize>, broken: bool) {
    let now = tsdb::SystemClock.now();
    let sample = |part| json!({"metric": "broken", "labels": {"part": format!("p{part}")}, "timestampMs": now, "value": u8::from(broken)});
    let samples: Vec<_> = parts.into_iter().map(sample).collect();
    let body = json!({"samples": samples}).to_string();
    let answer =
        server.client.post(format!("{}/v1/metrics/push", server.url)).body(body).send().await.unwrap();
    assert_eq!(answer.status(), 202);
}

/// The sum of a metric's values over all its labels that contain `part`.
async fn metric(server: &MetricsServer, name: &str, part: &str) -> f64 {
    let text =
        server.client.get(format!("{}/metrics", server.url)).send().await.unwrap().text().await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(part));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

async fn metric_is(server: &MetricsServer, name: &str, part: &str, wanted: impl Fn(f64) -> bool) {
    eventually(&format!("{name} {part}"), async || {
        let found = metric(server, name, part).await;
        wanted(found).then_some(())
    })
    .await;
}

async fn receivers(server: &MetricsServer) -> Value {
    let answer = server.client.get(format!("{}/api/v1/receivers", server.url)).send().await.unwrap();
    serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()["data"]["receivers"].take()
}

/// The parts of alerts that fire or, if `over`, are over, by what `receiver` was told last of each.
fn parts(receiver: &Receiver, over: bool) -> BTreeSet<String> {
    let mut last = std::collections::BTreeMap::new();
    for alert in receiver.alerts() {
        let ends = alert["endsAt"].as_str().unwrap().to_owned();
        last.insert(alert["labels"]["part"].as_str().unwrap().to_owned(), ends);
    }
    let now = now_text();
    last.into_iter().filter(|(_, ends)| (*ends <= now) == over).map(|(part, _)| part).collect()
}

/// The time as alerts have it, so that texts compare as times do.
fn now_text() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%3NZ"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Starts a real Alertmanager at `address` with more arguments.
pub(crate) fn start_alertmanager(peers: &Path, folder: &Path, address: &str, more: &[String]) -> Process {
    let file = folder.join("alertmanager.yml");
    let routes = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";
    std::fs::write(&file, routes).unwrap();
    let mut command = Command::new(peers.join("prometheus-alertmanager"));
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.path={}", folder.join("alertmanager").display()));
    command.args([&format!("--web.listen-address={address}"), "--cluster.listen-address="]).args(more);
    Process::start(quiet(&mut command, folder, "alertmanager"))
}

/// The active alerts of a real Alertmanager, once there are so many.
pub(crate) async fn active(client: &reqwest::Client, url: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} alerts at {url}"), async || {
        let answer = client.get(format!("{url}/api/v2/alerts?active=true")).send().await.ok()?;
        let alerts: Vec<Value> = serde_json::from_str(&answer.text().await.ok()?).ok()?;
        (alerts.len() == count).then_some(alerts)
    })
    .await
}

#[tokio::test]
async fn a_real_alertmanager_is_told_of_fire_and_end_over_restarts_of_either_side() {
    let Some(peers) = peers() else { return };
    let place = Place::new();
    let address = free_address();
    let url = format!("http://{address}");
    let mut theirs = start_alertmanager(&peers, place.folder.path(), &address, &[]);
    let settings = alertmanager(&url, "resend_delay = \"1s\"");
    let mut server = place.start(&settings);
    push(&server, [1], true).await;
    let alert = active(&server.client, &url, 1).await.remove(0);
    let labels = json!({"alertname": "Broken", "cluster": "test", "part": "p1", "severity": "page"});
    assert_eq!(alert["labels"], labels);
    assert_eq!(alert["annotations"], json!({"summary": "p1 is broken"}));
    let link = alert["generatorURL"].as_str().unwrap();
    assert!(link.ends_with("/graph?g0.expr=broken+%3E+0&g0.tab=1"), "{link}");
    let known = server.api("alertmanagers", &[]).await;
    assert!(known.is_err(), "only asked by GET");
    let known = server.client.get(format!("{}/api/v1/alertmanagers", server.url)).send().await.unwrap();
    let expected = json!({"status": "success", "data": {
        "activeAlertmanagers": [{"url": format!("{url}/api/v2/alerts")}], "droppedAlertmanagers": []}});
    assert_eq!(serde_json::from_str::<Value>(&known.text().await.unwrap()).unwrap(), expected);

    theirs.signal("KILL");
    theirs.ended().await;
    theirs = start_alertmanager(&peers, place.folder.path(), &address, &[]);
    let again = active(&server.client, &url, 1).await.remove(0);
    assert_eq!((&again["startsAt"], &again["fingerprint"]), (&alert["startsAt"], &alert["fingerprint"]));

    server.process.signal("KILL");
    server.process.ended().await;
    server = place.start(&settings);
    push(&server, [1], false).await;
    active(&server.client, &url, 0).await;
    push(&server, [1], true).await;
    active(&server.client, &url, 1).await;
    server.process.signal("TERM");
    assert!(server.process.ended().await.success());
    drop(theirs);
}

#[tokio::test]
async fn a_killed_server_loses_no_alert_that_waits_for_an_alertmanager() {
    let place = Place::new();
    let address = free_address();
    let settings = alertmanager(&format!("http://{address}"), "");
    let mut server = place.start(&settings);
    push(&server, 0..150, true).await;
    metric_is(&server, "tsdb_notifications_queue_length", "am/", |queued| queued == 150.0).await;
    push(&server, 0..70, false).await;
    let over = [("query", "count(ALERTS{alertstate=\"firing\"}) == 80")];
    eventually("70 alerts are over", async || {
        server.api("query", &over).await.unwrap()["result"].get(0).cloned()
    })
    .await;
    metric_is(&server, "tsdb_notifications_failed_total", "reason=\"connect\"", |failed| failed > 0.0).await;
    server.process.signal("KILL");
    server.process.ended().await;

    // Without rules nothing but the queue knows of the alerts.
    std::fs::write(place.path("rules.yml"), "groups: []\n").unwrap();
    let receiver = Receiver::start(Answer::Status(200, "")).await;
    // The queue belongs to the address, where the receiver is not.
    let relay = tokio::net::TcpListener::bind(&address).await.unwrap();
    let target = receiver.address.clone();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = relay.accept().await {
            let target = target.clone();
            tokio::spawn(async move {
                let mut to = tokio::net::TcpStream::connect(target).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut from, &mut to).await);
            });
        }
    });
    server = place.start(&settings);
    metric_is(&server, "tsdb_notifications_sent_total", "am/", |sent| sent == 150.0).await;
    let expected = |range: std::ops::Range<usize>| range.map(|part| format!("p{part}")).collect();
    assert_eq!(parts(&receiver, true), expected(0..70));
    assert_eq!(parts(&receiver, false), expected(70..150));
    assert!(receiver.requests().iter().all(|request| request.body.as_array().unwrap().len() <= 64));
    metric_is(&server, "tsdb_notifications_queue_length", "am/", |queued| queued == 0.0).await;
}

#[tokio::test]
async fn an_alertmanager_that_fails_is_tried_again_and_evaluation_never_waits() {
    let place = Place::new();
    let receiver = Receiver::start(Answer::Status(500, "")).await;
    let server = place.start(&alertmanager(&receiver.url(), ""));
    push(&server, [1], true).await;
    for (answer, reason) in [
        (Answer::Status(500, ""), "server_error"),
        (Answer::Status(503, "Retry-After: 1"), "server_error"),
        (Answer::Status(429, "Retry-After: 1"), "throttled"),
        (Answer::Never, "timeout"),
    ] {
        receiver.answer(answer);
        let reason = format!("reason=\"{reason}\"");
        let before = metric(&server, "tsdb_notifications_failed_total", &reason).await;
        metric_is(&server, "tsdb_notifications_failed_total", &reason, |failed| failed > before).await;
        assert_eq!(metric(&server, "tsdb_notifications_queue_length", "am/").await, 1.0);
    }
    assert!(metric(&server, "tsdb_rule_group_iterations_total", "").await >= 5.0);
    assert_eq!(metric(&server, "tsdb_notifications_dropped_total", "").await, 0.0);
    receiver.answer(Answer::Status(200, ""));
    metric_is(&server, "tsdb_notifications_sent_total", "am/", |sent| sent == 1.0).await;
    assert!(metric(&server, "tsdb_notifications_latency_seconds_count", "am/").await >= 5.0);
}

#[tokio::test]
async fn what_an_alertmanager_refuses_is_counted_shown_and_not_sent_again() {
    let place = Place::new();
    let receiver = Receiver::start(Answer::Status(400, "")).await;
    let server = place.start(&alertmanager(&receiver.url(), ""));
    push(&server, [1, 2], true).await;
    metric_is(&server, "tsdb_notifications_dropped_total", "reason=\"refused\"", |dropped| dropped == 2.0)
        .await;
    let told = receivers(&server).await;
    assert_eq!(
        (&told[0]["queued"], &told[0]["failed"], &told[0]["dropped"]),
        (&json!(0), &json!(1), &json!(2))
    );
    assert!(
        told[0]["lastError"].as_str().unwrap().contains("400 Bad Request: because the test says so"),
        "{told}"
    );
    receiver.answer(Answer::Status(200, ""));
    push(&server, [2], false).await;
    metric_is(&server, "tsdb_notifications_sent_total", "am/", |sent| sent == 1.0).await;
    assert_eq!(
        parts(&receiver, true),
        BTreeSet::from(["p2".to_owned()]),
        "its end is news, the other is not"
    );
}

#[tokio::test]
async fn a_full_queue_drops_alerts_that_are_over_first() {
    let place = Place::new();
    let receiver = Receiver::start(Answer::Status(500, "")).await;
    let server = place.start(&alertmanager(&receiver.url(), "queue_alerts = 10"));
    push(&server, 0..10, true).await;
    metric_is(&server, "tsdb_notifications_queue_length", "am/", |queued| queued == 10.0).await;
    push(&server, 0..4, false).await;
    let over = [("query", "count(ALERTS{alertstate=\"firing\"}) == 6")];
    eventually("4 are over", async || server.api("query", &over).await.unwrap()["result"].get(0).cloned())
        .await;
    push(&server, 20..25, true).await;
    metric_is(&server, "tsdb_notifications_dropped_total", "reason=\"full_", |dropped| dropped == 5.0).await;
    assert_eq!(metric(&server, "tsdb_notifications_dropped_total", "full_resolved").await, 4.0);
    assert_eq!(metric(&server, "tsdb_notifications_dropped_total", "full_firing").await, 1.0);
}

#[tokio::test]
async fn receivers_off_the_public_internet_are_refused_unless_the_settings_allow_them() {
    let place = Place::new();
    let receiver = Receiver::start(Answer::Status(200, "")).await;
    let (port, url) = (receiver.address.split_once(':').unwrap().1, receiver.url());
    let written = format!("[[alerting.webhooks]]\nname = \"hook\"\nurl = {url:?}\n");
    let settings = place.configure(&written);
    let mut command = Command::new(env!("CARGO_BIN_EXE_metrics-server"));
    command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(place.path("data"));
    let output = command.arg("--config").arg(&settings).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("loopback") && said.contains("allowed_networks"),
        "{said}"
    );

    let named = format!("[[alerting.alertmanagers]]\nname = \"am\"\nurls = [\"http://localhost:{port}\"]\n");
    let server = place.start(&named);
    push(&server, [1], true).await;
    metric_is(&server, "tsdb_notifications_failed_total", "reason=\"connect\"", |failed| failed > 0.0).await;
    let told = receivers(&server).await.to_string();
    assert!(told.contains("alerting.allowed_networks"), "{told}");
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn redirects_are_not_followed_and_credentials_reach_no_other_host() {
    let place = Place::new();
    let elsewhere = Receiver::start(Answer::Status(200, "")).await;
    let receiver = Receiver::start(Answer::Redirect(format!("{}/api/v2/alerts", elsewhere.url()))).await;
    let secret = place.path("token");
    std::fs::write(&secret, "swordfish\n").unwrap();
    let settings = alertmanager(&receiver.url(), "") + &format!("http.bearer_token_file = {secret:?}\n");
    let server = place.start(&settings);
    push(&server, [1], true).await;
    metric_is(&server, "tsdb_notifications_failed_total", "reason=\"redirected\"", |failed| failed > 0.0)
        .await;
    assert!(elsewhere.requests().is_empty());
    let head = receiver.requests()[0].head.clone();
    assert!(head.contains("authorization: Bearer swordfish"), "{head}");
    let everything = receivers(&server).await.to_string();
    assert!(!everything.contains("swordfish"), "{everything}");
}

#[tokio::test]
async fn a_real_alertmanager_behind_tls_passwords_and_a_prefix_is_told_too() {
    let Some(peers) = peers() else { return };
    let place = Place::new();
    if !certificates(place.folder.path()) {
        skipped("openssl is not there to make certificates");
        return;
    }
    let web = place.path("web.yml");
    // The password is "test".
    let text = "tls_server_config: {cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem, \
                client_auth_type: RequireAndVerifyClientCert}\n\
                basic_auth_users: {me: $2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay}\n";
    std::fs::write(&web, text).unwrap();
    let address = free_address();
    let more = [format!("--web.config.file={}", web.display()), "--web.route-prefix=/am".to_owned()];
    let _theirs = start_alertmanager(&peers, place.folder.path(), &address, &more);
    let mut settings = alertmanager(&format!("https://{address}/am"), "");
    for (name, file) in [("ca", "ca.pem"), ("cert", "client.pem"), ("key", "client.key")] {
        writeln!(settings, "http.{name}_file = {:?}", place.path(file)).unwrap();
    }
    settings += "http.username = \"me\"\nhttp.password = \"test\"\n";
    let server = place.start(&settings.replace("\"1s\"", "\"10s\""));
    push(&server, [1], true).await;
    metric_is(&server, "tsdb_notifications_sent_total", "am/", |sent| sent >= 1.0).await;
    let printed = Command::new(env!("CARGO_BIN_EXE_metrics-server"))
        .arg("--print-config")
        .arg("--config")
        .arg(place.path("server.toml"))
        .output()
        .unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains("password = \"<secret>\""), "{printed}");
}

/// Makes an authority, and certificates of a server at 127.0.0.1 and of a client.
fn certificates(folder: &Path) -> bool {
    let script = "set -e\n\
        new='openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'\n\
        $new -x509 -keyout ca.key -out ca.pem -subj /CN=ca -addext basicConstraints=critical,CA:TRUE\n\
        printf 'subjectAltName=IP:127.0.0.1' > server.ext\n\
        printf 'extendedKeyUsage=clientAuth' > client.ext\n\
        for name in server client; do\n\
        $new -keyout $name.key -out $name.csr -subj /CN=$name\n\
        openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile $name.ext -out $name.pem\n\
        done\n";
    let made = Command::new("sh").arg("-c").arg(script).current_dir(folder).output().unwrap();
    made.status.success()
}

#[tokio::test]
async fn webhooks_slack_and_pagerduty_are_told_of_groups() {
    let place = Place::new();
    let names = ["hook", "slack", "pager"];
    let mut receivers = Vec::new();
    let mut settings = "allowed_networks = [\"127.0.0.0/8\"]\n".to_owned();
    for (name, table) in names.into_iter().zip(["webhooks", "slack", "pagerduty"]) {
        let receiver = Receiver::start(Answer::Status(200, "")).await;
        let url = format!("{}/services/{name}", receiver.url());
        write!(settings, "[[alerting.{table}]]\nname = \"{name}\"\nurl = {url:?}\n").unwrap();
        match table {
            "slack" => {
                settings += "title = '{{ .Status }} {{ .CommonLabels.alertname }} {{ len .Alerts }}'\n\
                             text = '{{ range .Alerts }}{{ .Annotations.summary }};{{ end }}'\n";
            }
            "pagerduty" => settings += "routing_key = \"key\"\n",
            _ => {}
        }
        settings += "grouping = { by = [\"alertname\"], wait = \"1s\", interval = \"1s\" }\n";
        receivers.push(receiver);
    }
    let mut server = place.start(&settings);
    push(&server, [1, 2], true).await;
    let first = |receiver: Receiver| async move {
        eventually("a message", async || receiver.requests().first().map(|request| request.body.clone()))
            .await
    };
    let [hook, slack, pager] = &receivers[..] else { unreachable!() };
    let message = first(hook.clone()).await;
    assert_eq!(
        (&message["version"], &message["status"], &message["receiver"]),
        (&json!("4"), &json!("firing"), &json!("hook"))
    );
    assert_eq!(message["groupLabels"], json!({"alertname": "Broken"}));
    assert_eq!(
        message["commonLabels"],
        json!({"alertname": "Broken", "cluster": "test", "severity": "page"})
    );
    assert_eq!(message["alerts"].as_array().unwrap().len(), 2);
    let message = first(slack.clone()).await;
    let attachment = &message["attachments"][0];
    assert_eq!((&attachment["title"], &attachment["color"]), (&json!("firing Broken 2"), &json!("danger")));
    assert_eq!(attachment["text"], "p1 is broken;p2 is broken;");
    let event = first(pager.clone()).await;
    assert_eq!(
        (&event["event_action"], &event["payload"]["severity"]),
        (&json!("trigger"), &json!("critical"))
    );

    // What they know outlives the server: the end is told, and nothing twice.
    server.process.signal("KILL");
    server.process.ended().await;
    server = place.start(&settings);
    push(&server, [1, 2], false).await;
    for receiver in &receivers {
        eventually("the end", async || receiver.requests().get(1).cloned()).await;
    }
    assert_eq!(hook.requests()[1].body["status"], "resolved");
    assert_eq!(slack.requests()[1].body["attachments"][0]["title"], "resolved Broken 2");
    let end = &pager.requests()[1].body;
    assert_eq!((&end["event_action"], &end["dedup_key"]), (&json!("resolve"), &event["dedup_key"]));
    metric_is(&server, "tsdb_notifications_queue_length", "", |queued| queued == 0.0).await;
    assert_eq!(receivers.iter().map(|receiver| receiver.requests().len()).sum::<usize>(), 6);
}
