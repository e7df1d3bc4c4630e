//! Whose turn it is to run a query: a line for each tenant, and the lines take turns.
//!
//! A tenant's queries come in order of arrival; of the tenants that wait, each gets one place before any gets a second.
//! So however long the line of one is, another waits for no more than one query of each. A few places are left to
//! tenants that have none yet: what runs long for one does not keep others from beginning.
//!
//! *Absent:* priorities. Rules do not come here, they have threads of their own.

use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tsdb_core::TenantId;

/// What a tenant may have of the places and of the line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// Queries that run at the same time.
    pub(crate) concurrency: usize,
    /// Queries that wait.
    pub(crate) max_queued: usize,
    /// How long one waits.
    pub(crate) max_wait: Duration,
}

/// Why it was nobody's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// As many wait as may.
    LineFull,
    /// It took too long.
    Waited,
}

/// The places and the lines.
#[derive(Debug)]
pub(crate) struct Turns {
    places: usize,
    /// Places that only tenants without one get.
    reserve: usize,
    state: Mutex<State>,
}

/// One of so many places is kept for tenants without one.
const RESERVE: usize = 8;

#[derive(Debug, Default)]
struct State {
    taken: usize,
    lines: BTreeMap<TenantId, Line>,
    /// Tenants that wait, in the order of their turns.
    round: VecDeque<TenantId>,
    tickets: u64,
}

#[derive(Debug, Default)]
struct Line {
    running: usize,
    allowed: usize,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    turn: oneshot::Sender<Turn>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    tenant: TenantId,
}

/// A place in the line, until it is dropped.
struct Place<'a> {
    turns: &'a Turns,
    tenant: &'a TenantId,
    ticket: u64,
}

impl Turns {
    /// So many places, at least one.
    pub(crate) fn new(places: usize) -> Self {
        let places = places.max(1);
        Self { places, reserve: places / RESERVE, state: Mutex::default() }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// The line is full, or its end was not reached in time.
    pub(crate) async fn take(self: &Arc<Self>, tenant: &TenantId, terms: Terms) -> Result<Turn, Refusal> {
        let (place, turn) = self.line_up(tenant, terms)?;
        self.serve();
        let outcome = tokio::time::timeout(terms.max_wait, turn).await;
        drop(place);
        outcome.ok().and_then(Result::ok).ok_or(Refusal::Waited)
    }

    /// Queries that run, and those that wait.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.taken, state.lines.values().map(|line| line.waiting.len()).sum())
    }

    /// Queries that run.
    pub(crate) fn running(&self) -> usize {
        self.state.lock().taken
    }

    fn line_up<'a>(
        &'a self,
        tenant: &'a TenantId,
        terms: Terms,
    ) -> Result<(Place<'a>, oneshot::Receiver<Turn>), Refusal> {
        let mut state = self.state.lock();
        let (taken, ticket) = (state.taken, state.tickets);
        let line = state.lines.entry(tenant.clone()).or_default();
        line.allowed = terms.concurrency.max(1);
        let is_free = line.running < line.allowed && self.has_place(taken, line.running);
        if line.waiting.len() >= terms.max_queued && !(line.waiting.is_empty() && is_free) {
            state.forget_if_idle(tenant);
            return Err(Refusal::LineFull);
        }
        let (sender, turn) = oneshot::channel();
        let is_new = line.waiting.is_empty();
        line.waiting.push_back(Waiting { ticket, turn: sender });
        state.tickets = ticket.wrapping_add(1);
        if is_new {
            state.round.push_back(tenant.clone());
        }
        Ok((Place { turns: self, tenant, ticket }, turn))
    }

    /// Gives away what is free.
    fn serve(self: &Arc<Self>) {
        loop {
            let Some((tenant, waiting)) = self.next() else { return };
            // Whoever left meanwhile does not take it: then it is free again when the unsent turn is dropped.
            drop(waiting.turn.send(Turn { turns: Arc::clone(self), tenant }));
        }
    }

    fn next(&self) -> Option<(TenantId, Waiting)> {
        let mut state = self.state.lock();
        for _ in 0..state.round.len() {
            let tenant = state.round.pop_front()?;
            let taken = state.taken;
            let Some(line) = state.lines.get_mut(&tenant) else { continue };
            let may_run = line.running < line.allowed && self.has_place(taken, line.running);
            let next = if may_run { line.waiting.pop_front() } else { None };
            if next.is_some() {
                line.running += 1;
            }
            if !line.waiting.is_empty() {
                state.round.push_back(tenant.clone());
            }
            if let Some(waiting) = next {
                state.taken += 1;
                return Some((tenant, waiting));
            }
        }
        None
    }

    /// Is there a place for a tenant that has `running` of the `taken` ones?
    const fn has_place(&self, taken: usize, running: usize) -> bool {
        let free = self.places.saturating_sub(taken);
        free > 0 && (running == 0 || free > self.reserve)
    }
}

