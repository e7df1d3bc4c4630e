//! The priority of a thread towards the others of this process, by the operating system's own means.
//!
//! A thread can give up priority without privileges, but not take it back: whoever keeps threads asks [`was_lowered`] and lets
//! such a one end.
//!
//! *Absent:* anything on systems other than Linux, where only whole processes have priorities.

use std::cell::Cell;
use std::time::Duration;

thread_local! {
    /// CPU time of this thread when its job began.
    static BEGAN: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static LEVEL: Cell<Level> = const { Cell::new(Level::Usual) };
}

/// How a thread stands towards the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// As it began.
    Usual,
    /// Has a small share beside others.
    Low,
    /// Runs while nobody else wants to.
    Idle,
}

/// This thread begins, for good, so many steps below the usual priority.
pub(crate) fn begin_thread(steps: i32) {
    tell(system::lower(steps));
}

/// This thread begins with another job.
pub(crate) fn begin_job() {
    BEGAN.set(system::cpu());
}

/// CPU time that this thread has used for its job.
pub(crate) fn used() -> Duration {
    system::cpu().saturating_sub(BEGAN.get())
}

/// Gives this thread a lower priority by so many steps, of which three are half of the CPU.
pub(crate) fn lower(steps: i32) {
    if LEVEL.get() < Level::Low {
        LEVEL.set(Level::Low);
        tell(system::lower(steps));
    }
}

/// Has this thread run from now on while nobody else wants to.
pub(crate) fn idle() {
    if LEVEL.get() < Level::Idle {
        LEVEL.set(Level::Idle);
        tell(system::idle());
    }
}

/// Has this thread a lower priority than it had?
pub(crate) fn was_lowered() -> bool {
    LEVEL.get() > Level::Usual
}

fn tell(lowered: std::io::Result<()>) {
    if let Err(error) = lowered {
        log::debug!("the priority of a thread cannot be lowered: {error}");
    }
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

    /// The policy under which whoever wakes up comes first at once; with any other, a thread is left to its slice of
    /// milliseconds.
    #[expect(unsafe_code, reason = "there is no safe call for it")]
    pub(super) fn idle() -> io::Result<()> {
        let parameter = libc::sched_param { sched_priority: 0 };
        // SAFETY: the parameter is initialised and outlives the call, which only reads it; 0 is the thread that asks.
        let outcome = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) };
        if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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

    pub(super) const fn idle() -> io::Result<()> {
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
        let policy = || {
            std::fs::read_to_string("/proc/thread-self/stat").unwrap().rsplit(' ').nth(11).unwrap().to_owned()
        };
        let before = nice();
        let lowered = std::thread::spawn(move || {
            lower(3);
            assert!(was_lowered());
            let lowered = nice();
            idle();
            (lowered, policy())
        });
        assert_eq!(lowered.join().unwrap(), ((before + 3).min(19), "5".to_owned()), "SCHED_IDLE is 5");
        assert_eq!((nice(), was_lowered(), policy()), (before, false, "0".to_owned()));
    }
}
