//! Object storage: sealed blocks go there, old ones are then read from there, and what is dropped here is dropped there.

use super::Engine;
use crate::block::Block;
use crate::blocks::FarBlock;
use crate::tier::{Manifest, Pace, Shipper};
use crate::{Error, Options};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tsdb_core::block::{BlockId, BlockMeta};
use tsdb_rollup::plan::expired;

/// Rounds over which a block must be past retention before it is named no longer: a horizon that is wrong once drops
/// nothing.
type Twice = BTreeSet<BlockId>;

impl Engine {
    /// One round: uploads what waits, shows what others uploaded, gives the disk back, sweeps.
    pub(crate) fn ship(&self) -> Result<(), Error> {
        let Some(shipper) = &self.shipper else { return Ok(()) };
        self.wait_for_replay();
        let mut pace = shipper.pace().lock();
        if self.is_stopping() {
            return Err(Error::Closed);
        }
        if shipper.must_wait(&pace) {
            self.note_backlog(shipper, &[]);
            return Ok(());
        }
        let outcome = self.ship_all(shipper, &mut pace);
        shipper.note(&mut pace, &outcome);
        outcome
    }

    /// As [`ship`](Self::ship), whatever failed before.
    pub(crate) fn ship_now(&self) -> Result<(), Error> {
        if let Some(shipper) = &self.shipper {
            let mut pace = shipper.pace().lock();
            let outcome = self.ship_all(shipper, &mut pace);
            shipper.note(&mut pace, &outcome);
            return outcome;
        }
        Ok(())
    }

    /// The first blocks that are far away, from a manifest.
    pub(super) fn far_blocks(
        shipper: &Shipper,
        manifest: &Manifest,
        local: &BTreeSet<BlockId>,
    ) -> Vec<FarBlock> {
        let missing = manifest.blocks.values().filter(|stored| !local.contains(&stored.meta.id));
        missing.map(|stored| FarBlock { block: shipper.far(stored), bytes: stored.bytes() }).collect()
    }

    fn ship_all(&self, shipper: &Shipper, pace: &mut Pace) -> Result<(), Error> {
        let waiting = self.note_backlog(shipper, &[]);
        let known = shipper.ledger().load()?;
        let waiting: Vec<Arc<Block>> = waiting
            .into_iter()
            .filter(|block| !known.manifest.blocks.contains_key(&block.meta().id))
            .collect();
        self.note_backlog(shipper, &waiting);
        for (done, block) in waiting.iter().enumerate() {
            if self.is_stopping() {
                return Err(Error::Closed);
            }
            let dir = self.place.path(block.meta().id);
            shipper.ship(&*self.place.fs, &dir, block)?;
            self.note_backlog(shipper, waiting.get(done + 1..).unwrap_or_default());
        }
        drop(waiting);
        // ORDER: what took the place of a block is named before the block is not.
        self.drop_far(shipper, pace)?;
        let loaded = shipper.ledger().load()?;
        if loaded.damaged.is_none() {
            self.show_far(shipper, pace, &loaded.manifest)?;
        }
        self.published.read().blocks.far().for_each(|far| far.block.release());
        Ok(shipper.tidy(&*self.place.fs, pace, &loaded)?)
    }

    /// Notes what waits for its upload: `known`, or all that is not far away if that is not known. Returns it.
    fn note_backlog(&self, shipper: &Shipper, known: &[Arc<Block>]) -> Vec<Arc<Block>> {
        let named = shipper.ledger().known();
        let is_named =
            |id: BlockId| named.as_ref().is_some_and(|named| named.manifest.blocks.contains_key(&id));
        let blocks = self.published.read().blocks.clone();
        let is_whole =
            |block: &Arc<Block>| block.warnings().is_empty() && block.tombstones().series_count() == 0;
        let waits = |block: &&Arc<Block>| !is_named(block.meta().id) && is_whole(block);
        let waiting: Vec<Arc<Block>> = match known {
            [] => blocks.iter().filter(waits).map(Arc::clone).collect(),
            known => known.to_vec(),
        };
        let bytes = waiting.iter().map(|block| blocks.bytes_of(block.meta().id)).sum();
        shipper.set_backlog(waiting.len() as u64, bytes);
        self.head.set_overflow(shipper.overflow());
        waiting
    }

