//! Which functions know windows that are `anchored` or `smoothed`.

use super::node::RangeNode;
use crate::ast::RangeExtension;
use crate::failure::QueryError;

const ANCHORED: [&str; 5] = ["changes", "delta", "increase", "rate", "resets"];
const SMOOTHED: [&str; 3] = ["delta", "increase", "rate"];

/// Refuses windows with an extension for a function that would see samples from outside without knowing.
pub(super) fn check_extension(range: &RangeNode, function: &str) -> Result<(), QueryError> {
    let (modifier, functions) = match range.extension() {
        None => return Ok(()),
        Some(RangeExtension::Anchored) => ("anchored", &ANCHORED[..]),
        Some(RangeExtension::Smoothed) => ("smoothed", &SMOOTHED[..]),
    };
    if functions.contains(&function) {
        return Ok(());
    }
    let functions = functions.join(", ");
    Err(QueryError::execution(format!(
        "{modifier} modifier can only be used with: {functions} - not with {function}"
    )))
}
