#![doc = include_str!("../../docs/script-language.md")]
//!
//! # This module
//! [`Script`] is a parsed script; [`run`] runs one against an [`Evaluator`] and storage made by a factory, and
//! returns a [`Report`]: one [`Outcome`] for each evaluation. Loads go through the write traits of `tsdb-core`, so
//! that the same scripts test every storage.

mod classic;
mod compare;
mod evaluator;
mod hostile;
pub mod reference;
mod report;
mod rewrite;
mod run;
mod script;
mod series;

pub use evaluator::{Evaluator, test_engine};
pub use hostile::{HostileQueries, HostileQuery};
pub use reference::Reference;
pub use report::{CaseReport, Outcome, Report};
pub use run::{ScriptStorage, run, test_options};
pub use script::{
    Command, Eval, Expectation, Expected, ExpectedSeries, Load, LoadedSeries, Script, ScriptError, TextMatch,
    Times,
};
pub use series::{HistogramLiteral, HistogramValue, SequenceValue, parse_series};

#[cfg(test)]
mod tests;
