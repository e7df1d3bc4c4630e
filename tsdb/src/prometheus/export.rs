//! Exporting a database: what a query would find becomes blocks of Prometheus.

use super::block_writer::PrometheusBlockWriter;
use super::finding::{Finding, Findings};
use crate::clock::SystemClock;
use crate::engine::new_id;
use crate::fs::{Fs, create_dirs};
use crate::verify::{OnProgress, Progress};
use crate::{Db, Error};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tsdb_core::block::BlockId;
use tsdb_core::read::{Queryable, SampleColumns, SelectHints};
use tsdb_core::time::Clock as _;
use tsdb_core::{Labels, Matcher, NO_START, TimeRange};

/// Length of the blocks of an export, ms: nine times that of the blocks Prometheus cuts, a size to which it compacts.
const BLOCK_MS: i64 = 18 * 3600 * 1000;
/// Steps in which progress is told for each block.
const STEPS_PER_BLOCK: u64 = 1000;

/// What an export did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// The blocks that were written.
    pub blocks: Vec<PathBuf>,
    /// Series, counted anew in each block.
    pub series: u64,
    /// Samples, native histograms included.
    pub samples: u64,
    /// Native histograms among the samples.
    pub histograms: u64,
    /// Samples whose start timestamps are not in the blocks.
    pub without_start: u64,
    /// What could not be read, the first thousand findings.
    pub findings: Vec<Finding>,
    /// How many findings there are besides.
    pub other_findings: u64,
}

/// Writes the samples of `db` within `range`, of the series that satisfy all `matchers`, as blocks of Prometheus into
/// the directory `target`, made if there is none. It may be the data directory of a Prometheus server, which finds them
/// there within a minute.
///
/// What is damaged, lies on object storage that is not used, or is left as windows (rollups) only is left out and told in
/// [`Exported::findings`].
///
/// # Errors
/// The file system failed; blocks that were finished before stay.
pub fn export(
    db: &Db,
    matchers: &[Matcher],
    range: TimeRange,
    fs: &dyn Fs,
    target: &Path,
    on_progress: &mut OnProgress<'_>,
) -> Result<Exported, Error> {
    create_dirs(fs, target).map_err(|e| Error::io("create", target, e))?;
    let mut export = Export { fs, target, matchers, newest: None, findings: Findings::default() };
    let mut exported = Exported::default();
    let within = db.stats().range.and_then(|all| all.intersect(&range));
    let windows: Vec<TimeRange> = within.into_iter().flat_map(windows).collect();
    let total = windows.len() as u64 * STEPS_PER_BLOCK;
    db.left_out(range).into_iter().for_each(|what| export.findings.push(db.dir(), what));
    for (number, window) in (0..).zip(windows) {
        let now = format!("samples from {} ms", window.start());
        let mut report = |step: u64| {
            let done = number * STEPS_PER_BLOCK + step;
            on_progress(&Progress { now: now.clone(), done, total });
        };
        export.window(db, window, &mut exported, &mut report)?;
        report(STEPS_PER_BLOCK);
    }
    Findings { kept: exported.findings, others: exported.other_findings } = export.findings;
    Ok(exported)
}

/// The windows of the length of a block that make up `range`.
fn windows(range: TimeRange) -> impl Iterator<Item = TimeRange> {
    let end_of = |start: i64| start.saturating_add(BLOCK_MS - 1 - start.rem_euclid(BLOCK_MS));
    let first = TimeRange::new(range.start(), end_of(range.start()).min(range.end()));
    std::iter::successors(first, move |window| {
        let start = window.end().checked_add(1).filter(|start| *start <= range.end())?;
        TimeRange::new(start, end_of(start).min(range.end()))
    })
}

fn words(window: TimeRange) -> String {
    format!("from {} to {} ms", window.start(), window.end())
}

/// An export under way.
struct Export<'a> {
    fs: &'a dyn Fs,
    target: &'a Path,
    matchers: &'a [Matcher],
    newest: Option<BlockId>,
    findings: Findings,
}

impl Export<'_> {
    /// Writes the block of the samples within `window`.
    fn window(
        &mut self,
        db: &Db,
        window: TimeRange,
        exported: &mut Exported,
        report: &mut dyn FnMut(u64),
    ) -> Result<(), Error> {
        let found = db.querier(window);
        let set = match found.and_then(|q| q.select(self.matchers, &SelectHints::over(window))) {
            Ok(set) => set,
            Err(error) => {
                self.findings.push(db.dir(), format!("{error}; nothing was exported {}", words(window)));
                return Ok(());
            }
        };
        let mut series: Vec<(Labels, usize)> =
            (0..set.len()).map(|index| (set.labels(index), index)).collect();
        if series.is_empty() {
            return Ok(());
        }
        series.sort_unstable();
        let symbols: BTreeSet<&str> = series
            .iter()
            .flat_map(|(labels, _)| labels.iter())
            .flat_map(|(name, value)| [name, value])
            .collect();
        let id = new_id(self.newest, SystemClock.now());
        self.newest = Some(id);
        let mut writer = PrometheusBlockWriter::create(self.fs, self.target, id, symbols)?;
        let mut columns = SampleColumns::new();
        for (done, (labels, index)) in (0_u64..).zip(&series) {
            match set.read(*index, &mut columns) {
                Ok(()) => writer.add(labels, &columns)?,
                Err(error) => {
                    self.findings.push(db.dir(), format!("{error}; {labels} was left out {}", words(window)));
                }
            }
            exported.without_start +=
                columns.starts.iter().filter(|start| **start != NO_START).count() as u64;
            report(done * STEPS_PER_BLOCK / series.len() as u64);
        }
        let told = db.left_out(window);
        let is_new = |warning: &String| !told.contains(warning);
        set.warnings().into_iter().filter(is_new).for_each(|warning| self.findings.push(db.dir(), warning));
        if let Some((path, counts)) = writer.finish()? {
            exported.blocks.push(path);
            exported.series += counts.series;
            exported.samples += counts.numbers + counts.histograms;
            exported.histograms += counts.histograms;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_at_multiples_of_the_length_of_a_block() {
        let cut = |start, end| {
            let windows = windows(TimeRange::new(start, end).unwrap());
            windows.map(|window| (window.start(), window.end())).collect::<Vec<_>>()
        };
        assert_eq!(cut(5, 6), [(5, 6)]);
        let b = BLOCK_MS;
        assert_eq!(cut(-1, b), [(-1, -1), (0, b - 1), (b, b)]);
        assert_eq!(cut(i64::MAX - 1, i64::MAX), [(i64::MAX - 1, i64::MAX)]);
    }
}
