//! How many distinct things there were, about: a sketch of fixed size that any number of processes fill and merge.
//!
//! HyperLogLog (Flajolet et al., 2007) with 16 384 registers and the estimator of Ertl ("New cardinality estimation
//! algorithms for HyperLogLog sketches", 2017, section 3): a standard error of 0.81 % from one element to 2^64. Hash,
//! registers and bytes are those of Redis, so a sketch that is stored there counts like one that Redis filled itself: `PFCOUNT`
//! and `PFMERGE` take it, and both sides come to the same number.

use std::fmt;
use tsdb_core::Corruption;
use tsdb_core::bytes::Reader;

/// Bits of a hash that choose the register.
const INDEX_BITS: u32 = 14;
const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of a hash that are left to count zeros in.
const RANK_BITS: u32 = u64::BITS - INDEX_BITS;
/// Bits of a register.
const REGISTER_BITS: usize = 6;
const DENSE_LEN: usize = REGISTERS * REGISTER_BITS / 8;
const MAGIC: &[u8; 4] = b"HYLL";
/// Length of the head: magic, encoding, three unused bytes, cached count.
const HEAD_LEN: usize = 16;
/// Set in the last byte of the cached count: it is not known.
const STALE: u8 = 0x80;

/// About how many distinct elements were inserted. 16 KiB.
#[derive(Clone, PartialEq, Eq)]
pub struct Sketch {
    registers: Box<[u8; REGISTERS]>,
}

impl Default for Sketch {
    fn default() -> Self {
        Self { registers: Box::new([0; REGISTERS]) }
    }
}

impl fmt::Debug for Sketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sketch").field("estimate", &self.estimate()).finish_non_exhaustive()
    }
}

impl Sketch {
    /// A sketch of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Inserts `element`. Says whether the sketch changed: it does not for an element that it has seen.
    pub fn insert(&mut self, element: &[u8]) -> bool {
        self.insert_hash(Self::hash(element))
    }

    /// The hash of `element`: MurmurHash64A, as Redis has it.
    pub fn hash(element: &[u8]) -> u64 {
        murmur64(element)
    }

    /// Inserts an element of which only a hash is known; all its 64 bits must be good.
    pub fn insert_hash(&mut self, hash: u64) -> bool {
        let index = (hash % REGISTERS as u64) as usize;
        // The bit behind the last ends the run of zeros.
        let rest = (hash >> INDEX_BITS) | (1 << RANK_BITS);
        let rank = (rest.trailing_zeros() + 1) as u8;
        self.registers.get_mut(index).is_some_and(|register| {
            let is_new = rank > *register;
            *register = rank.max(*register);
            is_new
        })
    }

    /// Inserts what `other` has.
    pub fn merge(&mut self, other: &Self) {
        for (own, theirs) in self.registers.iter_mut().zip(other.registers.iter()) {
            *own = (*own).max(*theirs);
        }
    }

    /// About how many distinct elements were inserted.
    pub fn estimate(&self) -> u64 {
        const RANKS: usize = RANK_BITS as usize + 2;
        let mut histogram = [0_u32; RANKS];
        for register in self.registers.iter() {
            if let Some(count) = histogram.get_mut(usize::from(*register)) {
                *count += 1;
            }
        }
        let registers = REGISTERS as f64;
        let share = |count: &u32| f64::from(*count) / registers;
        let [empty, middle @ .., full] = &histogram;
        let mut sum = registers * tau(1.0 - share(full));
        for count in middle.iter().rev() {
            sum = 0.5 * (sum + f64::from(*count));
        }
        sum += registers * sigma(share(empty));
        // 0.5 / ln 2 is the limit of the correction for many registers.
        let estimate = 0.5 / std::f64::consts::LN_2 * registers * registers / sum;
        estimate.round() as u64
    }

    /// The bytes under which Redis keeps such a sketch, in its dense form: 12 304.
    pub fn to_redis(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_LEN + DENSE_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[0; 11]);
        bytes.push(STALE);
        // Four registers make three bytes, the lowest bits first.
        for four in self.registers.chunks_exact(4) {
            let bits = four
                .iter()
                .rev()
                .fold(0_u32, |bits, register| (bits << REGISTER_BITS) | u32::from(*register));
            bytes.extend(bits.to_le_bytes().into_iter().take(3));
        }
        bytes
    }

    /// Reads what Redis keeps, in its dense or its sparse form.
    ///
    /// # Errors
    /// The bytes are no sketch.
    pub fn from_redis(bytes: &[u8]) -> Result<Self, Corruption> {
        let mut reader = Reader::new("sketch", bytes);
        let magic = reader.bytes(MAGIC.len(), "magic")?;
        if magic != MAGIC {
            return Err(
                reader.invalid("magic", magic.iter().fold(0, |all, byte| (all << 8) | u64::from(*byte)))
            );
        }
        let encoding = reader.u8("encoding")?;
        reader.bytes(HEAD_LEN - MAGIC.len() - 1, "head")?;
        let mut sketch = Self::new();
        match encoding {
            0 => sketch.read_dense(&mut reader)?,
            1 => sketch.read_sparse(&mut reader)?,
            unknown => return Err(reader.invalid("encoding", unknown.into())),
        }
        Ok(sketch)
    }

    fn read_dense(&mut self, reader: &mut Reader<'_>) -> Result<(), Corruption> {
        let packed = reader.bytes(DENSE_LEN, "registers")?;
        for (three, four) in packed.chunks_exact(3).zip(self.registers.chunks_exact_mut(4)) {
            let bits = three.iter().rev().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte));
            for (place, register) in four.iter_mut().enumerate() {
                *register = rank((bits >> (place * REGISTER_BITS)) as u8 & 0x3f, reader)?;
            }
        }
        Ok(())
    }

    /// Runs of registers: `00nnnnnn` and `01nnnnnn nnnnnnnn` of n + 1 empty ones, `1vvvvvnn` of n + 1 with v + 1.
    fn read_sparse(&mut self, reader: &mut Reader<'_>) -> Result<(), Corruption> {
        let mut next = 0_usize;
        while next < REGISTERS {
            let first = reader.u8("run")?;
            let (value, count) = match first >> 6 {
                0 => (0, usize::from(first & 0x3f) + 1),
                1 => (0, (usize::from(first & 0x3f) << 8 | usize::from(reader.u8("run")?)) + 1),
                _ => (((first >> 2) & 0x1f) + 1, usize::from(first & 0x3) + 1),
            };
            let end = next.saturating_add(count);
            let run = self.registers.get_mut(next..end);
            run.ok_or_else(|| reader.invalid("length of a run", count as u64))?.fill(value);
            next = end;
        }
        Ok(())
    }
}

