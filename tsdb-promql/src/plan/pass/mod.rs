//! Passes over a plan: each makes it cheaper and leaves its answers, errors and annotations as they are. What they do
//! and when is told in `docs/planning.md`.
//!
//! A pass changes the plan and reads no data. What depends on data is decided when the plan runs: shared vectors are
//! kept or computed again by what they take (see [`share`]), and storage chooses in which order it applies matchers.

mod fold;
mod invariant;
mod project;
mod propagate;
mod push_down;
mod share;
mod windows;

use super::node::Plan;

/// One of the passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pass {
    /// Operators between numbers are computed while planning: `a > 2 * 60` compares with 120.
    FoldConstants,
    /// An equality that one operand of a join fixes for a matched label also restricts the other operand:
    /// `a{job="x"} * on (job) sum by (job) (b)` reads only `b{job="x"}`. Only where no error and no annotation of
    /// the engine can be about the series that are left out; what storage would have said about them is not heard.
    PropagateMatchers,
    /// Labels that nobody looks at are not loaded: `sum by (job) (a)` asks storage for `job` alone.
    ProjectLabels,
    /// Aggregations take series one by one as they are computed, straight into one row for each group.
    PushDownAggregations,
    /// What is the same at all steps, which `@` brings about, is evaluated once.
    HoistInvariants,
    /// Where the store keeps windows instead of samples, or beside them, a selection may be answered from those: a year of
    /// `max_over_time(a[1d])` reads maxima of hours. Exactly, or else the answer says so.
    ReadWindows,
    /// Equal selectors are looked up once, and equal vectors are evaluated once if what that keeps in memory is little.
    ShareEqual,
}

impl Pass {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 7] = [
        Self::FoldConstants,
        Self::PropagateMatchers,
        Self::ProjectLabels,
        Self::PushDownAggregations,
        Self::HoistInvariants,
        Self::ReadWindows,
        Self::ShareEqual,
    ];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Which passes run. All do by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passes(u8);

impl Default for Passes {
    fn default() -> Self {
        Self::all()
    }
}

impl Passes {
    /// All passes.
    pub const fn all() -> Self {
        Self(u8::MAX)
    }

    /// No pass at all.
    pub const fn none() -> Self {
        Self(0)
    }

    /// These passes and `pass`.
    #[must_use]
    pub const fn with(self, pass: Pass) -> Self {
        Self(self.0 | pass.bit())
    }

    /// These passes without `pass`.
    #[must_use]
    pub const fn without(self, pass: Pass) -> Self {
        Self(self.0 & !pass.bit())
    }

    /// Does `pass` run?
    pub const fn has(self, pass: Pass) -> bool {
        self.0 & pass.bit() != 0
    }
}

/// Runs `passes` over `plan`.
///
/// `histograms`: may native histograms be among what is read, or start timestamps be looked at? Much that never speaks
/// of numbers does of them. `windows`: may windows stand for samples?
pub(crate) fn optimize(plan: &mut Plan, passes: Passes, histograms: bool, windows: bool) {
    let Some(mut root) = plan.root_mut() else { return };
    if passes.has(Pass::FoldConstants) {
        fold::fold(root.reborrow());
    }
    if passes.has(Pass::PropagateMatchers) {
        propagate::propagate(root.reborrow(), histograms);
    }
    if passes.has(Pass::ProjectLabels) {
        project::project(root.reborrow());
    }
    if passes.has(Pass::PushDownAggregations) {
        push_down::push_down(root.reborrow());
    }
    if !passes.has(Pass::HoistInvariants) {
        invariant::lower(root.reborrow());
    }
    if passes.has(Pass::ReadWindows) && windows {
        windows::mark(root.reborrow());
    }
    if passes.has(Pass::ShareEqual) {
        share::share(root);
    }
}

#[cfg(test)]
mod tests;
