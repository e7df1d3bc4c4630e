//! Secrets, of which the server knows only hashes, and which no output shows.
//!
//! A token is long and random, so a fast hash hides it: SHA-256. A password is neither, so its hash is slow: Argon2id,
//! in the form `$argon2id$v=19$m=...,t=...,p=...$salt$hash`. What a request presents is compared in constant time.

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// The hash of a token.
#[derive(Clone, Copy)]
pub(crate) struct TokenHash([u8; 32]);

/// A text that is no hash to verify a secret by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The secret, or that of the hash, is empty.
    #[error("the secret is empty")]
    Empty,
    /// Not 64 hexadecimal digits.
    #[error("the hash of a token has 64 hexadecimal digits")]
    TokenHash,
    /// A token that could be guessed.
    #[error("a token has at least {min} characters, this one has {found}", min = MIN_TOKEN_CHARS)]
    ShortToken {
        /// Its characters.
        found: usize,
    },
    /// No hash that Argon2id makes.
    #[error("the hash of a password begins with $argon2id$ and names its parameters and its salt")]
    PasswordHash,
    /// The hash cannot be computed.
    #[error("the hash of the password cannot be computed")]
    Hashing,
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers")]
    Random,
}

/// Characters of a token, at least: what is shorter can be found by its fast hash.
const MIN_TOKEN_CHARS: usize = 16;

/// Bytes of a token that is made here.
const TOKEN_BYTES: usize = 32;

impl TokenHash {
    /// The hash of a token that a request presents.
    pub(crate) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Reads 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Result<Self, SecretError> {
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        let hash = Self(hex(text).ok_or(SecretError::TokenHash)?);
        if hash.is(&Self::of("")) { Err(SecretError::Empty) } else { Ok(hash) }
    }

    /// Are the two equal? Takes the same time whatever they are.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// By which hashes are sorted. How long it takes to find one tells something of the hash of what was presented,
    /// which its sender knows, and nothing of a token.
    pub(crate) const fn shelf(&self) -> u16 {
        u16::from_le_bytes([self.0[0], self.0[1]])
    }
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        // `from_str_radix` takes a sign.
        *byte =
            digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok())??;
    }
    Some(bytes)
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

/// The slow hash of a password.
#[derive(Clone)]
pub(crate) struct PasswordHash(String);

impl PasswordHash {
    /// Reads a hash in the form of the module.
    pub(crate) fn parse(text: &str) -> Result<Self, SecretError> {
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        let parsed = Phc::new(text).map_err(|_| SecretError::PasswordHash)?;
        let complete = parsed.salt.is_some() && parsed.hash.is_some();
        if parsed.algorithm.as_str() != "argon2id" || !complete {
            return Err(SecretError::PasswordHash);
        }
        Ok(Self(text.to_owned()))
    }

    /// Is this the hash of `password`? Slow on purpose: tens of milliseconds, and 19 MiB of memory.
    pub(crate) fn is_of(&self, password: &str) -> bool {
        !password.is_empty()
            && Argon2::default().verify_password(password.as_bytes(), self.0.as_str()).is_ok()
    }

    /// A mark of the hash and a password, by `key`, to recognise the pair by without the slow hash.
    pub(crate) fn mark(&self, key: &[u8; 32], password: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(key);
        digest.update(self.0.as_bytes());
        digest.update([0]);
        digest.update(password.as_bytes());
        digest.finalize().into()
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// A new token: 256 random bits in hexadecimal digits.
///
/// # Errors
/// The operating system gives no random numbers.
pub fn new_token() -> Result<String, SecretError> {
    Ok(digits(&random::<TOKEN_BYTES>()?))
}

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], SecretError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| SecretError::Random)?;
    Ok(bytes)
}

/// What a credentials file holds for `token`.
///
/// # Errors
/// A token that is empty, or so short that it could be found by its hash.
pub fn hash_token(token: &str) -> Result<String, SecretError> {
    match token.chars().count() {
        0 => Err(SecretError::Empty),
        found @ 1..MIN_TOKEN_CHARS => Err(SecretError::ShortToken { found }),
        _ => Ok(digits(&TokenHash::of(token).0)),
    }
}

/// What a credentials file holds for `password`.
///
/// # Errors
/// An empty password, or no random numbers for the salt.
pub fn hash_password(password: &str) -> Result<String, SecretError> {
    if password.is_empty() {
        return Err(SecretError::Empty);
    }
    let hash: Phc = Argon2::default().hash_password(password.as_bytes()).map_err(|_| SecretError::Hashing)?;
    Ok(hash.to_string())
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_alone() {
        let token = new_token().unwrap();
        let hash = TokenHash::parse(&hash_token(&token).unwrap()).unwrap();
        assert!(hash.is(&TokenHash::of(&token)));
        assert!(!hash.is(&TokenHash::of(&format!("{token}x"))));
        assert_ne!(token, new_token().unwrap());
    }

    #[test]
    fn a_password_is_known_by_its_hash_and_salted() {
        let (one, two) = (hash_password("open sesame").unwrap(), hash_password("open sesame").unwrap());
        assert_ne!(one, two);
        let hash = PasswordHash::parse(&one).unwrap();
        assert!(hash.is_of("open sesame") && !hash.is_of("open") && !hash.is_of(""));
    }

    #[test]
    fn empty_and_short_secrets_and_their_hashes_are_refused() {
        assert_eq!(hash_token(""), Err(SecretError::Empty));
        assert_eq!(hash_token("short"), Err(SecretError::ShortToken { found: 5 }));
        assert_eq!(hash_password(""), Err(SecretError::Empty));
        assert!(matches!(PasswordHash::parse(""), Err(SecretError::Empty)));
        let of_nothing = digits(&TokenHash::of("").0);
        assert!(matches!(TokenHash::parse(&of_nothing), Err(SecretError::Empty)));
        for text in ["12", &"g".repeat(64), &"+1".repeat(32), &"\u{e9}".repeat(32)] {
            assert!(matches!(TokenHash::parse(text), Err(SecretError::TokenHash)), "{text}");
        }
        for text in ["hunter2", "$argon2id$", "$2b$12$abc", "$argon2id$v=19$m=19456,t=2,p=1"] {
            assert!(matches!(PasswordHash::parse(text), Err(SecretError::PasswordHash)), "{text}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let password = PasswordHash::parse(&hash_password("open sesame").unwrap()).unwrap();
        let shown = format!("{:?} {password:?}", TokenHash::of("0123456789abcdef"));
        assert_eq!(shown, "TokenHash(..) PasswordHash(..)");
    }
}
