//! Blocks of Prometheus become blocks of ours with the same samples.

use crate::{dump, peers};
use std::path::Path;
use std::sync::Arc;
use tsdb::fs::{Fs, OsFs};
use tsdb::prometheus::{Imported, import};

pub(crate) fn import_into(source: &Path, target: &Path) -> Imported {
    let fs: Arc<dyn Fs> = Arc::new(OsFs);
    import(&fs, source, target, &mut |_| {}).unwrap()
}

#[test]
fn every_sample_of_a_real_capture_is_imported() {
    let (Some(capture), Some(promtool)) = (peers::capture(), peers::program("promtool")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (theirs, ours) = (folder.path().join("theirs"), folder.path().join("ours"));
    peers::copy(&capture, &theirs);
    // Without a log promtool takes it for no data directory.
    std::fs::create_dir_all(theirs.join("wal")).unwrap();
    let imported = import_into(&theirs, &ours);
    assert_eq!(imported.findings, []);
    assert_eq!((imported.series, imported.samples, imported.ahead), (2696, 3_603_622, 0));
    let compared = dump::compare(&promtool, &theirs, &ours);
    assert_eq!((compared.series, compared.samples), (2696, 3_603_622));
    eprintln!(
        "{compared:?}; {} bytes become {}, {:.3} of them",
        imported.source_bytes,
        imported.block_bytes,
        imported.block_bytes as f64 / imported.source_bytes as f64
    );
    // Once more changes nothing.
    let again = import_into(&theirs, &ours);
    assert_eq!((again.known_blocks, again.samples), (1, 0));
}
