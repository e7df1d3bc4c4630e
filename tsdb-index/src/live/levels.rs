//! Label pairs by the number of their series, roughly: enough to find the largest without looking at all.

use roaring::RoaringBitmap;

/// How many series a pair of each level has at least. Powers of two, so that growth seldom asks.
const LEAST: [u64; 4] = [64, 1024, 16_384, 262_144];

/// The pairs that have many series.
#[derive(Debug, Default)]
pub(super) struct Levels {
    pairs: [RoaringBitmap; LEAST.len()],
}

impl Levels {
    /// `pair` has got one more series: it has `len` now.
    #[inline]
    pub(super) fn grow(&mut self, pair: u32, len: u64) {
        if len.is_power_of_two()
            && let Some((_, level)) = LEAST.iter().zip(&mut self.pairs).find(|(least, _)| **least == len)
        {
            level.insert(pair);
        }
    }

    /// `pair` had `before` series and has `after` now.
    pub(super) fn shrink(&mut self, pair: u32, before: u64, after: u64) {
        for (least, level) in LEAST.iter().zip(&mut self.pairs) {
            if before >= *least && after < *least {
                level.remove(pair);
            }
        }
    }

    /// Numbers of series with all pairs that have at least as many: the smallest sets first.
    pub(super) fn largest_first(&self) -> impl Iterator<Item = (u64, &RoaringBitmap)> {
        LEAST.into_iter().zip(&self.pairs).rev()
    }

    /// Bytes of memory, estimated.
    pub(super) fn memory_bytes(&self) -> usize {
        self.pairs.iter().map(crate::postings::bitmap_bytes).sum()
    }
}
