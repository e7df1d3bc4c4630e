//! Directories that cannot be opened say why; closed databases stay closed.

use super::fixture::*;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tsdb::fs::{DirEntry, File, FileLock, Fs, SimFs};
use tsdb::{Appendable, Db, Durability, Error, ErrorKind, Options, Queryable, TimeRange};
use tsdb_core::read::ReadError;

#[test]
fn a_directory_is_opened_once_at_a_time() {
    let fs = SimFs::new();
    let first = open(&fs).unwrap();
    let error = open(&fs).err().unwrap();
    assert!(matches!(&error, Error::Locked { path } if path == Path::new(DIR)), "{error}");
    assert_eq!(error.kind(), ErrorKind::Foreign);
    let clone = first.clone();
    drop(first);
    assert!(open(&fs).is_err(), "a clone still uses it");
    clone.close().unwrap();
    assert!(open(&fs).is_ok());
}

#[test]
fn real_directories_are_locked_and_reopened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/data");
    let db = Db::open(&path, options()).unwrap();
    assert!(matches!(Db::open(&path, options()), Err(Error::Locked { .. })));
    append_all(&db, &[(0, 1, 1.0)]);
    db.flush().unwrap();
    append_all(&db, &[(0, 2, f64::NAN), (1, 2, -0.0)]);
    let before = contents(&db);
    drop(db);
    let db = Db::open(&path, Options { background: true, ..options() }).unwrap();
    assert_eq!(contents(&db), before);
    assert_eq!(db.stats().warnings, [""; 0]);
}

