//! Which database this is: a number drawn at its first start with object storage, in a file of its data directory.
//!
//! The manifest names the database whose blocks it lists. Another one below the same prefix would take them for blocks that
//! it has dropped; so it is refused until somebody says that it takes over. The number goes wherever the directory goes:
//! into backups and snapshots, and to another machine.

use crate::fs::{Fs, write_file};
use crate::{Error, names};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::path::Path;
use tsdb_core::bytes::checksum;

/// The number of the database in `dir`, drawn now if it has none. One that is damaged is drawn anew: then whoever runs the
/// database must say that it is the same.
///
/// # Errors
/// The file cannot be read or written.
pub(super) fn number(fs: &dyn Fs, dir: &Path) -> Result<u128, Error> {
    let path = dir.join(names::OWNER);
    match fs.read(&path) {
        Ok(bytes) => match parse(&bytes) {
            Some(number) => return Ok(number),
            None => log::error!("{} is damaged: object storage will not know this database", path.display()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io("read", path, error)),
    }
    let half = || u128::from(RandomState::new().hash_one(0));
    let number = (half() << 64 | half()).max(1);
    write_file(fs, &path, render(number).as_bytes()).map_err(|error| Error::io("write", path, error))?;
    Ok(number)
}

fn render(number: u128) -> String {
    let digits = format!("{number:032x}");
    format!("{digits} {:08x}\n", checksum(digits.as_bytes()))
}

fn parse(bytes: &[u8]) -> Option<u128> {
    let (digits, _) = std::str::from_utf8(bytes).ok()?.split_once(' ')?;
    let number = u128::from_str_radix(digits, 16).ok().filter(|number| *number > 0)?;
    (render(number).as_bytes() == bytes).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::SimFs;
    use crate::tier::golden;

    #[test]
    fn the_golden_number_is_read_and_written_the_same() {
        let number = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;
        let golden = golden::stored("owner", render(number).as_bytes());
        assert_eq!((parse(&golden), &golden[..]), (Some(number), render(number).as_bytes()));
    }

    #[test]
    fn a_number_is_drawn_once_and_a_damaged_one_anew() {
        let fs = SimFs::new();
        let dir = Path::new("/data");
        fs.create_dir_all(dir).unwrap();
        let first = number(&fs, dir).unwrap();
        assert_eq!(number(&fs, dir).unwrap(), first);
        fs.flip(&dir.join(names::OWNER), 3, 1).unwrap();
        assert_ne!(number(&fs, dir).unwrap(), first);
    }
}
