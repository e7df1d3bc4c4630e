//! Background work: one thread per database, one loop, no sleeping.
//!
//! The thread waits on a channel with a deadline: the next sync of the log or the next round of maintenance,
//! whichever is nearer. A message, or the end of the channel, stops it.

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// What the thread does and how often.
pub(crate) trait Tasks: Send + 'static {
    /// Makes the log durable.
    fn sync(&self);
    /// Cuts, expires, retries.
    fn maintain(&self);
}

/// How often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rhythm {
    /// Time between syncs of the log; `None` for never.
    pub(crate) sync: Option<Duration>,
    /// Time between rounds of maintenance.
    pub(crate) maintain: Duration,
}

/// The running thread. Dropping it stops the thread and waits for it.
#[derive(Debug)]
pub(crate) struct Worker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread.
    pub(crate) fn start(rhythm: Rhythm, tasks: impl Tasks) -> std::io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let thread =
            Builder::new().name("tsdb-maintain".into()).spawn(move || run(rhythm, &stopped, &tasks))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by its hook; there is nobody left to tell.
            drop(thread.join());
        }
    }
}

fn run(rhythm: Rhythm, stopped: &Receiver<()>, tasks: &impl Tasks) {
    let start = Instant::now();
    let mut next_sync = rhythm.sync.map(|every| start + every);
    let mut next_round = start + rhythm.maintain;
    loop {
        let deadline = next_sync.map_or(next_round, |sync| sync.min(next_round));
        if stopped.recv_deadline(deadline) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        if let (Some(at), Some(every)) = (next_sync, rhythm.sync)
            && Instant::now() >= at
        {
            tasks.sync();
            next_sync = Some(Instant::now() + every);
        }
        if Instant::now() >= next_round {
            tasks.maintain();
            next_round = Instant::now() + rhythm.maintain;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Report(Sender<&'static str>);

    impl Tasks for Report {
        fn sync(&self) {
            let _ = self.0.send("sync");
        }

        fn maintain(&self) {
            let _ = self.0.send("maintain");
        }
    }

    #[test]
    fn both_tasks_run_until_the_worker_is_dropped() {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let rhythm = Rhythm { sync: Some(Duration::from_millis(1)), maintain: Duration::from_millis(2) };
        let worker = Worker::start(rhythm, Report(sender)).unwrap();
        for wanted in ["sync", "maintain", "sync", "maintain"] {
            while receiver.recv().unwrap() != wanted {}
        }
        drop(worker);
        while receiver.try_recv().is_ok() {}
        assert!(receiver.recv().is_err(), "the thread and its sender are gone");
    }
}
