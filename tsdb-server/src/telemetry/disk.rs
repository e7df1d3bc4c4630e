//! How much room the file system of the data directory has. On systems other than Unix these metrics are absent.

use super::Family;
use std::path::Path;

/// Metrics of the file system that `data_dir` is on; none if there is no such directory.
#[cfg(unix)]
pub(crate) fn families(data_dir: &Path) -> Vec<Family> {
    use super::{float, gauge};
    let Ok(room) = rustix::fs::statvfs(data_dir) else { return Vec::new() };
    let bytes = |blocks: u64| float(blocks.saturating_mul(room.f_frsize));
    vec![
        gauge(
            "tsdb_disk_available_bytes",
            "Bytes that this process may still write to the file system of the data directory.",
            bytes(room.f_bavail),
        ),
        gauge(
            "tsdb_disk_size_bytes",
            "Bytes of the file system of the data directory.",
            bytes(room.f_blocks),
        ),
    ]
}

/// None here.
#[cfg(not(unix))]
pub(crate) fn families(_data_dir: &Path) -> Vec<Family> {
    Vec::new()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_of_a_directory_has_a_size_and_less_room_than_that() {
        let folder = tempfile::tempdir().unwrap();
        let found = families(folder.path());
        let value = |name: &str| found.iter().find(|f| f.name == name).unwrap().points[0].value;
        let (available, size) = (value("tsdb_disk_available_bytes"), value("tsdb_disk_size_bytes"));
        assert!(size > 0.0 && (0.0..=size).contains(&available), "{available} of {size}");
        assert!(families(&folder.path().join("none")).is_empty());
    }
}
