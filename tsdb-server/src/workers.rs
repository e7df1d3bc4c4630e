//! The threads that queries run on.
//!
//! Apart from the runtime's own threads, so that no query delays a write; few, so that queries cannot take all
//! memory; and with large stacks, since queries nest and an unoptimised build spends kilobytes on each level. On Linux they
//! give way to writes and rules where the processor is short: however many dashboards there are, alerts come in time.
//! A thread that gave up its priority ends with its job; one that never works starts another in its place.

use crate::priority;
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads that run jobs in order of arrival. They end when the last handle is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Workers {
    jobs: Sender<Job>,
}

/// One of the threads.
struct Worker {
    number: usize,
    queue: Arc<Mutex<Receiver<Job>>>,
    /// Takes whoever ends and is to be replaced. Only workers hold it, so whoever replaces them ends after the last.
    ended: Sender<Worker>,
}

/// Memory is taken only as far as a stack is used.
const STACK_BYTES: usize = 16 << 20;
/// How many steps the threads give way: beside one of them, another thread has three times its share.
const STEPS: i32 = 5;
/// Where the system has no more threads, it is asked again after this time.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

impl Workers {
    /// Starts `count` threads, at least one.
    ///
    /// # Errors
    /// The operating system has no more threads.
    pub(crate) fn start(count: usize) -> std::io::Result<Self> {
        let (jobs, queue) = channel();
        let (ended, to_replace) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..count.max(1) {
            Worker { number, queue: Arc::clone(&queue), ended: ended.clone() }.start()?;
        }
        thread::Builder::new().name("query-threads".to_owned()).spawn(move || replace(&to_replace))?;
        Ok(Self { jobs })
    }

    /// Has `job` run by the next free thread. A job that panics ends alone.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        // The threads live as long as this handle, so somebody receives.
        drop(self.jobs.send(Box::new(job)));
    }
}

impl Worker {
    fn start(&self) -> std::io::Result<()> {
        let Self { number, queue, ended } = self;
        let worker = Self { number: *number, queue: Arc::clone(queue), ended: ended.clone() };
        let thread = thread::Builder::new().name(format!("query-{number}")).stack_size(STACK_BYTES);
        thread.spawn(move || worker.work()).map(drop)
    }

    fn work(self) {
        priority::begin_thread(STEPS);
        while !priority::was_lowered() {
            // The lock is held while waiting: the others wait for it instead of for the queue.
            let Ok(job) = self.queue.lock().recv() else { return };
            priority::begin_job();
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                log::error!("a query failed inside; its thread goes on");
            }
        }
        let ended = self.ended.clone();
        // Nobody replaces the threads of a server that could not be started.
        drop(ended.send(self));
    }
}

/// Starts a thread for each that ends. A new thread has the priority of the one that starts it, which is why this does nothing
/// else.
fn replace(to_replace: &Receiver<Worker>) {
    while let Ok(worker) = to_replace.recv() {
        while let Err(error) = worker.start() {
            log::error!("a thread for queries cannot be started: {error}");
            thread::park_timeout(AGAIN_AFTER);
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

    #[test]
    fn a_thread_that_gave_up_its_priority_is_replaced_by_one_that_has_it() {
        let workers = Workers::start(1).unwrap();
        let (done, finished) = channel();
        for _ in 0..3 {
            let done = done.clone();
            workers.run(move || {
                done.send(priority::was_lowered()).unwrap();
                priority::lower(1);
            });
        }
        assert_eq!((finished.recv(), finished.recv(), finished.recv()), (Ok(false), Ok(false), Ok(false)));
    }
}
