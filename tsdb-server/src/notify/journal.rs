//! What keeps a queue over a restart: a log of its changes, in the engine's own format of checksummed records.
//!
//! Each record is a JSON object whose `k` says what happened:
//!
//! ```text
//! {"k":"put", "id", "version", "arrived", "labels", "annotations", "url", "starts", "ends", "resolved", "told_at"}
//! {"k":"gone","id","version"}          the entry left the queue, unless it has a newer version
//! {"k":"told","id","at","firing"}      the receiver knows this much of it
//! ```
//!
//! Numbers of times are ms since 1970. A change has reached the operating system before it is acknowledged, so a killed
//! process loses none; a power cut costs at most what came after the last sync, a second ago. When most of the log is
//! about alerts that are gone, the queue is written anew behind it and what stands before is dropped. A record that
//! cannot be read costs itself.

use super::Notice;
use super::queue::{Bounds, Entry, Queue, Told};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tsdb::fs::OsFs;
use tsdb::wal::{Wal, WalError, WalOptions};
use tsdb_core::{Labels, Timestamp};

/// A log may be so much larger than the queue before it is written anew, in bytes.
const SLACK_BYTES: u64 = 1 << 20;

/// The log of one queue.
#[derive(Debug)]
pub(crate) struct Journal {
    wal: Wal,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "k", rename_all = "lowercase")]
enum Record {
    Put(Put),
    Gone { id: u64, version: u64 },
    Told { id: u64, at: Timestamp, firing: bool },
}

#[derive(Debug, Serialize, Deserialize)]
struct Put {
    id: u64,
    version: u64,
    arrived: Timestamp,
    labels: BTreeMap<String, String>,
    annotations: Vec<(String, String)>,
    url: String,
    starts: Timestamp,
    ends: Timestamp,
    resolved: bool,
    told_at: Timestamp,
}

