//! The index as a specification: the live index and the file against a naive model, the golden file, damage.

mod corruption;
mod fixture;
mod golden;
mod live;
mod select;
mod size;
