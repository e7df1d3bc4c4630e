//! Blocks on object storage are merged by whoever has the lease, and deleted in by everybody: nothing is lost, nothing
//! comes back, and what a loser made is never named.

use super::fixture::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tsdb::fs::{Fs, Loss, SimFs};
use tsdb::tier::{Fate, Ledger, Manifest, ObjectStore, SimStore, Tier, TierRole};
use tsdb::{Appendable, Db, Error, Labels, Matcher, Options, RollupLevel, TimeRange};
use tsdb_core::MatchOp;
use tsdb_core::metadata::{Metadata, MetricType};
use tsdb_core::testing::ManualClock;
use tsdb_core::time::Clock;

/// Sets of databases that work on one store and one clock.
struct World {
    store: Arc<SimStore>,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> Self {
        Self { store: Arc::new(SimStore::new()), clock: Arc::new(ManualClock::at(1_000_000)) }
    }

    fn tier(&self) -> Tier {
        let mut tier = Tier::new(Arc::clone(&self.store) as Arc<dyn ObjectStore>, 8 << 20).unwrap();
        tier.prefix = "fleet".into();
        tier.keep_local_ms = 0;
        tier.retry.attempts = 2;
        tier.retry.first = Duration::ZERO;
        tier.interval = Duration::from_millis(1);
        tier
    }

    fn options(&self, tier: Tier) -> Options {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Options { tier: Some(tier), clock, ..options() }
    }

    fn owner(&self, fs: &SimFs) -> Db {
        open_with(fs, self.options(self.tier())).unwrap()
    }

    /// An owner whose blocks stay on its disk.
    fn owner_that_keeps(&self, fs: &SimFs) -> Db {
        let mut tier = self.tier();
        tier.keep_local_ms = 10_000_000;
        open_with(fs, self.options(tier)).unwrap()
    }

    fn compactor(&self, fs: &SimFs) -> Db {
        let mut tier = self.tier();
        tier.role = TierRole::Compactor;
        open_with(fs, self.options(tier)).unwrap()
    }

    /// An owner all of whose blocks are let go, and what it holds.
    fn filled(&self, fs: &SimFs) -> (Db, Contents) {
        let db = self.owner(fs);
        fill(&db, 0, 11_000);
        db.maintain().unwrap();
        let expected = part(&contents(&db), TimeRange::new(0, 9_999).unwrap(), |_| true);
        db.ship().unwrap();
        assert_eq!((far(&db), on_disk(fs)), (10, 0));
        (db, expected)
    }

    fn manifest(&self) -> Arc<Manifest> {
        let store = Arc::clone(&self.store) as Arc<dyn ObjectStore>;
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let loaded = Ledger::new(store, "fleet", clock).load().unwrap();
        Arc::clone(&loaded.manifest)
    }
}

fn fill(db: &Db, from: i64, to: i64) {
    for t in (from..to).step_by(100) {
        append_all(db, &[(0, t, t as f64), (1, t, -t as f64), (2, t, 0.5)]);
    }
}

fn far(db: &Db) -> u64 {
    db.stats().tier.unwrap().blocks
}

fn on_disk(fs: &SimFs) -> usize {
    let entries = fs.list(Path::new(DIR)).unwrap();
    entries.iter().filter(|entry| entry.is_dir && entry.name.len() == 26).count()
}

/// What was shipped, as `db` answers it.
fn shipped(db: &Db) -> Contents {
    part(&contents(db), TimeRange::new(0, 9_999).unwrap(), |_| true)
}

fn series(number: usize) -> Vec<Matcher> {
    vec![Matcher::new(MatchOp::Equal, "series", number.to_string()).unwrap()]
}

#[test]
fn blocks_that_nobody_holds_become_one_and_everybody_reads_that() {
    let world = World::new();
    let (owner_fs, fs) = (SimFs::new(), SimFs::new());
    let (owner, expected) = world.filled(&owner_fs);
    let compactor = world.compactor(&fs);
    compactor.compact_far().unwrap();
    assert_eq!(
        world.manifest().blocks.len(),
        2,
        "nine windows became one, the tenth is the first of the next"
    );
    assert!(world.manifest().lease.is_none(), "the lease is given back");
    assert_eq!((shipped(&compactor), on_disk(&fs)), (expected.clone(), 0));
    owner.ship().unwrap();
    assert_eq!((far(&owner), shipped(&owner)), (2, expected.clone()));
    // The owner merges as well, if it is asked to.
    fill(&owner, 11_000, 30_000);
    owner.maintain().unwrap();
    owner.ship().unwrap();
    owner.compact_far().unwrap();
    assert!(far(&owner) <= 4, "{} blocks", far(&owner));
    assert_eq!(shipped(&owner), expected);
    assert!(owner.stats().compactions.done > 0);
}

