//! Samples and descriptions to lines.

use super::histogram::write_histogram;
use super::number::{write_time, write_value};
use super::{Dialect, Sample, Value};
use std::io::{self, Write};
use tsdb::Labels;
use tsdb_core::labels::{is_legacy_label_name, is_legacy_metric_name};
use tsdb_core::metadata::Metadata;
use tsdb_core::{METRIC_NAME, NO_START};

/// How much is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) dialect: Dialect,
    /// Nothing that the dialect has no words for.
    pub(crate) is_strict: bool,
}

/// Writes type, unit and help of a family.
pub(crate) fn write_description(
    family: &str,
    metadata: &Metadata,
    dialect: Dialect,
    out: &mut impl Write,
) -> io::Result<()> {
    let name = if is_legacy_metric_name(family) { family.to_owned() } else { quoted(family) };
    let kind = match (dialect, metadata.metric_type.as_str()) {
        (Dialect::Prometheus, "unknown") => "untyped",
        (_, kind) => kind,
    };
    writeln!(out, "# TYPE {name} {kind}")?;
    if !metadata.unit.is_empty() {
        writeln!(out, "# UNIT {name} {}", metadata.unit)?;
    }
    match (metadata.help.as_str(), dialect) {
        ("", _) => Ok(()),
        (help, Dialect::Openmetrics) => writeln!(out, "# HELP {name} {}", escaped(help)),
        (help, Dialect::Prometheus) => {
            writeln!(out, "# HELP {name} {}", help.replace('\\', "\\\\").replace('\n', "\\n"))
        }
    }
}

/// Writes a sample; nothing if `extent` has no words for it, which it says.
pub(crate) fn write_sample(sample: &Sample, extent: Extent, out: &mut impl Write) -> io::Result<bool> {
    let is_wordless = match &sample.value {
        Value::Number(value) => tsdb_core::is_stale_nan(*value),
        Value::Histogram(_) => true,
    };
    if extent.is_strict && is_wordless {
        return Ok(false);
    }
    write_series(&sample.labels, out)?;
    match &sample.value {
        Value::Number(value) => write_value(*value, !extent.is_strict, out)?,
        Value::Histogram(histogram) => write_histogram(histogram, out)?,
    }
    write!(out, " ")?;
    write_time(sample.timestamp, extent.dialect, out)?;
    if sample.start != NO_START && !extent.is_strict {
        write!(out, " st@")?;
        write_time(sample.start, extent.dialect, out)?;
    }
    let has_exemplars = !extent.is_strict || extent.dialect == Dialect::Openmetrics;
    let kept = if extent.is_strict { 1 } else { usize::MAX };
    // The newest ones come last.
    let skipped = sample.exemplars.len().saturating_sub(kept);
    for exemplar in sample.exemplars.iter().skip(skipped).filter(|_| has_exemplars) {
        write!(out, " # {{")?;
        write_labels(&exemplar.labels, out)?;
        write!(out, "}} ")?;
        write_value(exemplar.value, !extent.is_strict, out)?;
        write!(out, " ")?;
        write_time(exemplar.timestamp, extent.dialect, out)?;
    }
    writeln!(out)?;
    Ok(true)
}

/// Writes a series and a blank.
fn write_series(labels: &Labels, out: &mut impl Write) -> io::Result<()> {
    let name = labels.metric_name();
    let is_plain = is_legacy_metric_name(name);
    if is_plain {
        write!(out, "{name}")?;
        if labels.len() == 1 {
            return write!(out, " ");
        }
    }
    write!(out, "{{")?;
    let is_quoted = !is_plain && !name.is_empty();
    if is_quoted {
        write!(out, "{}{}", quoted(name), if labels.len() > 1 { "," } else { "" })?;
    }
    write_labels(labels, out)?;
    write!(out, "}} ")
}

fn write_labels(labels: &Labels, out: &mut impl Write) -> io::Result<()> {
    let mut before = "";
    for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
        match is_legacy_label_name(name) {
            true => write!(out, "{before}{name}={}", quoted(value))?,
            false => write!(out, "{before}{}={}", quoted(name), quoted(value))?,
        }
        before = ",";
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
