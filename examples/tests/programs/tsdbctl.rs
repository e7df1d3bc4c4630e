//! `tsdbctl` on a real directory: what is dumped can be imported, damage is found, told and repaired.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
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
    assert!(said.contains("1200 samples in 1 blocks"), "{said}");
    assert_eq!(run(0, &["dump", two.to_str().unwrap()]), dump);
    let selected = ["--match", "temperature{host=\"host-7\"}", "--format", "text", "--from", "1700000015"];
    let part = run(0, &[&["dump", two.to_str().unwrap()], &selected[..]].concat());
    assert_eq!(part.lines().count(), 19);
    assert!(part.starts_with("temperature{host=\"host-7\"} 1.5 1700000015000\n"), "{part}");
    std::fs::write(&file, "m 1\n").unwrap();
    let said = run(2, &["import", two.to_str().unwrap(), file.to_str().unwrap()]);
    assert!(said.contains("line 1: expected a timestamp"), "{said}");
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
