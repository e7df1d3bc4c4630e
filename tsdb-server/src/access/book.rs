//! The credentials in force, read anew when their file changes.
//!
//! A file that cannot be used leaves those in force that were, and says so: in the log, once for each change of the
//! file, and in the metric `tsdb_credentials_reload_successful`.

use super::credentials::{Credentials, CredentialsError};
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The credentials of a file.
#[derive(Debug)]
pub(crate) struct CredentialBook {
    path: PathBuf,
    current: RwLock<Arc<Credentials>>,
    /// What the file held when it was read last, used or not.
    seen: Mutex<Option<[u8; 32]>>,
    successful: AtomicBool,
}

impl CredentialBook {
    /// Reads the file at `path` for the first time.
    ///
    /// # Errors
    /// It cannot be used.
    pub(crate) fn open(path: &Path) -> Result<Self, CredentialsError> {
        let seen = fingerprint(path);
        let current = Arc::new(Credentials::load(path)?);
        Ok(Self {
            path: path.to_owned(),
            current: RwLock::new(current),
            seen: Mutex::new(seen),
            successful: AtomicBool::new(true),
        })
    }

    /// The credentials in force.
    pub(crate) fn current(&self) -> Arc<Credentials> {
        Arc::clone(&self.current.read())
    }

    /// Was the file usable when it was read last?
    pub(crate) fn is_successful(&self) -> bool {
        self.successful.load(Ordering::Relaxed)
    }

    /// Reads the file anew.
    ///
    /// # Errors
    /// It cannot be used; what was in force stays.
    pub(crate) fn reload(&self) -> Result<(), CredentialsError> {
        let mut seen = self.seen.lock();
        *seen = fingerprint(&self.path);
        let loaded = Credentials::load(&self.path);
        self.successful.store(loaded.is_ok(), Ordering::Relaxed);
        let credentials = loaded?;
        log::info!("{} credentials were read from {}", credentials.len(), self.path.display());
        *self.current.write() = Arc::new(credentials);
        Ok(())
    }

    /// Reads the file anew if it is not what was read last.
    ///
    /// # Errors
    /// As for [`reload`](Self::reload).
    pub(crate) fn refresh(&self) -> Result<(), CredentialsError> {
        if *self.seen.lock() == fingerprint(&self.path) { Ok(()) } else { self.reload() }
    }
}

/// What tells contents of the file apart: times do not, on a coarse clock or behind a changed link.
fn fingerprint(path: &Path) -> Option<[u8; 32]> {
    std::fs::read(path).ok().map(|bytes| Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::secret::hash_token;

    const TOKENS: [&str; 2] = ["the-first-token-of-all", "the-second-token-of-all"];

    fn text(token: &str) -> String {
        format!("[[credential]]\nname = \"x\"\ntoken_sha256 = \"{}\"\n", hash_token(token).unwrap())
    }

    fn knows(book: &CredentialBook) -> [bool; 2] {
        TOKENS.map(|token| book.current().of_token(token).is_some())
    }

    #[test]
    fn a_changed_file_is_read_and_a_broken_one_leaves_the_old_one_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.toml");
        assert!(CredentialBook::open(&path).is_err());
        std::fs::write(&path, text(TOKENS[0])).unwrap();
        let book = CredentialBook::open(&path).unwrap();
        std::fs::write(&path, text(TOKENS[1])).unwrap();
        assert_eq!(knows(&book), [true, false]);
        book.refresh().unwrap();
        assert_eq!(knows(&book), [false, true]);
        std::fs::write(&path, "[[credential]]\nname = \"x\"\n").unwrap();
        assert!(book.refresh().is_err());
        book.refresh().unwrap();
        assert_eq!(
            (knows(&book), book.is_successful()),
            ([false, true], false),
            "told once, and still in force"
        );
        assert!(book.reload().is_err(), "whoever asks for it is told again");
        std::fs::write(&path, [0xff]).unwrap();
        assert!(book.refresh().is_err());
        assert_eq!(knows(&book), [false, true]);
        std::fs::write(&path, text(TOKENS[0])).unwrap();
        book.refresh().unwrap();
        assert_eq!((knows(&book), book.is_successful()), ([true, false], true));
    }
}
