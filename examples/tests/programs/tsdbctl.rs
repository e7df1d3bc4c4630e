//! `tsdbctl` on a real directory: what is dumped can be imported, damage is found, told and repaired.

use crate::real_peers::peers;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tsdb::{Appendable, Db, Labels, Options};

fn tsdbctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tsdbctl")).args(arguments).output().unwrap()
}

/// Runs it, expecting this exit code, and returns what it says on both channels.
fn run(code: i32, arguments: &[&str]) -> String {
    let output = tsdbctl(arguments);
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

/// A directory with blocks and a log.
fn directory(path: &Path) {
    let options = Options { future_skew_ms: None, background: false, ..Options::default() };
    let db = Db::open(path, options).unwrap();
    for round in 0..20_i64 {
        let mut batch = db.appender();
        for host in 0..30 {
            for metric in ["requests_total", "temperature"] {
                let host = format!("host-{host}");
                let labels = Labels::from_pairs([("__name__", metric), ("host", &host)]).unwrap();
                let series = batch.series(&labels).unwrap();
                batch.append(series, 1_700_000_000_000 + round * 15_000, round as f64 * 1.5);
            }
        }
        batch.commit().unwrap();
        if round == 12 {
            db.flush().unwrap();
        }
    }
    db.close().unwrap();
}

fn chunks(directory: &Path) -> PathBuf {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| path.join("chunks/000001")).find(|path| path.exists()).unwrap()
}

#[test]
fn a_dump_that_is_imported_dumps_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    directory(&one);
    let dump = run(0, &["dump", one.to_str().unwrap()]);
    assert_eq!(dump.lines().count(), 2 + 20 * 60 + 1);
    assert!(
        dump.starts_with("# TYPE requests_total unknown\nrequests_total{host=\"host-0\"} 0 1700000000.000\n")
    );
    assert!(dump.ends_with("# EOF\n"));
    let file = folder.path().join("dump.txt");
    std::fs::write(&file, &dump).unwrap();
    let said = run(0, &["import", two.to_str().unwrap(), file.to_str().unwrap()]);
    assert!(said.contains("1200 samples in 1 blocks, 0 exemplars, 0 metrics described"), "{said}");
    assert_eq!(run(0, &["dump", two.to_str().unwrap()]), dump);
    let selected = ["--match", "temperature{host=\"host-7\"}", "--format", "text", "--from", "1700000015"];
    let part = run(0, &[&["dump", two.to_str().unwrap()], &selected[..]].concat());
    assert_eq!(part.lines().count(), 20);
    assert!(
        part.starts_with("# TYPE temperature untyped\ntemperature{host=\"host-7\"} 1.5 1700000015000\n"),
        "{part}"
    );
    std::fs::write(&file, "m 1\n").unwrap();
    let said = run(2, &["import", two.to_str().unwrap(), file.to_str().unwrap()]);
    assert!(said.contains("line 1: expected a timestamp"), "{said}");
}

#[test]
fn what_a_retention_would_delete_is_that_of_the_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.toml");
    std::fs::write(&settings, "[tenants.acme.retention]\nmax_bytes = 1\nmax_expired_percent = 100\n")
        .unwrap();
    for (tenant, gone) in [("acme", "would delete 1 blocks"), ("other", "would delete 0 blocks")] {
        let data = folder.path().join(tenant);
        directory(&data);
        let (data, settings) = (data.to_str().unwrap(), settings.to_str().unwrap());
        let said = run(0, &["retention", data, "--config", settings]);
        assert!(said.contains(gone), "{said}");
        assert_eq!(said.contains("too many bytes"), tenant == "acme", "{said}");
        run(2, &["retention", data, "--config", settings, "--samples", "3"]);
    }
}

