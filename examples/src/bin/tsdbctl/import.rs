//! A database from text.

use crate::Failure;
use crate::progress::Bar;
use crate::text::{Dialect, Line, Sample, Value, parse_line};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::Arc;
use tsdb::fs::OsFs;
use tsdb::import::{Imported, Importer};
use tsdb_core::NO_START;
use tsdb_core::metadata::Metadata;

/// Lines between two words about progress.
const LINES_PER_WORD: u64 = 1 << 12;

/// Reads `file` into the database in `directory`; says whether all of it was taken.
pub(crate) fn import(
    directory: &Path,
    file: &Path,
    dialect: Dialect,
    out: &mut impl Write,
) -> Result<bool, Failure> {
    let named = |error: String| format!("{}: {error}", file.display());
    let (mut input, total) = open(file).map_err(|e| named(e.to_string()))?;
    let mut intake = Intake::into(directory)?;
    let bar = Bar::new("bytes");
    let (mut line, mut number, mut done) = (String::new(), 0_u64, 0_u64);
    loop {
        line.clear();
        number += 1;
        let read = input.read_line(&mut line).map_err(|e| named(format!("line {number}: {e}")))?;
        if read == 0 {
            break;
        }
        done += read as u64;
        let text = line.trim_end_matches(['\n', '\r']);
        let parsed = parse_line(text, dialect).map_err(|e| named(format!("line {number}: {e}")))?;
        intake.take(parsed).map_err(|e| named(format!("line {number}: {e}")))?;
        if number.is_multiple_of(LINES_PER_WORD) {
            bar.set(done, total.max(done));
        }
    }
    drop(bar);
    intake.finish(dialect, out)
}

fn open(file: &Path) -> std::io::Result<(Box<dyn BufRead>, u64)> {
    if file.to_str() == Some("-") {
        return Ok((Box::new(BufReader::new(std::io::stdin())), 0));
    }
    let opened = File::open(file)?;
    let total = opened.metadata()?.len();
    Ok((Box::new(BufReader::new(opened)), total))
}

struct Intake {
    importer: Importer,
    described: BTreeMap<String, Metadata>,
    taken: u64,
    ahead: u64,
    is_ended: bool,
}

impl Intake {
    fn into(directory: &Path) -> Result<Self, Failure> {
        let importer = Importer::open(Arc::new(OsFs), directory)?;
        Ok(Self { importer, described: BTreeMap::new(), taken: 0, ahead: 0, is_ended: false })
    }

    fn take(&mut self, line: Line) -> Result<(), Failure> {
        if self.is_ended && line != Line::Blank {
            return Err("something follows # EOF".into());
        }
        match line {
            Line::Sample(sample) => return self.take_sample(*sample),
            Line::Type(family, metric_type) => self.metadata(family).metric_type = metric_type,
            Line::Unit(family, unit) => self.metadata(family).unit = unit,
            Line::Help(family, help) => self.metadata(family).help = help,
            Line::End => self.is_ended = true,
            Line::Blank => {}
        }
        Ok(())
    }

    fn metadata(&mut self, family: String) -> &mut Metadata {
        self.described.entry(family).or_default()
    }

    fn take_sample(&mut self, sample: Sample) -> Result<(), Failure> {
        let Sample { labels, timestamp, start, value, exemplars } = sample;
        let is_taken = match value {
            Value::Number(value) => self.importer.add(&labels, timestamp, value)?,
            Value::Histogram(histogram) => self.importer.add_histogram(&labels, timestamp, histogram)?,
        };
        if !is_taken {
            self.ahead += 1;
            return Ok(());
        }
        self.taken += 1;
        if start != NO_START {
            self.importer.set_start(&labels, start);
        }
        exemplars.into_iter().for_each(|exemplar| self.importer.add_exemplar(&labels, exemplar));
        Ok(())
    }

    fn finish(mut self, dialect: Dialect, out: &mut impl Write) -> Result<bool, Failure> {
        for (family, metadata) in std::mem::take(&mut self.described) {
            if metadata != Metadata::default() {
                self.importer.describe(&family, metadata);
            }
        }
        let Imported { blocks, metrics, exemplars, exemplars_left_out, .. } = self.importer.finish()?;
        writeln!(
            out,
            "{} samples in {} blocks, {exemplars} exemplars, {metrics} metrics described",
            self.taken,
            blocks.len()
        )?;
        if exemplars_left_out > 0 {
            writeln!(
                out,
                "{exemplars_left_out} exemplars were left out: they are older than others of their series, or too many"
            )?;
        }
        if self.ahead > 0 {
            writeln!(out, "{} samples were left out: they lie in the future", self.ahead)?;
        }
        let is_cut = dialect == Dialect::Openmetrics && !self.is_ended;
        if is_cut {
            writeln!(out, "the text does not end with # EOF: it may be cut short")?;
        }
        Ok(self.ahead == 0 && exemplars_left_out == 0 && !is_cut)
    }
}
