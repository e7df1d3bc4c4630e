//! What a power cut leaves, drawn by seed.

use super::Loss;
use super::disk::Write;

/// Draws what survives. Pseudo-random numbers by splitmix64 (Steele, Lea, Flood, 2014).
pub(super) struct Draw {
    loss: Loss,
    state: u64,
}

impl Draw {
    const SECTOR: usize = 512;

    pub(super) fn new(loss: Loss) -> Self {
        let state = if let Loss::Random(seed) = loss { seed } else { 0 };
        Self { loss, state }
    }

    /// Does one change of a directory survive?
    pub(super) fn keeps(&mut self) -> bool {
        match self.loss {
            Loss::Everything => false,
            Loss::Nothing => true,
            Loss::Random(_) => self.below(2) == 0,
        }
    }

    /// The changes of a file that survive: the first few, the next one perhaps in part.
    pub(super) fn survivors(&mut self, pending: &[Write]) -> Vec<Write> {
        match self.loss {
            Loss::Everything => Vec::new(),
            Loss::Nothing => pending.to_vec(),
            Loss::Random(_) => {
                let whole = self.below(pending.len() + 1);
                let torn = pending.get(whole).map(|write| match write {
                    Write::At(at, bytes) => {
                        let kept = self.below(bytes.len() + 1);
                        Write::At(*at, bytes.iter().take(kept).copied().collect())
                    }
                    Write::Truncate(len) => Write::Truncate(*len),
                });
                pending.iter().take(whole).cloned().chain(torn).collect()
            }
        }
    }

    /// Writes reach a disk in any order: now and then some unsynced sectors are still blank.
    pub(super) fn punch_hole(&mut self, bytes: &mut [u8], durable_len: usize) {
        if !matches!(self.loss, Loss::Random(_)) || self.below(3) > 0 {
            return;
        }
        let first = durable_len.div_ceil(Self::SECTOR);
        let sectors = (bytes.len() / Self::SECTOR).saturating_sub(first);
        let start = (first + self.below(sectors.max(1))) * Self::SECTOR;
        let len = (1 + self.below(4)) * Self::SECTOR;
        bytes.iter_mut().skip(start.max(durable_len)).take(len).for_each(|byte| *byte = 0);
    }

    fn below(&mut self, limit: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % (limit.max(1) as u64)).unwrap_or(0)
    }
}
