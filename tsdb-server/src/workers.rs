//! The threads that queries run on.
//!
//! Apart from the runtime's own threads, so that no query delays a write; few, so that queries cannot take all
//! memory; and with large stacks, since queries nest and an unoptimised build spends kilobytes on each level. On Linux they
//! give way to writes and rules where the processor is short: however many dashboards there are, alerts come in time.

use crate::priority;
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads that run jobs in order of arrival. They end when the last handle is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Workers {
    jobs: Sender<Job>,
}

/// Memory is taken only as far as a stack is used.
const STACK_BYTES: usize = 16 << 20;
/// How many steps the threads give way: beside one of them, another thread has three times its share.
const STEPS: i32 = 5;

impl Workers {
    /// Starts `count` threads, at least one.
    ///
    /// # Errors
    /// The operating system has no more threads.
    pub(crate) fn start(count: usize) -> std::io::Result<Self> {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..count.max(1) {
            let queue = Arc::clone(&queue);
            let thread = thread::Builder::new().name(format!("query-{number}")).stack_size(STACK_BYTES);
            thread.spawn(move || work(&queue))?;
        }
        Ok(Self { jobs })
    }

    /// Has `job` run by the next free thread. A job that panics ends alone.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        // The threads live as long as this handle, so somebody receives.
        drop(self.jobs.send(Box::new(job)));
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    priority::begin_thread(STEPS);
    loop {
        // The lock is held while waiting: the others wait for it instead of for the queue.
        let Ok(job) = queue.lock().recv() else { return };
        priority::begin_job();
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            log::error!("a query failed inside; its thread goes on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_panics_ends_alone() {
        let workers = Workers::start(1).unwrap();
        let (done, finished) = channel();
        workers.run(|| panic!("on purpose"));
        workers.run(move || done.send(7).unwrap());
        assert_eq!(finished.recv(), Ok(7));
    }
}
