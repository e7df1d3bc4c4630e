//! The durable steps under power cuts at every operation, and the simulated file system against the real one.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use proptest::prelude::*;
use std::io;
use std::path::Path;
use tsdb::fs::{DirLock, Fault, Fs, LockError, Loss, OsFs, SimFs, create_dirs, publish_dir, write_file};

fn losses(seed: u64) -> impl Iterator<Item = Loss> {
    [Loss::Everything, Loss::Nothing]
        .into_iter()
        .chain((0..6).map(move |draw| Loss::Random(seed * 10 + draw)))
}

/// Runs `prepare`, then `step` with a power cut at each of its operations, and hands every possible disk to `check`
/// with the outcome of the step.
fn cut_everywhere(
    prepare: impl Fn(&SimFs) -> io::Result<()>,
    step: impl Fn(&SimFs) -> io::Result<()>,
    check: impl Fn(&SimFs, bool),
) {
    let whole = SimFs::new();
    prepare(&whole).unwrap();
    let begin = whole.op_count();
    step(&whole).unwrap();
    for index in begin..=whole.op_count() {
        let fs = SimFs::new();
        prepare(&fs).unwrap();
        fs.inject(index, Fault::Crash);
        let acknowledged = step(&fs).is_ok();
        for loss in losses(index as u64) {
            check(&fs.after_power_cut(loss), acknowledged);
        }
    }
}

#[test]
fn a_file_written_atomically_is_old_or_new_and_new_once_acknowledged() {
    let path = Path::new("/file");
    let prepare = |fs: &SimFs| write_file(fs, path, b"old contents");
    let step = |fs: &SimFs| write_file(fs, path, b"new");
    cut_everywhere(prepare, step, |fs, acknowledged| {
        let found = fs.read(path).unwrap();
        assert!(found == b"new" || !acknowledged && found == b"old contents", "{found:?}");
    });
}

#[test]
fn an_atomic_write_that_fails_leaves_the_old_file_and_can_be_repeated() {
    let path = Path::new("/file");
    for fault in [Fault::Io, Fault::OutOfSpace] {
        for index in 5..10 {
            let fs = SimFs::new();
            write_file(&fs, path, b"old").unwrap();
            assert_eq!(fs.op_count(), 5);
            fs.inject(index, fault);
            if write_file(&fs, path, b"new").is_err() && index < 9 {
                assert_eq!(fs.read(path).unwrap(), b"old");
            }
            write_file(&fs, path, b"newer").unwrap();
            assert_eq!(fs.after_power_cut(Loss::Everything).read(path).unwrap(), b"newer");
            assert_eq!(fs.files(), [path]);
        }
    }
}

#[test]
fn a_published_directory_is_complete_or_absent_and_there_once_acknowledged() {
    let (temporary, block) = (Path::new("/block.tmp"), Path::new("/block"));
    let files = ["meta.json", "index", "chunks/000001"];
    let step = |fs: &SimFs| {
        fs.create_dir_all(&temporary.join("chunks"))?;
        for name in files {
            let file = fs.create_new(&temporary.join(name))?;
            file.append(name.as_bytes())?;
            file.sync()?;
        }
        publish_dir(fs, temporary, block)
    };
    cut_everywhere(
        |_| Ok(()),
        step,
        |fs, acknowledged| {
            let exists = fs.exists(block).unwrap();
            assert!(exists || !acknowledged);
            for name in files.iter().filter(|_| exists) {
                assert_eq!(fs.read(&block.join(name)).unwrap(), name.as_bytes());
            }
        },
    );
}

#[test]
fn created_directories_are_durable() {
    let path = Path::new("/a/b/c");
    cut_everywhere(
        |_| Ok(()),
        |fs| create_dirs(fs, path),
        |fs, acknowledged| {
            assert!(fs.exists(path).unwrap() || !acknowledged);
        },
    );
}

#[test]
fn unsynced_bytes_and_names_may_be_lost_and_synced_ones_may_not() {
    let fs = SimFs::new();
    let root = Path::new("/");
    let file = fs.create_new(Path::new("/a")).unwrap();
    file.append(b"durable").unwrap();
    file.sync().unwrap();
    assert!(!fs.after_power_cut(Loss::Everything).exists(Path::new("/a")).unwrap(), "the name is not synced");
    fs.sync_dir(root).unwrap();
    file.append(b" volatile").unwrap();
    assert_eq!(fs.read(Path::new("/a")).unwrap(), b"durable volatile");
    assert_eq!(fs.after_power_cut(Loss::Everything).read(Path::new("/a")).unwrap(), b"durable");
    assert_eq!(fs.after_power_cut(Loss::Nothing).read(Path::new("/a")).unwrap(), b"durable volatile");
    let mut lengths: Vec<usize> = (0..50)
        .map(|seed| fs.after_power_cut(Loss::Random(seed)).read(Path::new("/a")).unwrap().len())
        .collect();
    lengths.sort_unstable();
    lengths.dedup();
    assert!(lengths.len() > 5, "writes are torn at many places: {lengths:?}");
}

#[test]
fn a_failed_sync_drops_what_it_should_have_written_and_a_second_one_does_not_bring_it_back() {
    let fs = SimFs::new();
    let path = Path::new("/a");
    let file = fs.create_new(path).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    file.append(b"lost").unwrap();
    fs.inject(fs.op_count(), Fault::Io);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!(fs.read(path).unwrap(), b"lost", "the page cache still shows it");
    assert_eq!(fs.after_power_cut(Loss::Nothing).read(path).unwrap(), b"");
}

