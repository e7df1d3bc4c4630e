//! Questions under way: who asks the same while it is being answered gets the same answer.
//!
//! The work belongs to nobody in particular: it goes on as long as anybody waits, and is stopped when the last one
//! leaves. An answer that is too large to be kept whole goes to one of those that wait, the others ask for themselves.

use super::answer::Answer;
use crate::error::ApiError;
use crate::state::failed_inside;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{Notify, watch};

/// What became of a question.
#[derive(Debug)]
pub(crate) enum Delivered {
    /// An answer that is held whole.
    Whole(Answer),
    /// One that is written while it is sent.
    Stream(Response),
}

impl Delivered {
    /// The response that carries it.
    pub(crate) fn into_response(self) -> Response {
        match self {
            Self::Whole(answer) => answer.into_response(),
            Self::Stream(response) => response,
        }
    }
}

/// What those that wait are told.
#[derive(Debug, Clone)]
enum Outcome {
    Whole(Answer),
    Stream,
    Failed(ApiError),
}

/// Questions under way, by what is asked.
#[derive(Debug)]
pub(crate) struct Flights<K> {
    under_way: Mutex<HashMap<K, Arc<Flight>>>,
    shared: AtomicU64,
}

/// One question under way.
#[derive(Debug)]
struct Flight {
    cancel: Arc<AtomicBool>,
    abandoned: Notify,
    waiting: Mutex<usize>,
    outcome: watch::Receiver<Option<Outcome>>,
    stream: Mutex<Option<Response>>,
}

/// Somebody who waits for a flight.
struct Seat<'a, K: Hash + Eq> {
    flights: &'a Flights<K>,
    key: K,
    flight: Arc<Flight>,
}

/// Takes the flight off the list when it has ended, however it did.
struct Landing<K: Hash + Eq> {
    flights: Arc<Flights<K>>,
    key: K,
    flight: Arc<Flight>,
}

impl<K> Default for Flights<K> {
    fn default() -> Self {
        Self { under_way: Mutex::default(), shared: AtomicU64::new(0) }
    }
}

impl<K: Hash + Eq + Clone + Send + 'static> Flights<K> {
    /// The answer to `key`: that of whoever asks it already, or else that of `work`, which is told by a flag when nobody
    /// wants it any more. `None` if there is one that cannot be shared.
    ///
    /// # Errors
    /// Those of the work.
    pub(crate) async fn join<F>(
        self: &Arc<Self>,
        key: K,
        work: impl FnOnce(Arc<AtomicBool>) -> F,
    ) -> Result<Option<Delivered>, ApiError>
    where
        F: Future<Output = Result<Delivered, ApiError>> + Send + 'static,
    {
        let (seat, told) = self.board(key.clone());
        if let Some(told) = told {
            let work = work(Arc::clone(&seat.flight.cancel));
            let landing = Landing { flights: Arc::clone(self), key, flight: Arc::clone(&seat.flight) };
            tokio::spawn(fly(landing, work, told));
        }
        let mut outcome = seat.flight.outcome.clone();
        // Only if the work failed inside is nobody there to tell.
        let outcome = outcome.wait_for(Option::is_some).await.map_err(|_| failed_inside())?.clone();
        Ok(match outcome {
            Some(Outcome::Whole(answer)) => Some(Delivered::Whole(answer)),
            Some(Outcome::Stream) => seat.flight.stream.lock().take().map(Delivered::Stream),
            Some(Outcome::Failed(error)) => return Err(error),
            None => None,
        })
    }

    /// How many were given the answer to a question that somebody else had asked.
    pub(crate) fn shared(&self) -> u64 {
        self.shared.load(Ordering::Relaxed)
    }

    /// How many questions are under way.
    #[cfg(test)]
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.lock().len()
    }

    /// A seat in the flight to `key`, and if it is a new one, where to tell what became of it.
    fn board(&self, key: K) -> (Seat<'_, K>, Option<watch::Sender<Option<Outcome>>>) {
        let mut under_way = self.under_way.lock();
        if let Some(flight) = under_way.get(&key) {
            *flight.waiting.lock() += 1;
            self.shared.fetch_add(1, Ordering::Relaxed);
            let flight = Arc::clone(flight);
            return (Seat { flights: self, key, flight }, None);
        }
        let (told, outcome) = watch::channel(None);
        let flight = Arc::new(Flight {
            cancel: Arc::default(),
            abandoned: Notify::new(),
            waiting: Mutex::new(1),
            outcome,
            stream: Mutex::default(),
        });
        under_way.insert(key.clone(), Arc::clone(&flight));
        (Seat { flights: self, key, flight }, Some(told))
    }
}

impl<K: Hash + Eq> Flights<K> {
    fn remove(&self, key: &K, flight: &Arc<Flight>) {
        let mut under_way = self.under_way.lock();
        if under_way.get(key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            under_way.remove(key);
        }
    }
}

