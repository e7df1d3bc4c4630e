//! Queries that took long: a line in the log for each, and the latest ones in memory.

use super::active::Description;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::time::Duration;
use tsdb_core::TenantId;
use tsdb_promql::QueryStats;

/// How many are remembered.
const KEPT: usize = 256;

/// Bytes of a query's text that are kept and logged.
const MAX_TEXT_BYTES: usize = 4 << 10;

/// The latest slow queries.
#[derive(Debug, Default)]
pub(crate) struct SlowQueries {
    latest: Mutex<VecDeque<SlowQuery>>,
}

/// A query that took long.
#[derive(Debug, Clone)]
pub(crate) struct SlowQuery {
    pub(crate) what: Description,
    /// From its arrival to its answer.
    pub(crate) took: Duration,
    /// How long of that it waited for its turn.
    pub(crate) waited: Duration,
    /// What it cost as far as it came; nothing is known of one that failed.
    pub(crate) cost: Option<Cost>,
}

/// What a query cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) series: u64,
    pub(crate) samples: u64,
    pub(crate) peak_bytes: u64,
}

impl From<&QueryStats> for Cost {
    fn from(stats: &QueryStats) -> Self {
        Self { series: stats.series_selected, samples: stats.samples_read, peak_bytes: stats.peak_bytes }
    }
}

impl SlowQueries {
    /// Logs and remembers `query`.
    pub(crate) fn note(&self, mut query: SlowQuery) {
        cut(&mut query.what.text);
        let Description { tenant, text, range: (start, end), step_ms, .. } = &query.what;
        log::warn!(
            target: "slow_query",
            "tenant={tenant} took_ms={} waited_ms={} start_ms={start} end_ms={end} step_ms={step_ms} {} query={text:?}",
            query.took.as_millis(),
            query.waited.as_millis(),
            query.cost.map_or_else(
                || "failed=true".to_owned(),
                |cost| format!("series={} samples={} peak_bytes={}", cost.series, cost.samples, cost.peak_bytes)
            ),
        );
        let mut latest = self.latest.lock();
        latest.truncate(KEPT - 1);
        latest.push_front(query);
    }

    /// Those of `tenant`, or all, the latest first.
    pub(crate) fn of(&self, tenant: Option<&TenantId>) -> Vec<SlowQuery> {
        let latest = self.latest.lock();
        let wanted = |query: &&SlowQuery| tenant.is_none_or(|tenant| query.what.tenant == *tenant);
        latest.iter().filter(wanted).cloned().collect()
    }
}

impl SlowQuery {
    /// Writes it as an object.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let seconds = (self.took.as_secs_f64(), self.waited.as_secs_f64());
        let times = format!("{{\"durationSeconds\":{},\"queuedSeconds\":{}", seconds.0, seconds.1);
        out.extend_from_slice(times.as_bytes());
        self.what.write(out);
        if let Some(Cost { series, samples, peak_bytes }) = self.cost {
            let cost = format!(",\"series\":{series},\"samples\":{samples},\"peakBytes\":{peak_bytes}");
            out.extend_from_slice(cost.as_bytes());
        }
        out.push(b'}');
    }
}

fn cut(text: &mut String) {
    if text.len() > MAX_TEXT_BYTES {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        text.push_str("...");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept_with_their_cost_and_a_bounded_text() {
        let slow = SlowQueries::default();
        for number in 0..300 {
            let tenant = TenantId::new(if number % 2 == 0 { "a" } else { "b" }).unwrap();
            let text = "\u{e4}".repeat(4_000);
            let what = Description { tenant, text, range: (0, 0), step_ms: 0, asked: number };
            let cost = Some(Cost { series: 1, samples: 2, peak_bytes: 3 });
            let (took, waited) = (Duration::from_millis(1_500), Duration::ZERO);
            slow.note(SlowQuery { what, took, waited, cost });
        }
        let all = slow.of(None);
        assert_eq!((all.len(), all[0].what.asked), (KEPT, 299));
        assert_eq!(slow.of(Some(&TenantId::new("a").unwrap())).len(), KEPT / 2);
        assert!(all[0].what.text.len() <= MAX_TEXT_BYTES + 3);
        let mut out = Vec::new();
        all[0].write(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(r#"{"durationSeconds":1.5,"queuedSeconds":0,"tenant":"b""#), "{text}");
        assert!(text.ends_with(r#""series":1,"samples":2,"peakBytes":3}"#), "{text}");
    }
}
