//! Label pairs: every distinct (name, value) once, numbered, with the series that have it.

use super::levels::Levels;
use crate::arena::{Arena, ArenaRef};
use crate::postings::Postings;
use hashbrown::HashTable;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use tsdb_core::METRIC_NAME;
use tsdb_core::bytes::hash64;

const FREE: u32 = u32::MAX;

/// A label pair by number. Numbers of freed pairs are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PairId(pub(crate) u32);

#[derive(Debug)]
struct Pair {
    /// Number of the name, or [`FREE`].
    name: u32,
    value: ArenaRef,
    postings: Postings,
}

#[derive(Debug, Default)]
struct Name {
    text: Box<str>,
    /// In no order; those in `free` among them.
    pairs: Vec<PairId>,
    /// Numbers that are not in use any more: the next values of the name take them.
    free: Vec<PairId>,
    /// Series that have a label of the name.
    series: u64,
    /// Bytes of its values, each as often as it has series.
    bytes: u64,
}

impl Name {
    /// Number of pairs in use.
    fn len(&self) -> usize {
        self.pairs.len() - self.free.len()
    }
}

/// The table of pairs.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    names: Vec<Name>,
    free_names: Vec<u32>,
    name_table: HashTable<u32>,
    pairs: Vec<Pair>,
    free_pairs: Vec<PairId>,
    pair_table: HashTable<PairId>,
    values: Arena,
    levels: Levels,
    /// Bytes of the label values of all series of a metric, by the pair of its name.
    metric_bytes: BTreeMap<PairId, u64>,
    /// No value has more bytes.
    longest_value: usize,
}

