//! `tsdbctl rules` beside promtool: both take the same files and refuse the same.

use crate::real_peers::peers;
use std::path::Path;
use std::process::Command;

const RULES: &str = r#"groups:
- name: availability
  interval: 1m
  rules:
  - record: job:up:avg
    expr: avg by (job) (up)
  - alert: InstanceDown
    expr: up == 0
    for: 2m
    keep_firing_for: 2m
    labels: {severity: page}
    annotations:
      summary: "{{ $labels.instance }} of {{ $labels.job }} has been down for more than 2 minutes."
      value: "{{ $value | humanize }} at {{ $externalURL }}, {{ $labels.nope }}{{ $externalLabels.region }}"
  - alert: JobHalfDown
    expr: job:up:avg < 0.6
    annotations: {share: "{{ $value | humanizePercentage }} of {{ printf \"%q\" $labels.job }}"}
  - alert: Total
    expr: sum(rate(requests_total[2m])) > 1
    annotations: {text: "{{ with query \"sum(requests_total)\" }}{{ . | first | value | humanize }}{{ end }}, {{ humanizeDuration 3661 }}, {{ humanizeTimestamp 1435065584 }}, {{ 1234567.0 }}, {{ reReplaceAll \"(.)b\" \"$1\" \"abab\" }}"}
"#;

const TESTS: &str = r#"rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- name: one is down
  interval: 1m
  external_labels: {region: eu}
  external_url: http://metrics.example
  input_series:
  - {series: 'up{job="node", instance="a"}', values: '1 1 1 1 1 1 1 1 1 1 1 1'}
  - {series: 'up{job="node", instance="b"}', values: '1 1 0 0 0 0 1 1 1 1 1 1'}
  - {series: 'requests_total', values: '0+120x11'}
  alert_rule_test:
  - {eval_time: 3m, alertname: InstanceDown}
  - eval_time: 4m
    alertname: InstanceDown
    exp_alerts:
    - exp_labels: {severity: page, job: node, instance: b}
      exp_annotations:
        summary: b of node has been down for more than 2 minutes.
        value: "0 at http://metrics.example, eu"
  - eval_time: 7m
    alertname: InstanceDown
    exp_alerts:
    - exp_labels: {severity: page, job: node, instance: b}
      exp_annotations:
        summary: b of node has been down for more than 2 minutes.
        value: "0 at http://metrics.example, eu"
  - {eval_time: 8m, alertname: InstanceDown}
  - eval_time: 3m
    alertname: JobHalfDown
    exp_alerts: [{exp_labels: {job: node}, exp_annotations: {share: '50% of "node"'}}]
  - eval_time: 5m
    alertname: Total
    exp_alerts: [{exp_annotations: {text: '600, 1h 1m 1s, 2015-06-23 13:19:44 +0000 UTC, 1.234567e+06, aa'}}]
  promql_expr_test:
  - expr: job:up:avg
    eval_time: 2m
    exp_samples: [{labels: 'job:up:avg{job="node"}', value: 0.5}]
  - expr: ALERTS{alertname="InstanceDown"}
    eval_time: 3m
    exp_samples:
    - {labels: 'ALERTS{alertname="InstanceDown", alertstate="pending", instance="b", job="node", severity="page"}', value: 1}
"#;

/// Says whether promtool and `tsdbctl` find the file well; they must agree.
fn agreed(peers: &Path, what: &str, file: &Path) -> bool {
    let promtool = Command::new(peers.join("promtool")).args([what, "rules"]).arg(file).output().unwrap();
    let ours = Command::new(env!("CARGO_BIN_EXE_tsdbctl")).args(["rules", what]).arg(file).output().unwrap();
    let said = |output: &std::process::Output| {
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
    };
    let (theirs_said, ours_said) = (said(&promtool), said(&ours));
    assert_eq!(
        promtool.status.success(),
        ours.status.success(),
        "promtool: {theirs_said}\nours: {ours_said}"
    );
    ours.status.success()
}

