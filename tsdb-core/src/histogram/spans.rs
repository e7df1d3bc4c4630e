//! Which buckets a histogram has: spans as they are transferred, and the runs of indexes they become.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::HistogramError;
use super::error::Side;
use super::schema::MAX_INDEX;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A sequence of consecutive buckets, as histograms are transferred and stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// The gap to the end of the span before; of the first span, the index of its first bucket, which may be negative.
    pub offset: i32,
    /// How many buckets there are.
    pub length: u32,
}

/// A run of consecutive buckets at absolute indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// Index of the first bucket.
    pub(crate) start: i32,
    /// How many there are. Never 0.
    pub(crate) length: u32,
}

impl Run {
    /// The index after the last bucket.
    pub(crate) fn end(self) -> i32 {
        self.start.saturating_add_unsigned(self.length)
    }
}

/// The runs of a side: ascending, none empty, with a gap between any two. Each set of indexes has exactly one.
///
/// Shared, because a series rarely changes which buckets it has.
pub(super) type Runs = Arc<[Run]>;

/// The runs that `spans` describe, which hold `counts` buckets together.
pub(super) fn runs_of_spans(side: Side, spans: &[Span], counts: usize) -> Result<Runs, HistogramError> {
    let mut runs = RunsBuilder::default();
    let (mut index, mut total) = (0_i64, 0_u64);
    for (number, span) in spans.iter().enumerate() {
        if number > 0 && span.offset < 0 {
            return Err(HistogramError::SpanOffset { side, span: number, offset: span.offset });
        }
        let start = index.saturating_add(span.offset.into());
        index = start.saturating_add(span.length.into());
        total = total.saturating_add(span.length.into());
        // Checked even of empty spans, so that indexes stay far from overflow.
        let first = i32::try_from(start).ok().filter(|first| *first >= MAX_INDEX.saturating_neg());
        match first {
            Some(first) if index <= MAX_INDEX.into() => {
                runs.push_run(Run { start: first, length: span.length })
            }
            _ => return Err(HistogramError::SpanIndex { side, span: number, limit: MAX_INDEX }),
        }
    }
    if usize::try_from(total) != Ok(counts) {
        return Err(HistogramError::SpanLengths { side, spans: total, counts });
    }
    Ok(runs.build())
}

/// The spans that describe `runs`.
pub(super) fn spans_of_runs(runs: &[Run]) -> impl Iterator<Item = Span> {
    let mut end = 0_i32;
    runs.iter().map(move |run| {
        // No gap overflows: see MAX_INDEX.
        let offset = run.start.saturating_sub(end);
        end = run.end();
        Span { offset, length: run.length }
    })
}

/// Does `outer` hold every index of `inner`?
pub(super) fn covers(outer: &[Run], inner: &[Run]) -> bool {
    let mut outer = outer.iter();
    let mut current = outer.next();
    inner.iter().all(|run| {
        while current.is_some_and(|candidate| candidate.end() <= run.start) {
            current = outer.next();
        }
        current.is_some_and(|candidate| candidate.start <= run.start && run.end() <= candidate.end())
    })
}

/// Makes runs of ascending indexes.
#[derive(Debug, Default)]
pub(super) struct RunsBuilder(Vec<Run>);

impl RunsBuilder {
    /// Appends a bucket whose index is above all before.
    #[inline]
    pub(super) fn push(&mut self, index: i32) {
        self.push_run(Run { start: index, length: 1 });
    }

    /// Appends a run that begins at or after the end of all before.
    pub(super) fn push_run(&mut self, run: Run) {
        match self.0.last_mut() {
            _ if run.length == 0 => {}
            Some(last) if last.end() == run.start => last.length = last.length.saturating_add(run.length),
            _ => self.0.push(run),
        }
    }

    /// The runs.
    pub(super) fn build(self) -> Runs {
        self.0.into()
    }
}
