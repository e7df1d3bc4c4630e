//! Small disks of a test's own: one in memory, one in a file with ext4 on it. Mounting takes root.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tsdb_core::testing::skipped;

/// What a volume lies on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Medium {
    /// Pages of memory.
    Memory,
    /// A file, through a loop device, with the ext4 file system, which turns read-only when it meets an error.
    Ext4,
}

/// A mounted file system. Dropping it unmounts it.
pub(crate) struct Volume {
    medium: Medium,
    folder: tempfile::TempDir,
    mebibytes: u32,
}

impl Volume {
    /// Mounts a file system of `mebibytes`. Says so and returns `None` where that is not possible.
    pub(crate) fn mount(medium: Medium, mebibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let volume = Self { medium, folder, mebibytes };
        fs::create_dir(volume.path()).unwrap();
        let size = format!("{mebibytes}M");
        let image = volume.image();
        let is_mounted = match medium {
            Medium::Memory => {
                let options = format!("size={size}");
                ran("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", text(&volume.path())])
            }
            Medium::Ext4 => {
                ran("truncate", &["-s", &size, text(&image)])
                    && ran("mkfs.ext4", &["-q", "-F", "-m", "0", text(&image)])
                    && volume.mount_image()
            }
        };
        if !is_mounted {
            skipped(&format!("mounting a file system ({medium:?}) takes root, mount and mkfs.ext4"));
        }
        is_mounted.then_some(volume)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("volume")
    }

    /// Fills all the space there is with a file, to the last byte.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.path().join("ballast");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let mut piece = 1 << 20;
        let bytes = vec![0xa5; piece];
        while piece > 0 {
            match file.write(&bytes[..piece]) {
                Ok(written) if written > 0 => {}
                _ => piece /= 2,
            }
        }
        path
    }

    /// Makes the file system believe that it is damaged, so that it turns read-only under whoever uses it. Says whether
    /// that is possible here.
    pub(crate) fn turn_read_only(&self) -> bool {
        let found = Command::new("findmnt").args(["-no", "SOURCE", text(&self.path())]).output();
        let device = found.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let device = device.unwrap_or_default();
        let name = device.rsplit('/').next().unwrap_or_default();
        let trigger = format!("/sys/fs/ext4/{name}/trigger_fs_error");
        let is_done = !name.is_empty() && fs::write(&trigger, "test").is_ok();
        if !is_done {
            skipped(&format!("turning a file system read-only takes {trigger}"));
        }
        is_done
    }

    /// Checks the file system and mounts it anew, writable.
    pub(crate) fn mend(&self) {
        assert!(ran("umount", &[text(&self.path())]));
        // Ends with 1 when there was something to correct.
        drop(Command::new("e2fsck").args(["-fy", text(&self.image())]).stdout(Stdio::null()).status());
        assert!(self.mount_image());
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join(format!("image-{}", self.mebibytes))
    }

    fn mount_image(&self) -> bool {
        ran("mount", &["-o", "loop,errors=remount-ro", text(&self.image()), text(&self.path())])
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Whoever still has a file open there keeps it until the end.
        ran("umount", &["--lazy", text(&self.path())]);
        let _ = self.medium;
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn ran(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stderr(Stdio::null()).stdout(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
