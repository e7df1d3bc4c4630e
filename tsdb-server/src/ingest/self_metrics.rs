//! The server's own metrics, stored like anyone's: so a newcomer has something to query at once.

use super::batch::Batch;
use super::refusing::Refusing;
use crate::error::ApiError;
use crate::limits::IngestLimits;
use crate::telemetry::Family;
use tsdb_core::metadata::Metadata;
use tsdb_core::write::{Appendable, Origin};
use tsdb_core::{Labels, METRIC_NAME, Sample, Timestamp};

/// Value of the label `job` of the server's own series.
const JOB: &str = "metrics-server";

/// Appends a snapshot, taken at `now`, of the server that listens on `instance`. Answers how many samples it stored.
pub(crate) fn store_own_metrics(
    store: &(impl Appendable + ?Sized),
    families: &[Family],
    instance: &str,
    limits: &IngestLimits,
    now: Timestamp,
    refusing: &Refusing,
) -> Result<u64, ApiError> {
    let mut batch = Batch::new(store, limits, now, Origin::Scrape);
    append(&mut batch, &[(METRIC_NAME, "up"), ("job", JOB), ("instance", instance)], now, 1.0)?;
    for family in families {
        let metadata =
            Metadata { metric_type: family.kind, unit: String::new(), help: family.help.to_owned() };
        batch.set_metadata(family.name, metadata)?;
        for point in &family.points {
            let name = format!("{}{}", family.name, point.suffix);
            let mut pairs = vec![(METRIC_NAME, name.as_str()), ("job", JOB), ("instance", instance)];
            pairs.extend(point.labels.iter().map(|(name, value)| (*name, value.as_str())));
            append(&mut batch, &pairs, now, point.value)?;
        }
    }
    Ok(batch.commit(refusing)?.accepted)
}

fn append(batch: &mut Batch<'_>, pairs: &[(&str, &str)], now: Timestamp, value: f64) -> Result<(), ApiError> {
    let labels = Labels::from_pairs(pairs.iter().copied()).map_err(|e| ApiError::bad_data(e.to_string()))?;
    // One that is refused costs no other; the store counts it.
    let Ok(series) = batch.series(&labels) else { return Ok(()) };
    batch.append(series, Sample::new(now, value), 0).map(|_| ())
}
