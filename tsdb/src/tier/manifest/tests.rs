//! The bytes of a manifest: golden, and what damage to them does.

use super::*;
use std::path::PathBuf;
use tsdb_core::TimeRange;
use tsdb_core::block::BlockStats;

fn block(number: u32) -> (BlockId, StoredBlock) {
    let id = BlockId(0x0190_0000_0000_0000_0000_0000_0000_0000 | u128::from(number));
    let meta = BlockMeta {
        id,
        range: TimeRange::new(1_700_000_000_000, 1_700_000_000_000_i64.saturating_add(number.into()))
            .unwrap(),
        stats: BlockStats { series: 3, samples: 30, histograms: 0, chunks: 3 },
        level: 1,
        sources: vec![id],
        parents: Vec::new(),
        incomplete: Vec::new(),
        rollup: None,
    };
    let file = |path: &str, version: Option<&str>| StoredFile {
        path: path.into(),
        size: 5_000_u64.saturating_add(number.into()),
        checksum: 0x0123_4567_89ab_cdef,
        tail: 4_000,
        version: version.map(|text| Version(text.into())),
    };
    let files = vec![file("chunks/000001", None), file("index", Some("\"etag\""))];
    (id, StoredBlock { description: Block::render_description(&meta), meta, files, is_held: true })
}

/// As the first version could write it.
fn example_of_version_1() -> Manifest {
    let lease = Some(Lease { holder: "compactor-1".into(), epoch: 6, until: 1_700_000_300_000 });
    let blocks = [block(1), block(2)].into();
    Manifest { generation: 42, writer: u128::MAX / 3, epoch: 7, lease, owner: 0, blocks }
}

/// With an owner.
fn example() -> Manifest {
    Manifest { owner: u128::MAX / 5, ..example_of_version_2() }
}

/// With a block that nobody holds and in which something is deleted.
fn example_of_version_2() -> Manifest {
    let mut manifest = example_of_version_1();
    let tombstones = StoredFile { path: "tombstones".into(), size: 60, checksum: 7, tail: 0, version: None };
    let mut last = manifest.blocks.last_entry().unwrap();
    last.get_mut().is_held = false;
    last.get_mut().set_tombstones(tombstones);
    manifest
}

fn golden(version: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version).join("manifest")
}

#[test]
fn a_manifest_of_the_first_version_is_read_and_its_blocks_are_held() {
    let bytes = std::fs::read(golden("v1")).unwrap();
    assert_eq!(Manifest::read(&bytes).unwrap(), example_of_version_1());
}

#[test]
fn a_manifest_of_the_second_version_is_read_and_has_no_owner() {
    let bytes = std::fs::read(golden("v2")).unwrap();
    assert_eq!(Manifest::read(&bytes).unwrap(), example_of_version_2());
}

#[test]
fn the_golden_manifest_is_read_and_written_the_same() {
    let written = example().to_bytes();
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(golden("v3"), &written).unwrap();
    }
    let bytes = std::fs::read(golden("v3")).unwrap();
    assert_eq!(Manifest::read(&bytes).unwrap(), example());
    assert_eq!(bytes, written, "this version writes other bytes than before");
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    let bytes = std::fs::read(golden("v3")).unwrap();
    for at in 0..bytes.len() {
        assert!(Manifest::read(&bytes[..at]).is_err(), "{at} bytes");
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            assert!(Manifest::read(&changed).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn what_a_reader_must_refuse_is_refused_also_with_a_right_checksum() {
    let refused = |change: &dyn Fn(&mut Manifest), rule: &str| {
        let mut manifest = example();
        change(&mut manifest);
        let error = Manifest::read(&manifest.to_bytes()).unwrap_err().to_string();
        assert!(error.contains(rule), "{error}");
    };
    let file = |manifest: &mut Manifest, change: &dyn Fn(&mut StoredFile)| {
        manifest.blocks.values_mut().for_each(|block| change(&mut block.files[1]));
    };
    refused(&|manifest| file(manifest, &|file| file.path = "../secret".into()), "files are those of a block");
    refused(&|manifest| file(manifest, &|file| file.path = "a/b/c".into()), "files are those of a block");
    refused(&|manifest| file(manifest, &|file| file.path = "a".into()), "files are those of a block");
    refused(&|manifest| file(manifest, &|file| file.tail = file.size + 1), "tail");
    refused(
        &|manifest| manifest.blocks.first_entry().unwrap().get_mut().description = b"{}".into(),
        "description",
    );
    refused(
        &|manifest| {
            let last = manifest.blocks.last_key_value().unwrap().1.description.clone();
            manifest.blocks.first_entry().unwrap().get_mut().description = last;
        },
        "its own",
    );
}
