//! Who may still hold a reference into the head.
//!
//! Every appender and querier holds a [`Pin`] while it lives. Time is counted in epochs: maintenance advances the
//! epoch after it has changed what newcomers see, and touches what older ones may still use only when no pin of an
//! older epoch is left. Nobody waits: work that must not be done yet is done in a later round.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A point in the order of changes. Starts at 1, so 0 is before all of them.
pub(crate) type Epoch = u32;

/// The pins of one head.
#[derive(Debug)]
pub(crate) struct Pins {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    now: Epoch,
    held: BTreeMap<Epoch, usize>,
}

/// Keeps what was visible at its epoch alive until dropped.
#[derive(Debug)]
pub(crate) struct Pin {
    pins: Arc<Pins>,
    epoch: Epoch,
}

impl Pins {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { now: 1, held: BTreeMap::new() }) })
    }

    /// Pins the current epoch. Whatever is read after this call stays usable while the pin lives.
    pub(crate) fn pin(self: &Arc<Self>) -> Pin {
        let mut state = self.state.lock();
        let epoch = state.now;
        *state.held.entry(epoch).or_insert(0) += 1;
        Pin { pins: Arc::clone(self), epoch }
    }

    /// Begins a new epoch and returns it. All later pins are of it or a newer one.
    pub(crate) fn advance(&self) -> Epoch {
        let mut state = self.state.lock();
        state.now = state.now.saturating_add(1);
        state.now
    }

    /// The oldest epoch that is pinned; the current one if none is.
    pub(crate) fn oldest(&self) -> Epoch {
        let state = self.state.lock();
        state.held.first_key_value().map_or(state.now, |(epoch, _)| *epoch)
    }
}

impl Pin {
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.pins.state.lock();
        if let Some(count) = state.held.get_mut(&self.epoch) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.held.remove(&self.epoch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_epoch_is_that_of_the_oldest_pin() {
        let pins = Pins::new();
        assert_eq!(pins.oldest(), 1);
        let first = pins.pin();
        assert_eq!(pins.advance(), 2);
        let second = pins.pin();
        assert_eq!((first.epoch(), second.epoch(), pins.oldest()), (1, 2, 1));
        drop(first);
        assert_eq!(pins.oldest(), 2);
        pins.advance();
        drop(second);
        assert_eq!(pins.oldest(), 3);
    }
}
