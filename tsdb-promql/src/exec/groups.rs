//! Series that share labels: groups of an aggregation, matches of a binary operator, buckets of a histogram,
//! duplicates.

use super::operator::{Identity, is_metadata};
use hashbrown::HashTable;
use tsdb_core::bytes::hash64;
use tsdb_core::{Labels, METRIC_NAME};

/// Which labels count.
#[derive(Debug, Clone, Copy)]
pub(super) enum Chosen<'n> {
    /// All.
    All,
    /// These.
    Only(&'n [String]),
    /// All but these.
    Except(&'n [String]),
    /// All but these and the metric name.
    ExceptAndName(&'n [String]),
}

impl Chosen<'_> {
    fn takes(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|n| n == name),
            Self::Except(names) => !names.iter().any(|n| n == name),
            Self::ExceptAndName(names) => name != METRIC_NAME && !names.iter().any(|n| n == name),
        }
    }
}

/// The labels of a series that an operator sees and that count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight<'n> {
    /// Which labels count.
    pub(super) chosen: Chosen<'n>,
    /// Are names seen that have been dropped?
    pub(super) dropped_names: bool,
}

impl Sight<'_> {
    fn takes(self, identity: &Identity, name: &str) -> bool {
        let hidden = identity.drop_name && !self.dropped_names && is_metadata(name);
        !hidden && self.chosen.takes(name)
    }

    fn pairs(self, identity: &Identity) -> impl Iterator<Item = (&str, &str)> {
        identity.labels.iter().filter(move |(name, _)| self.takes(identity, name))
    }

    /// The labels of `identity` that are seen and count.
    pub(super) fn labels(self, identity: &Identity) -> Labels {
        identity.labels.filter(|name| self.takes(identity, name))
    }

    fn hash(self, identity: &Identity) -> u64 {
        // A fixed key: groups are numbered by appearance, so the hash shows nowhere.
        let chain =
            |hash, (name, value): (&str, &str)| hash64(value.as_bytes(), hash64(name.as_bytes(), hash));
        self.pairs(identity).fold(0, chain)
    }
}

/// Groups of series that agree in the labels that count, numbered in order of first appearance.
#[derive(Debug, Default)]
pub(super) struct Groups {
    table: HashTable<(u64, usize)>,
    founders: Vec<Identity>,
}

impl Groups {
    /// Groups the `identities` and tells the group of each.
    pub(super) fn of(identities: &[Identity], sight: Sight<'_>) -> (Self, Vec<usize>) {
        let mut groups = Self::default();
        let numbers = identities.iter().map(|identity| groups.join(identity, sight)).collect();
        (groups, numbers)
    }

    /// The number of the group of `identity`, which is founded if it is new.
    pub(super) fn join(&mut self, identity: &Identity, sight: Sight<'_>) -> usize {
        let hash = sight.hash(identity);
        let Self { table, founders } = self;
        let same = |(other, group): &(u64, usize)| {
            *other == hash && founders.get(*group).is_some_and(|f| sight.pairs(f).eq(sight.pairs(identity)))
        };
        if let Some((_, group)) = table.find(hash, same) {
            return *group;
        }
        let group = founders.len();
        founders.push(identity.clone());
        table.insert_unique(hash, (hash, group), |(hash, _)| *hash);
        group
    }

    /// Number of groups.
    pub(super) fn len(&self) -> usize {
        self.founders.len()
    }

    /// The first series of each group.
    pub(super) fn founders(&self) -> &[Identity] {
        &self.founders
    }
}

/// The members of each of `groups` groups, in order: the inverse of what [`Groups::of`] tells.
pub(super) fn members_of(numbers: &[usize], groups: usize) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); groups];
    for (row, group) in numbers.iter().enumerate() {
        if let Some(group) = members.get_mut(*group) {
            group.push(row);
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(pairs: &[(&str, &str)], drop_name: bool) -> Identity {
        Identity { labels: Labels::from_pairs(pairs.iter().copied()).unwrap(), drop_name }
    }

    #[test]
    fn groups_agree_in_the_labels_that_count() {
        let rows = [
            identity(&[("__name__", "a"), ("job", "x"), ("pod", "1")], false),
            identity(&[("__name__", "b"), ("job", "x"), ("pod", "2")], false),
            identity(&[("__name__", "a"), ("job", "y"), ("pod", "1")], false),
        ];
        let names = ["job".to_owned()];
        let numbers = |chosen| Groups::of(&rows, Sight { chosen, dropped_names: false }).1;
        assert_eq!(numbers(Chosen::Only(&names)), [0, 0, 1]);
        assert_eq!(numbers(Chosen::ExceptAndName(&names)), [0, 1, 0]);
        assert_eq!(numbers(Chosen::All), [0, 1, 2]);
        assert_eq!(members_of(&[0, 0, 1], 2), [vec![0, 1], vec![2]]);
    }

    #[test]
    fn dropped_names_count_only_if_they_are_seen() {
        let rows = [identity(&[("__name__", "a")], true), identity(&[("__name__", "b")], true)];
        let numbers = |dropped_names| Groups::of(&rows, Sight { chosen: Chosen::All, dropped_names }).1;
        assert_eq!(numbers(false), [0, 0]);
        assert_eq!(numbers(true), [0, 1]);
    }
}
