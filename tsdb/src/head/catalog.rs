//! What is known of metrics, within limits: senders may name as many metrics and write as much about them as they like.
//!
//! What goes beyond a limit is ignored and counted: samples matter more than what is said about them.

use std::collections::BTreeMap;
use tsdb_core::metadata::Metadata;

/// Bytes of a unit or a help text that are kept.
const MAX_TEXT_BYTES: usize = 4096;
/// Memory of an entry besides its strings, about.
const ENTRY_BYTES: usize = 128;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CatalogLimits {
    pub(crate) metrics: usize,
    pub(crate) bytes: usize,
}

/// Metadata by metric.
#[derive(Debug)]
pub(crate) struct Catalog {
    known: BTreeMap<String, Metadata>,
    bytes: usize,
    limits: CatalogLimits,
}

impl Catalog {
    pub(crate) fn new(limits: CatalogLimits) -> Self {
        Self { known: BTreeMap::new(), bytes: 0, limits }
    }

    /// Is this known already?
    pub(crate) fn has(&self, metric: &str, metadata: &Metadata) -> bool {
        self.known.get(metric) == Some(metadata)
    }

    /// Keeps what is said of `metric`, if there is room. Says whether it is kept.
    pub(crate) fn insert(&mut self, metric: &str, metadata: Metadata) -> bool {
        let old = self.known.get(metric).map_or(0, |old| size(metric, old));
        let bytes = self.bytes - old + size(metric, &metadata);
        let is_crowded = old == 0 && self.known.len() >= self.limits.metrics;
        if is_crowded || bytes > self.limits.bytes {
            return false;
        }
        self.bytes = bytes;
        self.known.insert(metric.to_owned(), metadata);
        true
    }

    /// All of it, in order of the metrics.
    pub(crate) fn to_vec(&self) -> Vec<(String, Metadata)> {
        self.known.iter().map(|(metric, metadata)| (metric.clone(), metadata.clone())).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Estimate of the bytes of memory in use.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Cuts off texts that are too long.
pub(crate) fn trim(metadata: &mut Metadata) {
    for text in [&mut metadata.unit, &mut metadata.help] {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    }
}

fn size(metric: &str, metadata: &Metadata) -> usize {
    ENTRY_BYTES + metric.len() + metadata.unit.len() + metadata.help.len()
}
