//! Backups of data directories in object storage, and what is made of them.

use crate::Failure;
use crate::progress::Bar;
use std::io::Write;
use std::path::Path;
use tsdb::SystemClock;
use tsdb::fs::OsFs;
use tsdb::tier::{BackupReport, Backups};
use tsdb_core::time::Clock;

/// Where backups are.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// Where backups are: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///directory
    url: String,
    /// Address of an S3-compatible service [default: that of the provider]
    #[arg(long, default_value_t = String::new(), hide_default_value = true)]
    endpoint: String,
    /// Its region [default: what the environment says]
    #[arg(long, default_value_t = String::new(), hide_default_value = true)]
    region: String,
}

impl Place {
    fn open(&self) -> Result<Backups, Failure> {
        let (store, prefix) = tsdb_server::open_object_store(&self.url, &self.endpoint, &self.region)?;
        Ok(Backups::new(store, &prefix))
    }
}

/// Backs up `directory` under `name`, or under the time; sends what no earlier backup has. If what it knows of blocks on
/// object storage is damaged, that is told: the next start with object storage makes it anew, of a restored one too.
pub(crate) fn back_up(
    directory: &Path,
    place: &Place,
    name: Option<&str>,
    out: &mut impl Write,
) -> Result<bool, Failure> {
    let name = name.map_or_else(|| name_at(SystemClock.now()), String::from);
    let bar = Bar::new("bytes");
    let report = place.open()?.back_up(&OsFs, directory, &name, &mut |now| bar.show(now))?;
    drop(bar);
    let BackupReport { files, bytes, sent_files, sent_bytes, .. } = report;
    writeln!(out, "{name}: {files} files, {bytes} bytes; sent {sent_files} files, {sent_bytes} bytes")?;
    let far = match tsdb::far_away(&OsFs, directory) {
        Ok(far) => far,
        Err(error) => {
            writeln!(
                out,
                "{name}: blocks on object storage, if there are any, are not in the backup: {error}"
            )?;
            return Ok(true);
        }
    };
    far.iter().for_each(|block| eprintln!("tsdbctl: not in the backup: {block}"));
    if !far.is_empty() {
        writeln!(out, "{name}: {} blocks are not in the backup: they lie on object storage only", far.len())?;
    }
    Ok(true)
}

/// Makes `directory` of the backup `name`, or of the last one.
pub(crate) fn restore(
    place: &Place,
    directory: &Path,
    name: Option<&str>,
    out: &mut impl Write,
) -> Result<bool, Failure> {
    let backups = place.open()?;
    let last = || backups.list()?.pop().ok_or_else(|| Failure::from("there is no backup"));
    let name = name.map_or_else(last, |name| Ok(name.into()))?;
    let bar = Bar::new("bytes");
    let report = backups.restore(&OsFs, &name, directory, &mut |now| bar.show(now))?;
    drop(bar);
    writeln!(out, "{name}: {} files, {} bytes", report.files, report.bytes)?;
    Ok(true)
}

/// Lists the backups; reads all of them and compares all checksums if `is_thorough`. Says whether they are sound.
pub(crate) fn list(place: &Place, is_thorough: bool, out: &mut impl Write) -> Result<bool, Failure> {
    let backups = place.open()?;
    let mut well = true;
    for name in backups.list()? {
        if !is_thorough {
            writeln!(out, "{name}")?;
            continue;
        }
        let bar = Bar::new("bytes");
        let verified = backups.verify(&name, &mut |now| bar.show(now));
        drop(bar);
        match verified {
            Ok(report) => writeln!(out, "{name}: sound, {} files, {} bytes", report.files, report.bytes)?,
            Err(error) => {
                well = false;
                writeln!(out, "{name}: damaged: {error}")?;
            }
        }
    }
    Ok(well)
}

/// The name of a backup made at `now`: UTC, so that names sort by time.
fn name_at(now: i64) -> String {
    let (days, seconds) = (now.div_euclid(86_400_000), now.rem_euclid(86_400_000) / 1000);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}Z")
}

/// Year, month and day of the day so many days after 1970-01-01, by Howard Hinnant's `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::name_at;

    #[test]
    fn a_backup_is_named_by_the_time_in_utc() {
        assert_eq!(name_at(0), "1970-01-01T00-00-00Z");
        assert_eq!(name_at(1_709_210_096_789), "2024-02-29T12-34-56Z");
        assert_eq!(name_at(1_798_761_599_000), "2026-12-31T23-59-59Z");
    }
}
