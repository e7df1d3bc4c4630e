//! Verifying passwords without letting anybody make the server compute slow hashes at will.
//!
//! A password that was right is recognised by a mark of it, under a key that lives as long as the process. Few hashes
//! are computed at a time, and who waits too long for a turn is sent away. An unknown user costs as much as a wrong
//! password, so that time tells nobody which users there are.

use super::secret::{PasswordHash, SecretError, hash_password, random};
use crate::error::{ApiError, ErrorKind};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Hashes computed at the same time.
const TURNS: usize = 2;

/// How long a request waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Passwords that are recognised.
const MAX_MARKS: usize = 1_024;

/// Verifies passwords.
pub(crate) struct Passwords {
    key: [u8; 32],
    marks: Mutex<HashSet<[u8; 32]>>,
    turns: Arc<Semaphore>,
    max_wait: Duration,
    /// The hash of a password that nobody knows.
    decoy: PasswordHash,
}

impl Passwords {
    /// # Errors
    /// The operating system gives no random numbers.
    pub(crate) fn new() -> Result<Self, SecretError> {
        let nobody: String = random::<32>()?.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
        Ok(Self {
            key: random()?,
            marks: Mutex::new(HashSet::new()),
            turns: Arc::new(Semaphore::new(TURNS)),
            max_wait: MAX_WAIT,
            decoy: PasswordHash::parse(&hash_password(&nobody)?)?,
        })
    }

    /// Is `password` that of `hash`? Without a hash, of a user whom nobody knows, it is not.
    ///
    /// # Errors
    /// Too many passwords are being verified.
    pub(crate) async fn verify(&self, hash: Option<&PasswordHash>, password: &str) -> Result<bool, ApiError> {
        let mark = hash.map(|hash| hash.mark(&self.key, password));
        if mark.is_some_and(|mark| self.marks.lock().contains(&mark)) {
            return Ok(true);
        }
        let turn = Arc::clone(&self.turns).acquire_owned();
        let Ok(Ok(turn)) = tokio::time::timeout(self.max_wait, turn).await else {
            let message = "too many passwords are being verified";
            return Err(ApiError::new(ErrorKind::Unavailable, message).retry_after(self.max_wait));
        };
        let (hash, password) = (hash.unwrap_or(&self.decoy).clone(), password.to_owned());
        let verified = tokio::task::spawn_blocking(move || {
            let right = hash.is_of(&password);
            drop(turn);
            right
        });
        let right = verified.await.unwrap_or(false);
        match mark {
            Some(mark) if right => self.remember(mark),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn remember(&self, mark: [u8; 32]) {
        let mut marks = self.marks.lock();
        if marks.len() >= MAX_MARKS {
            marks.clear();
        }
        marks.insert(mark);
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_right_password_is_verified_once_and_a_wrong_one_each_time() {
        let passwords = Passwords::new().unwrap();
        let hash = PasswordHash::parse(&hash_password("right").unwrap()).unwrap();
        assert!(!passwords.verify(Some(&hash), "wrong").await.unwrap());
        assert!(!passwords.verify(None, "right").await.unwrap());
        assert!(passwords.verify(Some(&hash), "right").await.unwrap());
        assert_eq!(passwords.marks.lock().len(), 1);
        let all = Arc::clone(&passwords.turns).acquire_many_owned(TURNS as u32).await.unwrap();
        assert!(passwords.verify(Some(&hash), "right").await.unwrap(), "needs no turn");
        drop(all);
        let other = PasswordHash::parse(&hash_password("right").unwrap()).unwrap();
        assert!(passwords.verify(Some(&other), "right").await.unwrap());
        assert_eq!(passwords.marks.lock().len(), 2, "a changed hash is verified anew");
    }

    #[tokio::test]
    async fn who_waits_too_long_is_sent_away() {
        let passwords = Passwords { max_wait: Duration::from_millis(5), ..Passwords::new().unwrap() };
        let all = Arc::clone(&passwords.turns).acquire_many_owned(TURNS as u32).await.unwrap();
        let error = passwords.verify(None, "x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        drop(all);
    }
}
