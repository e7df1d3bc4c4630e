//! From pages to records: puts fragments together, goes on after damage, and says what was skipped.
//!
//! After bytes that are no fragment, the next one is looked for where the damaged one claims to end, and failing
//! that at the next page. Nothing in between is searched byte by byte: what a client wrote into a label must never
//! be mistaken for a record.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::format::{self, FRAGMENT_HEADER_BYTES, Found, HEADER_BYTES, MAX_RECORD_BYTES, Part};
use super::report::{Damage, DamageKind};
use std::ops::Range;

/// Puts together the records of one segment, fed page by page.
pub(super) struct Assembler<'a> {
    segment: u64,
    on_record: &'a mut dyn FnMut(u64, &[u8]),
    /// The record under way and where it began.
    partial: Vec<u8>,
    partial_start: Option<u64>,
    /// Where the current run of unusable bytes began.
    bad: Option<Bad>,
    damage: Vec<Damage>,
    records: u64,
    record_bytes: u64,
    valid_end: u64,
}

#[derive(Clone, Copy)]
struct Bad {
    start: u64,
    kind: DamageKind,
}

/// What was found in a segment.
pub(super) struct Assembled {
    pub(super) records: u64,
    pub(super) record_bytes: u64,
    /// Position behind the last record.
    pub(super) valid_end: u64,
    /// Unusable bytes between records.
    pub(super) damage: Vec<Damage>,
    /// Unusable bytes behind the last record.
    pub(super) tail: Option<Range<u64>>,
    /// Could part of the tail not even be read?
    pub(super) tail_unreadable: bool,
}

impl<'a> Assembler<'a> {
    pub(super) fn new(segment: u64, on_record: &'a mut dyn FnMut(u64, &[u8])) -> Self {
        Self {
            segment,
            on_record,
            partial: Vec::new(),
            partial_start: None,
            bad: None,
            damage: Vec::new(),
            records: 0,
            record_bytes: 0,
            valid_end: HEADER_BYTES as u64,
        }
    }

    /// Takes `bytes`, which stand at position `at` and end with their page or with the segment.
    pub(super) fn take(&mut self, at: u64, bytes: &[u8]) {
        let mut position = at;
        let mut rest = bytes;
        while !rest.is_empty() && format::page_rest(position) > FRAGMENT_HEADER_BYTES {
            let len = match format::read_fragment(self.segment, position, rest) {
                Found::Fragment { part, payload, len } => {
                    self.fragment(position, part, payload);
                    len
                }
                Found::Damage { claimed_len } => {
                    self.lose(position, DamageKind::Corrupt);
                    match claimed_len.filter(|&len| self.resumes_after(position, rest, len)) {
                        Some(len) => len,
                        None => return,
                    }
                }
            };
            position = position.saturating_add(len as u64);
            rest = rest.get(len..).unwrap_or_default();
        }
    }

    /// Notes that the page at position `at` cannot be read.
    pub(super) fn unreadable(&mut self, at: u64) {
        self.lose(at, DamageKind::Unreadable);
    }

    /// Ends the segment, whose bytes end at `end`.
    pub(super) fn finish(mut self, end: u64) -> Assembled {
        if let Some(start) = self.partial_start {
            self.lose(start, DamageKind::Corrupt);
        }
        Assembled {
            records: self.records,
            record_bytes: self.record_bytes,
            valid_end: self.valid_end,
            damage: self.damage,
            tail: self.bad.map(|bad| bad.start..end.max(bad.start)),
            tail_unreadable: self.bad.is_some_and(|bad| bad.kind == DamageKind::Unreadable),
        }
    }

    fn resumes_after(&self, position: u64, rest: &[u8], len: usize) -> bool {
        let next = position.saturating_add(len as u64);
        let same_page = format::page_rest(position) > len.saturating_add(FRAGMENT_HEADER_BYTES);
        let following = rest.get(len..).unwrap_or_default();
        same_page && matches!(format::read_fragment(self.segment, next, following), Found::Fragment { .. })
    }

    fn fragment(&mut self, at: u64, part: Part, payload: &[u8]) {
        let end = at.saturating_add(payload.len().saturating_add(FRAGMENT_HEADER_BYTES) as u64);
        if matches!(part, Part::Whole | Part::First) {
            if let Some(start) = self.partial_start.take() {
                self.lose(start, DamageKind::Corrupt);
            }
        } else if self.partial_start.is_none() {
            self.lose(at, DamageKind::Corrupt);
            return;
        }
        match part {
            Part::Whole => self.emit(at, end, payload),
            Part::First => {
                self.partial.clear();
                self.partial.extend_from_slice(payload);
                self.partial_start = Some(at);
            }
            Part::Middle | Part::Last => self.extend(part, end, payload),
        }
    }

    fn extend(&mut self, part: Part, end: u64, payload: &[u8]) {
        let Some(start) = self.partial_start else { return };
        if self.partial.len().saturating_add(payload.len()) > MAX_RECORD_BYTES {
            self.lose(start, DamageKind::Corrupt);
            return;
        }
        self.partial.extend_from_slice(payload);
        if part == Part::Last {
            let record = std::mem::take(&mut self.partial);
            self.partial_start = None;
            self.emit(start, end, &record);
            self.partial = record;
        }
    }

    fn emit(&mut self, start: u64, end: u64, record: &[u8]) {
        if let Some(bad) = self.bad.take() {
            self.damage.push(Damage { segment: self.segment, bytes: bad.start..start, kind: bad.kind });
        }
        self.records = self.records.saturating_add(1);
        self.record_bytes = self.record_bytes.saturating_add(record.len() as u64);
        self.valid_end = end;
        (self.on_record)(self.segment, record);
    }

    /// Begins or goes on with a run of unusable bytes; a record under way is part of it.
    fn lose(&mut self, at: u64, kind: DamageKind) {
        let start = self.partial_start.take().map_or(at, |partial| partial.min(at));
        let bad = self.bad.get_or_insert(Bad { start, kind });
        if kind == DamageKind::Unreadable {
            bad.kind = kind;
        }
    }
}
