//! The priority of a thread towards the others of this process, by the operating system's own means, and what it uses.
//!
//! *Absent:* anything on systems other than Linux, where only whole processes have priorities.

use std::cell::Cell;
use std::time::Duration;

thread_local! {
    /// CPU time of this thread when its job began.
    static BEGAN: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// This thread begins, for good, so many steps below the usual priority: of three steps it has half of the CPU that another
/// thread has.
pub(crate) fn begin_thread(steps: i32) {
    if let Err(error) = system::lower(steps) {
        log::debug!("the priority of a thread cannot be lowered: {error}");
    }
}

/// This thread begins with another job.
pub(crate) fn begin_job() {
    BEGAN.set(system::cpu());
}

/// CPU time that this thread has used for its job.
pub(crate) fn used() -> Duration {
    system::cpu().saturating_sub(BEGAN.get())
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::process::{getpriority_process, setpriority_process};
    use rustix::time::{ClockId, clock_gettime};
    use std::io;
    use std::time::Duration;

    /// The lowest priority there is.
    const LOWEST: i32 = 19;

    pub(super) fn cpu() -> Duration {
        Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
    }

    /// To Linux, no number means the thread that asks.
    pub(super) fn lower(steps: i32) -> io::Result<()> {
        let now = getpriority_process(None)?;
        Ok(setpriority_process(None, now.saturating_add(steps).min(LOWEST))?)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::time::Duration;

    pub(super) const fn cpu() -> Duration {
        Duration::ZERO
    }

    pub(super) const fn lower(_steps: i32) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_gives_up_its_own_priority_and_no_other() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        let lowered = std::thread::spawn(move || {
            begin_thread(3);
            nice()
        });
        assert_eq!((lowered.join().unwrap(), nice()), ((before + 3).min(19), before));
    }
}
