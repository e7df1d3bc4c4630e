//! Data of a Prometheus server, in and out.

use crate::Failure;
use crate::progress::Bar;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use tsdb::fs::{Fs, OsFs};
use tsdb::prometheus::{Finding, Imported};
use tsdb::{Db, Options, TimeRange};
use tsdb_promql::{ParseOptions, parse_selector};

/// Imports the Prometheus data in `source` into the database in `directory`; says whether nothing was left out.
pub(crate) fn import(source: &Path, directory: &Path, out: &mut impl Write) -> Result<bool, Failure> {
    let fs: Arc<dyn Fs> = Arc::new(OsFs);
    let bar = Bar::new("bytes");
    let imported = tsdb::prometheus::import(&fs, source, directory, &mut |now| bar.show(now))?;
    drop(bar);
    write_sums(&imported, out)?;
    list(&imported.findings, imported.other_findings, out)?;
    Ok(imported.findings.is_empty() && imported.ahead == 0)
}

/// Exports the samples of the database in `directory` as blocks of Prometheus into `target`; says whether nothing was
/// left out.
pub(crate) fn export(
    directory: &Path,
    target: &Path,
    selector: Option<&str>,
    range: TimeRange,
    out: &mut impl Write,
) -> Result<bool, Failure> {
    let matchers = match selector {
        Some(text) => parse_selector(text, &ParseOptions::default())?,
        None => Vec::new(),
    };
    let db = Db::open(directory, Options { retention_ms: None, background: false, ..Options::default() })?;
    let bar = Bar::new("steps");
    let exported = tsdb::prometheus::export(&db, &matchers, range, &OsFs, target, &mut |now| bar.show(now))?;
    drop(bar);
    writeln!(
        out,
        "{} samples of {} series, {} of them native histograms, in {} blocks",
        exported.samples,
        exported.series,
        exported.histograms,
        exported.blocks.len()
    )?;
    if exported.without_start > 0 {
        writeln!(out, "the start timestamps of {} samples were left out", exported.without_start)?;
    }
    list(&exported.findings, exported.other_findings, out)?;
    Ok(exported.findings.is_empty())
}

fn write_sums(imported: &Imported, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(
        out,
        "{} samples of {} series, {} of them native histograms, in {} blocks",
        imported.samples,
        imported.series,
        imported.histograms,
        imported.blocks.len()
    )?;
    if imported.source_bytes > 0 {
        let ratio = imported.block_bytes as f64 / imported.source_bytes as f64;
        writeln!(
            out,
            "{} bytes of Prometheus became {}, {:.1} % of them",
            imported.source_bytes,
            imported.block_bytes,
            100.0 * ratio
        )?;
    }
    if imported.known_blocks > 0 {
        writeln!(out, "{} blocks had been imported before", imported.known_blocks)?;
    }
    if imported.ahead > 0 {
        writeln!(out, "{} samples were left out: they lie in the future", imported.ahead)?;
    }
    Ok(())
}

fn list(findings: &[Finding], others: u64, out: &mut impl Write) -> Result<(), Failure> {
    findings.iter().try_for_each(|finding| writeln!(out, "damaged: {finding}"))?;
    if others > 0 {
        writeln!(out, "and {others} more")?;
    }
    Ok(())
}
