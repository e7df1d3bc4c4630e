//! Which types the metrics of blocks have: what senders declared to this database, else what came with the blocks from
//! object storage. A compactor knows only the latter.

use super::Engine;
use super::rollup::Failure;
use crate::block::Block;
use crate::tier::types::{self, Types};
use crate::tier::{LedgerError, Shipper, StoredBlock};
use std::collections::BTreeMap;
use std::sync::Arc;
use tsdb_core::METRIC_NAME;
use tsdb_core::metadata::MetricType;

/// What is known of types.
#[derive(Debug, Default)]
pub(super) struct KnownTypes {
    /// By what senders call the metric or its family.
    declared: BTreeMap<String, MetricType>,
    /// By names of metrics as series have them.
    recorded: Types,
}

impl KnownTypes {
    /// The type of the metric `name`, as it or the family that it belongs to was declared.
    pub(super) fn of(&self, name: &str) -> MetricType {
        let families = ["", "_bucket", "_count", "_sum", "_total"];
        let found = families.into_iter().filter_map(|end| self.declared.get(name.strip_suffix(end)?));
        let declared = found.copied().find(|declared| *declared != MetricType::Unknown);
        declared.or_else(|| self.recorded.get(name).copied()).unwrap_or_default()
    }
}

impl Engine {
    /// What is known of the types of the metrics in `inputs`. What cannot be read is an error, unless one was patient: then
    /// it counts as not known.
    pub(super) fn types_of(&self, inputs: &[&Arc<Block>], is_patient: bool) -> Result<KnownTypes, Failure> {
        let mut known = self.declared_types();
        let Some(shipper) = &self.shipper else { return Ok(known) };
        let Some(loaded) = shipper.ledger().known() else { return Ok(known) };
        let far = inputs.iter().filter(|block| block.is_far() && block.meta().is_raw());
        for stored in far.filter_map(|block| loaded.manifest.blocks.get(&block.meta().id)) {
            match types::read(shipper.ledger(), stored).map_err(LedgerError::from) {
                Ok(types) => known.recorded.extend(types),
                Err(error) if is_patient => {
                    log::warn!("{error}; the types of metrics are guessed by their names and samples");
                }
                Err(error) => return Err(Failure::Unread(error.into())),
            }
        }
        Ok(known)
    }

    /// The types of the metrics in `block`, as far as senders declared them.
    pub(super) fn types_in(&self, block: &Block) -> Types {
        if !block.meta().is_raw() {
            return Types::new();
        }
        let known = self.declared_types();
        // Of a block whose names cannot be read nothing is said; that it is damaged is told by whoever needs it.
        let names = block.label_values(METRIC_NAME, &[]).unwrap_or_default();
        let of = |name: String| (known.of(&name), name);
        let types = names.into_iter().map(of).filter(|(known, _)| *known != MetricType::Unknown);
        types.map(|(known, name)| (name, known)).collect()
    }

    fn declared_types(&self) -> KnownTypes {
        let declared = self.head.metadata().into_iter().map(|(name, known)| (name, known.metric_type));
        KnownTypes { declared: declared.collect(), recorded: Types::new() }
    }
}

/// What came with the blocks `stored` of the types of their metrics, the later ones being right.
pub(super) fn recorded(shipper: &Shipper, stored: &[StoredBlock]) -> Result<Types, LedgerError> {
    let mut all = Types::new();
    for one in stored {
        all.extend(types::read(shipper.ledger(), one)?);
    }
    Ok(all)
}
