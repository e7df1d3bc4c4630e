//! Start timestamps of the samples of a chunk or column, beside them: runs that follow one rule.
//!
//! A series whose starts are unknown has none of these bytes. Start timestamps are nearly always those of the sample
//! before, or the time of the sample before; a run of such samples takes two or three bytes, however long it is.

use crate::bytes::{Reader, Writer};
use crate::error::CorruptionKind;
use crate::{Corruption, NO_START, Timestamp};
use alloc::vec::Vec;

const SECTION: &str = "start timestamps";

/// An upper bound for the length of the start timestamps of `samples` samples, however hostile.
pub const fn max_bytes(samples: usize) -> usize {
    // A run of one sample that follows no rule: a head of one byte and the longest zigzag.
    samples.saturating_mul(11).saturating_add(3)
}

/// How the start timestamps of a run are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Rule {
    /// That of the sample before; unknown before the first.
    #[default]
    Same = 0,
    /// The time of the sample before. Not for the first sample.
    Previous = 1,
    /// The distance of each from the time of its own sample.
    Listed = 2,
}

/// Collects the start timestamps of the samples of a chunk, in order.
#[derive(Debug, Clone, Default)]
pub struct StartsWriter {
    /// Runs that are finished.
    runs: Writer,
    rule: Rule,
    run: u32,
    /// The distances of a run that is listed.
    listed: Writer,
    /// Time and start of the last sample.
    last: Option<(Timestamp, Timestamp)>,
}

impl StartsWriter {
    /// The start timestamps of no samples.
    pub const fn new() -> Self {
        Self { runs: Writer::new(), rule: Rule::Same, run: 0, listed: Writer::new(), last: None }
    }

    /// The start timestamps of `samples` samples, all unknown, of which the last is at `last` (ms).
    pub fn unknown(samples: u32, last: Timestamp) -> Self {
        let last = (samples > 0).then_some((last, NO_START));
        Self { run: samples, last, ..Self::new() }
    }

    /// Adds the start timestamp of the sample at `timestamp`; [`NO_START`] if it is unknown.
    pub fn push(&mut self, timestamp: Timestamp, start: Timestamp) {
        let before = self.last.map_or(NO_START, |(_, start)| start);
        let rule = match self.last {
            _ if start == before => Rule::Same,
            Some((time, _)) if start == time => Rule::Previous,
            _ => Rule::Listed,
        };
        if rule != self.rule || self.run == u32::MAX {
            self.finish_run();
            self.rule = rule;
        }
        self.run = self.run.saturating_add(1);
        if rule == Rule::Listed {
            self.listed.zigzag(start.wrapping_sub(timestamp));
        }
        self.last = Some((timestamp, start));
    }

    /// The bytes that [`decode`] reads, at any time. Empty if all starts are unknown.
    pub fn to_bytes(&self) -> Vec<u8> {
        if self.runs.is_empty() && self.rule == Rule::Same {
            return Vec::new();
        }
        let mut whole = self.clone();
        whole.finish_run();
        whole.runs.into_bytes()
    }

    /// Forgets all samples and keeps the memory.
    pub fn clear(&mut self) {
        self.runs.clear();
        self.listed.clear();
        (self.rule, self.run, self.last) = (Rule::Same, 0, None);
    }

    /// Bytes of heap memory in use.
    pub const fn heap_bytes(&self) -> usize {
        self.runs.len().saturating_add(self.listed.len())
    }

    fn finish_run(&mut self) {
        if self.run > 0 {
            self.runs.varint(u64::from(self.run) << 2 | self.rule as u64);
            self.runs.bytes(self.listed.as_bytes());
            self.listed.clear();
            self.run = 0;
        }
    }
}

/// Appends the start timestamps of the samples at `timestamps` to `into`. Bytes of length zero say that all are
/// unknown.
///
/// # Errors
/// The bytes are no start timestamps of that many samples; `into` is then as it was.
pub fn decode(bytes: &[u8], timestamps: &[Timestamp], into: &mut Vec<Timestamp>) -> Result<(), Corruption> {
    let before = into.len();
    into.reserve(timestamps.len());
    if bytes.is_empty() {
        into.resize(before.saturating_add(timestamps.len()), NO_START);
        return Ok(());
    }
    decode_runs(&mut Reader::new(SECTION, bytes), timestamps, into).inspect_err(|_| into.truncate(before))
}

fn decode_runs(
    reader: &mut Reader<'_>,
    timestamps: &[Timestamp],
    into: &mut Vec<Timestamp>,
) -> Result<(), Corruption> {
    let (mut left, mut last) = (timestamps, None);
    while !left.is_empty() {
        let head = reader.varint("run of start timestamps")?;
        let run = usize::try_from(head >> 2).ok().filter(|run| *run > 0);
        let Some((now, later)) = run.and_then(|run| left.split_at_checked(run)) else {
            return Err(reader.invalid("run of start timestamps", head));
        };
        match (head & 3, last) {
            (0, _) => {
                let same = last.map_or(NO_START, |(_, start)| start);
                into.extend(now.iter().map(|_| same));
            }
            (1, Some((time, _))) => {
                into.extend(core::iter::once(time).chain(now.iter().copied()).take(now.len()))
            }
            (2, _) => {
                for timestamp in now {
                    into.push(timestamp.wrapping_add(reader.zigzag("start timestamp")?));
                }
            }
            _ => return Err(reader.invalid("run of start timestamps", head)),
        }
        last = now.last().copied().zip(into.last().copied());
        left = later;
    }
    match reader.remaining() {
        0 => Ok(()),
        count => Err(reader.corruption(CorruptionKind::TrailingBytes { count })),
    }
}

#[cfg(test)]
mod tests;
