//! What was left out of an import, and why.

use std::fmt;
use std::path::{Path, PathBuf};

/// Findings that are kept word for word; the others are counted.
const MAX_FINDINGS: usize = 1000;

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong and what was left out because of it, as a sentence for people.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)
    }
}

/// All findings of an import.
#[derive(Debug, Clone, Default)]
pub(super) struct Findings {
    pub(super) kept: Vec<Finding>,
    pub(super) others: u64,
}

impl Findings {
    pub(super) fn push(&mut self, path: &Path, what: impl Into<String>) {
        if self.kept.len() < MAX_FINDINGS {
            self.kept.push(Finding { path: path.to_owned(), what: what.into() });
        } else {
            self.others += 1;
        }
    }
}
