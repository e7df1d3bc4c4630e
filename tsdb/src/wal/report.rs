//! What a replay found.

use std::ops::Range;

/// The outcome of reading all segments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Segments read.
    pub segments: u64,
    /// Records handed out.
    pub records: u64,
    /// Bytes of these records, without framing.
    pub record_bytes: u64,
    /// What could not be read, in order of segment and position. All else was.
    pub damage: Vec<Damage>,
}

/// A part of the log that could not be read. The bytes stay where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Number of the segment.
    pub segment: u64,
    /// The bytes of the segment that were skipped; empty where a whole file is missing or empty.
    pub bytes: Range<u64>,
    /// What is wrong.
    pub kind: DamageKind,
}

/// What is wrong with a part of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DamageKind {
    /// The log ends inside a record: the usual trace of a crash. Nothing acknowledged as durable is lost.
    TornTail,
    /// Bytes that are no records stand where records should be.
    Corrupt,
    /// The header of the segment is damaged; its records were read nevertheless.
    Header,
    /// The segment is shorter than its successor says it was.
    Truncated,
    /// The storage refused to read these bytes, twice.
    Unreadable,
    /// Segments between others do not exist: from the one the damage names to this one.
    MissingSegments {
        /// Number of the last one missing.
        through: u64,
    },
    /// A segment without a single byte.
    EmptySegment,
}

impl DamageKind {
    /// Is this what any crash may leave, rather than a loss?
    pub fn is_expected_after_crash(self) -> bool {
        matches!(self, Self::TornTail | Self::EmptySegment)
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.kind {
            DamageKind::TornTail => "ends inside a record",
            DamageKind::Corrupt => "is corrupt",
            DamageKind::Header => "has a damaged header",
            DamageKind::Truncated => "is shorter than it was",
            DamageKind::Unreadable => "cannot be read",
            DamageKind::MissingSegments { through } if through > self.segment => {
                return write!(f, "log segments {} to {through} are missing", self.segment);
            }
            DamageKind::MissingSegments { .. } => "is missing",
            DamageKind::EmptySegment => "is empty",
        };
        write!(f, "log segment {} {what}", self.segment)?;
        if !self.bytes.is_empty() {
            write!(f, " (bytes {} to {})", self.bytes.start, self.bytes.end)?;
        }
        Ok(())
    }
}