    /// Names no longer what was dropped or replaced here, and what is past retention.
    fn drop_far(&self, shipper: &Shipper, pace: &mut Pace) -> Result<(), Error> {
        let now = self.believed_now(&mut *self.begin_work()?);
        let blocks = self.published.read().blocks.clone();
        let local: BTreeSet<BlockId> = blocks.iter().map(|block| block.meta().id).collect();
        let far: BTreeSet<BlockId> = blocks.far().map(|far| far.block.meta().id).collect();
        let metas: Vec<BlockMeta> = blocks.everywhere().map(|block| block.meta().clone()).collect();
        // Windows have a retention of their own.
        let Options { retention_ms, rollups, .. } = &self.options;
        let past = now.map(|now| expired(&metas, *retention_ms, rollups, now)).unwrap_or_default();
        let expiring: Twice = past.into_iter().filter(|id| far.contains(id)).collect();
        let before = std::mem::replace(&mut pace.expiring, expiring);
        let mut gone: BTreeSet<BlockId> = pace.expiring.intersection(&before).copied().collect();
        gone.extend(pace.seen.iter().filter(|id| !local.contains(id) && !far.contains(id)));
        shipper.unname(&gone)?;
        pace.seen.retain(|id| !gone.contains(id));
        pace.seen.extend(local);
        Ok(())
    }

    /// Has queries read from object storage what the manifest names and is not on disk, or need not be any longer.
    fn show_far(&self, shipper: &Shipper, pace: &mut Pace, manifest: &Manifest) -> Result<(), Error> {
        let mut work = self.begin_work()?;
        let old = self.options.clock.now().saturating_sub(shipper.tier().keep_local_ms);
        let blocks = self.published.read().blocks.clone();
        let leaving: Vec<Arc<Block>> = blocks
            .iter()
            .filter(|block| block.meta().range.end() < old && block.tombstones().series_count() == 0)
            .filter(|block| manifest.blocks.contains_key(&block.meta().id))
            .map(Arc::clone)
            .collect();
        let leaving_ids: BTreeSet<BlockId> = leaving.iter().map(|block| block.meta().id).collect();
        let stays = |block: &&Arc<Block>| !leaving_ids.contains(&block.meta().id);
        let mut here: BTreeSet<BlockId> = blocks.iter().filter(stays).map(|block| block.meta().id).collect();
        // What a block here has replaced is named until the block is named itself.
        here.extend(blocks.iter().flat_map(|block| block.meta().parents.iter().copied()));
        let known: BTreeMap<BlockId, &FarBlock> =
            blocks.far().map(|far| (far.block.meta().id, far)).collect();
        let mut far = Vec::new();
        for (id, stored) in manifest.blocks.iter().filter(|(id, _)| !here.contains(id)) {
            far.push(match known.get(id) {
                Some(known) => FarBlock::clone(known),
                None => FarBlock { block: shipper.far(stored), bytes: stored.bytes() },
            });
        }
        let is_gone = |id: &BlockId| !manifest.blocks.contains_key(id);
        let gone: Vec<Arc<Block>> =
            known.iter().filter(|(id, _)| is_gone(id)).map(|(_, far)| Arc::clone(&far.block)).collect();
        drop(known);
        let mut published = self.published.write();
        let local = leaving_ids.iter().fold(published.blocks.clone(), |blocks, id| blocks.without(*id));
        published.blocks = local.with_far(far);
        drop(published);
        for block in &leaving {
            work.doom(Some(block));
        }
        drop((leaving, blocks));
        shipper.forget(pace, gone);
        self.remove_doomed(&mut work)
    }
}
