//! Blocks that were put on object storage and are read from there.

use super::*;
use crate::SystemClock;
use crate::block::{BlockSpec, BlockWriter, FrameCache};
use crate::fs::OsFs;
use crate::tier::types::Types;
use crate::tier::upload::{UploadError, name_blocks, put_block};
use crate::tier::{Fate, ObjectStore, Retry, SimStore};
use parking_lot::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::channel;
use std::time::Duration;
use tsdb_core::read::{Projection, SampleColumns};
use tsdb_core::{Labels, MatchOp, Matcher, TimeRange};

const ID: BlockId = BlockId(0x0190_0000_0000_0000_0000_0000_0000_0001);

pub(crate) struct Fixture {
    pub(crate) store: Arc<SimStore>,
    pub(crate) ledger: Ledger,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) block: Block,
}

/// A block of `targets` times `metrics` series of `samples` samples on disk, and an empty store.
pub(crate) fn fixture(targets: usize, metrics: usize, samples: i64) -> Fixture {
    fixture_with(targets, metrics, samples, |n, metric, target| {
        (n * (metric + 3) + target + n * n % 97) as f64
    })
}

/// As [`fixture`], with the values that `value` says for each number of a sample, metric and target.
pub(super) fn fixture_with(
    targets: usize,
    metrics: usize,
    samples: i64,
    value: impl Fn(i64, i64, i64) -> f64,
) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for metric in 0..metrics {
        for target in 0..targets {
            let name = format!("metric_{metric:04}_total");
            let (instance, job) = (format!("host-{target:06}:9100"), format!("job-{:03}", target % 50));
            let pairs = [("__name__", &*name), ("instance", &*instance), ("job", &*job)];
            all.push((Labels::from_pairs(pairs).unwrap(), target as i64, metric as i64));
        }
    }
    all.sort();
    let mut writer = BlockWriter::create(&OsFs, dir.path(), BlockSpec::first_level(ID)).unwrap();
    for (labels, target, metric) in &all {
        let times: Vec<i64> =
            (0..samples).map(|n| n * 15_000 + target * 7 % 15_000 + n * target % 11).collect();
        let values: Vec<f64> = (0..samples).map(|n| value(n, *metric, *target)).collect();
        writer.add(labels, &times, &values).unwrap();
    }
    writer.finish().unwrap();
    let path = dir.path().join(Block::dir_name(ID));
    let block =
        Block::open(&(Arc::new(OsFs) as Arc<dyn Fs>), &path, Arc::new(FrameCache::new(1 << 20))).unwrap();
    let store = Arc::new(SimStore::new());
    let retry = Retry { attempts: 3, first: Duration::ZERO, most: Duration::ZERO };
    let shared = Arc::clone(&store) as Arc<dyn ObjectStore>;
    let ledger = Ledger::new(shared, "tenant", Arc::new(SystemClock)).with_retry(retry);
    Fixture { store, ledger, dir, block }
}

impl Fixture {
    fn put(&self) -> Result<StoredBlock, UploadError> {
        let dir = self.dir.path().join(Block::dir_name(ID));
        put_block(&OsFs, &dir, &self.block, &Types::new(), true, &self.ledger)
    }

    pub(super) fn ship(&self) {
        let stored = self.put().unwrap();
        name_blocks(&self.ledger, &[stored], &BTreeSet::new()).unwrap();
    }

    /// The block as the manifest names it.
    pub(super) fn far(&self) -> (Arc<RemoteFs>, Block) {
        self.far_with(64 << 20)
    }

    /// The same with so much memory for what was read, in bytes.
    pub(super) fn far_with(&self, cache_bytes: usize) -> (Arc<RemoteFs>, Block) {
        let mut tier = Tier::new(Arc::clone(&self.store) as Arc<dyn ObjectStore>, cache_bytes).unwrap();
        tier.retry = self.ledger.retry();
        let remote = Arc::new(RemoteFs::over(&self.ledger, &tier));
        let manifest = Arc::clone(&self.ledger.load().unwrap().manifest);
        let stored = manifest.blocks.get(&ID).unwrap();
        remote.add(&self.ledger, stored);
        let fs = Arc::clone(&remote) as Arc<dyn Fs>;
        let cache = Arc::new(FrameCache::new(64 << 20));
        let block = Block::far(&fs, &remote.dir(ID), stored.meta.clone(), cache, tier.retry.most);
        (remote, block)
    }
}

pub(super) fn equal(name: &str, value: &str) -> Matcher {
    Matcher::new(MatchOp::Equal, name, value).unwrap()
}

/// A series with the times and bits of its samples.
pub(super) type Read = (Labels, Vec<(i64, u64)>);

