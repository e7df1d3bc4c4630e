//! Samples that are to go.

use crate::Failure;
use crate::progress::Bar;
use std::io::Write;
use std::path::Path;
use tsdb::{Db, Matcher, Options, Queryable, TimeRange};
use tsdb_core::read::{SampleColumns, SelectHints};
use tsdb_promql::{ParseOptions, parse_selector};

/// Series between two words about progress.
const SERIES_PER_WORD: usize = 1 << 8;

/// The database in `directory`, in which nothing happens by itself.
pub(crate) fn open(directory: &Path) -> Result<Db, Failure> {
    let options = Options { retention_ms: None, background: false, ..Options::default() };
    Ok(Db::open(directory, options)?)
}

/// Deletes from `db` the samples within `range` of the series that satisfy one of `selectors`, and tells how many;
/// nothing is deleted if it `is_dry`.
pub(crate) fn delete(
    db: &Db,
    selectors: &[String],
    range: TimeRange,
    is_dry: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let parse = |text: &String| parse_selector(text, &ParseOptions::default());
    let selectors: Vec<Vec<Matcher>> = selectors.iter().map(parse).collect::<Result<_, _>>()?;
    for matchers in &selectors {
        let (series, samples) = count(db, matchers, range)?;
        if !is_dry {
            db.delete(matchers, range)?;
        }
        let matchers: Vec<String> = matchers.iter().map(ToString::to_string).collect();
        let word = if is_dry { "would be deleted" } else { "deleted" };
        writeln!(out, "{{{}}}: {samples} samples of {series} series {word}", matchers.join(","))?;
    }
    Ok(())
}

/// How many series have samples within `range`, and how many samples.
fn count(db: &Db, matchers: &[Matcher], range: TimeRange) -> Result<(usize, usize), Failure> {
    let set = db.querier(range)?.select(matchers, &SelectHints::over(range))?;
    let (mut series, mut samples) = (0, 0);
    let mut columns = SampleColumns::new();
    let bar = Bar::new("series");
    for index in 0..set.len() {
        if index.is_multiple_of(SERIES_PER_WORD) {
            bar.set(index as u64, set.len() as u64);
        }
        set.read(index, &mut columns)?;
        series += usize::from(!columns.is_empty());
        samples += columns.len();
    }
    Ok((series, samples))
}
