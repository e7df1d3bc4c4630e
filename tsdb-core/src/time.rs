//! Time: milliseconds since the Unix epoch, UTC, and closed ranges of them.

/// A point in time in milliseconds since 1970-01-01T00:00:00Z. Negative values are times before it.
///
/// An alias, not a new type: columns of timestamps are plain `[i64]` in every hot loop.
pub type Timestamp = i64;

/// A range of time with both ends included, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimeRange {
    start: Timestamp,
    end: Timestamp,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { start: Timestamp::MIN, end: Timestamp::MAX };

    /// The range from `start` to `end`, both included; `None` if `end` lies before `start`.
    pub const fn new(start: Timestamp, end: Timestamp) -> Option<Self> {
        if start <= end { Some(Self { start, end }) } else { None }
    }

    /// The range that holds one instant.
    pub const fn instant(at: Timestamp) -> Self {
        Self { start: at, end: at }
    }

    /// First instant of the range.
    pub const fn start(&self) -> Timestamp {
        self.start
    }

    /// Last instant of the range.
    pub const fn end(&self) -> Timestamp {
        self.end
    }

    /// Does the range hold `at`?
    pub const fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at <= self.end
    }

    /// Do the two ranges share an instant?
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// The instants in both ranges; `None` if there are none.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// The smallest range that holds both.
    pub fn union(&self, other: &Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// Tells the time. The engine's only system clock implements it; tests use a manual one.
pub trait Clock: Send + Sync {
    /// Now, in milliseconds since the Unix epoch. It may leap either way when somebody sets the clock.
    fn now(&self) -> Timestamp;

    /// Milliseconds since some moment of the past; it never leaps and is never set. A clock that nobody sets may
    /// answer with [`now`](Self::now), as this method does unless it is implemented.
    fn monotonic_ms(&self) -> i64 {
        self.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverted_range_does_not_exist() {
        assert_eq!(TimeRange::new(2, 1), None);
    }

    #[test]
    fn ranges_include_both_ends() {
        let range = TimeRange::new(10, 20).unwrap();
        assert!(range.contains(10) && range.contains(20));
        assert!(!range.contains(9) && !range.contains(21));
        assert!(range.overlaps(&TimeRange::instant(20)));
        assert_eq!(range.intersect(&TimeRange::instant(21)), None);
    }
}
