//! Late samples: those that came when their series had a newer one, or when their time was in a block already.
//!
//! They stand beside the chunks of their series, page by page: a page without any has an empty vector, and a thousand
//! series with one late sample each share a few allocations. New ones go into a small sorted array; when it is full,
//! runs of one series are packed into chunks. Readers merge; nothing here is moved into the chunks in order.
//!
//! Time does not tell which late samples a cut has taken with it, so they are counted in generations: a cut ends one,
//! and takes samples up to it. See [`Border`].

use super::mixed::Value;
use super::pages::PAGE;
use super::series::CHUNK_SAMPLES;
use crate::record::Border;
use std::sync::Arc;
use tsdb_core::chunk::xor::{self, XorChunk};
use tsdb_core::sample::SampleColumns;
use tsdb_core::{Corruption, NO_START, TimeRange, Timestamp};

/// Counts cuts of late samples. The first is 1.
pub(crate) type Generation = u64;

/// Samples in the array of a page after which those of busy series are packed.
const OPEN_SAMPLES: usize = 1024;
/// Fewer samples of one series are not worth a chunk.
const PACKED_RUN: usize = 16;

/// Which late samples are meant: those on this side of a border, up to a generation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LateView {
    pub(crate) border: Border,
    pub(crate) upto: Generation,
}

/// The late samples of one page.
#[derive(Debug, Default)]
pub(crate) struct Late {
    /// By generation, ascending.
    parts: Vec<Part>,
    bytes: usize,
}

/// The late samples of one generation.
#[derive(Debug)]
struct Part {
    generation: Generation,
    /// In order of series and time.
    open: Vec<LateSample>,
    /// Memory of histograms in it.
    histogram_bytes: usize,
    /// How many of them are packed next.
    pack_at: usize,
    /// In order of series; of one series in the order in which they were packed, and they may overlap.
    packed: Vec<Packed>,
    packed_bytes: usize,
}

/// A late sample.
#[derive(Debug, Clone)]
pub(crate) struct LateSample {
    timestamp: Timestamp,
    start: Timestamp,
    value: Value,
    slot: u8,
}

#[derive(Debug, Clone)]
struct Packed {
    range: TimeRange,
    bytes: Arc<[u8]>,
    slot: u8,
}

/// What a reader takes of the late samples of a series under the lock of its page, to decode without it. In order of
/// writing.
#[derive(Debug)]
pub(crate) enum LateRun {
    Packed(Arc<[u8]>, TimeRange),
    Open(SampleColumns),
}

impl LateSample {
    /// A sample of the series at `slot`, and when its counting began.
    pub(crate) fn new(slot: usize, timestamp: Timestamp, value: &Value, start: Timestamp) -> Self {
        Self { timestamp, start, value: value.clone(), slot: short(slot) }
    }

    /// The place of its series within the page.
    pub(super) fn slot(&self) -> usize {
        self.slot.into()
    }

    /// The same sample of another series.
    #[must_use]
    pub(crate) fn of(self, slot: usize) -> Self {
        Self { slot: short(slot), ..self }
    }

    pub(crate) fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    pub(super) fn start(&self) -> Timestamp {
        self.start
    }

    /// The number, if that is all there is.
    fn number(&self) -> Option<f64> {
        match self.value {
            Value::Float(value) if self.start == NO_START => Some(value),
            _ => None,
        }
    }

    fn push_to(&self, columns: &mut SampleColumns) {
        match &self.value {
            Value::Float(value) => columns.push(self.timestamp, *value),
            Value::Histogram(histogram) => columns.push_histogram(self.timestamp, Arc::clone(histogram)),
        }
        columns.set_start(self.start);
    }

    fn heap_bytes(&self) -> usize {
        match &self.value {
            Value::Float(_) => 0,
            Value::Histogram(histogram) => histogram.size_bytes(),
        }
    }
}

impl LateView {
    fn from(&self, generation: Generation) -> Option<Timestamp> {
        self.border.late_from(generation).filter(|_| generation <= self.upto)
    }

    /// The part of `range` within which samples of `generation` are meant.
    fn part(&self, generation: Generation, range: TimeRange) -> Option<TimeRange> {
        TimeRange::new(range.start().max(self.from(generation)?), range.end())
    }
}

impl LateRun {
    /// Appends the samples to `into`.
    pub(crate) fn decode(&self, into: &mut SampleColumns) -> Result<(), Corruption> {
        match self {
            Self::Packed(bytes, range) => xor::decode_range(bytes, *range, into),
            Self::Open(columns) => {
                into.clone_from(columns);
                Ok(())
            }
        }
    }
}

