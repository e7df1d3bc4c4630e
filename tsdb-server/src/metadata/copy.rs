//! The last known budgets and rules in a file: what is in force at a start while the store is away.
//!
//! A line with the XXH3 (64 bits, in hexadecimal) of the rest, then the rest, JSON. The file before the last one is kept
//! under another name, and read where the last one is damaged or was not finished: limits a little old are better than none.

use super::{AlertRule, AlertRuleSpec, Overrides, RuleId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use tsdb::fs::{Fs, OsFs, write_file};
use tsdb_core::TenantId;
use xxhash_rust::xxh3::xxh3_64;

/// What a copy holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Copy {
    pub(super) budgets: BTreeMap<TenantId, Overrides>,
    pub(super) rules: BTreeMap<TenantId, Vec<RuleCopy>>,
}

/// A rule as far as evaluations need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RuleCopy {
    id: RuleId,
    spec: AlertRuleSpec,
}

#[derive(Serialize, Deserialize)]
struct Written {
    budgets: BTreeMap<String, Overrides>,
    rules: BTreeMap<String, Vec<RuleCopy>>,
}

impl RuleCopy {
    pub(super) fn of(rule: &AlertRule) -> Self {
        Self { id: rule.id, spec: rule.spec.clone() }
    }

    pub(super) fn rule(self, tenant: &TenantId) -> AlertRule {
        let Self { id, spec } = self;
        AlertRule { id, tenant: tenant.clone(), spec, version: 0, created_at: 0, updated_at: 0 }
    }
}

impl Copy {
    /// Writes the copy to `path`.
    pub(super) fn write(self, path: &Path) -> io::Result<()> {
        let written = Written { budgets: by_name(self.budgets), rules: by_name(self.rules) };
        let json = serde_json::to_vec(&written)?;
        let mut bytes = format!("{:016x}\n", xxh3_64(&json)).into_bytes();
        bytes.extend_from_slice(&json);
        // One that is damaged must not take the place of one that is not.
        if read_one(path).is_ok() {
            OsFs.rename(path, &before(path))?;
        }
        write_file(&OsFs, path, &bytes)
    }

    /// Reads the newest copy at `path` that is whole.
    ///
    /// # Errors
    /// There is none; of kind `NotFound` if none was ever written.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let error = match read_one(path) {
            Ok(copy) => return Ok(copy),
            Err(error) => error,
        };
        let copy = read_one(&before(path)).map_err(|other| match error.kind() {
            io::ErrorKind::NotFound => other,
            _ => io::Error::new(error.kind(), error.to_string()),
        })?;
        log::error!("{} cannot be read: {error}; the one before it is taken", path.display());
        Ok(copy)
    }
}

fn before(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".before");
    name.into()
}

fn read_one(path: &Path) -> io::Result<Copy> {
    let bytes = std::fs::read(path)?;
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "it does not match its checksum");
    let (checksum, json) = bytes.split_at_checked(17).ok_or_else(damaged)?;
    if checksum != format!("{:016x}\n", xxh3_64(json)).as_bytes() {
        return Err(damaged());
    }
    let mut written: Written = serde_json::from_slice(json)?;
    written.budgets.values_mut().for_each(Overrides::rename);
    Ok(Copy { budgets: by_tenant(written.budgets)?, rules: by_tenant(written.rules)? })
}

fn by_name<T>(by_tenant: BTreeMap<TenantId, T>) -> BTreeMap<String, T> {
    by_tenant.into_iter().map(|(tenant, own)| (tenant.as_str().to_owned(), own)).collect()
}

fn by_tenant<T>(by_name: BTreeMap<String, T>) -> io::Result<BTreeMap<TenantId, T>> {
    let of = |(tenant, own): (String, T)| Ok((TenantId::new(&tenant).map_err(io::Error::other)?, own));
    by_name.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(limit: u64) -> Copy {
        let own: Overrides =
            serde_json::from_value(serde_json::json!({ "ingest.max_samples": limit })).unwrap();
        Copy { budgets: BTreeMap::from([(TenantId::new("acme").unwrap(), own)]), rules: BTreeMap::new() }
    }

    #[test]
    fn a_flipped_byte_or_a_cut_anywhere_costs_the_last_change_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        assert_eq!(Copy::read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        copy(1).write(&path).unwrap();
        copy(2).write(&path).unwrap();
        assert_eq!(Copy::read(&path).unwrap(), copy(2));
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            for damaged in [&flipped[..], &whole[..at]] {
                std::fs::write(&path, damaged).unwrap();
                assert_eq!(Copy::read(&path).unwrap(), copy(1), "{at}");
            }
        }
        OsFs.remove_file(&path).unwrap();
        assert_eq!(Copy::read(&path).unwrap(), copy(1), "as after a crash before the new one had its name");
    }

    #[test]
    fn a_damaged_copy_never_takes_the_place_of_a_whole_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        copy(1).write(&path).unwrap();
        copy(2).write(&path).unwrap();
        std::fs::write(&path, b"damaged").unwrap();
        copy(3).write(&path).unwrap();
        std::fs::write(&path, b"damaged again").unwrap();
        assert_eq!(Copy::read(&path).unwrap(), copy(1));
    }
}
