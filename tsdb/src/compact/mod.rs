//! Carrying out compactions: blocks are merged into one that takes their place.
//!
//! What is compacted, and why, is decided by [`tsdb_rollup::plan`]; how samples are merged and copied is the affair of
//! [`block`](crate::block). Here a merge is begun, kept from being in anyone's way, watched, and stopped. The swap is a
//! step of the engine: the new block names its parents, so that a crash at any moment leaves the old blocks or the new
//! one to be found.
//!
//! What it promises: while a merge is under way nothing else waits for it. A source that cannot be read is named and
//! left out from then on; the others go on.

mod execute;
mod pace;
mod progress;

pub(crate) use execute::{Failure, Job, execute};
pub(crate) use pace::{Load, Throttle};
pub(crate) use progress::Progress;