/// The files of the only block of windows, but for its description: on `fs`, or else on object storage.
fn windows(world: &World, fs: Option<&SimFs>) -> Vec<Vec<u8>> {
    let names = ["index", "chunks/000001"];
    let Some(fs) = fs else {
        let manifest = world.manifest();
        let mut found = manifest.blocks.iter().filter(|(_, stored)| stored.meta.rollup.is_some());
        let (id, stored) = found.next().unwrap();
        assert!(found.next().is_none());
        let of = |name: &&str| stored.files.iter().find(|file| file.path == **name).unwrap();
        let get = |name| {
            let file = of(&name);
            world.store.get(&format!("fleet/{}", file.key(*id)), 0..file.size, None).unwrap()
        };
        return names.map(get).into();
    };
    let described = fs.files().into_iter().filter(|path| path.ends_with("meta.json"));
    let is_rollup =
        |path: &PathBuf| String::from_utf8(fs.read(path).unwrap()).unwrap().contains("\"rollup\"");
    let found: Vec<PathBuf> = described.filter(is_rollup).collect();
    assert_eq!(found.len(), 1);
    names.map(|name| fs.read(&found[0].with_file_name(name)).unwrap()).into()
}

#[test]
fn windows_of_a_compactor_are_those_of_the_owner_whatever_types_were_declared() {
    const SPAN: i64 = 288 * WINDOW;
    let types =
        [("heat", MetricType::Gauge), ("level_total", MetricType::Gauge), ("jobs", MetricType::Counter)];
    for is_merged_before in [false, true] {
        let world = World::new();
        let with = |role, rollups| {
            let mut tier = world.tier();
            tier.role = role;
            Options { block_range_ms: 50_000, rollups, ..world.options(tier) }
        };
        let levels = || vec![RollupLevel::new(WINDOW, 0, None)];
        let fs = SimFs::new();
        let owner = open_with(&fs, with(TierRole::Owner, Vec::new())).unwrap();
        for t in (1..SPAN).step_by(500) {
            let mut batch = owner.appender();
            for (name, metric_type) in types {
                batch.set_metadata(name, Metadata { metric_type, ..Metadata::default() });
                let series = batch.series(&Labels::from_pairs([("__name__", name)]).unwrap()).unwrap();
                // What falls all the time is no counter by its shape.
                let value = if metric_type == MetricType::Counter { -t } else { t };
                batch.append(series, t, value as f64);
            }
            batch.commit().unwrap();
        }
        owner.flush().unwrap();
        let alone = fs.process_killed();
        let reference = open_with(&alone, Options { tier: None, ..with(TierRole::Owner, levels()) }).unwrap();
        reference.maintain().unwrap();
        owner.ship().unwrap();
        assert_eq!(on_disk(&fs), 0);
        if is_merged_before {
            let compactor = open_with(&SimFs::new(), with(TierRole::Compactor, Vec::new())).unwrap();
            let before = world.manifest().blocks.len();
            compactor.compact_far().unwrap();
            assert!(world.manifest().blocks.len() < before);
        }
        let compactor = open_with(&SimFs::new(), with(TierRole::Compactor, levels())).unwrap();
        compactor.maintain().unwrap();
        compactor.ship().unwrap();
        assert_eq!(compactor.stats().rollups_made, 1);
        assert_eq!(windows(&world, None), windows(&world, Some(&alone)), "merged before: {is_merged_before}");
    }
}