async fn fly<K: Hash + Eq>(
    landing: Landing<K>,
    work: impl Future<Output = Result<Delivered, ApiError>>,
    told: watch::Sender<Option<Outcome>>,
) {
    let flight = Arc::clone(&landing.flight);
    let delivered = tokio::select! {
        () = flight.abandoned.notified() => return,
        delivered = work => delivered,
    };
    let outcome = match delivered {
        Ok(Delivered::Whole(answer)) => Outcome::Whole(answer),
        Ok(Delivered::Stream(response)) => {
            *flight.stream.lock() = Some(response);
            Outcome::Stream
        }
        Err(error) => Outcome::Failed(error),
    };
    // ORDER: nobody boards a flight whose outcome is told; whoever asks from now on may see newer data.
    drop(landing);
    told.send_replace(Some(outcome));
}

impl<K: Hash + Eq> Drop for Seat<'_, K> {
    fn drop(&mut self) {
        // ORDER: the list is locked, so nobody boards a flight that is being abandoned.
        let mut under_way = self.flights.under_way.lock();
        let mut waiting = self.flight.waiting.lock();
        *waiting = waiting.saturating_sub(1);
        if *waiting > 0 {
            return;
        }
        if under_way.get(&self.key).is_some_and(|known| Arc::ptr_eq(known, &self.flight)) {
            under_way.remove(&self.key);
        }
        self.flight.cancel.store(true, Ordering::Relaxed);
        self.flight.abandoned.notify_one();
    }
}

impl<K: Hash + Eq> Drop for Landing<K> {
    fn drop(&mut self) {
        self.flights.remove(&self.key, &self.flight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    type Open = oneshot::Sender<Result<Delivered, ApiError>>;

    /// Work that ends when the test says so.
    fn work() -> (Open, impl Future<Output = Result<Delivered, ApiError>> + Send + 'static) {
        let (open, opened) = oneshot::channel();
        (open, async { opened.await.unwrap_or_else(|_| Err(ApiError::bad_data("gone"))) })
    }

    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_same_question_is_answered_once_for_all_who_ask_meanwhile() {
        let flights = Arc::new(Flights::<u8>::default());
        let (open, first) = work();
        let mut askers = vec![tokio::spawn({
            let flights = Arc::clone(&flights);
            async move { flights.join(1, |_| first).await }
        })];
        settle().await;
        for _ in 0..5 {
            let flights = Arc::clone(&flights);
            let never = |_| async { Err(ApiError::bad_data("asked twice")) };
            askers.push(tokio::spawn(async move { flights.join(1, never).await }));
        }
        settle().await;
        assert!(open.send(Ok(Delivered::Whole(Answer::of(b"{}".to_vec())))).is_ok());
        for asker in askers {
            assert!(matches!(asker.await.unwrap().unwrap(), Some(Delivered::Whole(_))));
        }
        assert_eq!((flights.shared(), flights.under_way()), (5, 0));
    }

    #[tokio::test]
    async fn the_work_ends_when_the_last_one_leaves_and_not_before() {
        let flights = Arc::new(Flights::<u8>::default());
        let (open, never) = work();
        let (tell, cancel) = oneshot::channel();
        let first = tokio::spawn({
            let flights = Arc::clone(&flights);
            async move {
                let work = |cancel| {
                    tell.send(cancel).unwrap();
                    never
                };
                flights.join(1, work).await
            }
        });
        let cancel: Arc<AtomicBool> = cancel.await.unwrap();
        let second = tokio::spawn({
            let flights = Arc::clone(&flights);
            async move { flights.join(1, |_| async { Err(ApiError::bad_data("asked twice")) }).await }
        });
        settle().await;
        first.abort();
        settle().await;
        assert!(!cancel.load(Ordering::Relaxed) && !open.is_closed(), "one still waits");
        second.abort();
        settle().await;
        assert!(cancel.load(Ordering::Relaxed) && open.is_closed());
        assert_eq!(flights.under_way(), 0);
    }

    #[tokio::test]
    async fn what_cannot_be_shared_goes_to_one_and_failures_go_to_all() {
        let flights = Arc::new(Flights::<u8>::default());
        for streams in [true, false] {
            let (open, work) = work();
            let first = tokio::spawn({
                let flights = Arc::clone(&flights);
                async move { flights.join(1, |_| work).await }
            });
            settle().await;
            let second = tokio::spawn({
                let flights = Arc::clone(&flights);
                async move { flights.join(1, |_| async { Err(ApiError::bad_data("asked twice")) }).await }
            });
            settle().await;
            let answer = Delivered::Stream(Response::default());
            assert!(open.send(if streams { Ok(answer) } else { Err(ApiError::bad_data("no")) }).is_ok());
            let both = [first.await.unwrap(), second.await.unwrap()];
            let given = both.iter().filter(|one| matches!(one, Ok(Some(_)))).count();
            let told = both.iter().filter(|one| one.is_err()).count();
            assert_eq!((given, told), if streams { (1, 0) } else { (0, 2) });
        }
    }

    #[tokio::test]
    async fn work_that_fails_inside_is_told_and_forgotten() {
        let flights = Arc::new(Flights::<u8>::default());
        let failing = |_| async { panic!("on purpose") };
        assert!(flights.join(1, failing).await.is_err());
        assert_eq!(flights.under_way(), 0);
    }
}