/// All samples of the series of `matchers`; or the first error.
pub(super) fn read(block: &Block, matchers: &[Matcher]) -> Result<Vec<Read>, String> {
    let mut damage = Vec::new();
    let found =
        block.select(matchers, TimeRange::ALL, &Projection::All, &mut damage).map_err(|e| e.to_string())?;
    if let Some(error) = damage.first() {
        return Err(error.to_string());
    }
    let mut all = Vec::new();
    let mut columns = SampleColumns::new();
    for series in found {
        columns.clear();
        let read = block.read(&series.chunks, &series.deleted, TimeRange::ALL, &mut columns);
        read.map_err(|error| error.to_string())?;
        let values = columns.values.iter().map(|value| value.to_bits());
        all.push((series.labels, columns.timestamps.iter().copied().zip(values).collect()));
    }
    Ok(all)
}

#[test]
fn a_block_far_away_answers_like_the_one_on_disk_in_three_steps() {
    let fixture = fixture(400, 30, 60);
    fixture.ship();
    fixture.store.set_latency(Duration::from_millis(20));
    for matchers in [
        vec![equal("__name__", "metric_0007_total")],
        vec![equal("__name__", "metric_0011_total"), equal("job", "job-007")],
        vec![equal("instance", "host-000123:9100")],
        vec![
            equal("__name__", "metric_0011_total"),
            Matcher::new(MatchOp::NotEqual, "job", "job-007").unwrap(),
        ],
        vec![Matcher::new(MatchOp::Regex, "__name__", "metric_000.*").unwrap(), equal("job", "job-001")],
        vec![equal("__name__", "nothing")],
    ] {
        let (remote, far) = fixture.far();
        fixture.store.take_asked();
        assert_eq!(read(&far, &matchers).unwrap(), read(&fixture.block, &matchers).unwrap());
        let asked = fixture.store.take_asked();
        assert!((1..=3).contains(&asked.in_a_row), "{matchers:?}: {asked:?}");
        assert!(remote.cached_bytes() > 0);
        read(&far, &matchers).unwrap();
        assert_eq!(fixture.store.take_asked().calls, 0, "all of it is near now");
    }
}

#[test]
fn failing_calls_are_repeated_and_wrong_bytes_read_once_more() {
    let fixture = fixture(20, 3, 60);
    fixture.ship();
    let calls = AtomicU64::new(0);
    fixture.store.set_script(move |_| match calls.fetch_add(1, Ordering::SeqCst) % 3 {
        0 => Fate::Fails,
        _ => Fate::Succeeds,
    });
    let (_, far) = fixture.far();
    assert_eq!(read(&far, &[]).unwrap(), read(&fixture.block, &[]).unwrap());
}

#[test]
fn reads_are_repeated_as_often_as_the_settings_say_and_blocks_opened_anew_as_soon() {
    let fixture = fixture(20, 3, 60);
    fixture.ship();
    let (remote, far) = fixture.far();
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    fixture.store.set_script(move |call| {
        counted.fetch_add(u64::from(call.action == "get"), Ordering::SeqCst);
        Fate::Fails
    });
    let index = remote.dir(ID).join(names::INDEX);
    remote.read(&index).unwrap_err();
    // A slow machine may ask a second time before the first answer is there.
    let asked = 1 + remote.counts().hedged.load(Ordering::SeqCst);
    let calls = calls.load(Ordering::SeqCst);
    assert!((3..=3 * asked).contains(&calls), "{calls} calls for {asked} reads of three attempts each");
    // The index is there, the samples are not.
    fixture.store.set_script(|call| match call.key.contains("chunks") {
        true => Fate::Fails,
        false => Fate::Succeeds,
    });
    read(&far, &[]).unwrap_err();
    fixture.store.clear_script();
    assert_eq!(read(&far, &[]).unwrap(), read(&fixture.block, &[]).unwrap());
}

#[test]
fn a_read_that_takes_long_is_asked_for_a_second_time_and_the_first_answer_counts() {
    let fixture = fixture(20, 3, 60);
    fixture.ship();
    let (remote, far) = fixture.far();
    let (over, held) = channel::<()>();
    let held = Mutex::new(Some(held));
    // The first read of samples is answered when everything is over.
    fixture.store.set_script(move |call| {
        if call.action == "get" && call.key.contains("chunks") {
            let held = held.lock().take();
            held.iter().for_each(|held| assert!(held.recv().is_err(), "it is over"));
        }
        Fate::Succeeds
    });
    assert_eq!(read(&far, &[]).unwrap(), read(&fixture.block, &[]).unwrap());
    assert!(remote.counts().hedged.load(Ordering::SeqCst) >= 1);
    assert_eq!(remote.counts().failures.load(Ordering::SeqCst), 0);
    drop(over);
}

