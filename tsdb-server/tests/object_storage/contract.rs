//! What the engine relies on, whatever the service.

use tsdb::tier::{Condition, ObjectStore, StoreError};

/// Checks the calls of an empty `store` one after the other.
pub(crate) fn holds_for(store: &dyn ObjectStore) {
    let first = store.put("a/one", b"first", &Condition::Absent).unwrap();
    assert!(matches!(store.put("a/one", b"again", &Condition::Absent), Err(StoreError::Conflict { .. })));
    let second = store.put("a/one", b"second", &Condition::Unchanged(first.clone())).unwrap();
    assert!(matches!(
        store.put("a/one", b"third", &Condition::Unchanged(first.clone())),
        Err(StoreError::Conflict { .. })
    ));
    assert_eq!(store.head("a/one").unwrap().version, Some(second.clone()));
    assert_eq!(store.get("a/one", 1..4, Some(&second)).unwrap(), b"eco");
    assert!(matches!(store.get("a/one", 0..2, Some(&first)), Err(StoreError::Conflict { .. })));
    assert!(matches!(store.get("a/two", 0..2, None), Err(StoreError::NotFound { .. })));
    assert!(matches!(store.head("a/two"), Err(StoreError::NotFound { .. })));
    // In several parts.
    let long: Vec<u8> = (0..20_u32 << 20).map(|n| ((n * 31) >> 3) as u8).collect();
    let put = store.upload("a/long", &mut &long[..], long.len() as u64).unwrap();
    let info = store.head("a/long").unwrap();
    assert_eq!((info.size, info.version), (long.len() as u64, Some(put.clone())));
    let at = 9 << 20;
    assert_eq!(store.get("a/long", at..at + 1000, Some(&put)).unwrap(), long[at as usize..][..1000]);
    assert!(store.upload("a/short", &mut &long[..5], 6).is_err());
    store.put("a/b/deep", b"", &Condition::Always).unwrap();
    let mut keys: Vec<String> = store.list("a").unwrap().into_iter().map(|info| info.key).collect();
    keys.sort();
    assert_eq!(keys, ["a/b/deep", "a/long", "a/one"]);
    assert_eq!(store.folders("a").unwrap(), ["b"]);
    store.delete("a/one").unwrap();
    store.delete("a/one").unwrap();
    assert_eq!(store.list("a").unwrap().len(), 2);
}
