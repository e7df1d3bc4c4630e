//! The threads that evaluate rules.
//!
//! There are a few, since rules are cheap. Others step in while those hang in a group, as one does whose rules need object
//! storage that does not answer: no group is late because of another.

use crate::rules::{Schedule, Surroundings};
use crate::seldom::Seldom;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The threads of a schedule.
#[derive(Debug, Default)]
pub(super) struct Crew {
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Queries nest; an unoptimised build spends kilobytes on each level.
const STACK_BYTES: usize = 16 << 20;
/// Time between two looks whether threads hang.
const LOOK: Duration = Duration::from_millis(100);
/// Threads that step in at most.
const MOST_HELPERS: usize = 8;

impl Crew {
    /// Starts `count` threads, at least one.
    ///
    /// # Errors
    /// The operating system has no more threads.
    pub(super) fn start<S: Surroundings + 'static>(
        &self,
        count: usize,
        schedule: &Arc<Schedule>,
        surroundings: &Arc<S>,
    ) -> io::Result<()> {
        let mut threads = self.threads.lock();
        let count = count.max(1);
        for number in 0..count {
            let (schedule, surroundings) = (Arc::clone(schedule), Arc::clone(surroundings));
            threads.push(spawn(number, move || schedule.run(surroundings.as_ref()))?);
        }
        let (schedule, surroundings) = (Arc::clone(schedule), Arc::clone(surroundings));
        let look = move || watch(count, &schedule, &surroundings);
        threads.push(thread::Builder::new().name("rules-watch".to_owned()).spawn(look)?);
        Ok(())
    }

    /// Waits for the end of the threads, once their schedule is stopped.
    pub(super) fn join(&self) {
        join(self.threads.lock().drain(..));
    }
}

fn spawn(number: usize, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(format!("rules-{number}")).stack_size(STACK_BYTES).spawn(work)
}

/// Starts further threads while `count` are too few, until the schedule is stopped, and waits for their end. They end when
/// nothing is due.
fn watch<S: Surroundings + 'static>(count: usize, schedule: &Arc<Schedule>, surroundings: &Arc<S>) {
    let mut helpers: Vec<JoinHandle<()>> = Vec::new();
    while !schedule.is_stopping() {
        thread::park_timeout(LOOK);
        helpers.retain(|helper| !helper.is_finished());
        if helpers.len() >= MOST_HELPERS || !schedule.needs_help(count, surroundings.moment()) {
            continue;
        }
        static HANGS: Seldom = Seldom::new();
        HANGS.error("threads for rules hang in slow groups; others step in");
        let (schedule, surroundings) = (Arc::clone(schedule), Arc::clone(surroundings));
        match spawn(count + helpers.len(), move || schedule.run_due(surroundings.as_ref())) {
            Ok(helper) => helpers.push(helper),
            Err(error) => log::warn!("no further thread for rules: {error}"),
        }
    }
    join(helpers);
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.thread().unpark();
        if thread.join().is_err() {
            log::error!("a thread for rules failed inside");
        }
    }
}