#[test]
fn wrong_bytes_in_the_types_of_a_block_keep_it_from_no_merge() {
    let world = World::new();
    let owner = world.owner(&SimFs::new());
    let mut batch = owner.appender();
    batch.set_metadata("metric", Metadata { metric_type: MetricType::Gauge, ..Metadata::default() });
    batch.commit().unwrap();
    fill(&owner, 0, 11_000);
    owner.maintain().unwrap();
    let expected = shipped(&owner);
    owner.ship().unwrap();
    let types = || world.store.keys().into_iter().filter(|key| key.contains("/types-")).collect::<Vec<_>>();
    assert_eq!(types().len(), 10);
    world.store.tamper(&types()[3], false, |bytes| bytes[14] ^= 1);
    let compactor = world.compactor(&SimFs::new());
    compactor.compact_far().unwrap();
    let manifest = world.manifest();
    assert_eq!((manifest.blocks.len(), shipped(&compactor)), (2, expected));
    let merged = manifest.blocks.values().find(|stored| stored.meta.level > 1).unwrap();
    assert!(merged.files.iter().any(|file| file.path == "types"), "what the others know goes on");
}

#[test]
fn a_block_that_its_server_holds_is_merged_by_nobody_else() {
    let world = World::new();
    let fs = SimFs::new();
    let owner = world.owner_that_keeps(&fs);
    fill(&owner, 0, 11_000);
    owner.maintain().unwrap();
    owner.ship().unwrap();
    assert_eq!((world.manifest().blocks.len(), on_disk(&fs)), (10, 10));
    let compactor = world.compactor(&SimFs::new());
    compactor.compact_far().unwrap();
    assert_eq!(world.manifest().blocks.len(), 10);
    let error = compactor.delete(&[], TimeRange::new(0, 500).unwrap()).unwrap_err();
    assert!(matches!(error, Error::FarAway { .. }), "{error}");
    // Whoever has lost its disk takes over what it had, and lets all of them go.
    let expected = shipped(&owner);
    drop(owner);
    let mut tier = world.tier();
    tier.take_over = true;
    let owner = open_with(&SimFs::new(), world.options(tier)).unwrap();
    owner.ship().unwrap();
    compactor.compact_far().unwrap();
    assert_eq!((world.manifest().blocks.len(), shipped(&compactor)), (2, expected));
}

#[test]
fn of_two_compactors_the_loser_names_nothing_wherever_it_was_when_it_lost_the_lease() {
    for call in 0_usize.. {
        let world = World::new();
        let (owner, expected) = world.filled(&SimFs::new());
        let slow = world.compactor(&SimFs::new());
        let fast = Arc::new(world.compactor(&SimFs::new()));
        let (calls, store, clock) = (AtomicUsize::new(0), Arc::clone(&world.store), Arc::clone(&world.clock));
        let named_by_other = Arc::new(AtomicBool::new(false));
        let (other, is_named) = (Arc::clone(&fast), Arc::clone(&named_by_other));
        world.store.set_script(move |_| {
            if calls.fetch_add(1, Ordering::SeqCst) == call {
                store.clear_script();
                // The slow one is away for so long that its lease runs out.
                clock.set(clock.now() + 600_000);
                other.compact_far().unwrap();
                is_named.store(true, Ordering::SeqCst);
            }
            Fate::Succeeds
        });
        slow.compact_far().unwrap();
        world.store.clear_script();
        let is_over = !named_by_other.load(Ordering::SeqCst);
        let manifest = world.manifest();
        assert_eq!(manifest.blocks.len(), 2, "after call {call}");
        let merged = manifest.blocks.values().filter(|stored| stored.meta.level > 1).count();
        assert_eq!(merged, 1, "after call {call}");
        for db in [&slow, &*fast, &owner] {
            db.ship().unwrap();
            assert_eq!(shipped(db), expected, "after call {call}");
        }
        if is_over {
            assert!(call > 20, "{call} calls");
            break;
        }
    }
}

#[test]
fn a_compactor_that_dies_at_any_call_leaves_the_old_blocks_or_the_new_one() {
    for operation in 0.. {
        let world = World::new();
        let (owner, expected) = world.filled(&SimFs::new());
        let fs = SimFs::new();
        let compactor = world.compactor(&fs);
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        world.store.set_script(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
            call if call < operation / 2 => Fate::Succeeds,
            call if call == operation / 2 && operation % 2 == 0 => Fate::FailsAfterwards,
            _ => Fate::Fails,
        });
        let outcome = compactor.compact_far();
        let fs = fs.after_power_cut(Loss::Everything);
        drop(compactor);
        world.store.clear_script();
        owner.ship().unwrap();
        assert_eq!(shipped(&owner), expected, "after call {operation}");
        // Its lease runs out, and another one goes on.
        world.clock.set(world.clock.now() + 600_000);
        let compactor = world.compactor(&fs);
        compactor.compact_far().unwrap();
        assert_eq!(world.manifest().blocks.len(), 2, "after call {operation}");
        owner.ship().unwrap();
        assert_eq!((shipped(&owner), shipped(&compactor)), (expected.clone(), expected));
        if outcome.is_ok() && calls.load(Ordering::SeqCst) < operation / 2 {
            assert!(operation > 40, "{operation} operations");
            break;
        }
    }
}

