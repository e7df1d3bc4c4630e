//! An object store in memory for tests: it fails, answers late, loses and replaces objects when it is told to, and
//! counts what is asked of it.

use super::store::{Condition, ObjectInfo, ObjectStore, StoreError, Version};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a call of a [`SimStore`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Fate {
    /// What it is meant to.
    #[default]
    Succeeds,
    /// Nothing, and it says so.
    Fails,
    /// What it is meant to, and says that it failed.
    FailsAfterwards,
}

/// A call: what is done and to which key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// `put`, `upload`, `get`, `head`, `list` or `delete`.
    pub action: &'static str,
    /// The key.
    pub key: String,
}

/// Asked before each call.
type Script = Arc<dyn Fn(&Call) -> Fate + Send + Sync>;

/// What was asked of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Asked {
    /// Calls.
    pub calls: u64,
    /// Bytes that gets returned.
    pub bytes: u64,
    /// The longest chain of gets of which each began after the one before had ended.
    pub in_a_row: usize,
}

/// A store in memory.
#[derive(Default)]
pub struct SimStore {
    objects: Mutex<Objects>,
    script: Mutex<Option<Script>>,
    latency: Mutex<Duration>,
    gets: Mutex<Vec<(Instant, Instant, u64)>>,
    calls: Mutex<u64>,
}

#[derive(Default)]
struct Objects {
    all: BTreeMap<String, (Vec<u8>, Version, i64)>,
    versions: u64,
    now_ms: i64,
}

impl SimStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has `script` decide from now on what becomes of each call. It may use the store itself.
    pub fn set_script(&self, script: impl Fn(&Call) -> Fate + Send + Sync + 'static) {
        *self.script.lock() = Some(Arc::new(script));
    }

    /// Has all calls succeed.
    pub fn clear_script(&self) {
        *self.script.lock() = None;
    }

    /// Has each get take so long.
    pub fn set_latency(&self, latency: Duration) {
        *self.latency.lock() = latency;
    }

    /// Sets the clock of the store, ms.
    pub fn set_now(&self, now_ms: i64) {
        self.objects.lock().now_ms = now_ms;
    }

    /// All keys, in order.
    pub fn keys(&self) -> Vec<String> {
        self.objects.lock().all.keys().cloned().collect()
    }

    /// Changes the bytes of `key` behind everybody's back, with the version if `is_told`.
    pub fn tamper(&self, key: &str, is_told: bool, change: impl FnOnce(&mut Vec<u8>)) {
        let mut objects = self.objects.lock();
        objects.versions += 1;
        let version = Version(format!("v{}", objects.versions));
        if let Some((bytes, old, _)) = objects.all.get_mut(key) {
            change(bytes);
            if is_told {
                *old = version;
            }
        }
    }

    /// What was asked since the last call of this.
    pub fn take_asked(&self) -> Asked {
        let mut gets = std::mem::take(&mut *self.gets.lock());
        gets.sort_by_key(|(_, end, _)| *end);
        let mut asked = Asked { calls: std::mem::take(&mut *self.calls.lock()), ..Asked::default() };
        let mut last: Option<Instant> = None;
        for (start, end, bytes) in gets {
            asked.bytes += bytes;
            if last.is_none_or(|last| start >= last) {
                asked.in_a_row += 1;
                last = Some(end);
            }
        }
        asked
    }

    fn call<T>(
        &self,
        action: &'static str,
        key: &str,
        run: impl FnOnce(&mut Objects) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        *self.calls.lock() += 1;
        let script = self.script.lock().clone();
        let fate = script.map_or(Fate::Succeeds, |script| script(&Call { action, key: key.into() }));
        let failure = || StoreError::unavailable(action, key, io::Error::other("the test says so"));
        match fate {
            Fate::Fails => Err(failure()),
            Fate::Succeeds => run(&mut self.objects.lock()),
            Fate::FailsAfterwards => run(&mut self.objects.lock()).and(Err(failure())),
        }
    }
}

impl Objects {
    fn put(&mut self, key: &str, bytes: Vec<u8>) -> Version {
        self.versions += 1;
        let version = Version(format!("v{}", self.versions));
        self.all.insert(key.into(), (bytes, version.clone(), self.now_ms));
        version
    }

    fn find(&self, key: &str) -> Result<&(Vec<u8>, Version, i64), StoreError> {
        self.all.get(key).ok_or_else(|| StoreError::NotFound { key: key.into() })
    }
}

impl ObjectStore for SimStore {
    fn put(&self, key: &str, bytes: &[u8], condition: &Condition) -> Result<Version, StoreError> {
        self.call("put", key, |objects| {
            let known = objects.all.get(key).map(|(_, version, _)| version);
            let holds = match condition {
                Condition::Always => true,
                Condition::Absent => known.is_none(),
                Condition::Unchanged(version) => known == Some(version),
            };
            if holds {
                Ok(objects.put(key, bytes.to_vec()))
            } else {
                Err(StoreError::Conflict { key: key.into() })
            }
        })
    }

    fn upload(&self, key: &str, source: &mut dyn Read, len: u64) -> Result<Version, StoreError> {
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes).map_err(|error| StoreError::unavailable("upload", key, error))?;
        if bytes.len() as u64 != len {
            let source = io::ErrorKind::UnexpectedEof.into();
            return Err(StoreError::Refused { action: "upload", key: key.into(), source });
        }
        self.call("upload", key, |objects| Ok(objects.put(key, bytes)))
    }

    fn get(&self, key: &str, range: Range<u64>, version: Option<&Version>) -> Result<Vec<u8>, StoreError> {
        let start = Instant::now();
        let latency = *self.latency.lock();
        if !latency.is_zero() {
            std::thread::park_timeout(latency);
        }
        let got = self.call("get", key, |objects| {
            let (bytes, current, _) = objects.find(key)?;
            if version.is_some_and(|version| version != current) {
                return Err(StoreError::Conflict { key: key.into() });
            }
            let place = |at| usize::try_from(at).unwrap_or(usize::MAX);
            let part = bytes.get(place(range.start)..place(range.end)).map(<[u8]>::to_vec);
            part.ok_or_else(|| StoreError::Wrong {
                key: key.into(),
                found: format!("{} bytes", bytes.len()),
                expected: format!("{} bytes", range.end),
            })
        });
        let len = got.as_ref().map_or(0, |bytes| bytes.len() as u64);
        self.gets.lock().push((start, Instant::now(), len));
        got
    }

    fn head(&self, key: &str) -> Result<ObjectInfo, StoreError> {
        self.call("head", key, |objects| {
            let (bytes, version, modified_ms) = objects.find(key)?;
            let (size, version) = (bytes.len() as u64, Some(version.clone()));
            Ok(ObjectInfo { key: key.into(), size, version, modified_ms: *modified_ms })
        })
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        self.call("list", prefix, |objects| {
            let below = |key: &&String| {
                prefix.is_empty() || key.strip_prefix(prefix).is_some_and(|r| r.starts_with('/'))
            };
            let found = objects.all.keys().filter(below);
            Ok(found
                .filter_map(|key| {
                    let (bytes, version, modified_ms) = objects.all.get(key)?;
                    let (size, version) = (bytes.len() as u64, Some(version.clone()));
                    Some(ObjectInfo { key: key.clone(), size, version, modified_ms: *modified_ms })
                })
                .collect())
        })
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.call("delete", key, |objects| {
            objects.all.remove(key);
            Ok(())
        })
    }
}

impl fmt::Debug for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimStore({} objects)", self.objects.lock().all.len())
    }
}
