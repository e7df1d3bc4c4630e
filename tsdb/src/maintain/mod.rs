//! Background work: a thread for maintenance, one for compactions and, if the log is synced on a timer, one for that; no
//! sleeping.
//!
//! Compactions take as long as they take, and nothing else waits for them. Syncs have a thread of their own because writing a block takes seconds, and what a power cut may lose is promised.
//! A thread waits on a channel until its next turn; the end of the channel stops it. A panic ends the turn, is told, and
//! the next turn comes all the same.

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// What a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Makes the log durable.
    Sync,
    /// Cuts, expires, retries.
    Maintain,
    /// Compacts blocks.
    Compact,
    /// Uploads blocks.
    Ship,
}

impl Task {
    /// What it is called in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync of the log",
            Self::Maintain => "maintenance",
            Self::Compact => "compaction",
            Self::Ship => "upload to object storage",
        }
    }

    fn thread_name(self) -> &'static str {
        match self {
            Self::Sync => "tsdb-sync",
            Self::Maintain => "tsdb-maintain",
            Self::Compact => "tsdb-compact",
            Self::Ship => "tsdb-ship",
        }
    }
}

/// Who does it.
pub(crate) trait Tasks: Send + Sync + 'static {
    /// One turn.
    fn run(&self, task: Task);
    /// The turn ended in a panic.
    fn panicked(&self, task: Task);
}

/// How often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rhythm {
    /// Time between syncs of the log; `None` for never.
    pub(crate) sync: Option<Duration>,
    /// Time between rounds of maintenance.
    pub(crate) maintain: Duration,
    /// Time between looks for something to compact; `None` for never.
    pub(crate) compact: Option<Duration>,
    /// Time between looks for blocks to upload; `None` for never.
    pub(crate) ship: Option<Duration>,
}

/// The running threads. Dropping it stops them and waits for them.
#[derive(Debug)]
pub(crate) struct Worker {
    stop: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Worker {
    /// Starts the threads.
    pub(crate) fn start(rhythm: Rhythm, tasks: Arc<impl Tasks>) -> std::io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let mut worker = Self { stop: Some(stop), threads: Vec::new() };
        let turns = [
            (Task::Maintain, Some(rhythm.maintain)),
            (Task::Sync, rhythm.sync),
            (Task::Compact, rhythm.compact),
            (Task::Ship, rhythm.ship),
        ];
        for (task, every) in turns.into_iter().filter_map(|(task, every)| Some((task, every?))) {
            let (tasks, stopped) = (Arc::clone(&tasks), stopped.clone());
            let thread = Builder::new().name(task.thread_name().into());
            worker.threads.push(thread.spawn(move || take_turns(task, every, &stopped, &*tasks))?);
        }
        Ok(worker)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop = None;
        // A panic was told when it happened.
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn take_turns(task: Task, every: Duration, stopped: &Receiver<()>, tasks: &impl Tasks) {
    let mut next = Instant::now() + every;
    while stopped.recv_deadline(next) == Err(RecvTimeoutError::Timeout) {
        if catch_unwind(AssertUnwindSafe(|| tasks.run(task))).is_err() {
            tasks.panicked(task);
        }
        next = Instant::now() + every;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports its turns. The first turn of maintenance lasts until it is told to end, and panics.
    struct Report(Sender<&'static str>, Receiver<()>);

    impl Tasks for Report {
        fn run(&self, task: Task) {
            let _ = self.0.send(task.name());
            if task == Task::Maintain && self.1.recv().is_ok() {
                std::panic::resume_unwind(Box::new("a panic"));
            }
        }

        fn panicked(&self, _task: Task) {
            let _ = self.0.send("panic");
        }
    }

    #[test]
    fn syncs_go_on_while_maintenance_is_busy_and_both_go_on_after_a_panic() {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let (end, ended) = bounded(1);
        let rhythm = Rhythm {
            sync: Some(Duration::from_millis(1)),
            maintain: Duration::from_millis(2),
            compact: None,
            ship: None,
        };
        let worker = Worker::start(rhythm, Arc::new(Report(sender, ended))).unwrap();
        let wait_for = |wanted: &str| while receiver.recv().unwrap() != wanted {};
        wait_for(Task::Maintain.name());
        (0..5).for_each(|_| wait_for(Task::Sync.name()));
        end.send(()).unwrap();
        wait_for("panic");
        wait_for(Task::Maintain.name());
        drop(end);
        wait_for(Task::Sync.name());
        drop(worker);
        while receiver.try_recv().is_ok() {}
        assert!(receiver.recv().is_err(), "the threads and their sender are gone");
    }
}
