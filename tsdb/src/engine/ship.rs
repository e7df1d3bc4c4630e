//! Object storage: sealed blocks go there, old ones are then read from there, and what is dropped here is dropped there.

use super::Engine;
use crate::Error;
use crate::block::Block;
use crate::blocks::{Blocks, FarBlock, SetAside};
use crate::tier::upload::holds_all_of;
use crate::tier::{Change, LedgerError, Manifest, Pace, Shipper, StoredBlock, TierRole, deleted};
use crate::tombstones::Tombstones;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tsdb_core::block::{BlockId, BlockMeta};

/// Rounds over which a block must be past retention before it is named no longer: a horizon that is wrong once drops
/// nothing.
type Twice = BTreeSet<BlockId>;

/// A block that queries are shown, and what is deleted in it.
type Shown = (BlockMeta, Arc<Tombstones>);

impl Engine {
    /// One round: uploads what waits, shows what others uploaded, gives the disk back, sweeps.
    pub(crate) fn ship(&self) -> Result<(), Error> {
        let Some(shipper) = &self.shipper else { return Ok(()) };
        self.wait_for_replay();
        let mut pace = shipper.pace().lock();
        self.check_work()?;
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

    /// The first blocks that are far away, from a manifest, beside those on disk. Says also what is missing.
    pub(super) fn far_blocks(
        shipper: &Shipper,
        manifest: &Manifest,
        blocks: &Blocks,
    ) -> (Vec<FarBlock>, Vec<SetAside>) {
        let (mut far, mut missing) = (Vec::new(), Vec::new());
        let dropped = shipper.dropped();
        let is_needed =
            |stored: &&StoredBlock| !dropped.contains(&stored.meta.id) && !is_here(blocks, stored);
        for stored in manifest.blocks.values().filter(is_needed) {
            match shipper.far(stored) {
                Ok(block) => far.push(FarBlock { block, bytes: stored.bytes() }),
                Err(error) => missing.push(SetAside::far(&stored.meta, unread(stored, &error))),
            }
        }
        (far, missing)
    }

    /// Has queries see what the manifest names now.
    pub(super) fn refresh_far(&self, shipper: &Shipper) -> Result<(), Error> {
        let loaded = shipper.ledger().load()?;
        if let Some((generation, source)) = loaded.damaged.clone() {
            return Err(LedgerError::Damaged { generation, source }.into());
        }
        self.show_far(shipper, &loaded.manifest)
    }

    fn ship_all(&self, shipper: &Shipper, pace: &mut Pace) -> Result<(), Error> {
        let waiting = self.note_backlog(shipper, &[]);
        // ORDER: nothing is uploaded, dropped or let go below the prefix of another database.
        let known = shipper.ledger().claim()?;
        let is_missing = |block: &Arc<Block>| {
            let meta = block.meta();
            let mut named = known.manifest.blocks.values();
            !named.any(|other| other.meta.id == meta.id || holds_all_of(&other.meta, meta))
        };
        let waiting: Vec<Arc<Block>> = waiting.into_iter().filter(is_missing).collect();
        self.note_backlog(shipper, &waiting);
        for (done, block) in waiting.iter().enumerate() {
            if self.is_stopping() {
                return Err(Error::Closed);
            }
            let dir = self.place.path(block.meta().id);
            shipper.ship(&*self.place.fs, &dir, block, &self.types_in(block))?;
            self.note_backlog(shipper, waiting.get(done + 1..).unwrap_or_default());
        }
        drop(waiting);
        // ORDER: what took the place of a block is named before the block is not.
        self.drop_far(shipper, pace)?;
        let mut loaded = shipper.ledger().load()?;
        if loaded.damaged.is_none() {
            if self.let_go(shipper, &loaded.manifest)? {
                loaded = shipper.ledger().load()?;
            }
            self.show_far(shipper, &loaded.manifest)?;
        }
        self.published.read().blocks.far().for_each(|far| far.block.release());
        Ok(shipper.tidy(&*self.place.fs, pace, &loaded)?)
    }

    /// Has the manifest say what is deleted in the blocks on disk, and which of them it holds no longer: those that are
    /// old, those that are damaged here, and those that are not here at all. Says whether there was anything to say.
    fn let_go(&self, shipper: &Shipper, manifest: &Manifest) -> Result<bool, Error> {
        if shipper.tier().role != TierRole::Owner {
            return Ok(false);
        }
        let old = self.options.clock.now().saturating_sub(shipper.tier().keep_local_ms);
        let mut changes = Vec::new();
        let _work = self.begin_work()?;
        let blocks = self.published.read().blocks.clone();
        for stored in manifest.blocks.values().filter(|stored| stored.is_held) {
            let id = stored.meta.id;
            let known = stored.tombstones().map(|file| file.checksum);
            let Some(block) = blocks.iter().find(|block| block.meta().id == id) else {
                if !is_here(&blocks, stored) {
                    changes.push(Change { id, tombstones: None, known, leaves: true });
                }
                continue;
            };
            let tombstones =
                block.tombstone_bytes().filter(|bytes| Some(deleted::checksum_of(bytes)) != known);
            let leaves = stored.meta.range.end() < old || self.is_damaged(block);
            if leaves || tombstones.is_some() {
                changes.push(Change { id, tombstones, known, leaves });
            }
        }
        // ORDER: before the manifest may say that a block is not held, whoever deletes in it knows.
        let leaving = changes.iter().filter(|change| change.leaves).map(|change| change.id);
        shipper.leaving().lock().extend(leaving);
        drop(_work);
        if !changes.is_empty() {
            shipper.change(&changes)?;
        }
        Ok(!changes.is_empty())
    }

    /// Is something of the block on disk known to be damaged?
    fn is_damaged(&self, block: &Block) -> bool {
        let name = Block::dir_name(block.meta().id);
        !block.warnings().is_empty()
            || self.left_out.lock().contains_key(&block.meta().id)
            || self.damage.sentences().iter().any(|sentence| sentence.contains(&name))
    }

    /// Notes what waits for its upload: `known`, or all that is not far away if that is not known. Returns it.
    fn note_backlog(&self, shipper: &Shipper, known: &[Arc<Block>]) -> Vec<Arc<Block>> {
        let named = shipper.ledger().known();
        let is_named =
            |id: BlockId| named.as_ref().is_some_and(|named| named.manifest.blocks.contains_key(&id));
        let blocks = self.published.read().blocks.clone();
        let waits = |block: &&Arc<Block>| !is_named(block.meta().id) && block.warnings().is_empty();
        let waiting: Vec<Arc<Block>> = match known {
            [] => blocks.iter().filter(waits).map(Arc::clone).collect(),
            known => known.to_vec(),
        };
        let bytes = waiting.iter().map(|block| blocks.bytes_of(block.meta().id)).sum();
        shipper.set_backlog(waiting.len() as u64, bytes);
        self.head.set_overflow(shipper.overflow());
        waiting
    }

    /// Names no longer what was dropped or replaced here, and what retention drops.
    fn drop_far(&self, shipper: &Shipper, pace: &mut Pace) -> Result<(), Error> {
        let now = self.believed_now(&mut *self.begin_work()?);
        let blocks = self.published.read().blocks.clone();
        let local: BTreeSet<BlockId> = blocks.iter().map(|block| block.meta().id).collect();
        let far: BTreeSet<BlockId> = blocks.far().map(|far| far.block.meta().id).collect();
        let plan = now.map(|now| self.retention_at(now)).unwrap_or_default();
        // That it is refused is told by whoever deletes on disk.
        let past = plan.steps.iter().filter(|_| !plan.is_refused).map(|step| step.id);
        // Of what windows are being made goes when they are made.
        let rolling = self.rolling.lock().clone();
        let goes = |id: &BlockId| far.contains(id) && !rolling.contains(id);
        let expiring: Twice = past.filter(goes).collect();
        let before = std::mem::replace(&mut pace.expiring, expiring);
        let mut gone: BTreeSet<BlockId> = pace.expiring.intersection(&before).copied().collect();
        gone.extend(pace.seen.iter().filter(|id| !local.contains(id) && !far.contains(id)));
        shipper.unname(&*self.place.fs, &gone)?;
        pace.seen.retain(|id| !gone.contains(id));
        pace.seen.extend(local);
        Ok(())
    }

    /// Has queries read from object storage what the manifest names and is not on disk, or need not be any longer.
    fn show_far(&self, shipper: &Shipper, manifest: &Manifest) -> Result<(), Error> {
        let mut work = self.begin_work()?;
        let blocks = self.published.read().blocks.clone();
        let before: Vec<Shown> =
            blocks.everywhere().map(|block| (block.meta().clone(), block.tombstones())).collect();
        let known: BTreeMap<BlockId, &FarBlock> =
            blocks.far().map(|far| (far.block.meta().id, far)).collect();
        let leaving: BTreeSet<BlockId> = blocks
            .iter()
            .map(|block| block.meta())
            .filter(|meta| is_far(manifest, meta))
            .map(|meta| meta.id)
            .collect();
        let rest = without(&blocks, &leaving);
        let dropped = shipper.dropped();
        let (mut far, mut missing) = (Vec::new(), Vec::new());
        for (id, stored) in &manifest.blocks {
            if dropped.contains(id) || is_here(&rest, stored) {
                continue;
            }
            let shown = match known.get(id) {
                Some(known) => shipper.renew(&known.block, stored).map(|()| FarBlock::clone(known)),
                None => shipper.far(stored).map(|block| FarBlock { block, bytes: stored.bytes() }),
            };
            match shown {
                Ok(block) => far.push(block),
                Err(LedgerError::Store(error)) if error.is_temporary() => {
                    return Err(LedgerError::from(error).into());
                }
                Err(error) => missing.push(SetAside::far(&stored.meta, unread(stored, &error))),
            }
        }
        // Of what cannot be read there the copy on disk stays.
        let unread: BTreeSet<BlockId> = missing.iter().filter_map(SetAside::id).collect();
        let leaving: BTreeSet<BlockId> = leaving.difference(&unread).copied().collect();
        let rest = without(&blocks, &leaving);
        let doomed: Vec<Arc<Block>> =
            blocks.iter().filter(|block| leaving.contains(&block.meta().id)).map(Arc::clone).collect();
        let shown: BTreeSet<BlockId> = far.iter().map(|far| far.block.meta().id).collect();
        let is_gone = |id: &BlockId| !shown.contains(id);
        let gone: Vec<Arc<Block>> =
            known.iter().filter(|(id, _)| is_gone(id)).map(|(_, far)| Arc::clone(&far.block)).collect();
        drop(known);
        self.published.write().blocks = rest.with_far(far, missing);
        self.note_shown(&before);
        drop((blocks, rest));
        shipper.leaving().lock().retain(|id| !leaving.contains(id));
        work.doom(&doomed);
        drop(doomed);
        shipper.set_shown();
        shipper.forget(gone);
        self.remove_doomed(&mut work)
    }

    /// Notes what may answer otherwise now than with the blocks `before`: those that came or went, or of which others
    /// deleted something.
    fn note_shown(&self, before: &[Shown]) {
        let now = self.published.read().blocks.clone();
        let is_new = |block: &&Arc<Block>| before.iter().all(|(meta, _)| meta.id != block.meta().id);
        let came = now.everywhere().filter(is_new).map(|block| block.meta().range.end());
        let went = before.iter().filter(|(meta, deleted)| !now.has_unchanged(meta.id, deleted));
        let newest = came.chain(went.map(|(meta, _)| meta.range.end())).max();
        newest.into_iter().for_each(|newest| self.head.changes().note_until(newest));
    }
}

fn without(blocks: &Blocks, gone: &BTreeSet<BlockId>) -> Blocks {
    gone.iter().fold(blocks.clone(), |rest, id| rest.without(*id))
}

/// Is `stored`, or a block that holds all of it, on disk?
fn is_here(blocks: &Blocks, stored: &StoredBlock) -> bool {
    let meta = &stored.meta;
    blocks.iter().any(|block| block.meta().id == meta.id || holds_all_of(block.meta(), meta))
}

/// Does the manifest name the block `meta`, or one that holds all of it, and nobody holds that?
fn is_far(manifest: &Manifest, meta: &BlockMeta) -> bool {
    match manifest.blocks.get(&meta.id) {
        Some(stored) => !stored.is_held,
        None => manifest.blocks.values().any(|other| !other.is_held && holds_all_of(&other.meta, meta)),
    }
}

fn unread(stored: &StoredBlock, error: &LedgerError) -> String {
    let name = Block::dir_name(stored.meta.id);
    format!("block {name} on object storage is missing, since what is deleted in it cannot be read: {error}")
}