#[test]
fn a_delete_reaches_blocks_on_object_storage_and_lasts() {
    let world = World::new();
    let fs = SimFs::new();
    let (owner, mut expected) = world.filled(&fs);
    let range = TimeRange::new(500, 2_500).unwrap();
    owner.delete(&series(1), range).unwrap();
    owner.delete(&series(2), TimeRange::ALL).unwrap();
    take_out(&mut expected, range, |labels| labels.get("series") == Some("1"));
    take_out(&mut expected, TimeRange::ALL, |labels| labels.get("series") == Some("2"));
    assert_eq!(shipped(&owner), expected);
    // So does everybody who comes later, and whoever merges.
    let compactor = world.compactor(&SimFs::new());
    assert_eq!(shipped(&compactor), expected);
    compactor.compact_far().unwrap();
    assert_eq!(shipped(&compactor), expected);
    let merged = world.manifest();
    let merged = merged.blocks.values().find(|stored| stored.meta.level > 1).unwrap();
    assert_eq!((merged.meta.stats.series, merged.tombstones()), (2, None), "what was deleted is gone");
    drop(owner);
    assert_eq!(shipped(&world.owner(&fs.after_power_cut(Loss::Everything))), expected);
}

#[test]
fn a_delete_that_comes_at_any_moment_of_a_merge_is_not_lost() {
    for call in 0_usize.. {
        let world = World::new();
        let (owner, mut expected) = world.filled(&SimFs::new());
        take_out(&mut expected, TimeRange::ALL, |labels| labels.get("series") == Some("1"));
        let owner = Arc::new(owner);
        let compactor = world.compactor(&SimFs::new());
        let (calls, store, deleter) = (AtomicUsize::new(0), Arc::clone(&world.store), Arc::clone(&owner));
        let is_deleted = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_deleted);
        world.store.set_script(move |_| {
            if calls.fetch_add(1, Ordering::SeqCst) == call {
                store.clear_script();
                deleter.delete(&series(1), TimeRange::ALL).unwrap();
                told.store(true, Ordering::SeqCst);
            }
            Fate::Succeeds
        });
        compactor.compact_far().unwrap();
        world.store.clear_script();
        let is_over = !is_deleted.load(Ordering::SeqCst);
        if is_over {
            owner.delete(&series(1), TimeRange::ALL).unwrap();
        }
        compactor.ship().unwrap();
        compactor.compact_far().unwrap();
        owner.ship().unwrap();
        assert_eq!((shipped(&compactor), shipped(&owner)), (expected.clone(), expected), "call {call}");
        assert_eq!(world.manifest().blocks.len(), 2, "call {call}");
        if is_over {
            assert!(call > 20, "{call} calls");
            break;
        }
    }
}

#[test]
fn a_delete_while_the_store_is_down_is_refused_and_can_be_repeated() {
    let world = World::new();
    let (owner, mut expected) = world.filled(&SimFs::new());
    world.store.set_script(|_| Fate::Fails);
    let error = owner.delete(&series(1), TimeRange::ALL).unwrap_err();
    assert_eq!(error.kind(), tsdb::ErrorKind::Temporary, "{error}");
    world.store.clear_script();
    owner.delete(&series(1), TimeRange::ALL).unwrap();
    take_out(&mut expected, TimeRange::ALL, |labels| labels.get("series") == Some("1"));
    assert_eq!(shipped(&owner), expected);
}