/// A change of a queue.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    /// A new entry, or a new state of one.
    Put(&'a Entry),
    /// One that left.
    Gone(&'a Entry),
    /// What the receiver of one knows.
    Told(&'a Entry, Told),
}

impl Journal {
    /// Opens the log in `dir`, created if there is none, and reads the queue that it tells of.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub(crate) fn open(dir: &Path, bounds: Bounds) -> Result<(Self, Queue), WalError> {
        let mut queue = Queue::new(bounds);
        let (options, mut unread) = (WalOptions::default(), 0u64);
        let (wal, report) = Wal::open(Arc::new(OsFs), dir, options, &mut |_, record| {
            unread += u64::from(replay(record, &mut queue).is_none());
        })?;
        if unread > 0 || !report.damage.is_empty() {
            let damaged = report.damage.len();
            log::warn!(
                "queue of alerts {}: {unread} records make no sense and {damaged} places are damaged; the others are \
                 kept",
                dir.display()
            );
        }
        drop(queue.shrink());
        Ok((Self { wal }, queue))
    }

    /// Hands changes to the operating system, so that the end of the process costs none of them.
    ///
    /// # Errors
    /// The disk takes none of them.
    pub(crate) fn write(&self, changes: &[Change<'_>]) -> Result<(), WalError> {
        let records: Vec<Vec<u8>> = changes.iter().map(encode).collect();
        let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        self.wal.append(&records).map(drop)
    }

    /// Makes all changes durable.
    ///
    /// # Errors
    /// They are not yet.
    pub(crate) fn sync(&self) -> Result<(), WalError> {
        self.wal.sync()
    }

    /// Bytes of the log.
    #[cfg(test)]
    pub(super) fn size_bytes(&self) -> u64 {
        self.wal.size_bytes()
    }

    /// Is most of the log about what is gone from a queue of so many bytes?
    pub(crate) fn is_long(&self, queue_bytes: usize) -> bool {
        self.wal.size_bytes() > (queue_bytes as u64).saturating_mul(3).saturating_add(SLACK_BYTES)
    }

    /// Begins to write the queue anew: [`write_all`](Self::write_all) follows, and then [`forget`](Self::forget) with
    /// the answer.
    ///
    /// # Errors
    /// The log goes on as it is.
    pub(crate) fn begin_anew(&self) -> Result<u64, WalError> {
        self.wal.rotate()
    }

    /// Writes all entries of `queue`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(crate) fn write_all(&self, queue: &Queue) -> Result<(), WalError> {
        let told = |entry: &Entry| entry.told.map(|told| encode(&Change::Told(entry, told)));
        for entry in queue.iter() {
            self.wal.append(&[&encode(&Change::Put(entry))])?;
            if let Some(record) = told(entry) {
                self.wal.append(&[&record])?;
            }
        }
        Ok(())
    }

    /// Drops what stands before the place at which the queue was written anew.
    ///
    /// # Errors
    /// Some of it may still be there.
    pub(crate) fn forget(&self, before: u64) -> Result<(), WalError> {
        // ORDER: what replaces the old segments is durable before they go.
        self.wal.sync()?;
        self.wal.drop_segments_below(before)
    }
}

fn encode(change: &Change<'_>) -> Vec<u8> {
    let record = match *change {
        Change::Put(Entry { id, version, notice, arrived, .. }) => Record::Put(Put {
            id: *id,
            version: *version,
            arrived: *arrived,
            labels: notice.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            annotations: notice.annotations.clone(),
            url: notice.generator_url.clone(),
            starts: notice.starts_at,
            ends: notice.ends_at,
            resolved: notice.resolved,
            told_at: notice.told_at,
        }),
        Change::Gone(entry) => Record::Gone { id: entry.id, version: entry.version },
        Change::Told(entry, told) => Record::Told { id: entry.id, at: told.at, firing: told.firing },
    };
    // Strings and numbers can always be written.
    serde_json::to_vec(&record).unwrap_or_default()
}

/// Applies one record; `None` if it makes no sense.
fn replay(record: &[u8], queue: &mut Queue) -> Option<()> {
    match serde_json::from_slice(record).ok()? {
        Record::Put(put) => {
            let labels = Labels::from_pairs(put.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()))).ok()?;
            let told = queue.told(put.id);
            let notice = Notice {
                labels,
                annotations: put.annotations,
                generator_url: put.url,
                starts_at: put.starts,
                ends_at: put.ends,
                resolved: put.resolved,
                told_at: put.told_at,
            };
            let (id, version, arrived) = (put.id, put.version, put.arrived);
            queue.put(Entry { id, version, notice: Arc::new(notice), arrived, told });
        }
        Record::Gone { id, version } => drop(queue.remove(id, version)),
        Record::Told { id, at, firing } => queue.tell(id, Told { at, firing }),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::notice::tests::notice;
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds { alerts: 1_000, bytes: 1 << 20 };

    fn contents(queue: &Queue) -> Vec<(u64, u64, Notice, Timestamp, Option<Told>)> {
        queue.iter().map(|e| (e.id, e.version, (*e.notice).clone(), e.arrived, e.told)).collect()
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(u8, bool),
        Take(u8),
        Tell(u8, bool),
        Anew,
        Reopen,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..6u8, any::<bool>()).prop_map(|(name, resolved)| Step::Push(name, resolved)),
            2 => (0..6u8).prop_map(Step::Take),
            2 => (0..6u8, any::<bool>()).prop_map(|(place, firing)| Step::Tell(place, firing)),
            1 => Just(Step::Anew),
            1 => Just(Step::Reopen),
        ];
        prop::collection::vec(step, 1..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_queue_that_is_read_again_is_the_one_that_was_written(steps in steps()) {
            let folder = tempfile::tempdir().unwrap();
            let (mut journal, mut queue) = Journal::open(folder.path(), BOUNDS).unwrap();
            for (at, step) in (0..).zip(steps) {
                let nth = |queue: &Queue, place: u8| queue.iter().nth(usize::from(place)).cloned();
                match step {
                    Step::Push(name, resolved) => {
                        let (entry, dropped) = queue.push(notice(&name.to_string(), resolved, at), at);
                        prop_assert!(dropped.is_empty());
                        journal.write(&[Change::Put(&entry)]).unwrap();
                    }
                    Step::Take(place) => if let Some(entry) = nth(&queue, place) {
                        queue.remove(entry.id, entry.version);
                        journal.write(&[Change::Gone(&entry)]).unwrap();
                    },
                    Step::Tell(place, firing) => if let Some(entry) = nth(&queue, place) {
                        let told = Told { at, firing };
                        queue.tell(entry.id, told);
                        journal.write(&[Change::Told(&entry, told)]).unwrap();
                    },
                    Step::Anew => {
                        let before = journal.begin_anew().unwrap();
                        journal.write_all(&queue).unwrap();
                        journal.forget(before).unwrap();
                    }
                    Step::Reopen => {
                        drop(journal);
                        let (reopened, read) = Journal::open(folder.path(), BOUNDS).unwrap();
                        prop_assert_eq!(contents(&read), contents(&queue));
                        (journal, queue) = (reopened, read);
                    }
                }
            }
            let (_, read) = Journal::open(folder.path(), BOUNDS).unwrap();
            prop_assert_eq!(contents(&read), contents(&queue));
        }
    }

    #[test]
    fn a_log_about_alerts_that_are_gone_is_shortened() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, mut queue) = Journal::open(folder.path(), BOUNDS).unwrap();
        let mut rounds = 0;
        while !journal.is_long(queue.size_bytes()) {
            let (entry, _) = queue.push(notice("a", false, rounds), rounds);
            journal.write(&[Change::Put(&entry)]).unwrap();
            rounds += 1;
        }
        let before = journal.begin_anew().unwrap();
        journal.write_all(&queue).unwrap();
        journal.forget(before).unwrap();
        assert!(rounds > 1_000 && !journal.is_long(queue.size_bytes()));
        let (_, read) = Journal::open(folder.path(), BOUNDS).unwrap();
        assert_eq!(contents(&read), contents(&queue));
    }

    /// Records as version 1 wrote them.
    const GOLDEN: [&str; 3] = [
        r#"{"k":"put","id":7,"version":2,"arrived":5,"labels":{"alertname":"a","job":"b"},"annotations":[["summary","x"]],"url":"http://h/g","starts":1,"ends":9,"resolved":false,"told_at":3}"#,
        r#"{"k":"told","id":7,"at":6,"firing":true}"#,
        r#"{"k":"gone","id":8,"version":1}"#,
    ];

    #[test]
    fn the_golden_records_are_read_and_written_the_same() {
        let mut queue = Queue::new(BOUNDS);
        GOLDEN.iter().for_each(|record| replay(record.as_bytes(), &mut queue).unwrap());
        let notice = Notice {
            labels: Labels::from_pairs([("alertname", "a"), ("job", "b")]).unwrap(),
            annotations: vec![("summary".into(), "x".into())],
            generator_url: "http://h/g".into(),
            starts_at: 1,
            ends_at: 9,
            resolved: false,
            told_at: 3,
        };
        let told = Told { at: 6, firing: true };
        assert_eq!(contents(&queue), [(7, 2, notice, 5, Some(told))]);
        let entry = queue.iter().next().unwrap();
        let gone = Entry { id: 8, version: 1, ..entry.clone() };
        let changes = [Change::Put(entry), Change::Told(entry, told), Change::Gone(&gone)];
        let written = changes.map(|change| String::from_utf8(encode(&change)).unwrap());
        assert_eq!(written, GOLDEN);
    }

    #[test]
    fn records_that_make_no_sense_cost_themselves() {
        let mut queue = Queue::new(BOUNDS);
        let records: [&[u8]; 6] = [
            b"",
            b"{}",
            b"{\"k\":\"more\"}",
            b"{\"k\":\"gone\",\"id\":-1}",
            b"\xff",
            b"{\"k\":\"put\",\"id\":18446744073709551615}",
        ];
        assert!(records.iter().all(|record| replay(record, &mut queue).is_none()));
        replay(b"{\"k\":\"gone\",\"id\":18446744073709551615,\"version\":1}", &mut queue).unwrap();
        assert_eq!(queue.len(), 0);
    }
}
