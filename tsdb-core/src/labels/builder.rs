//! The only mutable form of a label set.

use super::{Labels, push_text};
use alloc::string::String;
use alloc::vec::Vec;

/// Pairs that form no label set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// A label without a name.
    #[error("a label name must not be empty (its value is {value:?})")]
    EmptyName {
        /// The value that came with it.
        value: String,
    },
    /// The same name twice.
    #[error("the label name {name:?} comes twice")]
    Duplicate {
        /// The name.
        name: String,
    },
}

/// Collects pairs in any order and makes a [`Labels`] of them.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// A builder without pairs.
    pub fn new() -> Self {
        Self::default()
    }

    /// A builder that starts with the labels of `base`.
    pub fn from_labels(base: &Labels) -> Self {
        Self { pairs: base.iter().map(|(n, v)| (n.into(), v.into())).collect() }
    }

    /// Adds a pair. The same name twice makes [`build`](Self::build) fail.
    pub fn add(&mut self, name: &str, value: &str) -> &mut Self {
        self.pairs.push((name.into(), value.into()));
        self
    }

    /// Sets the label `name` to `value`, whether it is there or not; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.remove(name);
        if !value.is_empty() {
            self.add(name, value);
        }
        self
    }

    /// Removes the label `name` if it is there.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(n, _)| n != name);
        self
    }

    /// Makes the label set. Pairs with an empty value are left out.
    ///
    /// # Errors
    /// A name that is empty or comes twice.
    pub fn build(mut self) -> Result<Labels, LabelError> {
        self.pairs.sort_unstable();
        if let Some([(_, _), (name, _)]) = self.pairs.array_windows().find(|[a, b]| a.0 == b.0) {
            return Err(LabelError::Duplicate { name: name.clone() });
        }
        let mut text = String::with_capacity(self.pairs.iter().map(|(n, v)| n.len() + v.len() + 4).sum());
        for (name, value) in &self.pairs {
            if value.is_empty() {
                continue;
            }
            if name.is_empty() {
                return Err(LabelError::EmptyName { value: value.clone() });
            }
            push_text(&mut text, name);
            push_text(&mut text, value);
        }
        Ok(Labels(text.into()))
    }
}
