//! PromQL over the traits of `tsdb-core`: text to tree, tree to plan, plan to columns.
//!
//! | module | what it holds |
//! |---|---|
//! | [`ast`] | the syntax tree, its visitor and its printer |
//! | `lex`, `parse`, [`check`] | text to tree; types and the table of functions |
//! | [`annotation`], [`span`] | what a query says besides its result; where in the text |
//! | [`functions`] | documentation alone: what every function, aggregation and operator does |
//! | [`planning`] | documentation alone: plans, passes, limits before running, statistics |
//! | `testing` | the runner of test scripts (feature `testing`) |
//!
//! The program `examples/src/bin/own_storage.rs` evaluates PromQL over a plain vector of series, in under 80 lines.
#![doc = ""]
#![doc = include_str!("../docs/language.md")]
#![warn(missing_docs)]

pub mod annotation;
pub mod ast;
pub mod check;
mod engine;
mod error;
mod exec;
mod explanation;
mod failure;
#[doc = include_str!("../docs/functions.md")]
pub mod functions {}
#[doc = include_str!("../docs/planning.md")]
pub mod planning {}
mod lex;
mod memory;
mod num;
mod operator;
mod options;
mod parse;
mod plan;
mod quote;
mod reach;
pub mod span;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod value;

pub use annotation::{Annotation, Annotations};
pub use check::{parse, parse_selector};
pub use engine::Engine;
pub use error::{ParseError, ParseErrorKind};
pub use explanation::{Explanation, SelectorEstimate};
pub use failure::{CostLimit, QueryError, QueryErrorKind};
pub use memory::{MemoryHold, MemoryPool};
pub use options::{EngineOptions, Executor, Pacer, QueryParams, ScopedThreads};
pub use parse::ParseOptions;
pub use plan::{Pass, Passes};
pub use reach::Reach;
pub use span::{Position, Span};
pub use value::{
    HistogramPoint, OperatorStats, QueryResult, QueryStats, ScalarPoint, SeriesPoints, StringPoint, Value,
    VectorSample,
};
