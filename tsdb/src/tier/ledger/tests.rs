//! Writers that meet, calls that fail, generations that are damaged.

use super::*;
use crate::SystemClock;
use crate::tier::{Fate, Lease, SimStore};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

fn ledger(store: &Arc<SimStore>) -> Ledger {
    let retry = Retry { attempts: 3, first: Duration::ZERO, most: Duration::ZERO };
    let store = Arc::clone(store) as Arc<dyn ObjectStore>;
    Ledger::new(store, "tenant", Arc::new(SystemClock)).with_retry(retry)
}

/// The changes of these tests: words in the holder of the lease.
fn words(manifest: &Manifest) -> BTreeSet<String> {
    let text = manifest.lease.as_ref().map_or("", |lease| &lease.holder);
    text.split_whitespace().map(String::from).collect()
}

/// Adds `word`, as a change that is asked again must: once.
fn add(ledger: &Ledger, word: &str) -> Result<Arc<Loaded>, LedgerError> {
    ledger.commit(|manifest| {
        let mut all = words(manifest);
        if !all.insert(word.into()) {
            return Ok(false);
        }
        let holder = all.into_iter().collect::<Vec<_>>().join(" ");
        manifest.lease = Some(Lease { holder, epoch: 1, until: 0 });
        Ok(true)
    })
}

#[test]
fn a_store_without_a_manifest_has_an_empty_one_and_changes_follow_each_other() {
    let store = Arc::new(SimStore::new());
    let (a, b) = (ledger(&store), ledger(&store));
    assert_eq!(a.load().unwrap().manifest.generation, 0);
    assert_eq!(add(&a, "one").unwrap().manifest.generation, 1);
    assert_eq!(add(&b, "two").unwrap().manifest.generation, 2);
    assert_eq!(add(&a, "two").unwrap().manifest.generation, 2, "nothing to change");
    assert_eq!(words(&a.load().unwrap().manifest), BTreeSet::from(["one".into(), "two".into()]));
    assert_eq!(
        store.keys(),
        ["tenant/manifest/00000000000000000001", "tenant/manifest/00000000000000000002"]
    );
}

#[test]
fn many_threads_lose_no_change() {
    let store = Arc::new(SimStore::new());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                let ledger = ledger(store);
                (0..10).for_each(|number| drop(add(&ledger, &format!("{thread}-{number}")).unwrap()));
            });
        }
    });
    let loaded = ledger(&store).load().unwrap();
    assert_eq!((words(&loaded.manifest).len(), loaded.manifest.generation), (40, 40));
}

#[test]
fn a_damaged_generation_falls_back_by_one_and_nothing_is_written() {
    let store = Arc::new(SimStore::new());
    let ledger = ledger(&store);
    add(&ledger, "one").unwrap();
    let second = add(&ledger, "two").unwrap();
    store.tamper("tenant/manifest/00000000000000000002", true, |bytes| bytes[20] ^= 1);
    let stranger = self::ledger(&store);
    let loaded = stranger.load().unwrap();
    assert_eq!(words(&loaded.manifest), BTreeSet::from(["one".into()]));
    assert_eq!(loaded.damaged.as_ref().unwrap().0, 2);
    assert!(matches!(add(&stranger, "three"), Err(LedgerError::Damaged { generation: 2, .. })));
    assert_eq!(store.keys().len(), 2);
    // Whoever still knows what it said goes on from there, and then all do.
    let reminded = self::ledger(&store);
    reminded.remember(Manifest::clone(&second.manifest));
    add(&reminded, "three").unwrap();
    let all = BTreeSet::from(["one".into(), "two".into(), "three".into()]);
    assert_eq!(words(&stranger.load().unwrap().manifest), all);
    assert_eq!(stranger.load().unwrap().damaged, None);
}

#[test]
fn a_manifest_that_nobody_changed_is_not_read_again() {
    let store = Arc::new(SimStore::new());
    let (a, b) = (ledger(&store), ledger(&store));
    add(&a, "one").unwrap();
    b.load().unwrap();
    store.take_asked();
    b.load().unwrap();
    let asked = store.take_asked();
    assert_eq!((asked.calls, asked.bytes), (1, 0));
    add(&a, "two").unwrap();
    assert_eq!(b.load().unwrap().manifest.generation, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Calls of one writer fail, before or after they took effect, and at any of them another writer changes the
    /// manifest as well: whatever a writer was told to be done is in the manifest in the end, once.
    #[test]
    fn what_was_told_to_be_done_is_done(
        fates in prop::collection::vec(0_u8..6, 0..40),
        meetings in prop::collection::btree_set(0_usize..40, 0..12),
    ) {
        let store = Arc::new(SimStore::new());
        let other = Arc::new(ledger(&store));
        let calls = Arc::new(AtomicUsize::new(0));
        let told = Arc::new(Mutex::new(BTreeSet::new()));
        let inside = Arc::new(AtomicUsize::new(0));
        let script = {
            let (other, told, calls) = (Arc::clone(&other), Arc::clone(&told), Arc::clone(&calls));
            move |_: &crate::tier::Call| {
                if inside.load(Ordering::SeqCst) > 0 {
                    return Fate::Succeeds;
                }
                let call = calls.fetch_add(1, Ordering::SeqCst);
                if meetings.contains(&call) {
                    inside.store(1, Ordering::SeqCst);
                    let word = format!("other-{call}");
                    add(&other, &word).unwrap();
                    told.lock().insert(word);
                    inside.store(0, Ordering::SeqCst);
                }
                match fates.get(call) {
                    Some(0) => Fate::Fails,
                    Some(1) => Fate::FailsAfterwards,
                    _ => Fate::Succeeds,
                }
            }
        };
        store.set_script(script);
        let writer = ledger(&store);
        let mut maybe = BTreeSet::new();
        for number in 0..4 {
            let word = format!("mine-{number}");
            match add(&writer, &word) {
                Ok(loaded) => {
                    prop_assert!(words(&loaded.manifest).contains(&word));
                    told.lock().insert(word);
                }
                Err(_) => drop(maybe.insert(word)),
            }
        }
        store.clear_script();
        let found = words(&ledger(&store).load().unwrap().manifest);
        let told = told.lock().clone();
        prop_assert!(told.is_subset(&found), "told {told:?}, found {found:?}");
        prop_assert!(found.difference(&told).all(|word| maybe.contains(word)));
    }
}
