//! Tenants: one database each, one folder each.

use super::fixture::*;
use std::path::Path;
use std::sync::Arc;
use tsdb::fs::{Fs, SimFs};
use tsdb::{Error, ErrorKind, Options, TenantId, Tenants};

fn open_root(fs: &SimFs) -> Result<Tenants, Error> {
    Tenants::open_on(Arc::new(fs.clone()), Path::new("/root"), options())
}

fn id(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

#[test]
fn tenants_do_not_see_each_other_and_are_found_again() {
    let fs = SimFs::new();
    let tenants = open_root(&fs).unwrap();
    append_all(&tenants.tenant(&id("a")).unwrap(), &[(0, 1, 1.0)]);
    append_all(&tenants.tenant(&id("b")).unwrap(), &[(1, 1, 1.0)]);
    assert!(tenants.existing(&id("c")).unwrap().is_none());
    assert!(matches!(open_root(&fs), Err(Error::Locked { .. })));
    tenants.close().unwrap();
    assert!(matches!(tenants.tenant(&id("a")), Err(Error::Closed)));
    let tenants = open_root(&fs).unwrap();
    let found: Vec<_> = tenants.list().into_iter().map(|(tenant, db)| (tenant, contents(&db))).collect();
    assert_eq!(found.iter().map(|(tenant, _)| tenant.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(found[0].1.contains_key(&labels(0)) && !found[0].1.contains_key(&labels(1)));
}

#[test]
fn there_is_a_limit_to_tenants_and_known_ones_are_within_it() {
    let fs = SimFs::new();
    let tenants = open_root(&fs).unwrap().with_limit(2);
    tenants.tenant(&id("a")).unwrap();
    tenants.tenant(&id("b")).unwrap();
    let error = tenants.tenant(&id("c")).err().unwrap();
    assert!(matches!(&error, Error::TooManyTenants { allowed: 2, .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Usage);
    tenants.tenant(&id("a")).unwrap();
}

#[test]
fn a_tenant_that_cannot_be_opened_hurts_no_other() {
    let fs = SimFs::new();
    let tenants = open_root(&fs).unwrap();
    tenants.tenant(&id("a")).unwrap();
    tenants.tenant(&id("b")).unwrap();
    drop(tenants);
    fs.overwrite(Path::new("/root/a/VERSION"), b"9").unwrap();
    let tenants = open_root(&fs).unwrap();
    assert!(matches!(tenants.tenant(&id("a")), Err(Error::UnknownVersion { .. })));
    append_all(&tenants.tenant(&id("b")).unwrap(), &[(0, 1, 1.0)]);
    fs.overwrite(Path::new("/root/a/VERSION"), b"1\n").unwrap();
    assert!(tenants.tenant(&id("a")).is_ok());
}

#[test]
fn all_tenants_share_one_cache_and_a_copy_under_another_name_is_not_confused_with_its_original() {
    let fs = SimFs::new();
    let open_root = || {
        let options = Options { block_cache_bytes: 64 << 10, ..options() };
        Tenants::open_on(Arc::new(fs.clone()), Path::new("/root"), options).unwrap()
    };
    let tenants = open_root();
    let original = tenants.tenant(&id("original")).unwrap();
    let samples: Vec<Sample> = (0..4).flat_map(|s| (0..50).map(move |k| (s, k * 10, k as f64))).collect();
    append_all(&original, &samples);
    original.flush().unwrap();
    original.snapshot("/root/copy").unwrap();
    let all = contents(&original);
    drop((original, tenants));
    // The blocks have the same names; those of the copy lose their samples.
    let chunks =
        fs.files().into_iter().find(|path| path.starts_with("/root/copy") && path.ends_with("000001"));
    let chunks = chunks.unwrap();
    let mut bytes = fs.read(&chunks).unwrap();
    bytes.iter_mut().skip(12).for_each(|byte| *byte ^= 0x55);
    fs.remove_file(&chunks).unwrap();
    let file = fs.create_new(&chunks).unwrap();
    file.append(&bytes).unwrap();
    let tenants = open_root();
    assert_eq!(contents(&tenants.tenant(&id("original")).unwrap()), all);
    let held = tenants.cache_bytes();
    assert!(held > 0);
    assert_eq!(contents(&tenants.tenant(&id("copy")).unwrap()), Contents::new());
    for name in ["a", "b", "c"] {
        let db = tenants.tenant(&id(name)).unwrap();
        append_all(&db, &samples);
        db.flush().unwrap();
        assert_eq!(contents(&db), all);
    }
    assert!((held + 1..=64 << 10).contains(&tenants.cache_bytes()), "{}", tenants.cache_bytes());
}
