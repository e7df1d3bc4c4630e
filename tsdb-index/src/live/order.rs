//! Series in order of their labels, found in short steps: whoever guards the index with a lock lets others in between two
//! of them.
//!
//! Both label pairs and series are sorted by what a few bytes of each say at first, and only where these are equal by
//! the next few bytes. Loading those is all that needs the index; sorting does not.
//!
//! Between two steps series may be added and none removed: what is sorted keeps its numbers and its labels.

use super::{LiveIndex, PairId, Pairs};
use roaring::RoaringBitmap;
use std::ops::Range;
use tsdb_core::SeriesRef;

/// Keys that are loaded in one step.
const STEP: usize = 1024;
/// Bytes of a value in one key.
const KEY_BYTES: usize = 7;
/// In the lowest byte of a key: the value goes on behind it.
const GOES_ON: u64 = 0xff;

/// Greater than any rank.
const NO_RANK: u32 = u32::MAX - 1;

/// A part of what something is sorted by, and its number.
type Keyed = (u64, u32);

/// Does work on the index: locks it, calls what it is given, and lets go.
pub type Step<'a> = dyn FnMut(&mut dyn FnMut(&LiveIndex)) + 'a;

/// The series in `of` that the index holds, in order of their labels. `step` is called for each step, with what to do
/// on the index. Takes 16 bytes a series and 4 to 8 a pair while it works.
pub fn sorted_series(of: &RoaringBitmap, step: &mut Step<'_>) -> Vec<SeriesRef> {
    let ranks = ranks(step);
    let mut held = RoaringBitmap::new();
    step(&mut |index| held = of & &index.all);
    let mut keyed: Vec<Keyed> = held.iter().map(|series| (0, series)).collect();
    let goes_on = |key: u64| key & u64::from(u32::MAX) != 0;
    sort(&mut keyed, goes_on, |part, depth| {
        step(&mut |index| {
            for (key, series) in part.iter_mut() {
                *key = series_key(index, &ranks, *series, depth);
            }
        });
    });
    keyed.into_iter().map(|(_, series)| SeriesRef(series)).collect()
}

/// Two ranks of the pairs of a series, from number `2 * depth` on, each one more than it is: a set that ends sorts
/// before one that goes on.
fn series_key(index: &LiveIndex, ranks: &[u32], series: u32, depth: usize) -> u64 {
    let mut rest = index.members.pairs(series).skip(2 * depth).map(|pair| {
        let rank = ranks.get(pair.0 as usize).copied().unwrap_or(NO_RANK);
        u64::from(rank) + 1
    });
    let (high, low) = (rest.next().unwrap_or(0), rest.next().unwrap_or(0));
    high << 32 | low
}

/// The rank of each pair among all pairs in order of name, then value; indexed by pair number.
fn ranks(step: &mut Step<'_>) -> Vec<u32> {
    let mut ranks = Vec::new();
    let mut next = 0;
    let mut names = Vec::new();
    step(&mut |index| names = index.pairs.sorted_names());
    for name in names {
        let mut keyed: Vec<Keyed> = Vec::new();
        step(&mut |index| keyed = index.pairs.of_name_number(name).map(|pair| (0, pair.0)).collect());
        sort(&mut keyed, goes_on_value, |part, depth| {
            step(&mut |index| {
                for (key, pair) in part.iter_mut() {
                    *key = value_key(&index.pairs, PairId(*pair), depth);
                }
            });
        });
        for (_, pair) in keyed {
            let place = pair as usize;
            if place >= ranks.len() {
                // A pair that comes while this goes on is of no series that is sorted.
                ranks.resize(place + 1, NO_RANK);
            }
            if let Some(place) = ranks.get_mut(place) {
                *place = next;
            }
            next += 1;
        }
    }
    ranks
}

/// Does the value go on behind this key?
fn goes_on_value(key: u64) -> bool {
    key & GOES_ON == GOES_ON
}

/// Some bytes of the value of a pair, the first one highest, and how many they are.
fn value_key(pairs: &Pairs, pair: PairId, depth: usize) -> u64 {
    let value = pairs.text(pair).1.as_bytes();
    let rest = value.get(depth * KEY_BYTES..).unwrap_or_default();
    let mut bytes = [0; 8];
    for (place, byte) in bytes.iter_mut().zip(rest.iter().take(KEY_BYTES)) {
        *place = *byte;
    }
    let length = if rest.len() > KEY_BYTES { GOES_ON } else { rest.len() as u64 };
    u64::from_be_bytes(bytes) | length
}

/// Sorts by the keys that `load` gives at depth 0; where those are equal and say that there is more, by those at the next
/// depth, and so on.
fn sort(keyed: &mut [Keyed], goes_on: impl Fn(u64) -> bool, mut load: impl FnMut(&mut [Keyed], usize)) {
    let mut open: Vec<(Range<usize>, usize)> = vec![(0..keyed.len(), 0)];
    while let Some((range, depth)) = open.pop() {
        let Some(part) = keyed.get_mut(range.clone()) else { continue };
        part.chunks_mut(STEP).for_each(|step| load(step, depth));
        part.sort_unstable();
        let mut start = range.start;
        for equal in part.chunk_by(|one, other| one.0 == other.0) {
            let end = start + equal.len();
            if equal.len() > 1 && equal.first().is_some_and(|(key, _)| goes_on(*key)) {
                open.push((start..end, depth + 1));
            }
            start = end;
        }
    }
}
