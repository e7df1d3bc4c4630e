//! Many ranges at once: on threads of its own, repeated when they fail, asked for twice when they are slow.

use super::{ObjectStore, Retry, StoreError, Version};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// Ranges that are read at the same time at most.
const THREADS: usize = 32;
/// The soonest that a range is asked for a second time while the first answer is still awaited.
const LEAST_PATIENCE: Duration = Duration::from_millis(150);
/// It is asked for again when it took so many times as long as others do.
const PATIENCE_FACTOR: u32 = 4;
/// After this nobody waits any longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// A range of an object.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) key: Arc<str>,
    pub(super) range: Range<u64>,
    pub(super) version: Option<Version>,
}

/// Numbers about what was fetched.
#[derive(Debug, Default)]
pub(super) struct FetchCounts {
    pub(super) requests: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) hedged: AtomicU64,
    pub(super) failures: AtomicU64,
    /// What an answer takes, smoothed, us.
    typical_us: AtomicU64,
}

/// Reads ranges.
#[derive(Debug)]
pub(super) struct Fetcher {
    jobs: Sender<Job>,
    counts: Arc<FetchCounts>,
}

struct Job {
    index: usize,
    wanted: Wanted,
    retry: Retry,
    /// Which ranges of the same call have been answered: what waits here may be asked for twice.
    answered: Arc<[AtomicBool]>,
    answer: Sender<(usize, Result<Vec<u8>, StoreError>)>,
}

impl Fetcher {
    /// A reader of `store`. Its threads end when it is dropped and they have nothing more to do.
    pub(super) fn start(store: &Arc<dyn ObjectStore>) -> io::Result<Self> {
        let (jobs, queue) = unbounded();
        let counts = Arc::new(FetchCounts::default());
        for _ in 0..THREADS {
            let (store, queue, counts) = (Arc::clone(store), queue.clone(), Arc::clone(&counts));
            Builder::new().name("tsdb-fetch".into()).spawn(move || work(&*store, &queue, &counts))?;
        }
        Ok(Self { jobs, counts })
    }

    pub(super) fn counts(&self) -> &FetchCounts {
        &self.counts
    }

    /// The bytes of each range, in order; calls that fail are repeated as `retry` says.
    pub(super) fn all(&self, wanted: &[Wanted], retry: Retry) -> Vec<Result<Vec<u8>, StoreError>> {
        let (answer, answers) = unbounded();
        let answered: Arc<[AtomicBool]> = wanted.iter().map(|_| AtomicBool::new(false)).collect();
        let send = |index: usize, wanted: &Wanted| {
            let answered = Arc::clone(&answered);
            let job = Job { index, wanted: wanted.clone(), retry, answered, answer: answer.clone() };
            // The threads hold the other end for as long as this is alive.
            drop(self.jobs.send(job));
        };
        wanted.iter().enumerate().for_each(|(index, wanted)| send(index, wanted));
        let mut found: Vec<Option<Result<Vec<u8>, StoreError>>> = wanted.iter().map(|_| None).collect();
        let mut open = wanted.len();
        let begun = Instant::now();
        let mut hedge_at = Some(begun + self.patience());
        while open > 0 {
            match answers.recv_deadline(hedge_at.unwrap_or(begun + DEADLINE)) {
                Ok((index, result)) => {
                    if let Some(place @ None) = found.get_mut(index) {
                        *place = Some(result);
                        open -= 1;
                    }
                }
                Err(RecvTimeoutError::Timeout) if hedge_at.is_some() => {
                    hedge_at = None;
                    for (index, wanted) in wanted.iter().enumerate() {
                        if found.get(index).is_some_and(Option::is_none) {
                            self.counts.hedged.fetch_add(1, Ordering::Relaxed);
                            send(index, wanted);
                        }
                    }
                }
                Err(_) => break,
            }
        }
        let late = |wanted: &Wanted| {
            Err(StoreError::unavailable("get", &wanted.key, io::ErrorKind::TimedOut.into()))
        };
        found.into_iter().zip(wanted).map(|(found, wanted)| found.unwrap_or_else(|| late(wanted))).collect()
    }

    fn patience(&self) -> Duration {
        let typical = Duration::from_micros(self.counts.typical_us.load(Ordering::Relaxed));
        (typical * PATIENCE_FACTOR).max(LEAST_PATIENCE)
    }
}

impl FetchCounts {
    fn note(&self, took: Duration, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let typical = self.typical_us.load(Ordering::Relaxed);
        let smoothed = if typical == 0 { took } else { typical - typical / 16 + took / 16 };
        self.typical_us.store(smoothed, Ordering::Relaxed);
    }
}

fn work(store: &dyn ObjectStore, queue: &Receiver<Job>, counts: &FetchCounts) {
    for job in queue {
        let Wanted { key, range, version } = &job.wanted;
        let answered = job.answered.get(job.index);
        if answered.is_some_and(|answered| answered.load(Ordering::Relaxed)) {
            continue;
        }
        let got = job.retry.run(|| {
            counts.requests.fetch_add(1, Ordering::Relaxed);
            let begun = Instant::now();
            let got = store.get(key, range.clone(), version.as_ref());
            let len = range.end.saturating_sub(range.start);
            match &got {
                Ok(bytes) if bytes.len() as u64 != len => {
                    let found = format!("{} bytes", bytes.len());
                    let source = io::Error::new(io::ErrorKind::UnexpectedEof, found);
                    return Err(StoreError::unavailable("get all of", key, source));
                }
                Ok(bytes) => counts.note(begun.elapsed(), bytes.len()),
                Err(_) => drop(counts.failures.fetch_add(1, Ordering::Relaxed)),
            }
            got
        });
        if let (Some(answered), true) = (answered, got.is_ok()) {
            answered.store(true, Ordering::Relaxed);
        }
        // Whoever asked may have had the answer from another thread.
        drop(job.answer.send((job.index, got)));
    }
}
