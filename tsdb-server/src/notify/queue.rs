//! The alerts that a receiver is still to be told of, in memory: bounded, one entry for each alert, newest state only.
//!
//! An entry keeps the place in line of the oldest state that was not told, so an alert that changes all the time waits
//! no longer than others. When the queue is full the oldest alert that is over goes first, because receivers forget
//! alerts of which they hear no more; only then the oldest that fires, which is sent again anyway.

use super::notice::Notice;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tsdb_core::{Labels, Timestamp};

/// How much a queue holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Alerts.
    pub(crate) alerts: usize,
    /// Their memory, in bytes.
    pub(crate) bytes: usize,
}

/// An alert in line.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Its place; never used again.
    pub(crate) id: u64,
    /// Greater with each new state.
    pub(crate) version: u64,
    pub(crate) notice: Arc<Notice>,
    /// When it came in line, ms.
    pub(crate) arrived: Timestamp,
    /// What the receiver was told of it, if entries stay in line after that.
    pub(crate) told: Option<Told>,
}

/// What a receiver knows of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// When it was told, ms.
    pub(crate) at: Timestamp,
    /// Was it told that the alert fires?
    pub(crate) firing: bool,
}

/// What a queue holds.
#[derive(Debug)]
pub(crate) struct Queue {
    bounds: Bounds,
    entries: BTreeMap<u64, Entry>,
    ids: BTreeMap<Labels, u64>,
    /// Those that are over.
    resolved: BTreeSet<u64>,
    bytes: usize,
    next: u64,
}

impl Queue {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            entries: BTreeMap::new(),
            ids: BTreeMap::new(),
            resolved: BTreeSet::new(),
            bytes: 0,
            next: 1,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// All entries in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// What the receiver of entry `id` knows.
    pub(crate) fn told(&self, id: u64) -> Option<Told> {
        self.entries.get(&id).and_then(|entry| entry.told)
    }

    /// The newest state of an alert, which came at `now`; answers its entry and those that had to go for it, which may
    /// be its own.
    pub(crate) fn push(&mut self, notice: Notice, now: Timestamp) -> (Entry, Vec<Entry>) {
        let version = self.number();
        let known = self.ids.get(&notice.labels).and_then(|id| self.entries.get(id));
        let entry = match known {
            Some(known) => Entry { version, notice: Arc::new(notice), ..known.clone() },
            None => Entry { id: version, version, notice: Arc::new(notice), arrived: now, told: None },
        };
        self.put(entry.clone());
        (entry, self.shrink())
    }

    /// Takes over an entry as it is, in place of another of its alert.
    pub(crate) fn put(&mut self, entry: Entry) {
        self.next = self.next.max(entry.version.saturating_add(1)).max(entry.id.saturating_add(1));
        if let Some(old) = self.ids.get(&entry.notice.labels).copied() {
            self.take(old);
        }
        self.bytes = self.bytes.saturating_add(entry.notice.size_bytes());
        self.ids.insert(entry.notice.labels.clone(), entry.id);
        if entry.notice.resolved {
            self.resolved.insert(entry.id);
        }
        self.entries.insert(entry.id, entry);
    }

    /// Is the entry `id` here, in the state `version`?
    pub(crate) fn has(&self, id: u64, version: u64) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.version == version)
    }

    /// Removes the entry `id` unless its state is newer than `version`.
    pub(crate) fn remove(&mut self, id: u64, version: u64) -> bool {
        let is_meant = self.entries.get(&id).is_some_and(|entry| entry.version <= version);
        if is_meant {
            self.take(id);
        }
        is_meant
    }

    /// Notes what the receiver of entry `id` knows now.
    pub(crate) fn tell(&mut self, id: u64, told: Told) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.told = Some(told);
        }
    }

    /// Drops entries until the queue is within its bounds.
    pub(crate) fn shrink(&mut self) -> Vec<Entry> {
        let mut dropped = Vec::new();
        while self.entries.len() > self.bounds.alerts || self.bytes > self.bounds.bytes {
            let oldest = self.resolved.first().or_else(|| self.entries.keys().next()).copied();
            match oldest.and_then(|id| self.take(id)) {
                Some(entry) => dropped.push(entry),
                None => break,
            }
        }
        dropped
    }

    fn take(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.bytes = self.bytes.saturating_sub(entry.notice.size_bytes());
        self.ids.remove(&entry.notice.labels);
        self.resolved.remove(&id);
        Some(entry)
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::super::notice::tests::notice;
    use super::*;

    const BOUNDS: Bounds = Bounds { alerts: 3, bytes: 1 << 20 };

    fn names(queue: &Queue) -> Vec<(&str, bool)> {
        queue.iter().map(|e| (e.notice.labels.get("alertname").unwrap(), e.notice.resolved)).collect()
    }

    fn queue(bounds: Bounds, alerts: &[(&str, bool)]) -> (Queue, Vec<String>) {
        let (mut queue, mut dropped) = (Queue::new(bounds), Vec::new());
        for (at, (name, resolved)) in (0..).zip(alerts) {
            let (_, gone) = queue.push(notice(name, *resolved, at), at);
            dropped.extend(gone.iter().map(|e| e.notice.labels.get("alertname").unwrap().to_owned()));
        }
        (queue, dropped)
    }

    #[test]
    fn the_newest_state_of_an_alert_takes_the_place_of_those_before() {
        let (queue, dropped) = queue(BOUNDS, &[("a", false), ("b", false), ("a", true)]);
        assert_eq!(names(&queue), [("a", true), ("b", false)]);
        assert!(dropped.is_empty());
        assert_eq!(queue.iter().next().unwrap().arrived, 0, "it waits since the first");
    }

    #[test]
    fn a_full_queue_drops_the_oldest_alert_that_is_over_and_then_the_oldest() {
        let alerts = [("a", false), ("b", true), ("c", true), ("d", false), ("e", false), ("f", false)];
        let (queue, dropped) = queue(BOUNDS, &alerts);
        assert_eq!(dropped, ["b", "c", "a"]);
        assert_eq!(names(&queue), [("d", false), ("e", false), ("f", false)]);
    }

    #[test]
    fn bytes_are_bounded_too_and_come_back() {
        let one = notice("a", false, 0).size_bytes();
        let (mut queue, dropped) =
            queue(Bounds { alerts: 9, bytes: 2 * one }, &[("a", false), ("b", false), ("c", false)]);
        assert_eq!((dropped.len(), queue.len(), queue.size_bytes()), (1, 2, 2 * one));
        let entries: Vec<_> = queue.iter().map(|e| (e.id, e.version)).collect();
        assert!(entries.into_iter().all(|(id, version)| queue.remove(id, version)));
        assert_eq!((queue.len(), queue.size_bytes()), (0, 0));
    }

    #[test]
    fn an_alert_larger_than_the_queue_goes_itself() {
        let (queue, dropped) = queue(Bounds { alerts: 9, bytes: 10 }, &[("a", false)]);
        assert_eq!((queue.len(), dropped.len()), (0, 1));
    }

    #[test]
    fn a_state_that_came_while_another_was_sent_stays_in_line() {
        let mut queue = Queue::new(BOUNDS);
        let (sent, _) = queue.push(notice("a", false, 0), 0);
        let (newer, _) = queue.push(notice("a", true, 1), 1);
        assert!(!queue.remove(sent.id, sent.version));
        assert!(queue.remove(newer.id, newer.version));
    }
}