/// All that there is: descriptions, exemplars, native histograms, start timestamps, odd values, names and times.
const EVERYTHING: &str = r##"# TYPE http_requests counter
# UNIT http_requests requests
# HELP http_requests Requests, \"all\" of them.\nIn two lines.
http_requests_total{code="200",path="/a\\b \"c\"\n"} 1 1700000000.000
http_requests_total{code="200",path="/a\\b \"c\"\n"} 17 1700000015.250 st@1699999000.000 # {trace_id="abc"} 0.25 1700000014.000 # {span="2",trace_id="def"} 1e-7 1700000015.000
http_requests_total{code="200",path="/a\\b \"c\"\n"} 1.2345678901234567e19 1700000030.000 st@1699999000.000
# TYPE latency_seconds histogram
# HELP latency_seconds Both classic and native.
latency_seconds{path="/"} {count:12,sum:18.4,schema:1,zero_threshold:0.001,zero_count:2,negative_spans:[0:1],negative_buckets:[1],positive_spans:[0:2,1:2],positive_buckets:[2,1,3,3]} 1700000000.000
latency_seconds{path="/"} {count:13.5,sum:20,schema:1,zero_threshold:0.001,zero_count:2,positive_spans:[0:2],positive_buckets:[2.5,9]} 1700000015.000 st@1699999000.000
latency_seconds{path="/"} NaN(0x7ff0000000000002) 1700000030.000
latency_seconds_bucket{le="+Inf"} 4 1700000000.000
latency_seconds_bucket{le="0.1"} 3 1700000000.000 # {} 0.05 1699999999.000
latency_seconds_count 4 1700000000.000
latency_seconds_sum 0.5 1700000000.000
# TYPE odd unknown
odd{kind="negative zero"} -0 1700000000.000
odd{kind="not a number"} NaN 1700000000.000
odd{kind="subnormal"} 5e-324 1700000000.000
odd{kind="the end"} +Inf -9223372036854775.808
odd{kind="the end"} -Inf 0.000
# TYPE queue gaugehistogram
queue {count:3,sum:7,schema:-53,zero_threshold:0,zero_count:0,positive_spans:[0:1,1:1],positive_buckets:[1,2],custom_values:[0.5,2.5,10],reset_hint:gauge} 1700000000.000
# TYPE "rpc.requests" gauge
{"rpc.requests","service.name"="cafe"} 1 1700000000.000
# TYPE unused info
# HELP unused A description without samples.
# EOF
"##;

#[test]
fn an_import_that_is_dumped_and_imported_again_is_the_same_database_in_both_formats() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("text"), EVERYTHING).unwrap();
    let said = run(0, &["import", &path("one"), &path("text")]);
    assert!(said.contains("17 samples in 1 blocks, 3 exemplars, 5 metrics described"), "{said}");
    assert_eq!(run(0, &["dump", &path("one")]), EVERYTHING);
    for (format, name) in [("openmetrics", "two"), ("text", "three")] {
        std::fs::write(path("again"), run(0, &["dump", &path("one"), "--format", format])).unwrap();
        run(0, &["import", &path(name), &path("again"), "--format", format]);
        assert_eq!(run(0, &["dump", &path(name)]), EVERYTHING, "{format}");
    }
    // Imported a second time, it changes nothing.
    run(0, &["import", &path("two"), &path("text")]);
    assert_eq!(run(0, &["dump", &path("two")]), EVERYTHING);
    assert!(run(0, &["verify", &path("two")]).contains("all sound"));
}