#[test]
fn other_versions_are_refused_by_name() {
    let fs = SimFs::new();
    drop(open(&fs).unwrap());
    fs.overwrite(Path::new("/data/VERSION"), b"7\n").unwrap();
    let error = open(&fs).err().unwrap();
    assert!(matches!(&error, Error::UnknownVersion { found, supported: "1", .. } if found == "7"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Foreign);
}

#[test]
fn a_damaged_version_file_is_no_other_version_and_is_made_good() {
    let fs = SimFs::new();
    append_all(&open(&fs).unwrap(), &[(0, 1, 1.0)]);
    let path = Path::new("/data/VERSION");
    let whole = fs.read(path).unwrap();
    let damaged = |bytes: &[u8]| {
        let fs = fs.process_killed();
        fs.overwrite(path, bytes).unwrap();
        fs
    };
    let flips = (0..whole.len() * 8).map(|bit| {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    let cuts = (whole.len() / 2..whole.len()).map(|len| whole[..len].to_vec());
    for bytes in flips.chain(cuts) {
        let fs = damaged(&bytes);
        let what = String::from_utf8_lossy(&bytes);
        let db = open(&fs).unwrap_or_else(|error| panic!("{what:?}: {error}"));
        assert_eq!(contents(&db)[&labels(0)].len(), 1);
        assert_eq!(fs.read(path).unwrap(), whole, "{what:?}");
    }
    for bytes in [&b""[..], b"\n", b"2 00000000\n2 00000000\n"] {
        assert!(
            matches!(open(&damaged(bytes)), Err(Error::UnknownVersion { .. })),
            "both copies lost: refused"
        );
    }
}

#[test]
fn the_directory_of_another_program_is_left_alone() {
    let fs = SimFs::new();
    fs.create_dir_all(Path::new("/data/wal")).unwrap();
    assert!(matches!(open(&fs), Err(Error::UnknownVersion { found, .. }) if found == "none"));
}

#[test]
fn unfinished_files_are_swept() {
    let fs = SimFs::new();
    drop(open(&fs).unwrap());
    fs.create_dir_all(Path::new("/data/01ARZ3NDEKTSV4RRFFQ69G5FAV.tmp/chunks")).unwrap();
    fs.create_new(Path::new("/data/01ARZ3NDEKTSV4RRFFQ69G5FAV.tmp/index")).unwrap();
    fs.create_new(Path::new("/data/VERSION.tmp")).unwrap();
    fs.create_dir_all(Path::new("/data/wal/checkpoint-000009-0.tmp")).unwrap();
    fs.create_dir_all(Path::new("/data/lost+found")).unwrap();
    let db = open(&fs).unwrap();
    assert_eq!(db.stats().warnings, [""; 0]);
    assert!(fs.files().iter().all(|path| !path.to_string_lossy().contains(".tmp")));
    assert!(!fs.exists(Path::new("/data/wal/checkpoint-000009-0.tmp")).unwrap());
    assert!(fs.exists(Path::new("/data/lost+found")).unwrap());
}

#[test]
fn a_read_only_file_system_is_named_as_such() {
    let fs = Arc::new(ReadOnly(SimFs::new()));
    let error = Db::open_on(fs, Path::new(DIR), options()).err().unwrap();
    assert!(matches!(error, Error::Permission { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Usage);
    let fs = SimFs::new();
    drop(open(&fs).unwrap());
    let error = Db::open_on(Arc::new(ReadOnly(fs)), Path::new(DIR), options()).err().unwrap();
    assert!(matches!(error, Error::Permission { .. }), "{error}");
}

#[test]
fn a_path_below_a_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), b"").unwrap();
    let error = Db::open(dir.path().join("file/data"), options()).err().unwrap();
    assert!(matches!(error, Error::Io { action: "create", .. }), "{error}");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let wrong = [
        Options { block_range_ms: 0, ..options() },
        Options { block_range_ms: i64::MAX, ..options() },
        Options { retention_ms: Some(1), ..options() },
        Options { future_skew_ms: Some(-1), ..options() },
        Options { durability: Durability::Interval(Duration::ZERO), ..options() },
        Options { durability: Durability::Interval(Duration::MAX), ..options() },
        Options { maintenance_interval: Duration::ZERO, ..options() },
    ];
    for options in wrong {
        let error = Db::open_on(Arc::new(SimFs::new()), Path::new(DIR), options).err().unwrap();
        assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}

#[test]
fn a_closed_database_refuses_everything_and_open_sets_stay_readable() {
    let fs = SimFs::new();
    let db = open(&fs).unwrap();
    append_all(&db, &[(0, 1, 1.0)]);
    let querier = db.querier(TimeRange::ALL).unwrap();
    let mut appender = db.appender();
    let series = appender.series(&labels(0)).unwrap();
    appender.append(series, 2, 2.0);
    db.close().unwrap();
    db.close().unwrap();
    let error = appender.commit().unwrap_err();
    assert!(!error.temporary && error.source.to_string().contains("closed"), "{error}");
    assert!(matches!(db.querier(TimeRange::ALL), Err(ReadError::Storage { .. })));
    assert!(matches!((db.flush(), db.maintain()), (Err(Error::Closed), Err(Error::Closed))));
    assert_eq!(contents_of(&*querier, &[], TimeRange::ALL)[&labels(0)].len(), 1);
}

/// A file system on which nothing can be changed.
#[derive(Debug)]
struct ReadOnly(SimFs);

fn refuse<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Fs for ReadOnly {
    fn create_new(&self, _path: &Path) -> io::Result<Box<dyn File>> {
        refuse()
    }

    fn open_append(&self, _path: &Path) -> io::Result<Box<dyn File>> {
        refuse()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.read(path)
    }

    fn read_at(&self, path: &Path, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(path, offset, buffer)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        self.0.size(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        if self.0.exists(dir)? { Ok(()) } else { refuse() }
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        refuse()
    }

    fn hard_link(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        refuse()
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        refuse()
    }

    fn remove_dir_all(&self, _dir: &Path) -> io::Result<()> {
        refuse()
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        refuse()
    }

    fn lock(&self, _path: &Path, _note: &str) -> io::Result<Box<dyn FileLock>> {
        refuse()
    }
}
