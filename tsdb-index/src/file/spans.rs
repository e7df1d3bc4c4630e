//! The table of spans: what chunks tell of their times, each once.

use super::ChunkRef;
use super::layout::{Column, Layout};
use hashbrown::HashTable;
use tsdb_core::bytes::Writer;

/// A distinct (first time, last time, samples, column of timestamps).
type Span = (i64, i64, u32, u32);

/// Collects spans and numbers them in order of first use.
#[derive(Debug, Default)]
pub(super) struct Spans {
    all: Vec<Span>,
    /// Their numbers, by hash.
    numbers: HashTable<u32>,
}

impl Spans {
    /// Number of spans.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The number of the span of `chunk`.
    pub(super) fn number(&mut self, chunk: &ChunkRef) -> u32 {
        let span = (chunk.range.start(), chunk.range.end(), chunk.samples, chunk.times);
        let all = &mut self.all;
        let hash = hash(&span);
        if let Some(known) = self.numbers.find(hash, |number| all.get(*number as usize) == Some(&span)) {
            return *known;
        }
        let number = u32::try_from(all.len()).unwrap_or(u32::MAX);
        all.push(span);
        self.numbers.insert_unique(hash, number, |number| all.get(*number as usize).map_or(0, self::hash));
        number
    }

    /// Appends the four columns to `out`, which begins `before` bytes behind the start of the file.
    pub(super) fn write(&self, layout: &mut Layout, before: usize, out: &mut Writer) {
        let base = self.all.iter().map(|(start, ..)| *start).min().unwrap_or(0);
        let distance = |from: i64, to: i64| to.wrapping_sub(from).cast_unsigned();
        let mut column = |value: &dyn Fn(&Span) -> u64| {
            Column::write(&self.all.iter().map(value).collect::<Vec<_>>(), before, out)
        };
        layout.base_time = base;
        layout.span_starts = column(&|(start, ..)| distance(base, *start));
        layout.span_lengths = column(&|(start, end, ..)| distance(*start, *end));
        layout.span_samples = column(&|(_, _, samples, _)| u64::from(*samples));
        layout.span_times = column(&|(.., times)| u64::from(*times));
    }
}

fn hash((start, end, samples, times): &Span) -> u64 {
    let mix = |hash: u64, value: u64| (hash ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
    let rest = u64::from(*samples) << 32 | u64::from(*times);
    mix(mix(mix(0, start.cast_unsigned()), end.cast_unsigned()), rest)
}