#[test]
fn rule_files_are_taken_and_refused_as_by_promtool() {
    let Some(peers) = peers() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml");
    let one = |rule: &str| format!("groups:\n- name: g\n  rules:\n  - {rule}\n");
    let cases = [
        (RULES.to_owned(), true),
        (one("{record: 'a:b', expr: up, labels: {x: '{{ nope }}'}}"), true),
        (one("{alert: A, expr: up, annotations: {x: '{{ toUpper $labels.job | printf \"%5s\" }}'}}"), true),
        (one("{record: 'a b', expr: up}"), true),
        (one("{record: 'a{b}', expr: up}"), false),
        (one("{alert: A, expr: 'sum('}"), false),
        (one("{alert: A, record: b, expr: up}"), false),
        (one("{expr: up}"), false),
        (one("{alert: A}"), false),
        (one("{record: a, expr: up, for: 1m}"), false),
        (one("{record: a, expr: up, annotations: {a: b}}"), false),
        (one("{alert: A, expr: up, for: soon}"), false),
        (one("{alert: A, expr: up, labels: {__name__: x}}"), false),
        (one("{alert: A, expr: up, annotations: {x: '{{ nope }}'}}"), false),
        (one("{alert: A, expr: up, annotations: {x: '{{ if }}'}}"), false),
        (one("{alert: A, expr: up, annotations: {x: '{{ $x }}'}}"), false),
        (one("{alert: A, expr: up, annotations: {x: '{{ range $i := 3 }}{{ end }}{{ $i }}'}}"), false),
        (one("{alert: A, expr: up, annotations: {x: '{{ 1 | 2 }}'}}"), false),
        (one("{alert: A, expr: up, unknown: 1}"), false),
        ("groups: [{name: '', rules: [{alert: A, expr: up}]}]".to_owned(), false),
        ("groups: [{name: a}, {name: a}]".to_owned(), false),
        ("- x".to_owned(), false),
    ];
    for (text, expected) in cases {
        std::fs::write(&file, &text).unwrap();
        assert_eq!(agreed(&peers, "check", &file), expected, "{text}");
    }
}

#[test]
fn the_rules_about_the_server_itself_and_the_policies_of_rules_are_taken_by_promtool() {
    let Some(peers) = peers() else { return };
    let platform = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tsdb-server/rules/platform.yml");
    assert!(agreed(&peers, "check", &platform));
    assert!(agreed(&peers, "test", &platform.with_file_name("platform_test.yml")));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml");
    let rule = "{alert: A, expr: up, annotations: {tsdb_no_data: alert, tsdb_on_error: keep}}";
    std::fs::write(&file, format!("groups:\n- name: g\n  rules:\n  - {rule}\n")).unwrap();
    assert!(agreed(&peers, "check", &file));
}

#[test]
fn tests_of_rules_pass_and_fail_as_with_promtool() {
    let Some(peers) = peers() else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yml"), RULES).unwrap();
    let file = folder.path().join("tests.yml");
    let changed = |from: &str, to: &str| {
        assert!(TESTS.contains(from), "{from}");
        TESTS.replace(from, to)
    };
    let cases = [
        (TESTS.to_owned(), true),
        (changed("value: 0.5", "value: 0.6"), false),
        (changed("severity: page, job: node", "severity: page, job: other"), false),
        (
            changed("{eval_time: 3m, alertname: InstanceDown}", "{eval_time: 4m, alertname: InstanceDown}"),
            false,
        ),
        (changed("1.234567e+06", "1234567"), false),
        (changed("expr: job:up:avg", "expr: sum("), false),
        (changed("[rules.yml]", "[none.yml]"), false),
    ];
    for (text, expected) in cases {
        std::fs::write(&file, &text).unwrap();
        assert_eq!(agreed(&peers, "test", &file), expected, "{text}");
    }
}

#[test]
fn what_the_documentation_of_prometheus_names_is_taken_and_gives_what_it_gives_there() {
    let Some(peers) = peers() else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let is_test = file.to_string_lossy().ends_with("_test.yml");
        assert!(agreed(&peers, if is_test { "test" } else { "check" }, &file), "{}", file.display());
    }
}
