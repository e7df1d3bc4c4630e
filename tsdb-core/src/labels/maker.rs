//! Making many label sets one after the other.
//!
//! A set is put together in a buffer that is kept, and sets that come again share one allocation. It remembers few of
//! them, so it takes little memory however many there are, and does not promise that equal sets share.

use super::{Labels, push_text};
use alloc::string::String;
use alloc::vec::Vec;

/// Sets that are remembered, each at the place its hash says.
const REMEMBERED: usize = 1024;

/// Makes label sets; see the module.
#[derive(Debug)]
pub struct LabelsMaker {
    text: String,
    remembered: Vec<Option<Labels>>,
}

impl LabelsMaker {
    /// A maker that has made nothing.
    pub fn new() -> Self {
        // Room for a usual set: growing from nothing costs more than writing it.
        Self { text: String::with_capacity(256), remembered: Vec::new() }
    }

    /// [`Labels::from_sorted_pairs`].
    pub fn make<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Labels> {
        self.write(pairs)?;
        Some(Labels(self.text.as_str().into()))
    }

    /// The same for sets of which many are expected to be equal.
    pub fn make_shared<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Labels> {
        self.write(pairs)?;
        if self.remembered.is_empty() {
            self.remembered.resize(REMEMBERED, None);
        }
        let hash = xxhash_rust::xxh3::xxh3_64(self.text.as_bytes());
        let place = self.remembered.get_mut(usize::try_from(hash % REMEMBERED as u64).unwrap_or(0))?;
        if let Some(known) = place.as_ref().filter(|known| *known.0 == *self.text) {
            return Some(known.clone());
        }
        let labels = Labels(self.text.as_str().into());
        *place = Some(labels.clone());
        Some(labels)
    }

    fn write<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<()> {
        self.text.clear();
        let mut previous = "";
        for (name, value) in pairs {
            if name <= previous || value.is_empty() {
                return None;
            }
            previous = name;
            push_text(&mut self.text, name);
            push_text(&mut self.text, value);
        }
        Some(())
    }
}

impl Default for LabelsMaker {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::sync::Arc;

    #[test]
    fn what_is_made_equals_what_is_built_from_the_pairs() {
        let mut maker = LabelsMaker::new();
        let sets: [&[(&str, &str)]; 4] = [&[], &[("a", "1")], &[("a", "1"), ("b", "2")], &[("a", "1")]];
        for pairs in sets {
            let built = Labels::from_sorted_pairs(pairs.iter().copied());
            assert_eq!(maker.make(pairs.iter().copied()), built);
            assert_eq!(maker.make_shared(pairs.iter().copied()), built);
        }
    }

    #[test]
    fn pairs_out_of_order_and_empty_values_make_no_set() {
        let mut maker = LabelsMaker::new();
        assert_eq!(maker.make([("b", "1"), ("a", "1")]), None);
        assert_eq!(maker.make_shared([("a", "")]), None);
    }

    #[test]
    fn equal_sets_share_an_allocation_and_many_different_ones_stay_right() {
        let mut maker = LabelsMaker::new();
        let (one, other) =
            (maker.make_shared([("a", "1")]).unwrap(), maker.make_shared([("a", "1")]).unwrap());
        assert!(Arc::ptr_eq(&one.0, &other.0));
        for number in 0..3 * REMEMBERED {
            let value = alloc::format!("{}", number % (2 * REMEMBERED));
            let labels = maker.make_shared([("a", value.as_str())]).unwrap();
            assert_eq!(labels.get("a"), Some(value.as_str()));
        }
    }
}
