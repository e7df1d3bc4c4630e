//! Blocks grow with age: those within one of the longer ranges become one when the range is complete.

use super::BlockWidth;
use super::compaction::{BlockInfo, Compaction, Reason, Timeline};
use tsdb_core::{TimeRange, Timestamp};

/// The oldest blocks within a range, one as long as possible: what is merged at once is written once.
pub(super) fn next(timeline: &Timeline<'_>) -> Option<Compaction> {
    timeline.policy.ranges().rev().find_map(|length| of_length(timeline, length))
}

fn of_length(timeline: &Timeline<'_>, length_ms: i64) -> Option<Compaction> {
    let mut done = None;
    timeline.blocks.iter().find_map(|first| {
        let window = window(first.meta.range.start(), length_ms);
        if done == Some(window) || window.end() >= timeline.end {
            return None;
        }
        done = Some(window);
        let is_within = |block: &&&BlockInfo| {
            let range = block.meta.range;
            window.start() <= range.start() && range.end() <= window.end()
        };
        let group = timeline.blocks.iter().filter(is_within).copied().collect();
        timeline.merge(group, Reason::Range(window))
    })
}

/// The range of the length that holds `at`; all ranges of one length are aligned to the epoch.
fn window(at: Timestamp, length_ms: i64) -> TimeRange {
    let (at, length) = (i128::from(at), i128::from(length_ms.max(1)));
    let start = at.div_euclid(length) * length;
    let clip = |time: i128| {
        Timestamp::try_from(time).unwrap_or(if time < 0 { Timestamp::MIN } else { Timestamp::MAX })
    };
    TimeRange::new(clip(start), clip(start + length - 1)).unwrap_or(BlockWidth::DEFAULT.window(0))
}
