//! The samples of one series, put together from chunks and records that may overlap.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use std::sync::Arc;
use tsdb_core::Timestamp;
use tsdb_core::sample::SampleColumns;

/// Adds the sample of `from` at `position` behind those of `into`.
pub(super) fn copy(from: &SampleColumns, position: usize, into: &mut SampleColumns) {
    let Some(time) = from.timestamps.get(position) else { return };
    match from.histogram(position) {
        Some(histogram) => into.push_histogram(*time, Arc::clone(histogram)),
        None => into.push(*time, from.values.get(position).copied().unwrap_or_default()),
    }
    into.set_start(from.start(position));
}

/// Brings samples into order of time; of several at one time the first one stays. What histograms say of counter
/// resets is found anew, because it was said of the one before in the same source.
pub(super) fn tidy(columns: &mut SampleColumns) {
    if !columns.timestamps.is_sorted_by(|a, b| a < b) {
        let all = std::mem::take(columns);
        let mut order: Vec<(Timestamp, usize)> =
            all.timestamps.iter().enumerate().map(|(position, time)| (*time, position)).collect();
        order.sort_unstable();
        order.dedup_by_key(|(time, _)| *time);
        order.into_iter().for_each(|(_, position)| copy(&all, position, columns));
    }
    if !columns.histograms.is_empty() {
        columns.renew_reset_hints();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_into_order_and_the_first_of_a_time_stays() {
        let mut columns = SampleColumns::new();
        for (time, value) in [(30, 3.0), (40, 4.0), (10, 1.0), (30, 9.0)] {
            columns.push(time, value);
            columns.set_start(time - 5);
        }
        tidy(&mut columns);
        assert_eq!(columns.timestamps, [10, 30, 40]);
        assert_eq!(columns.values, [1.0, 3.0, 4.0]);
        assert_eq!(columns.starts, [5, 25, 35]);
    }
}