impl Late {
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Bytes of memory in use.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The time of the newest sample.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        let open = self.parts.iter().flat_map(|part| &part.open).map(|sample| sample.timestamp);
        let packed = self.parts.iter().flat_map(|part| &part.packed).map(|packed| packed.range.end());
        open.chain(packed).max()
    }

    /// Puts a sample in, in place of one of the same series, time and generation. Generations never go back.
    pub(crate) fn insert(&mut self, generation: Generation, sample: LateSample) {
        if self.parts.last().is_none_or(|last| last.generation < generation) {
            self.parts.push(Part::new(generation));
        }
        if let Some(part) = self.parts.last_mut() {
            part.insert(sample);
            if part.open.len() >= part.pack_at {
                part.pack();
            }
        }
        self.count();
    }

    /// The value of the series at `slot` at this time that was written last.
    pub(crate) fn find(&self, slot: usize, timestamp: Timestamp) -> Option<Value> {
        self.parts.iter().rev().find_map(|part| part.find(short(slot), timestamp))
    }

    /// Has the series at `slot` any sample?
    pub(crate) fn has(&self, slot: usize) -> bool {
        self.parts
            .iter()
            .any(|part| !part.open_of(short(slot)).is_empty() || !part.packed_of(short(slot)).is_empty())
    }

    /// At least as many samples as are meant of the series at `slot` within `range`.
    pub(crate) fn estimate(&self, slot: usize, range: TimeRange, view: &LateView) -> usize {
        let within = |part: &Part| {
            let Some(range) = view.part(part.generation, range) else { return 0 };
            let open = part.open_of(short(slot)).iter().filter(|sample| range.contains(sample.timestamp));
            let packed = part.packed_of(short(slot)).iter().filter(|packed| packed.range.overlaps(&range));
            open.count() + packed.count() * CHUNK_SAMPLES
        };
        self.parts.iter().map(within).sum()
    }

    /// Takes the samples that are meant of the series at `slot` within `range`.
    pub(crate) fn snapshot(&self, slot: usize, range: TimeRange, view: &LateView) -> Vec<LateRun> {
        let mut runs = Vec::new();
        for part in &self.parts {
            let Some(range) = view.part(part.generation, range) else { continue };
            let packed = part.packed_of(short(slot)).iter().filter(|packed| packed.range.overlaps(&range));
            runs.extend(packed.map(|packed| LateRun::Packed(Arc::clone(&packed.bytes), range)));
            let mut columns = SampleColumns::new();
            for sample in part.open_of(short(slot)).iter().filter(|sample| range.contains(sample.timestamp)) {
                sample.push_to(&mut columns);
            }
            if !columns.is_empty() {
                runs.push(LateRun::Open(columns));
            }
        }
        runs
    }

    /// Calls `visit` with slot and time of each sample that is meant.
    pub(crate) fn for_each(&self, view: &LateView, mut visit: impl FnMut(usize, Timestamp)) {
        for part in &self.parts {
            let Some(range) = view.part(part.generation, TimeRange::ALL) else { continue };
            let open = part.open.iter().filter(|sample| range.contains(sample.timestamp));
            open.for_each(|sample| visit(sample.slot.into(), sample.timestamp));
            let mut columns = SampleColumns::new();
            for packed in &part.packed {
                columns.clear();
                // The chunks were written by this process: they decode.
                drop(xor::decode_range(&packed.bytes, range, &mut columns));
                columns.timestamps.iter().for_each(|timestamp| visit(packed.slot.into(), *timestamp));
            }
        }
    }

    /// Forgets what lies on the other side of `border`.
    pub(crate) fn forget(&mut self, border: &Border) {
        self.parts.retain_mut(|part| match border.late_from(part.generation) {
            None => false,
            Some(from) => {
                part.keep(|_, timestamp| timestamp >= from);
                !part.is_empty()
            }
        });
        self.parts.shrink_to_fit();
        self.count();
    }

    /// Forgets all samples of the series at `slot`.
    pub(crate) fn forget_series(&mut self, slot: usize) {
        let slot = short(slot);
        self.parts.retain_mut(|part| {
            part.keep(|of, _| of != slot);
            !part.is_empty()
        });
        self.count();
    }

    /// Forgets the samples within `range` of the series whose slots are `meant`.
    pub(crate) fn delete(&mut self, range: TimeRange, meant: impl Fn(usize) -> bool) {
        self.parts.retain_mut(|part| {
            part.keep(|slot, timestamp| !range.contains(timestamp) || !meant(slot.into()));
            !part.is_empty()
        });
        self.count();
    }

    /// Takes all samples of the series at `slot` out, by generation, to be inserted elsewhere.
    pub(crate) fn take(&mut self, slot: usize) -> Vec<(Generation, LateSample)> {
        let taken = self.of(slot);
        self.forget_series(slot);
        taken
    }

    /// All samples of the series at `slot`, by generation, in order of writing where times are equal.
    pub(super) fn of(&self, slot: usize) -> Vec<(Generation, LateSample)> {
        let mut all = Vec::new();
        for part in &self.parts {
            let packed = part.packed_of(short(slot)).iter().flat_map(Packed::samples);
            let open = part.open_of(short(slot)).iter().cloned();
            all.extend(packed.chain(open).map(|sample| (part.generation, sample)));
        }
        all
    }

    fn count(&mut self) {
        self.bytes = self.parts.iter().map(Part::bytes).sum();
    }
}

