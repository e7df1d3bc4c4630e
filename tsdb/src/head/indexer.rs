//! Labels of series that replay registered, into the index, beside everything else.
//!
//! Who reads the log knows a series by its hash and gives it a place in its page; its samples need no more. What the index
//! takes, about as long again, is done by a thread of its own. It may lag behind until [`Indexer::settle`]; what looks into
//! the index, such as a delete, waits for that. A small log is done by the thread that reads it.

use super::Memory;
use super::lanes::BATCHES_WAITING;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::panic::resume_unwind;
use std::thread::{Builder, Scope};
use tsdb_core::{Labels, SeriesRef};

/// Series after which the thread is started.
const THREAD_FROM: usize = 1 << 12;
/// Series whose labels go into the index under one lock.
const SERIES_AT_ONCE: usize = 256;

/// Registered series on their way into the index.
pub(super) struct Indexer<'env> {
    memory: &'env Memory,
    waiting: Vec<(SeriesRef, Labels)>,
    /// Series so far.
    taken: usize,
    thread: Option<Helper>,
    is_busy: bool,
}

enum Job {
    Insert(Vec<(SeriesRef, Labels)>),
    /// Is answered when all before it are in the index.
    Answer,
}

/// The thread, as who gives it work sees it.
struct Helper {
    jobs: Sender<Job>,
    /// Nobody but the thread can answer, so waiting ends if it panics, whatever is left in its queue.
    answers: Receiver<()>,
}

impl<'env> Indexer<'env> {
    /// Into the index of `memory`.
    pub(super) fn new(memory: &'env Memory) -> Self {
        Self { memory, waiting: Vec::new(), taken: 0, thread: None, is_busy: false }
    }

    /// Takes a series that is registered. It need not be in the index when this returns. A thread that helps is of `scope`.
    pub(super) fn take<'scope>(
        &mut self,
        series: SeriesRef,
        labels: Labels,
        scope: &'scope Scope<'scope, 'env>,
    ) {
        self.waiting.push((series, labels));
        if self.waiting.len() >= SERIES_AT_ONCE {
            self.taken = self.taken.saturating_add(self.waiting.len());
            // Without a thread there is another try with the next ones.
            if self.taken >= THREAD_FROM && self.thread.is_none() {
                self.thread = self.start(scope).ok();
            }
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let series = std::mem::replace(&mut self.waiting, Vec::with_capacity(SERIES_AT_ONCE));
        match &self.thread {
            None => self.memory.index_replayed(&series),
            Some(thread) => {
                self.is_busy = true;
                // One that is gone has panicked: see `settle`.
                drop(thread.jobs.send(Job::Insert(series)));
            }
        }
    }

    /// Returns when all series are in the index.
    pub(super) fn settle(&mut self) {
        if !self.waiting.is_empty() {
            self.hand_over();
        }
        let Some(thread) = self.thread.as_ref().filter(|_| std::mem::take(&mut self.is_busy)) else {
            return;
        };
        drop(thread.jobs.send(Job::Answer));
        if thread.answers.recv().is_err() {
            // Series are missing in the index: nobody may believe that memory is whole.
            resume_unwind(Box::new("the thread that puts series of the log into the index panicked"));
        }
    }

    fn start<'scope>(&self, scope: &'scope Scope<'scope, 'env>) -> std::io::Result<Helper> {
        let (sender, jobs) = bounded(BATCHES_WAITING);
        let (answer, answers) = bounded(1);
        let memory = self.memory;
        let run = move || {
            for job in jobs {
                match job {
                    Job::Insert(series) => memory.index_replayed(&series),
                    Job::Answer => drop(answer.send(())),
                }
            }
        };
        let started = Builder::new().name("tsdb-replay-index".into()).spawn_scoped(scope, run);
        started.map(|_| Helper { jobs: sender, answers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::CatalogLimits;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, Ordering};

    fn memory() -> Memory {
        Memory::new(0, CatalogLimits { metrics: 0, bytes: 0 }, 0)
    }

    fn labels() -> Labels {
        Labels::from_pairs([("__name__", "a")]).unwrap()
    }

    #[test]
    fn nobody_believes_that_series_are_in_the_index_whose_thread_panicked() {
        let (memory, is_settled) = (memory(), AtomicBool::new(false));
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            std::thread::scope(|scope| {
                let (sender, jobs) = bounded(BATCHES_WAITING);
                let (answer, answers) = bounded(1);
                scope.spawn(move || {
                    let _answer = answer;
                    // Work is left in the queue.
                    while jobs.len() < 2 {
                        std::thread::yield_now();
                    }
                    panic!("in the thread of the index");
                });
                let helper = Helper { jobs: sender, answers };
                let mut indexer = Indexer { thread: Some(helper), ..Indexer::new(&memory) };
                indexer.take(SeriesRef(0), labels(), scope);
                indexer.settle();
                is_settled.store(true, Ordering::SeqCst);
            });
        }));
        assert!(outcome.is_err() && !is_settled.into_inner());
    }

    #[test]
    fn series_are_in_the_index_once_it_is_settled() {
        let memory = memory();
        std::thread::scope(|scope| {
            let mut indexer = Indexer::new(&memory);
            let series = 0..3 * THREAD_FROM as u32 + 7;
            series.clone().for_each(|series| indexer.take(SeriesRef(series), labels(), scope));
            indexer.settle();
            assert!(indexer.thread.is_some());
            assert_eq!(memory.index.read().all().len(), series.len() as u64);
        });
    }
}
