//! Binary operators.
//!
//! [`operation`] computes with two numbers. A vector and a scalar are combined row by row ([`with_scalar`]). Of two
//! vectors, the series find each other by their labels when the operator is built; a pair that is alone in its
//! match group is then combined lazily ([`join`]), a group in which several series share labels step by step
//! ([`crowd`]). Where native histograms come in, [`element`] combines point by point. The set operators look at presence alone ([`set`]).

mod crowd;
mod element;
mod join;
mod operation;
mod set;
mod with_scalar;

pub(super) use join::join;
pub(super) use set::set_operation;
pub(super) use with_scalar::VectorScalarOp;
