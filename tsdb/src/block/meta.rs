//! `meta.json`: what a block says of itself, for people and programs.

use super::{Block, BlockError};
use serde_json::{Map, Value, json};
use std::path::Path;
use tsdb_core::block::{BlockId, BlockMeta, BlockStats, Rollup};
use tsdb_core::bytes::checksum;
use tsdb_core::error::CorruptionKind;
use tsdb_core::{Corruption, TimeRange};
use ulid::Ulid;

const VERSION: u64 = 1;
/// Tells the block from that of another store.
const FORMAT: &str = "tsdb-block";

impl Block {
    /// What is told of a block that lacks samples of its sources.
    pub(crate) fn lacks(&self) -> String {
        let meta = self.meta();
        let (name, what) = (dir_name(meta.id), if meta.is_raw() { "samples" } else { "windows" });
        let (some, all) = (meta.incomplete.len(), meta.sources.len());
        format!(
            "block {name} of {what} lacks what could not be read when it was made, of {some} of the {all} blocks it was made of"
        )
    }
}

/// The name of the directory of the block `id`.
pub(super) fn dir_name(id: BlockId) -> String {
    Ulid::from(id.0).to_string()
}

/// The text of `meta.json`.
pub(super) fn render(meta: &BlockMeta) -> Vec<u8> {
    let mut object = json!({
        "format": FORMAT,
        "version": VERSION,
        "ulid": dir_name(meta.id),
        "minTime": meta.range.start(),
        "maxTime": meta.range.end(),
        "stats": {
            "numSeries": meta.stats.series,
            "numSamples": meta.stats.samples,
            "numHistogramSamples": meta.stats.histograms,
            "numChunks": meta.stats.chunks,
        },
        "compaction": {
            "level": meta.level,
            "sources": names(&meta.sources),
            "parents": names(&meta.parents),
        },
    });
    if !meta.incomplete.is_empty() {
        object["compaction"]["incomplete"] = names(&meta.incomplete).into();
    }
    if let (Some(object), Some(rollup)) = (object.as_object_mut(), meta.rollup) {
        let Rollup { resolution_ms, covers } = rollup;
        let text = json!({ "resolutionMs": resolution_ms, "from": covers.start(), "to": covers.end() });
        object.insert("rollup".into(), text);
    }
    let sum = checksum(object.to_string().as_bytes());
    if let Some(object) = object.as_object_mut() {
        object.insert("checksum".into(), format!("{sum:08x}").into());
    }
    let mut text = format!("{object:#}").into_bytes();
    text.push(b'\n');
    text
}

/// Reads the text of `path`.
pub(super) fn parse(path: &Path, text: &[u8]) -> Result<BlockMeta, BlockError> {
    read(text).map_err(|kind| BlockError::damaged(path, Corruption::new("block description", 0, kind)))
}

fn read(text: &[u8]) -> Result<BlockMeta, CorruptionKind> {
    let value: Value = serde_json::from_slice(text)
        .map_err(|error| CorruptionKind::Layer { message: format!("not JSON: {error}") })?;
    let Value::Object(mut object) = value else {
        return Err(CorruptionKind::Rule { rule: "the description is an object" });
    };
    if object.get("format").and_then(Value::as_str) != Some(FORMAT) {
        return Err(CorruptionKind::Rule { rule: "the description is that of a block of this store" });
    }
    let version = number(&object, "version")?;
    if version != VERSION {
        return Err(CorruptionKind::Unknown { field: "version", value: version });
    }
    check(&mut object)?;
    let time = |field: &'static str| object.get(field).and_then(Value::as_i64).ok_or_else(|| missing(field));
    let range = TimeRange::new(time("minTime")?, time("maxTime")?)
        .ok_or(CorruptionKind::Rule { rule: "minTime is not after maxTime" })?;
    let part =
        |field: &'static str| object.get(field).and_then(Value::as_object).ok_or_else(|| missing(field));
    let (stats, compaction) = (part("stats")?, part("compaction")?);
    Ok(BlockMeta {
        id: block_id(object.get("ulid"), "ulid")?,
        range,
        stats: BlockStats {
            series: number(stats, "numSeries")?,
            samples: number(stats, "numSamples")?,
            histograms: number(stats, "numHistogramSamples")?,
            chunks: number(stats, "numChunks")?,
        },
        level: u32::try_from(number(compaction, "level")?).unwrap_or(u32::MAX),
        sources: block_ids(compaction, "sources")?,
        parents: block_ids(compaction, "parents")?,
        incomplete: match compaction.contains_key("incomplete") {
            true => block_ids(compaction, "incomplete")?,
            false => Vec::new(),
        },
        rollup: object.get("rollup").map(rollup).transpose()?,
    })
}

