//! `meta.json`: what a block of Prometheus says of itself.

use serde_json::{Value, json};
use tsdb_core::Timestamp;
use tsdb_core::block::BlockId;
use ulid::Ulid;

/// What is read of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Meta {
    /// Its first time, ms.
    pub(super) min_time: Timestamp,
    /// Behind its last time, ms.
    pub(super) max_time: Timestamp,
    /// Blocks whose samples are all in this one too.
    pub(super) parents: Vec<BlockId>,
    /// Nothing is in it.
    pub(super) is_deletable: bool,
    /// Made of samples that came out of order.
    pub(super) is_out_of_order: bool,
    /// The distance of its samples if Thanos made it coarser, ms; 0 if not.
    pub(super) resolution_ms: i64,
}

impl Meta {
    /// Reads the text; `None` if it is no description of a block.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(text).ok()?;
        let compaction = value.get("compaction");
        let field = |name| compaction.and_then(|compaction| compaction.get(name));
        let list = |name| field(name).and_then(Value::as_array).into_iter().flatten();
        let resolution = value.pointer("/thanos/downsample/resolution").and_then(Value::as_i64);
        Some(Self {
            min_time: value.get("minTime")?.as_i64()?,
            max_time: value.get("maxTime")?.as_i64()?,
            parents: list("parents").filter_map(|parent| id(parent.get("ulid")?.as_str()?)).collect(),
            is_deletable: field("deletable").and_then(Value::as_bool).unwrap_or(false),
            is_out_of_order: list("hints").any(|hint| hint.as_str() == Some("from-out-of-order")),
            resolution_ms: resolution.unwrap_or(0),
        })
    }
}

/// The block that is called `name`.
pub(super) fn id(name: &str) -> Option<BlockId> {
    let id = Ulid::from_string(name).ok()?;
    (id.to_string() == name).then(|| BlockId(id.into()))
}

/// How many there are of what in a block that is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) series: u64,
    pub(super) chunks: u64,
    pub(super) numbers: u64,
    pub(super) histograms: u64,
}

/// The text for the block `id` with samples from `min_time` to before `max_time`.
pub(super) fn render(id: BlockId, min_time: Timestamp, max_time: Timestamp, counts: Counts) -> Vec<u8> {
    let name = Ulid::from(id.0).to_string();
    let text = json!({
        "ulid": name,
        "minTime": min_time,
        "maxTime": max_time,
        "stats": {
            "numSamples": counts.numbers + counts.histograms,
            "numFloatSamples": counts.numbers,
            "numHistogramSamples": counts.histograms,
            "numSeries": counts.series,
            "numChunks": counts.chunks,
        },
        "compaction": { "level": 1, "sources": [name] },
        "version": 1,
    });
    format!("{text:#}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_of_a_description_is_read() {
        let text = br#"{"ulid":"01M7XE8GDVX8HFR0M26C306ZVX","minTime":5,"maxTime":9,"version":1,
            "thanos":{"downsample":{"resolution":300000}},
            "compaction":{"level":2,"deletable":true,"hints":["from-out-of-order"],
                "parents":[{"ulid":"01M7XE8GDVX8HFR0M26C306ZVX","minTime":5,"maxTime":9}]}}"#;
        let meta = Meta::read(text).unwrap();
        assert_eq!(meta.parents, [id("01M7XE8GDVX8HFR0M26C306ZVX").unwrap()]);
        assert_eq!((meta.min_time, meta.max_time, meta.resolution_ms), (5, 9, 300_000));
        assert!(meta.is_deletable && meta.is_out_of_order);
        assert_eq!(Meta::read(b"{}"), None);
        assert_eq!(Meta::read(br#"{"minTime":1,"maxTime":2}"#).map(|meta| meta.parents.len()), Some(0));
    }

    #[test]
    fn what_is_written_is_read() {
        let meta = Meta::read(&render(BlockId(7), -5, 9, Counts::default())).unwrap();
        assert_eq!((meta.min_time, meta.max_time), (-5, 9));
    }
}