impl Part {
    fn new(generation: Generation) -> Self {
        Self {
            generation,
            open: Vec::new(),
            histogram_bytes: 0,
            pack_at: OPEN_SAMPLES,
            packed: Vec::new(),
            packed_bytes: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.open.is_empty() && self.packed.is_empty()
    }

    fn insert(&mut self, sample: LateSample) {
        let place = (sample.slot, sample.timestamp);
        self.histogram_bytes += sample.heap_bytes();
        match self.open.binary_search_by_key(&place, |known| (known.slot, known.timestamp)) {
            Ok(known) => {
                if let Some(known) = self.open.get_mut(known) {
                    self.histogram_bytes -= known.heap_bytes();
                    *known = sample;
                }
            }
            Err(place) => self.open.insert(place, sample),
        }
    }

    fn open_of(&self, slot: u8) -> &[LateSample] {
        let start = self.open.partition_point(|sample| sample.slot < slot);
        let rest = self.open.get(start..).unwrap_or_default();
        rest.get(..rest.partition_point(|sample| sample.slot == slot)).unwrap_or_default()
    }

    fn packed_of(&self, slot: u8) -> &[Packed] {
        let start = self.packed.partition_point(|packed| packed.slot < slot);
        let rest = self.packed.get(start..).unwrap_or_default();
        rest.get(..rest.partition_point(|packed| packed.slot == slot)).unwrap_or_default()
    }

    fn find(&self, slot: u8, timestamp: Timestamp) -> Option<Value> {
        let open = self.open_of(slot);
        if let Ok(place) = open.binary_search_by_key(&timestamp, |sample| sample.timestamp) {
            return open.get(place).map(|sample| sample.value.clone());
        }
        let instant = TimeRange::instant(timestamp);
        let mut holding = self.packed_of(slot).iter().rev().filter(|packed| packed.range.contains(timestamp));
        holding.find_map(|packed| {
            let mut found = SampleColumns::new();
            xor::decode_range(&packed.bytes, instant, &mut found).ok()?;
            Value::at(&found, 0)
        })
    }

    /// Packs the samples of the series that have enough of them.
    fn pack(&mut self) {
        let mut rest = Vec::new();
        for run in self.open.chunk_by(|one, next| one.slot == next.slot) {
            let numbers = run.iter().filter(|sample| sample.number().is_some()).count();
            if numbers < PACKED_RUN {
                rest.extend_from_slice(run);
            } else {
                let (plain, others): (Vec<_>, Vec<_>) =
                    run.iter().cloned().partition(|sample| sample.number().is_some());
                rest.extend(others);
                self.packed.extend(plain.chunks(CHUNK_SAMPLES).filter_map(Packed::new));
            }
        }
        // Stable: what was packed later stays behind.
        self.packed.sort_by_key(|packed| packed.slot);
        self.packed_bytes = self.packed.iter().map(Packed::heap_bytes).sum();
        self.open = rest;
        self.pack_at = self.open.len() + OPEN_SAMPLES;
    }

    /// Forgets the samples that `is_kept` does not want.
    fn keep(&mut self, is_kept: impl Fn(u8, Timestamp) -> bool) {
        self.open.retain(|sample| is_kept(sample.slot, sample.timestamp));
        self.open.shrink_to_fit();
        self.histogram_bytes = self.open.iter().map(LateSample::heap_bytes).sum();
        let mut rest = Vec::new();
        for packed in self.packed.drain(..) {
            let all: Vec<_> = packed.samples().collect();
            let kept: Vec<_> =
                all.iter().filter(|sample| is_kept(sample.slot, sample.timestamp)).cloned().collect();
            match kept.len() {
                kept if kept == all.len() => rest.push(packed),
                _ => rest.extend(Packed::new(&kept)),
            }
        }
        rest.shrink_to_fit();
        self.packed = rest;
        self.packed_bytes = self.packed.iter().map(Packed::heap_bytes).sum();
    }

    fn bytes(&self) -> usize {
        let arrays =
            self.open.capacity() * size_of::<LateSample>() + self.packed.capacity() * size_of::<Packed>();
        size_of::<Self>() + self.packed_bytes + self.histogram_bytes + arrays
    }
}

impl Packed {
    /// The samples of one series, numbers alone, as a chunk.
    fn new(samples: &[LateSample]) -> Option<Self> {
        let (first, last) = samples.first().zip(samples.last())?;
        let mut chunk = XorChunk::new();
        for (timestamp, value) in samples.iter().filter_map(|s| Some((s.timestamp, s.number()?))) {
            let pushed = chunk.push(timestamp, value);
            debug_assert!(pushed.is_ok(), "the samples are in order, the chunk has room: {pushed:?}");
        }
        let range = TimeRange::new(first.timestamp, last.timestamp)?;
        Some(Self { range, bytes: chunk.into_bytes().into(), slot: first.slot })
    }

