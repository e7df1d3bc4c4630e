//! The plan: a query with everything resolved that does not depend on data.
//!
//! Times behind `@`, offsets and windows are milliseconds; functions and operators are enums instead of names;
//! scalars, vectors and windows are separate types, so that an operator cannot get an operand of the wrong type;
//! what does not change from step to step is marked, at the highest place possible.
//! A plan is a value: nothing in it reads data.

mod build;
mod call;
mod extended;
mod function;
mod info;
mod node;
mod pass;
mod print;
mod walk;

pub(crate) use build::{Planned, QueryTimes, plan};
pub(crate) use function::{CalendarField, MapFn, MomentFn, PairFn, RangeFn, TrigFn};
pub(crate) use node::{
    AggregateNode, BinaryNode, HistogramFn, HistogramNode, InfoNode, LabelJoinNode, LabelReplaceNode, Plan,
    RangeCall, RangeNode, ScalarNode, Selector, SharedNode, SortKey, SortNode, SubqueryNode, VectorNode,
    VectorScalarNode, Window,
};
pub(crate) use pass::optimize;
pub use pass::{Pass, Passes};
pub(crate) use walk::NodeRef;