impl State {
    fn forget_if_idle(&mut self, tenant: &TenantId) {
        if self.lines.get(tenant).is_some_and(|line| line.running == 0 && line.waiting.is_empty()) {
            self.lines.remove(tenant);
            self.round.retain(|waiting| waiting != tenant);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.turns.state.lock();
        state.taken = state.taken.saturating_sub(1);
        if let Some(line) = state.lines.get_mut(&self.tenant) {
            line.running = line.running.saturating_sub(1);
        }
        state.forget_if_idle(&self.tenant);
        drop(state);
        self.turns.serve();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state.lock();
        let Some(line) = state.lines.get_mut(self.tenant) else { return };
        line.waiting.retain(|waiting| waiting.ticket != self.ticket);
        if line.waiting.is_empty() {
            state.round.retain(|waiting| waiting != self.tenant);
        }
        state.forget_if_idle(self.tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Waker};

    fn terms(concurrency: usize, max_queued: usize) -> Terms {
        Terms { concurrency, max_queued, max_wait: Duration::from_secs(60) }
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    /// Lines up in this order and tells in which order it was whose turn.
    async fn order(turns: &Arc<Turns>, arrivals: &[&str], terms: Terms) -> Vec<String> {
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        for name in arrivals {
            let (turns, name, told) = (Arc::clone(turns), (*name).to_owned(), told.clone());
            tokio::spawn(async move {
                let turn = turns.take(&tenant(&name), terms).await.unwrap();
                told.send(name).unwrap();
                tokio::task::yield_now().await;
                drop(turn);
            });
            tokio::task::yield_now().await;
        }
        drop(told);
        let mut all = Vec::new();
        while let Some(name) = heard.recv().await {
            all.push(name);
        }
        all
    }

    #[tokio::test]
    async fn a_long_line_of_one_tenant_lets_others_in_after_one_of_each() {
        let turns = Arc::new(Turns::new(1));
        let busy = turns.take(&tenant("z"), terms(1, 9)).await.unwrap();
        let waiting = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { order(&turns, &["a", "a", "a", "a", "b", "c", "b"], terms(9, 9)).await }
        });
        while turns.counts().1 < 7 {
            tokio::task::yield_now().await;
        }
        drop(busy);
        assert_eq!(waiting.await.unwrap(), ["a", "b", "c", "a", "b", "a", "a"]);
        assert_eq!(turns.counts(), (0, 0));
        assert!(turns.state.lock().lines.is_empty(), "nothing is kept of tenants that ask nothing");
    }

    #[tokio::test]
    async fn a_tenant_has_no_more_places_than_its_own_and_leaves_some_to_the_others() {
        let turns = Arc::new(Turns::new(16));
        let mut of_a = Vec::new();
        for _ in 0..14 {
            of_a.push(turns.take(&tenant("a"), terms(20, 0)).await.unwrap());
        }
        assert_eq!(
            turns.take(&tenant("a"), terms(20, 0)).await.unwrap_err(),
            Refusal::LineFull,
            "two are kept"
        );
        let b = turns.take(&tenant("b"), terms(20, 0)).await.unwrap();
        let c = turns.take(&tenant("c"), terms(20, 0)).await.unwrap();
        assert_eq!(turns.take(&tenant("d"), terms(20, 0)).await.unwrap_err(), Refusal::LineFull);
        drop((b, c, of_a));
        let _one = turns.take(&tenant("a"), terms(1, 0)).await.unwrap();
        assert_eq!(turns.take(&tenant("a"), terms(1, 0)).await.unwrap_err(), Refusal::LineFull);
    }

    #[tokio::test]
    async fn who_waits_too_long_or_leaves_has_no_place_in_the_line_any_more() {
        let turns = Arc::new(Turns::new(1));
        let busy = turns.take(&tenant("a"), terms(1, 1)).await.unwrap();
        let short = Terms { max_wait: Duration::from_millis(1), ..terms(1, 1) };
        assert_eq!(turns.take(&tenant("a"), short).await.unwrap_err(), Refusal::Waited);
        {
            let (asker, asked_terms) = (tenant("a"), terms(1, 1));
            let mut leaving = pin!(turns.take(&asker, asked_terms));
            assert!(leaving.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert_eq!(turns.counts(), (1, 1));
            assert_eq!(turns.take(&tenant("a"), terms(1, 1)).await.unwrap_err(), Refusal::LineFull);
        }
        assert_eq!(turns.counts(), (1, 0));
        drop(busy);
        assert_eq!(turns.counts(), (0, 0));
    }
}