    /// The samples, unpacked.
    fn samples(&self) -> impl Iterator<Item = LateSample> {
        let mut columns = SampleColumns::new();
        // The chunk was written by this process: it decodes.
        drop(xor::decode_range(&self.bytes, TimeRange::ALL, &mut columns));
        let (slot, start) = (self.slot, NO_START);
        let samples = columns.timestamps.into_iter().zip(columns.values);
        samples.map(move |(timestamp, value)| LateSample {
            timestamp,
            start,
            value: Value::Float(value),
            slot,
        })
    }

    fn heap_bytes(&self) -> usize {
        // The reference counts stand before the bytes.
        self.bytes.len() + 2 * size_of::<usize>()
    }
}

/// A place within a page, which has no more than fit.
fn short(slot: usize) -> u8 {
    const { assert!(PAGE == 256) };
    slot as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const ALL: LateView = LateView { border: Border::NOTHING, upto: Generation::MAX };

    fn read(late: &Late, slot: usize, range: TimeRange, view: &LateView) -> BTreeMap<Timestamp, u64> {
        let mut found = BTreeMap::new();
        for run in late.snapshot(slot, range, view) {
            let mut columns = SampleColumns::new();
            run.decode(&mut columns).unwrap();
            assert!(columns.timestamps.is_sorted_by(|one, next| one < next));
            found.extend(columns.timestamps.iter().copied().zip(columns.values.iter().map(|v| v.to_bits())));
        }
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

        #[test]
        fn late_samples_are_kept_like_in_a_map(
            samples in prop::collection::vec((0..3_usize, -500..500_i64, any::<f64>(), 0..700_u32), 0..9000),
            from in -500..300_i64,
        ) {
            let mut late = Late::default();
            let mut model: BTreeMap<(usize, Timestamp), (Generation, u64)> = BTreeMap::new();
            let mut generation = 1;
            for (slot, timestamp, value, ends) in samples {
                generation += u64::from(ends == 0);
                late.insert(generation, LateSample::new(slot * 100, timestamp, &Value::Float(value), NO_START));
                model.insert((slot, timestamp), (generation, value.to_bits()));
                prop_assert!(late.find(slot * 100, timestamp).unwrap().is(&Value::Float(value)));
            }
            let range = TimeRange::new(-200, 300).unwrap();
            let part = |slot: usize, from: Timestamp| -> BTreeMap<_, _> {
                let of_slot = model.range((slot, from.max(-200))..=(slot, 300));
                of_slot.map(|((_, timestamp), (_, bits))| (*timestamp, *bits)).collect()
            };
            for slot in 0..3 {
                prop_assert_eq!(read(&late, slot * 100, range, &ALL), part(slot, Timestamp::MIN));
                prop_assert!(late.estimate(slot * 100, range, &ALL) >= part(slot, Timestamp::MIN).len());
            }
            late.forget(&Border { from, cut: generation, flushed: 0 });
            for slot in 0..3 {
                prop_assert_eq!(read(&late, slot * 100, range, &ALL), part(slot, from));
                let all = model.range((slot, from)..(slot + 1, Timestamp::MIN)).next();
                prop_assert_eq!(late.has(slot * 100), all.is_some());
            }
            late.forget(&Border { from, cut: 0, flushed: generation });
            prop_assert!(late.is_empty() && late.bytes() == 0);
        }
    }

    #[test]
    fn many_samples_of_a_series_are_packed() {
        let mut late = Late::default();
        for k in 0..10_000_i64 {
            let value = Value::Float((k % 10) as f64);
            late.insert(1, LateSample::new(7, (k * 7919) % 10_000 * 1000, &value, NO_START));
        }
        assert!(late.bytes() < 10_000 * 10, "{} bytes", late.bytes());
        assert_eq!(read(&late, 7, TimeRange::ALL, &ALL).len(), 10_000);
        assert_eq!(late.take(7).len(), 10_000);
        assert!(late.is_empty());
    }
}
