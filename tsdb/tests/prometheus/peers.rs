//! Where Prometheus' tools and data are, and how they are called.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program `name` of the peers, if it is installed.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let peers = match std::env::var_os("TSDB_PEERS_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(&std::env::var_os("HOME")?).join(".cache/tsdb-peers"),
    };
    let path = peers.join("usr/bin").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: there is no {}; scripts/peers installs it", path.display());
    None
}

/// The capture of real data, if it is there.
pub(crate) fn capture() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let dir = match std::env::var_os("TSDB_PROMETHEUS_DATA_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => workspace.parent()?.join("shared/data/prometheus-data"),
    };
    if dir.exists() {
        return Some(dir);
    }
    eprintln!("SKIPPED: there is no {}; TSDB_PROMETHEUS_DATA_DIR says where the capture is", dir.display());
    None
}

/// `promtool tsdb` with `arguments`; its output goes into a pipe.
pub(crate) fn promtool(promtool: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(promtool);
    command.arg("tsdb").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

/// Copies the directory `from` to `to`.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.as_ref().unwrap().path(), to.join(entry.as_ref().unwrap().file_name()));
        if entry.is_dir() {
            copy(&entry, &to);
        } else {
            std::fs::copy(&entry, &to).unwrap();
        }
    }
}
