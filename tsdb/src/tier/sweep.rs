//! Removing objects that no manifest names.

use super::ledger::{KEPT_GENERATIONS, Ledger, LedgerError};
use std::collections::BTreeSet;
use tsdb_core::Timestamp;

impl Ledger {
    /// Removes objects of blocks that the manifest does not name, and old generations of it, if they were put before
    /// `before`, by the clock of the store: what was put later may belong to an upload that is under way. Returns how
    /// many it removed.
    ///
    /// # Errors
    /// The manifest is damaged, so that nobody knows what is named; or the store failed: some may be gone.
    pub fn sweep(&self, before: Timestamp) -> Result<u64, LedgerError> {
        let prefix = self.key("blocks");
        // ORDER: listed before the manifest is read: what is named meanwhile is found in it.
        let listed = self.retry().run(|| self.store().list(&prefix))?;
        let generations = self.generations()?;
        let loaded = self.load()?;
        if let Some((generation, source)) = loaded.damaged.clone() {
            return Err(LedgerError::Damaged { generation, source });
        }
        let blocks = &loaded.manifest.blocks;
        let keys =
            blocks.iter().flat_map(|(id, block)| block.files.iter().map(|file| self.key(&file.key(*id))));
        let named: BTreeSet<String> = keys.collect();
        let old = listed.iter().filter(|object| object.modified_ms < before);
        let mut doomed: Vec<String> =
            old.filter(|object| !named.contains(&object.key)).map(|object| object.key.clone()).collect();
        for generation in generations.iter().rev().skip(KEPT_GENERATIONS) {
            let key = self.generation_key(*generation);
            match self.retry().run(|| self.store().head(&key)) {
                Ok(info) if info.modified_ms < before => doomed.push(key),
                Ok(_) | Err(super::StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for key in &doomed {
            self.retry().run(|| self.store().delete(key))?;
        }
        Ok(doomed.len() as u64)
    }
}
