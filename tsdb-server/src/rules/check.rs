//! Rule files looked at without a server.

use super::parse_file;
use std::path::{Path, PathBuf};
use tsdb_promql::EngineOptions;

/// A rule file that no server would take.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuleCheckError {
    /// It cannot be read.
    #[error("{path} cannot be read: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It has mistakes.
    #[error("{}", .mistakes.join("\n"))]
    Mistakes {
        /// Each mistake, with line and column.
        mistakes: Vec<String>,
    },
}

/// Checks the rule file at `path` and returns how many rules it has.
///
/// # Errors
/// A file that cannot be read, or every mistake in it.
pub fn check_rules(path: &Path) -> Result<usize, RuleCheckError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| RuleCheckError::Read { path: path.to_owned(), source })?;
    let name = path.display().to_string();
    let groups = parse_file(&name, &text, &EngineOptions::default().parse);
    let groups = groups.map_err(|faults| RuleCheckError::Mistakes {
        mistakes: faults.iter().map(|fault| format!("{name}: {fault}")).collect(),
    })?;
    Ok(groups.iter().map(|group| group.rules().len()).sum())
}
