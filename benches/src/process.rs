//! What the operating system says of a process: CPU time and memory, from `/proc`.

use std::io;
use std::time::Duration;

/// A reading of one process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// User and system time of all its threads so far.
    pub cpu: Duration,
    /// Resident memory now, bytes.
    pub rss_bytes: u64,
    /// The most resident memory it has had, bytes.
    pub peak_rss_bytes: u64,
}

/// Reads this process; where there is no `/proc`, zeros.
pub fn own() -> Reading {
    read(std::process::id()).unwrap_or_default()
}

/// Time that this thread has run.
pub fn thread_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(stat.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0))
}

/// Time that those threads of this process have run whose names begin with `prefix`, of those that there are now.
///
/// # Errors
/// There is no `/proc`.
pub fn threads_cpu(prefix: &str) -> io::Result<Duration> {
    let mut cpu = Duration::ZERO;
    for task in std::fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        // Threads come and go.
        let Ok(name) = std::fs::read_to_string(path.join("comm")) else { continue };
        let Ok(stat) = std::fs::read_to_string(path.join("stat")) else { continue };
        if name.starts_with(prefix) {
            cpu += cpu_time(&stat).unwrap_or_default();
        }
    }
    Ok(cpu)
}

/// Reads process `pid`.
///
/// # Errors
/// There is no such process, or no `/proc`.
pub fn read(pid: u32) -> io::Result<Reading> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(Reading {
        cpu: cpu_time(&stat).ok_or_else(|| io::Error::other("unexpected form of /proc/PID/stat"))?,
        rss_bytes: status_bytes(&status, "VmRSS:"),
        peak_rss_bytes: status_bytes(&status, "VmHWM:"),
    })
}

/// Makes the peak of process `pid`'s resident memory what it is now.
///
/// # Errors
/// There is no such process, or it is somebody else's.
pub fn reset_peak(pid: u32) -> io::Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

/// Fields 14 and 15 of `/proc/PID/stat`, in clock ticks of 10 ms; counted behind the parenthesis that closes the
/// command's name, which may itself hold spaces.
fn cpu_time(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}

fn status_bytes(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib: Option<u64> = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_process_has_memory() {
        let reading = read(std::process::id()).unwrap();
        assert!(reading.rss_bytes > 0 && reading.peak_rss_bytes >= reading.rss_bytes);
    }

    #[test]
    fn a_command_name_with_spaces_and_parentheses_is_skipped() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4 1 0 0 0 250 50 0 0 20 0 1 0 5 0 0";
        assert_eq!(cpu_time(stat), Some(Duration::from_secs(3)));
    }
}