#[test]
fn a_block_whose_last_sample_was_deleted_does_not_come_back_from_object_storage() {
    let world = World::new();
    let fs = SimFs::new();
    let owner = world.owner_that_keeps(&fs);
    fill(&owner, 0, 11_000);
    owner.maintain().unwrap();
    owner.ship().unwrap();
    let range = TimeRange::new(0, 1_999).unwrap();
    let mut expected = shipped(&owner);
    take_out(&mut expected, range, |_| true);
    owner.delete(&[], range).unwrap();
    owner.clean_tombstones().unwrap();
    assert_eq!((on_disk(&fs), world.manifest().blocks.len()), (8, 10));
    drop(owner);
    let owner = world.owner_that_keeps(&fs.after_power_cut(Loss::Everything));
    assert_eq!(shipped(&owner), expected);
    owner.ship().unwrap();
    owner.ship().unwrap();
    assert_eq!((world.manifest().blocks.len(), shipped(&owner)), (8, expected));
}

#[test]
fn deletes_in_blocks_on_disk_are_known_on_object_storage_after_the_next_round() {
    let world = World::new();
    let owner = world.owner_that_keeps(&SimFs::new());
    fill(&owner, 0, 11_000);
    owner.maintain().unwrap();
    owner.ship().unwrap();
    owner.delete(&series(0), TimeRange::ALL).unwrap();
    owner.ship().unwrap();
    // The disk is lost.
    let expected = shipped(&owner);
    drop(owner);
    let owner = world.owner(&SimFs::new());
    assert_eq!(shipped(&owner), expected);
    assert!(expected.keys().all(|labels| labels.get("series") != Some("0")));
}

#[test]
fn a_block_that_is_damaged_on_disk_is_read_from_object_storage() {
    let world = World::new();
    let fs = SimFs::new();
    let owner = world.owner_that_keeps(&fs);
    fill(&owner, 0, 11_000);
    owner.maintain().unwrap();
    let expected = shipped(&owner);
    owner.ship().unwrap();
    let entries = fs.list(Path::new(DIR)).unwrap();
    let block = entries.iter().find(|entry| entry.name.len() == 26).unwrap();
    let path = Path::new(DIR).join(&block.name).join("chunks/000001");
    let mut bytes = fs.read(&path).unwrap();
    bytes[40] ^= 1;
    fs.remove_file(&path).unwrap();
    fs.create_new(&path).unwrap().append(&bytes).unwrap();
    drop(owner);
    let owner = world.owner_that_keeps(&fs);
    assert_ne!(shipped(&owner), expected, "the damage costs samples");
    owner.ship().unwrap();
    assert_eq!(shipped(&owner), expected, "and they are back");
    assert_eq!((far(&owner), on_disk(&fs)), (1, 9));
}

#[test]
fn a_source_with_wrong_bytes_is_left_out_and_named_and_the_others_are_merged() {
    let world = World::new();
    let (owner, _) = world.filled(&SimFs::new());
    let key = world.store.keys().into_iter().find(|key| key.contains("chunks-000001")).unwrap();
    world.store.tamper(&key, false, |bytes| bytes[30] ^= 1);
    let compactor = world.compactor(&SimFs::new());
    compactor.compact_far().unwrap();
    let told = compactor.stats().warnings.join("\n");
    assert!(told.contains("is left out of compactions") && told.contains("checksum"), "{told}");
    assert!((3..10).contains(&world.manifest().blocks.len()), "{} blocks", world.manifest().blocks.len());
    owner.ship().unwrap();
}

#[test]
fn a_block_whose_tombstones_are_damaged_there_is_not_shown_and_that_is_said() {
    let world = World::new();
    let fs = SimFs::new();
    let (owner, _) = world.filled(&fs);
    owner.delete(&series(1), TimeRange::new(0, 500).unwrap()).unwrap();
    let key = world.store.keys().into_iter().find(|key| key.contains("/tombstones-")).unwrap();
    world.store.tamper(&key, false, |bytes| bytes[30] ^= 1);
    drop(owner);
    let owner = world.owner(&fs);
    owner.ship().unwrap();
    let querier = tsdb::Queryable::querier(&owner, TimeRange::ALL).unwrap();
    let set = querier.select(&[], &tsdb_core::read::SelectHints::over(TimeRange::ALL)).unwrap();
    let found = read(&*set);
    assert!(found.values().all(|samples| samples.range(..1_000).next().is_none()), "nothing comes back");
    let told = set.warnings().join("\n");
    assert!(told.contains("what is deleted in it cannot be read"), "{told}");
}
