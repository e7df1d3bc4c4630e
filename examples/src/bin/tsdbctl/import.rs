//! Samples from text.

use crate::Failure;
use crate::openmetrics::parse_line;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use tsdb::fs::OsFs;
use tsdb::import::Importer;

/// Samples between two words about progress.
const REPORT_EVERY: u64 = 1 << 18;

/// Reads `file` into the database in `directory`.
pub(crate) fn import(directory: &Path, file: &Path, out: &mut impl Write) -> Result<bool, Failure> {
    let named = |error| format!("{}: {error}", file.display());
    let mut input: Box<dyn BufRead> = match file.to_str() {
        Some("-") => Box::new(BufReader::new(std::io::stdin())),
        _ => Box::new(BufReader::new(File::open(file).map_err(|e| named(e.to_string()))?)),
    };
    let mut importer = Importer::open(Arc::new(OsFs), directory)?;
    let is_shown = std::io::stderr().is_terminal();
    let (mut line, mut number, mut taken, mut ahead) = (String::new(), 0_u64, 0_u64, 0_u64);
    let mut is_ended = false;
    loop {
        line.clear();
        number += 1;
        if input.read_line(&mut line).map_err(|e| named(format!("line {number}: {e}")))? == 0 {
            break;
        }
        let text = line.trim_end_matches(['\n', '\r']);
        is_ended = text == "# EOF";
        let sample = parse_line(text).map_err(|e| named(format!("line {number}: {e}")))?;
        let Some((labels, timestamp, value)) = sample else { continue };
        match importer.add(&labels, timestamp, value)? {
            true => taken += 1,
            false => ahead += 1,
        }
        if is_shown && taken.is_multiple_of(REPORT_EVERY) {
            drop(write!(std::io::stderr(), "\r\x1b[K{taken} samples"));
        }
    }
    let blocks = importer.finish()?;
    if is_shown {
        drop(write!(std::io::stderr(), "\r\x1b[K"));
    }
    writeln!(out, "{taken} samples in {} blocks", blocks.len())?;
    if ahead > 0 {
        writeln!(out, "{ahead} samples were left out: they lie in the future")?;
    }
    if !is_ended {
        writeln!(out, "the text does not end with # EOF: it may be cut short")?;
    }
    Ok(ahead == 0 && is_ended)
}