fn names(blocks: &[BlockId]) -> Vec<String> {
    blocks.iter().map(|block| dir_name(*block)).collect()
}

fn block_ids(object: &Map<String, Value>, field: &'static str) -> Result<Vec<BlockId>, CorruptionKind> {
    let list = object.get(field).and_then(Value::as_array).ok_or_else(|| missing(field))?;
    list.iter().map(|block| block_id(Some(block), field)).collect()
}

fn rollup(value: &Value) -> Result<Rollup, CorruptionKind> {
    let time = |field: &'static str| value.get(field).and_then(Value::as_i64).ok_or_else(|| missing(field));
    let resolution_ms = time("resolutionMs")?;
    match TimeRange::new(time("from")?, time("to")?) {
        Some(covers) if resolution_ms > 0 => Ok(Rollup { resolution_ms, covers }),
        _ => Err(CorruptionKind::Rule { rule: "a rollup has windows" }),
    }
}

/// Checks the checksum, which covers the object without it, keys sorted, without blanks.
fn check(object: &mut Map<String, Value>) -> Result<(), CorruptionKind> {
    let stored = object.remove("checksum").ok_or_else(|| missing("checksum"))?;
    let stored = stored.as_str().and_then(|text| u64::from_str_radix(text, 16).ok());
    let stored = stored.ok_or_else(|| missing("checksum"))?;
    let computed = u64::from(checksum(Value::Object(object.clone()).to_string().as_bytes()));
    if stored == computed { Ok(()) } else { Err(CorruptionKind::Checksum { stored, computed }) }
}

fn number(object: &Map<String, Value>, field: &'static str) -> Result<u64, CorruptionKind> {
    object.get(field).and_then(Value::as_u64).ok_or_else(|| missing(field))
}

fn block_id(value: Option<&Value>, field: &'static str) -> Result<BlockId, CorruptionKind> {
    let text = value.and_then(Value::as_str).ok_or_else(|| missing(field))?;
    parse_dir_name(text).ok_or_else(|| missing(field))
}

/// The block whose directory has the name `name`; `None` if it is no such name.
pub(super) fn parse_dir_name(name: &str) -> Option<BlockId> {
    let id = BlockId(Ulid::from_string(name).ok()?.into());
    (dir_name(id) == name).then_some(id)
}

fn missing(field: &'static str) -> CorruptionKind {
    CorruptionKind::Truncated { field }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_incomplete_is_read_as_it_was_written() {
        let covers = TimeRange::new(1, 288_000).unwrap();
        let meta = BlockMeta {
            id: BlockId(9),
            range: covers,
            stats: BlockStats::default(),
            level: 2,
            sources: vec![BlockId(7), BlockId(8)],
            parents: Vec::new(),
            incomplete: vec![BlockId(8)],
            rollup: Some(Rollup { resolution_ms: 1000, covers }),
        };
        let golden = include_bytes!("../../tests/golden/v1/incomplete-meta.json");
        assert_eq!(String::from_utf8(render(&meta)).unwrap(), String::from_utf8_lossy(golden));
        assert_eq!(parse(Path::new("meta.json"), golden).unwrap(), meta);
    }
}
