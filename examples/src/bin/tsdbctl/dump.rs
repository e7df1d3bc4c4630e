//! A database as text.

use crate::Failure;
use crate::progress::Bar;
use crate::text::{Dialect, Extent, Sample, Value, write_description, write_sample};
use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use tsdb::{Db, Labels, Matcher, Options, Queryable, TimeRange};
use tsdb_core::metadata::Metadata;
use tsdb_core::read::{ExemplarQueryable, SampleColumns, SelectHints, SeriesSet};
use tsdb_core::{Exemplar, METRIC_NAME, MatchOp};
use tsdb_promql::{ParseOptions, parse_selector};

/// What is to be written, and how.
pub(crate) struct Request<'a> {
    pub(crate) directory: &'a Path,
    /// PromQL; all series without one.
    pub(crate) selector: Option<&'a str>,
    pub(crate) range: TimeRange,
    pub(crate) extent: Extent,
}

/// The times from `from` to `to`, in seconds since 1970.
pub(crate) fn range(from: Option<f64>, to: Option<f64>) -> Result<TimeRange, Failure> {
    let ms = |seconds: f64| (seconds * 1000.0).round() as i64;
    let (start, end) = (from.map_or(i64::MIN, ms), to.map_or(i64::MAX, ms));
    TimeRange::new(start, end).ok_or_else(|| "--from lies behind --to".into())
}

/// Writes what is asked for, metric by metric; says whether none of it is missing.
pub(crate) fn dump(request: &Request<'_>, out: &mut impl Write) -> Result<bool, Failure> {
    let matchers = match request.selector {
        Some(text) => parse_selector(text, &ParseOptions::default())?,
        None => Vec::new(),
    };
    let options = Options { retention_ms: None, background: false, ..Options::default() };
    let db = Db::open(request.directory, options)?;
    let querier = db.querier(request.range)?;
    let set = querier.select(&matchers, &SelectHints::over(request.range))?;
    let described: BTreeMap<String, Metadata> = db.metadata().into_iter().collect();
    let is_whole = request.selector.is_none() && request.range == TimeRange::ALL;
    let mut dump = Dump {
        extent: request.extent,
        exemplars: exemplars(&db, matchers, request.range)?,
        out: BufWriter::new(out),
        left_out: 0,
        exemplars_left_out: 0,
    };
    dump.families(&*set, described, is_whole)?;
    dump.out.flush()?;
    let mut warnings = set.warnings();
    let others = db.left_out(request.range).into_iter().filter(|other| !warnings.contains(other));
    warnings.extend(others.collect::<Vec<_>>());
    if dump.left_out > 0 {
        warnings.push(format!("{} samples were left out: OpenMetrics has no words for them", dump.left_out));
    }
    let orphans: usize = dump.exemplars.values().map(Vec::len).sum();
    if orphans + dump.exemplars_left_out > 0 {
        let count = orphans + dump.exemplars_left_out;
        warnings.push(format!("{count} exemplars were left out: there is no sample to write them behind"));
    }
    warnings.iter().for_each(|warning| drop(writeln!(std::io::stderr(), "tsdbctl: {warning}")));
    Ok(warnings.is_empty())
}

fn exemplars(
    db: &Db,
    matchers: Vec<Matcher>,
    range: TimeRange,
) -> Result<BTreeMap<Labels, Vec<Exemplar>>, Failure> {
    // A selector without matchers selects nothing there.
    let all = Matcher::new(MatchOp::NotEqual, METRIC_NAME, "")?;
    let matchers = if matchers.is_empty() { vec![all] } else { matchers };
    let found = db.exemplars(&[matchers], range)?;
    Ok(found.into_iter().map(|series| (series.labels, series.exemplars)).collect())
}

struct Dump<W: Write> {
    extent: Extent,
    /// Those that are not written yet.
    exemplars: BTreeMap<Labels, Vec<Exemplar>>,
    out: BufWriter<W>,
    left_out: u64,
    exemplars_left_out: usize,
}

impl<W: Write> Dump<W> {
    /// Writes all series of `set`, family by family, each behind its description; descriptions without series as well
    /// if the dump `is_whole`.
    fn families(
        &mut self,
        set: &dyn SeriesSet,
        mut described: BTreeMap<String, Metadata>,
        is_whole: bool,
    ) -> Result<(), Failure> {
        let named = (0..set.len()).map(|index| {
            let labels = set.labels(index);
            (family(labels.metric_name(), &described), labels, index)
        });
        let mut order: Vec<(String, Labels, usize)> = named.collect();
        order.sort();
        let bar = Bar::new("series");
        let (mut columns, mut last) = (SampleColumns::new(), None);
        for (done, (family, labels, index)) in order.iter().enumerate() {
            set.read(*index, &mut columns)?;
            if !columns.is_empty() && last != Some(family) {
                let metadata = described.remove(family).unwrap_or_default();
                write_description(family, &metadata, self.extent.dialect, &mut self.out)?;
                last = Some(family);
            }
            self.series(labels, &columns)?;
            bar.set(done as u64 + 1, order.len() as u64);
        }
        for (family, metadata) in described.iter().filter(|_| is_whole) {
            write_description(family, metadata, self.extent.dialect, &mut self.out)?;
        }
        if self.extent.dialect == Dialect::Openmetrics {
            writeln!(self.out, "# EOF")?;
        }
        Ok(())
    }

    /// Writes the samples of a series, each exemplar behind the first sample that is not older than it.
    fn series(&mut self, labels: &Labels, columns: &SampleColumns) -> Result<(), Failure> {
        let mut exemplars = match columns.is_empty() {
            true => Vec::new().into_iter(),
            false => self.exemplars.remove(labels).unwrap_or_default().into_iter(),
        }
        .peekable();
        for (index, (timestamp, value)) in columns.timestamps.iter().zip(&columns.values).enumerate() {
            let is_last = index + 1 == columns.len();
            let behind = std::iter::from_fn(|| exemplars.next_if(|e| is_last || e.timestamp <= *timestamp));
            let value = match columns.histogram(index) {
                Some(histogram) => Value::Histogram(Arc::clone(histogram)),
                None => Value::Number(*value),
            };
            let (labels, timestamp, start) = (labels.clone(), *timestamp, columns.start(index));
            let sample = Sample { labels, timestamp, start, value, exemplars: behind.collect() };
            if !write_sample(&sample, self.extent, &mut self.out)? {
                self.left_out += 1;
                self.exemplars_left_out += sample.exemplars.len();
            }
        }
        Ok(())
    }
}

/// The family of a metric: the one that is described, with or without what its type puts behind the name.
fn family(metric: &str, described: &BTreeMap<String, Metadata>) -> String {
    const SUFFIXES: [&str; 8] =
        ["_total", "_bucket", "_count", "_sum", "_created", "_info", "_gcount", "_gsum"];
    let is_described = |name: &&str| described.contains_key(*name);
    let mut candidates =
        std::iter::once(metric).chain(SUFFIXES.iter().filter_map(|s| metric.strip_suffix(s)));
    candidates.find(is_described).unwrap_or(metric).to_owned()
}
