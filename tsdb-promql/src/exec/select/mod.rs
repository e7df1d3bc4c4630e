//! Leaves: series from storage, and what is computed over their samples.
//!
//! The samples of a series are read into columns once, whatever the number of steps; [`instant`] finds the newest
//! sample of each step in one pass, [`window`] the bounds of all windows in another, and [`kernel`] computes over
//! the slices between bounds.

mod borders;
mod extended;
mod instant;
mod kernel;
mod mixed;
mod patience;
mod range;
mod request;
mod slide;
mod smoothed;
mod started;
mod totals;
mod weights;
mod window;

pub(super) use extended::cut_to_window;
pub(super) use instant::{InstantOp, Reading};
pub(super) use range::{OverRangeOp, RangeSource, absent_over_time, subquery_grid};
pub(super) use request::{instant_hints, window_hints};
pub(super) use smoothed::SmoothedOp;
pub(super) use weights::Weights;
pub(super) use window::LastWindows;