#[test]
fn a_deleted_replaced_or_damaged_object_is_named_and_never_believed() {
    let fixture = fixture(40, 3, 60);
    fixture.ship();
    let right = read(&fixture.block, &[]).unwrap();
    let keys: Vec<String> = fixture.store.keys().into_iter().filter(|key| key.contains("/blocks/")).collect();
    assert_eq!(keys.len(), 2);
    for key in &keys {
        let bytes = fixture.store.get(key, 0..fixture.store.head(key).unwrap().size, None).unwrap();
        let put_back = || fixture.store.tamper(key, false, |now| now.clone_from(&bytes));
        // Replaced, and the store says so.
        fixture.store.tamper(key, true, |bytes| bytes[50] ^= 1);
        let error = read(&fixture.far().1, &[]).unwrap_err();
        assert!(error.contains("tenant/blocks/"), "{error}");
        // Replaced, and nobody says so.
        let version = fixture.store.head(key).unwrap().version;
        fixture
            .ledger
            .commit::<super::super::LedgerError>(|manifest| {
                let files = manifest.blocks.get_mut(&ID).unwrap().files.iter_mut();
                files
                    .filter(|file| key.ends_with(&file.key(ID)))
                    .for_each(|file| file.version = version.clone());
                Ok(true)
            })
            .unwrap();
        for at in (0..bytes.len()).step_by(bytes.len() / 40) {
            put_back();
            fixture.store.tamper(key, false, |bytes| bytes[at] ^= 0x10);
            if let Ok(answer) = read(&fixture.far().1, &[]) {
                assert!(answer == right, "{key}: byte {at} is believed");
            }
        }
        put_back();
        assert_eq!(read(&fixture.far().1, &[]).unwrap(), right);
    }
    fixture.store.delete(&keys[1]).unwrap();
    let error = read(&fixture.far().1, &[]).unwrap_err();
    assert!(error.contains("there is no object"), "{error}");
}

#[test]
fn an_upload_that_fails_anywhere_is_done_again_and_leaves_nothing_behind() {
    let right = fixture(10, 2, 30);
    let answer = read(&right.block, &[]).unwrap();
    for fate in [Fate::Fails, Fate::FailsAfterwards] {
        for broken in 0..40 {
            let fixture = fixture(10, 2, 30);
            let fixture = &fixture;
            let calls = AtomicU64::new(0);
            // From this call on nothing works: the process is gone.
            fixture.store.set_script(move |_| {
                let call = calls.fetch_add(1, Ordering::SeqCst);
                if call < broken { Fate::Succeeds } else { fate }
            });
            let first = fixture
                .put()
                .map_err(|_| ())
                .and_then(|stored| name_blocks(&fixture.ledger, &[stored], &BTreeSet::new()).map_err(|_| ()));
            fixture.store.clear_script();
            if first.is_err() {
                fixture.ship();
            }
            assert_eq!(read(&fixture.far().1, &[]).unwrap(), answer);
            fixture.ledger.sweep(1).unwrap();
            assert_eq!(read(&fixture.far().1, &[]).unwrap(), answer);
            let blocks = fixture.store.keys().iter().filter(|key| key.contains("/blocks/")).count();
            assert_eq!(blocks, 2, "{:?}", fixture.store.keys());
            if first.is_ok() {
                break;
            }
        }
    }
}

#[test]
fn bytes_that_arrive_wrong_are_not_named() {
    let fixture = fixture(10, 2, 30);
    fixture.put().unwrap();
    let index = fixture.store.keys().into_iter().find(|key| key.contains("index")).unwrap();
    // A torn object of the right name: it is found out and put again.
    fixture.store.tamper(&index, true, |bytes| bytes[60] ^= 1);
    fixture.ship();
    assert_eq!(read(&fixture.far().1, &[]).unwrap(), read(&fixture.block, &[]).unwrap());
}

#[test]
fn orphans_go_after_a_delay_and_what_is_named_stays() {
    let fixture = fixture(10, 2, 30);
    fixture.store.set_now(1_000);
    fixture.put().unwrap();
    assert_eq!(fixture.ledger.sweep(1_000).unwrap(), 0, "too young");
    assert_eq!(fixture.ledger.sweep(1_001).unwrap(), 2, "nobody names them");
    fixture.ship();
    assert_eq!(fixture.ledger.sweep(5_000).unwrap(), 0);
    name_blocks(&fixture.ledger, &[], &BTreeSet::from([ID])).unwrap();
    assert_eq!(fixture.ledger.sweep(5_000).unwrap(), 2);
}