#[test]
fn promtool_reads_a_strict_dump_and_makes_the_same_database_of_it() {
    let Some(peers) = peers() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(
        path("text"),
        EVERYTHING.replace("the end\"} +Inf -9223372036854775.808", "the end\"} 2 1.000"),
    )
    .unwrap();
    run(0, &["import", &path("ours"), &path("text")]);
    let dump = run(1, &["dump", &path("ours"), "--strict"]);
    assert!(dump.contains("tsdbctl: 4 samples were left out"), "{dump}");
    let dump = dump.lines().filter(|line| !line.starts_with("tsdbctl: ")).map(|line| format!("{line}\n"));
    std::fs::write(path("strict"), dump.collect::<String>()).unwrap();
    let promtool = |arguments: &[&str]| {
        let output = Command::new(peers.join("promtool")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    promtool(&["tsdb", "create-blocks-from", "openmetrics", &path("strict"), &path("theirs")]);
    // It reads only what looks like a database that has run.
    std::fs::create_dir(path("theirs/wal")).unwrap();
    let theirs = promtool(&["tsdb", "dump", &path("theirs")]);
    run(0, &["import", &path("back"), &path("strict")]);
    let ours = run(0, &["dump", &path("back"), "--format", "text"]);
    let samples = |text: &str| -> std::collections::BTreeSet<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(|line| line.split(" # ").next().unwrap().to_owned()).collect()
    };
    assert_eq!(samples(&ours).len(), 13);
    assert_eq!(in_our_form(&theirs), samples(&ours));
}

/// The lines of a dump by promtool, `{__name__="m", a="b"} 1 1000`, as ours would be.
fn in_our_form(dump: &str) -> std::collections::BTreeSet<String> {
    let lines = dump.lines().filter(|line| !line.is_empty());
    let ours = lines.map(|line| {
        let (series, rest) = line.split_at(line.rfind("} ").unwrap() + 2);
        let pairs: Vec<&str> = series.trim_matches(['{', '}', ' ']).split(", ").collect();
        let name =
            pairs.iter().find_map(|pair| pair.strip_prefix("__name__=\"")).unwrap().trim_end_matches('"');
        let others: Vec<&str> = pairs.into_iter().filter(|pair| !pair.starts_with("__name__=")).collect();
        let (value, time) = rest.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap();
        let value = match value {
            _ if value.is_nan() => "NaN".to_owned(),
            f64::INFINITY => "+Inf".to_owned(),
            f64::NEG_INFINITY => "-Inf".to_owned(),
            _ if value == 0.0 || (1e-5..1e16).contains(&value.abs()) => format!("{value}"),
            _ => format!("{value:e}"),
        };
        let labels = others.join(",");
        match (name.contains('.'), labels.is_empty()) {
            (true, _) => format!("{{\"{name}\",{labels}}} {value} {time}"),
            (false, true) => format!("{name} {value} {time}"),
            (false, false) => format!("{name}{{{labels}}} {value} {time}"),
        }
    });
    ours.collect()
}

#[test]
fn damage_is_found_repaired_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("default");
    directory(&data);
    let data_name = data.to_str().unwrap();
    assert!(run(0, &["verify", data_name]).contains("all sound"));
    let inspected = run(0, &["inspect", data_name]);
    for word in ["requests_total", "temperature", "host", "780 samples"] {
        assert!(inspected.contains(word), "{word}: {inspected}");
    }
    let chunks = chunks(&data);
    let mut bytes = std::fs::read(&chunks).unwrap();
    bytes[40] ^= 0xff;
    std::fs::write(&chunks, bytes).unwrap();
    let said = run(1, &["verify", data_name]);
    assert!(said.contains(chunks.to_str().unwrap()) && said.contains("samples in"), "{said}");
    let said = run(0, &["repair", data_name]);
    assert!(said.contains("quarantine"), "{said}");
    assert!(run(0, &["verify", data_name]).contains("all sound"));
    assert!(data.join("quarantine").exists());
    let said = run(2, &["verify", folder.path().to_str().unwrap()]);
    assert!(said.contains("is no data directory") && said.contains(data_name), "{said}");
}

#[test]
fn samples_are_deleted_by_selector_and_time_unless_it_is_a_dry_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("default");
    directory(&data);
    let data = data.to_str().unwrap();
    let before = run(0, &["dump", data]);
    let delete = |more: &[&str]| {
        let selectors = ["--match", "temperature", "--match", "{host=~\"host-[12]\"}"];
        run(0, &[&["delete", data, "--from", "1700000150"], &selectors[..], more].concat())
    };
    let said = delete(&["--dry-run"]);
    assert!(said.contains("300 samples of 30 series would be deleted"), "{said}");
    assert_eq!(run(0, &["dump", data]), before);
    let said = delete(&[]);
    assert!(said.contains("300 samples of 30 series deleted"), "{said}");
    assert!(said.contains("20 samples of 2 series deleted"), "{said}");
    let after = run(0, &["dump", data]);
    assert_eq!(after.lines().count(), before.lines().count() - 320);
    assert!(run(0, &["inspect", data]).contains("780 samples"), "the block is as it was");
    assert!(delete(&["--clean"]).contains("0 samples of 0 series deleted"));
    assert!(run(0, &["inspect", data]).contains("684 samples"));
    assert_eq!(run(0, &["dump", data]), after);
    assert!(run(0, &["verify", data]).contains("all sound"));
    assert!(run(2, &["delete", data, "--match", "{"]).contains("tsdbctl: "));
    assert!(run(2, &["delete", data]).contains("--match"));
}

