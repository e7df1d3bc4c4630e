//! Whole answers, kept for those who ask the same in the same words.
//!
//! One is given again as long as nothing changed in the times that it depends on, and within the time that a tenant's
//! `min_refresh` allows also if something did.

use super::answer::Answer;
use super::ask::Question;
use super::cache::Validity;
use crate::store::Store;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Answers that are kept.
pub(crate) struct Answers {
    kept: Cache<Question, KeptAnswer, ByBytes>,
    hits: AtomicU64,
    repeats: AtomicU64,
}

#[derive(Clone)]
struct KeptAnswer {
    answer: Answer,
    validity: Option<Validity>,
    made: Instant,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Question, KeptAnswer> for ByBytes {
    fn weight(&self, question: &Question, kept: &KeptAnswer) -> u64 {
        (kept.answer.len() + question.text.len() + size_of::<Question>() + size_of::<KeptAnswer>()) as u64
    }
}

/// Bytes of an answer, about, for the size of tables.
const USUAL_BYTES: u64 = 64 << 10;

impl Answers {
    /// Keeps answers of up to `max_bytes` together.
    pub(crate) fn new(max_bytes: u64) -> Self {
        let items = usize::try_from(max_bytes / USUAL_BYTES).unwrap_or(usize::MAX).max(16);
        let kept = Cache::with_weighter(items, max_bytes, ByBytes);
        Self { kept, hits: AtomicU64::new(0), repeats: AtomicU64::new(0) }
    }

    /// The answer to `question`, if it is kept and may be given again. `store` tells the store asked.
    pub(crate) fn find<S: AsRef<dyn Store>>(
        &self,
        question: &Question,
        min_refresh: Duration,
        store: impl FnOnce() -> Option<S>,
    ) -> Option<Answer> {
        let kept = self.kept.get(question)?;
        let is_right = |validity: Validity| {
            store().is_some_and(|store| store.as_ref().changed_since(validity.mark).spares(validity.touched))
        };
        if kept.made.elapsed() < min_refresh {
            self.repeats.fetch_add(1, Ordering::Relaxed);
            return Some(kept.answer);
        }
        if kept.validity.is_some_and(is_right) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Some(kept.answer);
        }
        self.kept.remove(question);
        None
    }

    /// Keeps `answer`, which was asked for at `made`.
    pub(crate) fn keep(&self, question: Question, answer: Answer, validity: Option<Validity>, made: Instant) {
        self.kept.insert(question, KeptAnswer { answer, validity, made });
    }

    /// How often an answer was given again because it was still right, and how often because it was young.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.repeats.load(Ordering::Relaxed))
    }

    /// Memory of all answers, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.kept.weight()
    }
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answers").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}