impl Pairs {
    /// Is there room for labels of `bytes` in all?
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.values.has_room(bytes)
    }

    /// The pair, made if it is new. A new pair has no series, and the caller must add one.
    pub(crate) fn intern(&mut self, name: &str, value: &str) -> PairId {
        let name = self.intern_name(name);
        let hash = hash_value(name, value);
        let (pairs, values) = (&self.pairs, &self.values);
        if let Some(found) = self.pair_table.find(hash, |id| is_pair(pairs, values, *id, name, value)) {
            return *found;
        }
        self.longest_value = self.longest_value.max(value.len());
        let pair = Pair { name, value: self.values.push(value.as_bytes()), postings: Postings::empty() };
        let id = self.place(name, pair);
        let (pairs, values) = (&self.pairs, &self.values);
        self.pair_table.insert_unique(hash, id, |id| hash_pair(pairs, values, *id));
        id
    }

    /// Puts a new pair of the name where there is room.
    fn place(&mut self, name: u32, pair: Pair) -> PairId {
        let own = self.names.get_mut(name as usize).and_then(|name| name.free.pop());
        let id = match own.or_else(|| self.free_pairs.pop()) {
            Some(free) => {
                if let Some(place) = self.pairs.get_mut(free.0 as usize) {
                    *place = pair;
                }
                free
            }
            None => {
                self.pairs.push(pair);
                PairId(number(self.pairs.len() - 1))
            }
        };
        if let Some(name) = self.names.get_mut(name as usize).filter(|_| own.is_none()) {
            name.pairs.push(id);
        }
        id
    }

    /// Adds `series`, which it has not, to the pair, whose value has so many bytes.
    #[inline]
    pub(crate) fn add_series(&mut self, id: PairId, series: u32, value_bytes: usize) {
        let Some(pair) = self.pairs.get_mut(id.0 as usize) else { return };
        pair.postings.insert(series);
        self.levels.grow(id.0, pair.postings.len());
        if let Some(name) = self.names.get_mut(pair.name as usize) {
            name.series = name.series.saturating_add(1);
            name.bytes = name.bytes.saturating_add(value_bytes as u64);
        }
    }

    /// Counts the bytes of the label values of a series, which has these pairs, for its metric.
    pub(crate) fn add_bytes(&mut self, pairs: &[PairId]) {
        let Some(metric) = self.metric_of(pairs) else { return };
        let bytes = self.value_bytes(pairs);
        let sum = self.metric_bytes.entry(metric).or_default();
        *sum = sum.saturating_add(bytes);
    }

    /// Takes back what [`add_bytes`](Self::add_bytes) counted.
    pub(crate) fn take_bytes(&mut self, pairs: &[PairId]) {
        let Some(metric) = self.metric_of(pairs) else { return };
        let bytes = self.value_bytes(pairs);
        if let Some(sum) = self.metric_bytes.get_mut(&metric) {
            *sum = sum.saturating_sub(bytes);
            if *sum == 0 {
                self.metric_bytes.remove(&metric);
            }
        }
    }

    /// Bytes of the label values of all series of the metric whose name is this pair.
    pub(crate) fn metric_bytes(&self, metric: PairId) -> u64 {
        self.metric_bytes.get(&metric).copied().unwrap_or_default()
    }

    fn metric_of(&self, pairs: &[PairId]) -> Option<PairId> {
        pairs.iter().copied().find(|pair| self.name(*pair) == METRIC_NAME)
    }

    fn value_bytes(&self, pairs: &[PairId]) -> u64 {
        let value = |pair: &PairId| {
            self.pairs.get(pair.0 as usize).map_or(0, |pair| self.values.get(pair.value).len())
        };
        pairs.iter().map(|pair| value(pair) as u64).sum()
    }

    /// Has a series both pairs?
    pub(crate) fn meet(&self, one: PairId, other: PairId) -> bool {
        self.postings(one).zip(self.postings(other)).is_some_and(|(one, other)| one.meets(other))
    }

    /// The pair, if it is known.
    pub(crate) fn find(&self, name: &str, value: &str) -> Option<PairId> {
        let name = self.find_name(name)?;
        let (pairs, values) = (&self.pairs, &self.values);
        self.pair_table.find(hash_value(name, value), |id| is_pair(pairs, values, *id, name, value)).copied()
    }

    /// Name and value of a pair; empty for a number that is not in use.
    #[inline]
    pub(crate) fn text(&self, id: PairId) -> (&str, &str) {
        let Some(pair) = self.pairs.get(id.0 as usize) else { return ("", "") };
        let name = self.names.get(pair.name as usize).map_or("", |name| &name.text);
        (name, self.values.text(pair.value))
    }

    /// Name of a pair; empty for a number that is not in use.
    #[inline]
    pub(crate) fn name(&self, id: PairId) -> &str {
        let name = self.pairs.get(id.0 as usize).and_then(|pair| self.names.get(pair.name as usize));
        name.map_or("", |name| &name.text)
    }

    /// Number of the name of a pair.
    #[inline]
    pub(crate) fn name_number(&self, id: PairId) -> usize {
        self.pairs.get(id.0 as usize).map_or(usize::MAX, |pair| pair.name as usize)
    }

    /// Text of the name with this number.
    pub(super) fn name_text(&self, name: u32) -> &str {
        self.names.get(name as usize).map_or("", |name| &name.text)
    }

    /// All names in use: text, number of values, series that have it, bytes of its values over all series.
    pub(crate) fn name_counts(&self) -> impl Iterator<Item = (&str, u64, u64, u64)> {
        let used = self.names.iter().filter(|name| name.len() > 0);
        used.map(|name| (&*name.text, name.len() as u64, name.series, name.bytes))
    }

    /// The pairs with the most series, of all or of one name: at least `count` of them, if there are as many, and perhaps
    /// more, in no order.
    pub(crate) fn largest(&self, name: Option<&str>, count: usize) -> Vec<(u64, PairId)> {
        let wanted = name.map(|name| self.find_name(name).unwrap_or(FREE));
        let sized = |id: PairId| Some((self.postings(id)?.len(), id));
        for (_, level) in self.levels.largest_first() {
            let is_wanted = |id: &PairId| wanted.is_none_or(|name| self.name_number(*id) == name as usize);
            let found: Vec<_> = level.iter().map(PairId).filter(is_wanted).filter_map(sized).collect();
            if found.len() >= count {
                return found;
            }
        }
        match wanted {
            Some(name) => self.of_name_number(name).filter_map(sized).collect(),
            None => {
                let is_used = |id: &PairId| self.name_number(*id) != FREE as usize;
                (0..number(self.pairs.len())).map(PairId).filter(is_used).filter_map(sized).collect()
            }
        }
    }

    /// The pairs whose values take the most bytes, each as often as it has series: at least `count` of them, if there are as
    /// many, and perhaps more, in no order.
    pub(crate) fn longest(&self, count: usize) -> Vec<(u64, PairId)> {
        let sized = |id: PairId| {
            let pair = self.pairs.get(id.0 as usize).filter(|pair| pair.name != FREE)?;
            Some((pair.postings.len().saturating_mul(self.values.get(pair.value).len() as u64), id))
        };
        for (least, level) in self.levels.largest_first() {
            let found: Vec<(u64, PairId)> = level.iter().map(PairId).filter_map(sized).collect();
            // What is not in the level has fewer series.
            let most_of_others = least.saturating_sub(1).saturating_mul(self.longest_value as u64);
            if found.iter().filter(|(bytes, _)| *bytes >= most_of_others).count() >= count {
                return found;
            }
        }
        (0..number(self.pairs.len())).map(PairId).filter_map(sized).collect()
    }

    /// Numbers of pairs are below this.
    pub(crate) fn numbers(&self) -> usize {
        self.pairs.len()
    }

    /// For each name, by number, whether `is_wanted`.
    pub(crate) fn which_names(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<bool> {
        self.names.iter().map(|name| is_wanted(&name.text)).collect()
    }

    /// Is `id` the pair of `name` and `value`?
    #[inline]
    pub(crate) fn is(&self, id: PairId, name: &str, value: &str) -> bool {
        let pair = self.pairs.get(id.0 as usize);
        pair.is_some_and(|pair| self.values.get(pair.value) == value.as_bytes()) && self.name(id) == name
    }

    /// The series that have the pair.
    pub(crate) fn postings(&self, id: PairId) -> Option<&Postings> {
        self.pairs.get(id.0 as usize).map(|pair| &pair.postings)
    }

    /// All names in use, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter(|name| name.len() > 0).map(|name| &*name.text)
    }

    /// The pairs with the label `name`, in no order.
    pub(crate) fn of_name(&self, name: &str) -> impl Iterator<Item = PairId> {
        self.find_name(name).into_iter().flat_map(|name| self.of_name_number(name))
    }

    /// The pairs of the name with this number, in no order.
    pub(crate) fn of_name_number(&self, name: u32) -> impl Iterator<Item = PairId> {
        let pairs = self.names.get(name as usize).map_or(&[][..], |name| &name.pairs);
        let is_used = move |id: &PairId| self.pairs.get(id.0 as usize).is_some_and(|pair| pair.name == name);
        pairs.iter().copied().filter(is_used)
    }

    /// Number of the pairs with the label `name`.
    pub(crate) fn value_count(&self, name: &str) -> usize {
        let name = self.find_name(name).and_then(|name| self.names.get(name as usize));
        name.map_or(0, Name::len)
    }

    /// Numbers of all names in use, in order of the names.
    pub(crate) fn sorted_names(&self) -> Vec<u32> {
        let used = self.names.iter().enumerate().filter(|(_, name)| name.len() > 0);
        let mut sorted: Vec<(&str, u32)> = used.map(|(at, name)| (&*name.text, number(at))).collect();
        sorted.sort_unstable();
        sorted.into_iter().map(|(_, name)| name).collect()
    }

    /// Number of pairs in use.
    pub(crate) fn len(&self) -> usize {
        self.pair_table.len()
    }

    /// Removes the series in `dead` from the pairs in `touched` and frees the pairs that have no series left.
    pub(crate) fn subtract(&mut self, touched: &RoaringBitmap, dead: &RoaringBitmap) {
        let mut emptied = Vec::new();
        for id in touched {
            let Some(pair) = self.pairs.get_mut(id as usize) else { continue };
            let before = pair.postings.len();
            pair.postings.subtract(dead);
            let after = pair.postings.len();
            self.levels.shrink(id, before, after);
            if let Some(name) = self.names.get_mut(pair.name as usize) {
                let bytes = (self.values.get(pair.value).len() as u64).saturating_mul(before - after);
                name.series = name.series.saturating_sub(before - after);
                name.bytes = name.bytes.saturating_sub(bytes);
            }
            if pair.postings.is_empty() {
                emptied.push(PairId(id));
            }
        }
        self.free(&emptied);
        if self.values.is_wasteful() {
            self.move_values();
        }
    }

    /// Gives back memory that growth has left unused, of the `count` pairs from number `first` on. Says whether there
    /// are more behind them.
    pub(crate) fn shrink(&mut self, first: usize, count: usize) -> bool {
        if first == 0 {
            self.names.iter_mut().for_each(|name| name.pairs.shrink_to_fit());
        }
        self.pairs.iter_mut().skip(first).take(count).for_each(|pair| pair.postings.shrink());
        first.saturating_add(count) < self.pairs.len()
    }

    /// All pairs in order of name, then value.
    pub(crate) fn sorted(&self) -> Vec<PairId> {
        let mut sorted = Vec::with_capacity(self.len());
        for name in self.sorted_names() {
            let start = sorted.len();
            sorted.extend(self.of_name_number(name));
            if let Some(pairs) = sorted.get_mut(start..) {
                pairs.sort_unstable_by(|a, b| self.text(*a).1.cmp(self.text(*b).1));
            }
        }
        sorted
    }

    /// Bytes of memory, estimated from capacities.
    pub(crate) fn memory_bytes(&self) -> usize {
        let names: usize =
            self.names.iter().map(|n| n.text.len() + (n.pairs.capacity() + n.free.capacity()) * 4).sum();
        let postings: usize = self.pairs.iter().map(|pair| pair.postings.heap_bytes()).sum();
        names
            + postings
            + self.names.capacity() * size_of::<Name>()
            + self.pairs.capacity() * size_of::<Pair>()
            + (self.free_pairs.capacity() + self.free_names.capacity()) * 4
            + self.pair_table.allocation_size()
            + self.name_table.allocation_size()
            + self.values.memory_bytes()
            + self.levels.memory_bytes()
    }

    /// Number of the name, if it is known.
    pub(crate) fn find_name(&self, name: &str) -> Option<u32> {
        let names = &self.names;
        self.name_table.find(hash_name(name), |id| is_name(names, *id, name)).copied()
    }

    fn intern_name(&mut self, name: &str) -> u32 {
        if let Some(found) = self.find_name(name) {
            return found;
        }
        let entry = Name { text: name.into(), ..Name::default() };
        let id = match self.free_names.pop() {
            Some(free) => {
                if let Some(place) = self.names.get_mut(free as usize) {
                    *place = entry;
                }
                free
            }
            None => {
                self.names.push(entry);
                number(self.names.len() - 1)
            }
        };
        let names = &self.names;
        self.name_table.insert_unique(hash_name(name), id, |id| {
            names.get(*id as usize).map_or(0, |name| hash_name(&name.text))
        });
        id
    }

    fn free(&mut self, emptied: &[PairId]) {
        let mut touched_names = Vec::new();
        for id in emptied {
            let hash = hash_pair(&self.pairs, &self.values, *id);
            if let Ok(entry) = self.pair_table.find_entry(hash, |other| other == id) {
                entry.remove();
            }
            let Some(pair) = self.pairs.get_mut(id.0 as usize) else { continue };
            self.values.forget(pair.value);
            if let Some(name) = self.names.get_mut(pair.name as usize) {
                name.free.push(*id);
            }
            touched_names.push(pair.name);
            *pair = Pair { name: FREE, value: ArenaRef::NONE, postings: Postings::empty() };
        }
        touched_names.sort_unstable();
        touched_names.dedup();
        for id in touched_names {
            self.sweep_name(id);
        }
    }

    /// Drops the freed pairs of a name once they are half of all, and the name with its last pair.
    fn sweep_name(&mut self, id: u32) {
        let Some(name) = self.names.get_mut(id as usize) else { return };
        if name.free.len() < name.pairs.len().div_ceil(2) {
            return;
        }
        let pairs = &self.pairs;
        name.pairs.retain(|pair| pairs.get(pair.0 as usize).is_some_and(|pair| pair.name == id));
        self.free_pairs.append(&mut name.free);
        if name.pairs.is_empty() {
            let gone = std::mem::take(name);
            if let Ok(entry) = self.name_table.find_entry(hash_name(&gone.text), |other| *other == id) {
                entry.remove();
            }
            self.free_names.push(id);
        } else {
            name.free.shrink_to_fit();
            name.pairs.shrink_to_fit();
        }
    }

    fn move_values(&mut self) {
        let mut moved = Arena::default();
        for pair in self.pairs.iter_mut().filter(|pair| pair.name != FREE) {
            pair.value = moved.push(self.values.get(pair.value));
        }
        self.values = moved;
        let (pairs, values) = (&self.pairs, &self.values);
        self.pair_table.shrink_to_fit(|id| hash_pair(pairs, values, *id));
    }
}

/// Pairs and names are numbered in 32 bits; the arena of values is full long before they run out.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(FREE)
}

fn is_name(names: &[Name], id: u32, text: &str) -> bool {
    names.get(id as usize).is_some_and(|name| &*name.text == text)
}

fn is_pair(pairs: &[Pair], values: &Arena, id: PairId, name: u32, value: &str) -> bool {
    pairs.get(id.0 as usize).is_some_and(|p| p.name == name && values.get(p.value) == value.as_bytes())
}

fn hash_name(name: &str) -> u64 {
    hash64(name.as_bytes(), 0)
}

fn hash_value(name: u32, value: &str) -> u64 {
    hash64(value.as_bytes(), u64::from(name))
}

fn hash_pair(pairs: &[Pair], values: &Arena, id: PairId) -> u64 {
    pairs.get(id.0 as usize).map_or(0, |pair| hash64(values.get(pair.value), u64::from(pair.name)))
}
