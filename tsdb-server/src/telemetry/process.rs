//! What the operating system knows of this process, under the names that every exporter uses.
//!
//! Read from `/proc` on Linux; on other systems these metrics are absent.

use super::{Family, Point};
use tsdb_core::metadata::MetricType;

/// Clock ticks per second in `/proc`: the kernel reports 100 to user space on every architecture that Rust targets.
const TICKS_PER_SECOND: f64 = 100.0;

/// Metrics of the process; empty where there is no `/proc`.
pub(super) fn families() -> Vec<Family> {
    let mut families = Vec::new();
    if let Some(seconds) = cpu_seconds() {
        let help = "User and system CPU time of the process.";
        families.push(single("process_cpu_seconds_total", MetricType::Counter, help, seconds));
    }
    if let Some(bytes) = resident_bytes() {
        let help = "Resident memory of the process.";
        families.push(single("process_resident_memory_bytes", MetricType::Gauge, help, bytes));
    }
    if let Some(count) = open_files() {
        families.push(single("process_open_fds", MetricType::Gauge, "Open file descriptors.", count));
    }
    families
}

fn single(name: &'static str, kind: MetricType, help: &'static str, value: f64) -> Family {
    Family { name, kind, help, points: vec![Point { suffix: "", labels: Vec::new(), value }] }
}

/// User and system time: fields 14 and 15 of `/proc/self/stat`, counted behind the command in parentheses.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024.0)
}

fn open_files() -> Option<f64> {
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
    u32::try_from(count).ok().map(f64::from)
}
