//! The index as a specification: the live index and the file against a naive model, the golden file, damage.

#[cfg(test)]
mod cardinality;
#[cfg(test)]
mod corruption;
#[cfg(test)]
mod far;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod live;
#[cfg(test)]
mod merge;
#[cfg(test)]
mod select;
#[cfg(test)]
mod size;
