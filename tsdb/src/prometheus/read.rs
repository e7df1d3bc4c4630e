//! Looking into data of Prometheus without importing it.

use super::block::SourceBlock;
use super::finding::{Finding, Findings};
use super::head::SourceHead;
use crate::Error;
use crate::fs::Fs;
use std::path::Path;
use std::sync::Arc;
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Labels, Timestamp};

/// Told of a series and its samples, in order of time.
pub type OnSeries<'s> = dyn FnMut(&Labels, &SampleColumns) + 's;

/// Calls `on_series` with each series of the block in `dir`, in order of labels. What is damaged is left out and told:
/// returned are the first thousand findings.
pub fn read_block(fs: &Arc<dyn Fs>, dir: &Path, on_series: &mut OnSeries<'_>) -> Vec<Finding> {
    let mut findings = Findings::default();
    if let Some(mut block) = SourceBlock::open(fs, dir, &mut findings) {
        let mut columns = SampleColumns::new();
        while let Some(labels) = block.next(&mut columns, &mut findings) {
            on_series(&labels, &columns);
        }
    }
    findings.kept
}

/// Calls `on_series` with each series that the log and the chunks of the head in the data directory `dir` tell of, in
/// order of labels; anew for each 8 million samples. What is damaged is left out and told, as by [`read_block`].
///
/// # Errors
/// The directory cannot be searched.
pub fn read_head(fs: &Arc<dyn Fs>, dir: &Path, on_series: &mut OnSeries<'_>) -> Result<Vec<Finding>, Error> {
    let mut findings = Findings::default();
    let head = SourceHead::open(fs, dir, &mut findings)?;
    let mut on_batch = |batch: Vec<(Labels, SampleColumns)>| {
        batch.iter().for_each(|(labels, columns)| on_series(labels, columns));
        Ok(())
    };
    head.read(Timestamp::MIN, &mut findings, &mut on_batch, &mut |_| {})?;
    Ok(findings.kept)
}
