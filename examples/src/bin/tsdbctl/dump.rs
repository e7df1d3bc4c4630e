//! Samples as text.

use crate::openmetrics::{write_series, write_value};
use crate::{Failure, Format};
use std::io::{BufWriter, Write};
use std::path::Path;
use tsdb::{Db, Labels, Options, Queryable, TimeRange};
use tsdb_core::read::{SampleColumns, SelectHints};
use tsdb_promql::{ParseOptions, parse_selector};

/// The times from `from` to `to`, in seconds since 1970.
pub(crate) fn range(from: Option<f64>, to: Option<f64>) -> Result<TimeRange, Failure> {
    let ms = |seconds: f64| (seconds * 1000.0).round() as i64;
    let (start, end) = (from.map_or(i64::MIN, ms), to.map_or(i64::MAX, ms));
    TimeRange::new(start, end).ok_or_else(|| "--from lies behind --to".into())
}

/// Writes the samples of the database in `directory`; says whether none is missing.
pub(crate) fn dump(
    directory: &Path,
    selector: Option<&str>,
    range: TimeRange,
    format: Format,
    out: &mut impl Write,
) -> Result<bool, Failure> {
    let matchers = match selector {
        Some(text) => parse_selector(text, &ParseOptions::default())?,
        None => Vec::new(),
    };
    let options = Options { retention_ms: None, background: false, ..Options::default() };
    let db = Db::open(directory, options)?;
    db.wait_for_replay();
    let querier = db.querier(range)?;
    let set = querier.select(&matchers, &SelectHints::over(range))?;
    let mut order: Vec<(Labels, usize)> = (0..set.len()).map(|index| (set.labels(index), index)).collect();
    order.sort_by(|a, b| (a.0.metric_name(), &a.0).cmp(&(b.0.metric_name(), &b.0)));
    let mut out = BufWriter::new(out);
    let mut columns = SampleColumns::new();
    let (mut metric, mut histograms) = (None, 0_u64);
    for (labels, index) in &order {
        set.read(*index, &mut columns)?;
        let name = labels.metric_name();
        if format == Format::Openmetrics && !columns.is_empty() && metric != Some(name) {
            writeln!(out, "# TYPE {name} unknown")?;
            metric = Some(name);
        }
        for (position, (timestamp, value)) in columns.timestamps.iter().zip(&columns.values).enumerate() {
            if columns.histograms.get(position).is_some_and(Option::is_some) {
                histograms += 1;
                continue;
            }
            write_series(labels, &mut out)?;
            write_value(*value, &mut out)?;
            match format {
                Format::Text => writeln!(out, " {timestamp}")?,
                Format::Openmetrics => {
                    let sign = if *timestamp < 0 { "-" } else { "" };
                    let ms = timestamp.unsigned_abs();
                    writeln!(out, " {sign}{}.{:03}", ms / 1000, ms % 1000)?;
                }
            }
        }
    }
    if format == Format::Openmetrics {
        writeln!(out, "# EOF")?;
    }
    out.flush()?;
    let mut warnings = set.warnings();
    warnings.extend((histograms > 0).then(|| format!("{histograms} native histograms have no form as text")));
    warnings.iter().for_each(|warning| drop(writeln!(std::io::stderr(), "tsdbctl: {warning}")));
    Ok(warnings.is_empty())
}