/// A register that a hash can fill.
fn rank(register: u8, reader: &Reader<'_>) -> Result<u8, Corruption> {
    if u32::from(register) > RANK_BITS + 1 {
        return Err(reader.invalid("register", register.into()));
    }
    Ok(register)
}

/// What the empty registers add, where `share` of all are empty.
fn sigma(mut share: f64) -> f64 {
    if share >= 1.0 {
        return f64::INFINITY;
    }
    let (mut weight, mut sum) = (1.0, share);
    loop {
        share *= share;
        let before = sum;
        sum += share * weight;
        weight += weight;
        if sum.to_bits() == before.to_bits() {
            return sum;
        }
    }
}

/// What the full registers add, where `share` of all are not full.
fn tau(mut share: f64) -> f64 {
    if share <= 0.0 || share >= 1.0 {
        return 0.0;
    }
    let (mut weight, mut sum) = (1.0, 1.0 - share);
    loop {
        share = share.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - share).powi(2) * weight;
        if sum.to_bits() == before.to_bits() {
            return sum / 3.0;
        }
    }
}

/// MurmurHash64A by Austin Appleby, with the seed of Redis.
fn murmur64(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    const SEED: u64 = 0xadc8_3b19;
    let scramble = |word: u64| {
        let word = word.wrapping_mul(FACTOR);
        (word ^ (word >> SHIFT)).wrapping_mul(FACTOR)
    };
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = (hash ^ scramble(u64::from_le_bytes(*word))).wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0_u64, |last, byte| (last << 8) | u64::from(*byte));
        hash = (hash ^ last).wrapping_mul(FACTOR);
    }
    hash = (hash ^ (hash >> SHIFT)).wrapping_mul(FACTOR);
    hash ^ (hash >> SHIFT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(elements: impl IntoIterator<Item = u64>) -> Sketch {
        let mut sketch = Sketch::new();
        for element in elements {
            sketch.insert(&element.to_le_bytes());
        }
        sketch
    }

    #[test]
    fn estimates_lie_within_four_standard_errors() {
        let mut sketch = Sketch::new();
        for element in 1..=1_000_000_u64 {
            sketch.insert(&element.to_le_bytes());
            if [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000].contains(&element) {
                let error = (sketch.estimate() as f64 / element as f64 - 1.0).abs();
                assert!(error < 4.0 * 0.0081, "{element}: {error}");
            }
        }
        assert_eq!(Sketch::new().estimate(), 0);
    }

    #[test]
    fn what_was_seen_changes_nothing() {
        let mut sketch = of(0..1000);
        let before = sketch.clone();
        assert!((0..1000_u64).all(|element| !sketch.insert(&element.to_le_bytes())));
        assert_eq!(sketch, before);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn a_merged_sketch_is_that_of_all_elements(
            some in prop::collection::vec(any::<u64>(), 0..500),
            others in prop::collection::vec(any::<u64>(), 0..500),
        ) {
            let mut merged = of(some.iter().copied());
            merged.merge(&of(others.iter().copied()));
            prop_assert_eq!(&merged, &of(some.into_iter().chain(others)));
            prop_assert_eq!(&Sketch::from_redis(&merged.to_redis()).unwrap(), &merged);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), encoding in 0..3_u8) {
            let mut whole = [MAGIC.as_slice(), &[encoding], &[0; 11]].concat();
            whole.extend(bytes);
            drop(Sketch::from_redis(&whole));
        }
    }

    #[test]
    fn a_register_that_no_hash_fills_or_a_run_past_the_end_is_refused() {
        let mut dense = of(0..10).to_redis();
        *dense.last_mut().unwrap() = 0xff;
        assert!(Sketch::from_redis(&dense).unwrap_err().to_string().contains("register"));
        let sparse = [b"HYLL\x01".as_slice(), &[0; 11], &[0x7f, 0xfe, 0x81]].concat();
        assert!(Sketch::from_redis(&sparse).unwrap_err().to_string().contains("length of a run"));
        assert!(Sketch::from_redis(b"HYLL").is_err() && Sketch::from_redis(b"other sketch....").is_err());
    }
}