#[test]
fn a_backup_sends_what_is_new_and_is_restored_and_its_damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    directory(&folder.path().join("data"));
    let url = format!("file://{}", path("store"));
    let said = run(0, &["backup", &path("data"), &url, "--name", "monday"]);
    assert!(said.starts_with("monday: ") && said.contains("; sent "), "{said}");
    let said = run(0, &["backup", &path("data"), &url, "--name", "tuesday"]);
    assert!(said.ends_with("; sent 0 files, 0 bytes\n"), "{said}");
    assert_eq!(run(0, &["backups", &url]), "monday\ntuesday\n");
    run(0, &["backup", &path("data"), &url, "--name", "monday"]);
    directory(&folder.path().join("another"));
    assert!(run(2, &["backup", &path("another"), &url, "--name", "monday"]).contains("exists already"));
    assert!(run(2, &["backup", &path("data"), &url, "--name", "a/b"]).contains("cannot be called"));
    run(0, &["restore", &url, &path("back"), "--name", "monday"]);
    assert_eq!(run(0, &["dump", &path("back")]), run(0, &["dump", &path("data")]));
    assert!(run(2, &["restore", &url, &path("back")]).contains("restore to"), "no directory is overwritten");
    assert!(run(0, &["backups", &url, "--verify"]).contains("tuesday: sound"));
    let objects = std::fs::read_dir(folder.path().join("store/data")).unwrap();
    let object = objects.map(|entry| entry.unwrap().path()).max_by_key(|path| path.metadata().unwrap().len());
    let object = object.unwrap();
    let mut bytes = std::fs::read(&object).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&object, bytes).unwrap();
    assert!(run(1, &["backups", &url, "--verify"]).contains("monday: damaged"));
    assert!(run(2, &["restore", &url, &path("other")]).contains("checksum"));
    assert!(!folder.path().join("other").exists());
}

#[test]
fn a_damaged_copy_of_the_manifest_keeps_no_backup_from_being_made_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    directory(&folder.path().join("data"));
    std::fs::write(folder.path().join("data/manifest-copy"), b"tsdbman\n and no more").unwrap();
    let url = format!("file://{}", path("store"));
    let said = run(0, &["backup", &path("data"), &url, "--name", "monday"]);
    assert!(
        said.contains("monday: blocks on object storage, if there are any") && said.contains("manifest-copy")
    );
    run(0, &["restore", &url, &path("back"), "--name", "monday"]);
    let dump = |name| tsdbctl(&["dump", &path(name)]).stdout;
    assert!(dump("back").len() > 1000 && dump("back") == dump("data"));
    assert!(run(1, &["dump", &path("back")]).contains("may be missing"));
}

#[test]
fn blocks_exported_for_prometheus_are_imported_as_the_same_samples() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    directory(&folder.path().join("data"));
    let said = run(0, &["export-prometheus", &path("data"), &path("prometheus")]);
    assert!(said.contains("1200 samples of 60 series, 0 of them native histograms"), "{said}");
    let said = run(0, &["import-prometheus", &path("prometheus"), &path("again")]);
    assert!(
        said.contains("1200 samples of 60 series") && said.contains("bytes of Prometheus became"),
        "{said}"
    );
    assert_eq!(run(0, &["dump", &path("again")]), run(0, &["dump", &path("data")]));
    let said = run(0, &["import-prometheus", &path("prometheus"), &path("again")]);
    assert!(said.contains("had been imported before"), "{said}");
    let chunks = chunks(&folder.path().join("prometheus"));
    let mut bytes = std::fs::read(&chunks).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&chunks, bytes).unwrap();
    let said = run(1, &["import-prometheus", &path("prometheus"), &path("third")]);
    assert!(said.contains("damaged: "), "{said}");
    assert!(run(2, &["import-prometheus", &path("nowhere"), &path("fourth")]).contains("nowhere"));
}

#[test]
fn tokens_and_passwords_are_hashed_for_a_file_of_credentials_and_the_file_is_checked() {
    let said = run(0, &["credentials", "token"]);
    let (shown, token_line) = said.trim_end().split_once('\n').unwrap();
    let token = shown.rsplit(' ').next().unwrap();
    assert!(token.len() == 64 && token_line.starts_with("token_sha256 = \""), "{said}");
    assert!(!token_line.contains(token));
    assert_eq!(with_input("hash-token", &format!("{token}\n")), format!("{token_line}\n"));
    let password_line = with_input("hash-password", "open sesame\n");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials.toml");
    let name = file.to_str().unwrap();
    let text =
        format!("[[credential]]\nname = \"x\"\nread = \"*\"\nuser = \"x\"\n{token_line}\n{password_line}");
    std::fs::write(&file, &text).unwrap();
    assert_eq!(run(0, &["credentials", "check", name]), "1 credentials\n");
    std::fs::write(&file, text.replace("read", "reads")).unwrap();
    assert!(
        run(1, &["credentials", "check", name]).contains("credential \"x\": there is no field \"reads\"")
    );
}

/// What `tsdbctl credentials` makes of a line of its standard input.
fn with_input(verb: &str, input: &str) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_tsdbctl"))
        .args(["credentials", verb])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    program.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = program.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}