#[test]
fn a_full_disk_takes_what_fits_and_removing_makes_room() {
    let fs = SimFs::new();
    fs.set_capacity(Some(10));
    let file = fs.create_new(Path::new("/a")).unwrap();
    assert_eq!(file.append(b"more than ten bytes").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.size().unwrap(), 10);
    fs.remove_file(Path::new("/a")).unwrap();
    fs.create_new(Path::new("/b")).unwrap().append(b"ten bytes.").unwrap();
}

fn lock_is_exclusive(fs: &dyn Fs, dir: &Path) {
    let lock = DirLock::acquire(fs, dir).unwrap();
    let error = DirLock::acquire(fs, dir).unwrap_err();
    let LockError::Held { holder, .. } = &error else { panic!("{error}") };
    assert_eq!(*holder, Some(std::process::id()));
    let message = error.to_string();
    assert!(message.contains(&dir.display().to_string()), "{message}");
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    drop(lock);
    DirLock::acquire(fs, dir).unwrap();
}

#[test]
fn a_directory_is_locked_once_and_the_refusal_names_it_and_its_holder() {
    let dir = tempfile::tempdir().unwrap();
    lock_is_exclusive(&OsFs, dir.path());
    let sim = SimFs::new();
    sim.create_dir_all(Path::new("/data")).unwrap();
    lock_is_exclusive(&sim, Path::new("/data"));
    let missing = DirLock::acquire(&OsFs, &dir.path().join("missing")).unwrap_err();
    assert!(matches!(missing, LockError::Io { .. }));
}

/// What both file systems are asked to do; names are small numbers.
#[derive(Debug, Clone)]
enum Step {
    Create(u8),
    Append(u8, Vec<u8>),
    Truncate(u8, u8),
    MakeDir(u8, u8),
    Rename(u8, u8),
    RemoveFile(u8),
    RemoveDir(u8),
    Sync(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0_u8..6;
    let step = prop_oneof![
        name.clone().prop_map(Step::Create),
        (name.clone(), proptest::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(n, bytes)| Step::Append(n, bytes)),
        (name.clone(), 0_u8..10).prop_map(|(n, len)| Step::Truncate(n, len)),
        (name.clone(), name.clone()).prop_map(|(n, m)| Step::MakeDir(n, m)),
        (name.clone(), name.clone()).prop_map(|(n, m)| Step::Rename(n, m)),
        name.clone().prop_map(Step::RemoveFile),
        name.clone().prop_map(Step::RemoveDir),
        name.prop_map(Step::Sync),
    ];
    proptest::collection::vec(step, 0..40)
}

/// Applies a step below `root`; `None` where the two need not agree in detail.
fn apply(fs: &dyn Fs, root: &Path, step: &Step) -> Option<bool> {
    let path = |n: u8| root.join(format!("f{n}"));
    let is_file = |n: u8| fs.read(&path(n)).is_ok();
    let done = match step {
        Step::Create(n) => fs.create_new(&path(*n)).is_ok(),
        Step::Append(n, bytes) => {
            is_file(*n) && fs.open_append(&path(*n)).and_then(|f| f.append(bytes)).is_ok()
        }
        Step::Truncate(n, len) => {
            let shortens = fs.size(&path(*n)).is_ok_and(|size| size >= u64::from(*len));
            is_file(*n)
                && shortens
                && fs.open_append(&path(*n)).and_then(|f| f.truncate((*len).into())).is_ok()
        }
        Step::MakeDir(n, m) => !is_file(*n) && fs.create_dir_all(&path(*n).join(format!("d{m}"))).is_ok(),
        Step::Rename(n, m) => {
            let free = !fs.exists(&path(*m)).ok()?;
            (free || is_file(*n) && is_file(*m)) && fs.rename(&path(*n), &path(*m)).is_ok()
        }
        Step::RemoveFile(n) => is_file(*n) && fs.remove_file(&path(*n)).is_ok(),
        Step::RemoveDir(n) => !is_file(*n) && fs.remove_dir_all(&path(*n)).is_ok(),
        Step::Sync(n) => is_file(*n) && fs.open_append(&path(*n)).and_then(|f| f.sync()).is_ok(),
    };
    Some(done)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_simulated_file_system_shows_what_the_real_one_shows(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let (sim, root) = (SimFs::new(), Path::new("/root"));
        sim.create_dir_all(root).unwrap();
        for step in &steps {
            prop_assert_eq!(apply(&sim, root, step), apply(&OsFs, dir.path(), step), "{:?}", step);
            let listed = OsFs.list(dir.path()).unwrap();
            prop_assert_eq!(&sim.list(root).unwrap(), &listed);
            for entry in listed {
                let (here, there) = (root.join(&entry.name), dir.path().join(&entry.name));
                if entry.is_dir {
                    prop_assert_eq!(sim.list(&here).unwrap(), OsFs.list(&there).unwrap());
                } else {
                    prop_assert_eq!(sim.read(&here).unwrap(), OsFs.read(&there).unwrap());
                    let (mut a, mut b) = ([0; 7], [0; 7]);
                    prop_assert_eq!(sim.read_at(&here, 3, &mut a).unwrap(), OsFs.read_at(&there, 3, &mut b).unwrap());
                    prop_assert_eq!(a, b);
                    prop_assert_eq!(sim.size(&here).unwrap(), OsFs.size(&there).unwrap());
                }
            }
        }
    }
}
