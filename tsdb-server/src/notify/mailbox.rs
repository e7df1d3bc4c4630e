//! The queue of one receiver with what keeps it: rules put alerts in and wait for nothing, a task of the receiver takes
//! them out.

use super::Notice;
use super::journal::{Change, Journal};
use super::queue::{Bounds, Entry, Queue, Told};
use super::tally::Tally;
use parking_lot::Mutex;
use std::path::Path;
use tsdb::wal::WalError;
use tsdb_core::Timestamp;

/// What is to be sent to one receiver.
#[derive(Debug)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    journal: Journal,
    /// Rung when something was put in.
    bell: tokio::sync::Notify,
    pub(crate) tally: Tally,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// Are there changes that are not durable?
    unsynced: bool,
    /// Are there changes that the journal did not take?
    unwritten: bool,
}

impl Mailbox {
    /// The mailbox kept in `dir`, with what it held.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub(crate) fn open(dir: &Path, bounds: Bounds) -> Result<Self, WalError> {
        let (journal, queue) = Journal::open(dir, bounds)?;
        let state = Mutex::new(State { queue, unsynced: false, unwritten: false });
        Ok(Self { state, journal, bell: tokio::sync::Notify::new(), tally: Tally::default() })
    }

    /// Puts in the newest states of alerts.
    pub(crate) fn put(&self, notices: &[Notice], now: Timestamp) {
        let mut state = self.state.lock();
        let (mut put, mut dropped) = (Vec::with_capacity(notices.len()), Vec::new());
        for notice in notices {
            let (entry, gone) = state.queue.push(notice.clone(), now);
            put.push(entry);
            dropped.extend(gone);
        }
        for entry in &dropped {
            self.tally.dropped(if entry.notice.resolved { "full_resolved" } else { "full_firing" }, 1);
        }
        // Of what came and had to go at once the journal hears nothing: a rule may give a million alerts.
        let first = put.first().map_or(u64::MAX, |entry| entry.version);
        put.retain(|entry| state.queue.has(entry.id, entry.version));
        dropped.retain(|entry| entry.id < first);
        let changes: Vec<_> = put.iter().map(Change::Put).chain(dropped.iter().map(Change::Gone)).collect();
        self.write(&mut state, &changes);
        drop(state);
        self.bell.notify_one();
    }

    /// What `look` finds in the queue.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Queue) -> T) -> T {
        look(&self.state.lock().queue)
    }

    /// Takes out `entries` of which no newer state has come.
    pub(crate) fn remove(&self, entries: &[Entry]) {
        let mut state = self.state.lock();
        let gone: Vec<_> = entries
            .iter()
            .filter(|entry| state.queue.remove(entry.id, entry.version))
            .map(Change::Gone)
            .collect();
        self.write(&mut state, &gone);
    }

    /// Notes what the receiver knows of `entries` from now on.
    pub(crate) fn tell(&self, entries: &[Entry], told: Told) {
        let mut state = self.state.lock();
        let changes: Vec<_> = entries.iter().map(|entry| Change::Told(entry, told)).collect();
        entries.iter().for_each(|entry| state.queue.tell(entry.id, told));
        self.write(&mut state, &changes);
    }

    /// Waits until something is put in; what came since the last wait counts.
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Makes durable what is not, and shortens the journal if it is long. Waits for the disk.
    pub(crate) fn keep(&self) {
        let (unsynced, unwritten, bytes) = {
            let mut state = self.state.lock();
            (std::mem::take(&mut state.unsynced), state.unwritten, state.queue.size_bytes())
        };
        let kept = if unwritten || self.journal.is_long(bytes) {
            self.write_anew()
        } else if unsynced {
            self.journal.sync()
        } else {
            Ok(())
        };
        if let Err(error) = kept {
            self.state.lock().unsynced = true;
            log::warn!("a queue of alerts cannot be kept: {error}");
        }
    }

    fn write_anew(&self) -> Result<(), WalError> {
        let before = self.journal.begin_anew()?;
        {
            // What is put in meanwhile waits, and stands behind.
            let mut state = self.state.lock();
            self.journal.write_all(&state.queue)?;
            state.unwritten = false;
        }
        self.journal.forget(before)
    }

    fn write(&self, state: &mut State, changes: &[Change<'_>]) {
        if changes.is_empty() {
            return;
        }
        state.unsynced = true;
        if let Err(error) = self.journal.write(changes) {
            // They are in memory, and written with the next attempt to keep the queue.
            if !state.unwritten {
                log::warn!("a queue of alerts cannot be written: {error}");
            }
            state.unwritten = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::notice::tests::notice;
    use super::*;

    #[test]
    fn far_more_alerts_than_a_queue_holds_cost_its_journal_no_more_than_it_keeps() {
        let folder = tempfile::tempdir().unwrap();
        let bounds = Bounds { alerts: 20, bytes: 1 << 20 };
        let notices = |names: std::ops::Range<usize>, resolved| -> Vec<_> {
            names.map(|name| notice(&name.to_string(), resolved, 7)).collect()
        };
        let contents = |mailbox: &Mailbox| {
            mailbox
                .look(|queue| queue.iter().map(|e| (e.id, e.version, e.notice.clone())).collect::<Vec<_>>())
        };
        let mailbox = Mailbox::open(folder.path(), bounds).unwrap();
        mailbox.put(&notices(0..10, false), 7);
        // Known alerts get a new state and go in one call.
        mailbox.put(&[notices(0..10, true), notices(10..5_000, false)].concat(), 8);
        let expected = contents(&mailbox);
        assert_eq!((expected.len(), mailbox.tally.now().dropped.values().sum::<u64>()), (20, 4_980));
        assert!(mailbox.journal.size_bytes() < 100_000);
        drop(mailbox);
        assert_eq!(contents(&Mailbox::open(folder.path(), bounds).unwrap()), expected);
    }
}
