//! What is kept and how long, which may change while the database is open.
//!
//! Whoever sets it may not know it yet when the database is opened. Until then nothing is taken for too old: what is deleted
//! by the wrong rule does not come back.

use super::{Engine, Kept};
use crate::retention::Retention;
use crate::{Error, Options};
use parking_lot::RwLock;
use std::sync::Arc;

/// The retention in force.
#[derive(Debug)]
pub(super) struct Keeping {
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    /// What was set last, whether or not it could be put in force: whoever sets it again need not be told again.
    set: Option<Arc<Retention>>,
    in_force: Option<Arc<Retention>>,
    /// What tells the retention apart that was acted on last.
    acted_on: Option<u64>,
    /// Was there nothing when the database was opened?
    is_new: bool,
}

impl Keeping {
    /// The retention of `options` in a data directory that has `kept`, or has nothing to lose if it `is_new`.
    pub(super) fn new(options: &Options, kept: Option<&Kept>, is_new: bool) -> Self {
        let in_force = (!options.awaits_retention).then(|| Arc::new(options.retention()));
        let first = in_force.as_ref().filter(|_| is_new).map(|retention| retention.fingerprint());
        let acted_on = first.or(kept.map(|kept| kept.retention));
        Self { state: RwLock::new(State { set: None, in_force, acted_on, is_new }) }
    }

    /// What tells the retention apart that was acted on last.
    pub(super) fn acted_on(&self) -> Option<u64> {
        self.state.read().acted_on
    }

    /// Was `retention` the one that was acted on last? Else it may be mistyped.
    pub(super) fn is_acted_on(&self, retention: &Retention) -> bool {
        self.acted_on() == Some(retention.fingerprint())
    }

    /// `retention` was acted on.
    pub(super) fn act_on(&self, retention: &Retention) {
        self.state.write().acted_on = Some(retention.fingerprint());
    }
}

impl Engine {
    /// What is kept; `None` if that is not known yet.
    pub(super) fn retention(&self) -> Option<Arc<Retention>> {
        self.keeping.state.read().in_force.clone()
    }

    /// Puts `retention` in force. Cheap if it is in force already.
    pub(crate) fn set_retention(&self, retention: &Arc<Retention>) -> Result<(), Error> {
        let is_set = |state: &State| state.set.as_ref().is_some_and(|set| Arc::ptr_eq(set, retention));
        if is_set(&self.keeping.state.read()) {
            return Ok(());
        }
        let mut state = self.keeping.state.write();
        state.set = Some(Arc::clone(retention));
        retention.check(self.options.block_range_ms)?;
        if state.is_new && state.in_force.is_none() && self.is_empty() {
            // It deletes nothing, so it may be believed.
            state.acted_on = Some(retention.fingerprint());
        }
        if state.in_force.as_deref() != Some(retention) {
            state.in_force = Some(Arc::clone(retention));
        }
        Ok(())
    }

    /// Are there no samples, neither here nor on object storage?
    fn is_empty(&self) -> bool {
        self.head.memory().range().is_none() && self.published.read().blocks.everywhere().next().is_none()
    }
}
