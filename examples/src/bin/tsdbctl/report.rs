//! What was found, as text.

use std::io::{self, Write};
use tsdb::inspect::Inspection;
use tsdb::verify::Verdict;

/// Writes what a check found.
pub(crate) fn verdict(verdict: &Verdict, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{} blocks, {} segments of the log with {} records: {}",
        verdict.blocks,
        verdict.log_segments,
        verdict.log_records,
        match verdict.findings.len() {
            0 => "all sound".to_owned(),
            count => format!("{count} damaged places"),
        }
    )?;
    verdict.findings.iter().try_for_each(|finding| writeln!(out, "damaged: {finding}"))?;
    verdict.torn.iter().try_for_each(|finding| writeln!(out, "left by a crash: {finding}"))
}

/// Writes what a directory holds, with the `top` metrics and labels.
pub(crate) fn inspection(found: &Inspection, top: usize, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:26}  {:>13}  {:>13}  {:>9}  {:>12}  {:>11}  {:>11}  {:>8}",
        "BLOCK", "FROM (ms)", "TO (ms)", "SERIES", "SAMPLES", "INDEX B", "SAMPLES B", "B/SAMPLE"
    )?;
    let (mut samples, mut bytes) = (0, 0);
    for block in &found.blocks {
        let (meta, all) = (&block.meta, block.index_bytes + block.sample_bytes);
        let name = block.path.file_name().map(|name| name.to_string_lossy().into_owned());
        writeln!(
            out,
            "{:26}  {:13}  {:13}  {:9}  {:12}  {:11}  {:11}  {:8.3}",
            name.unwrap_or_default(),
            meta.range.start(),
            meta.range.end(),
            meta.stats.series,
            meta.stats.samples,
            block.index_bytes,
            block.sample_bytes,
            ratio(all as f64, meta.stats.samples)
        )?;
        samples += meta.stats.samples;
        bytes += all;
    }
    writeln!(
        out,
        "\n{samples} samples in {bytes} bytes of blocks, {:.3} bytes a sample; {} bytes of log\n",
        ratio(bytes as f64, samples),
        found.log_bytes
    )?;
    writeln!(
        out,
        "{:50}  {:>9}  {:>12}  {:>12}  {:>8}",
        "METRIC", "SERIES", "SAMPLES", "VALUES B", "B/SAMPLE"
    )?;
    for metric in found.metrics.iter().take(top) {
        writeln!(
            out,
            "{:50}  {:9}  {:12}  {:12.0}  {:8.3}",
            metric.name,
            metric.series,
            metric.samples,
            metric.bytes,
            ratio(metric.bytes, metric.samples)
        )?;
    }
    labels(found, top, out)?;
    found.warnings.iter().try_for_each(|warning| writeln!(out, "damaged: {warning}"))
}

/// Writes the `top` labels, by two measures.
fn labels(found: &Inspection, top: usize, out: &mut impl Write) -> io::Result<()> {
    for (title, by_bytes) in [("by count of values", false), ("by bytes of values", true)] {
        let mut labels: Vec<_> = found.labels.iter().collect();
        labels
            .sort_by_key(|label| std::cmp::Reverse(if by_bytes { label.value_bytes } else { label.values }));
        writeln!(
            out,
            "\n{:50}  {:>9}  {:>12}  {:>9}",
            format!("LABEL, {title}"),
            "VALUES",
            "VALUES B",
            "SERIES"
        )?;
        for label in labels.into_iter().take(top) {
            writeln!(
                out,
                "{:50}  {:9}  {:12}  {:9}",
                label.name, label.values, label.value_bytes, label.series
            )?;
        }
    }
    Ok(())
}

fn ratio(bytes: f64, samples: u64) -> f64 {
    if samples == 0 { 0.0 } else { bytes / samples as f64 }
}
