//! What retention would delete, as text.

use crate::Failure;
use std::io::{self, Write};
use std::path::Path;
use tsdb::retention::RetentionPlan;
use tsdb::{Options, RollupLevel, TenantId};
use tsdb_server::Config;

const DAY_MS: f64 = 86_400_000.0;

/// Options that keep samples, windows of five minutes and windows of an hour for so many days.
pub(crate) fn options((samples, five_minutes, hours): (f64, f64, f64), max_bytes: Option<u64>) -> Options {
    let ms = |days: f64| Some((days.max(0.0) * DAY_MS) as i64);
    let level = |level: RollupLevel, days| RollupLevel::new(level.resolution_ms, level.after_ms, ms(days));
    let rollups = vec![level(RollupLevel::FIVE_MINUTES, five_minutes), level(RollupLevel::HOUR, hours)];
    Options { retention_ms: ms(samples), rollups, max_total_bytes: max_bytes, ..Options::default() }
}

/// Options that keep what the settings in `file` say of the tenant whose data are in `directory`.
pub(crate) fn of_tenant(file: &Path, directory: &Path) -> Result<Options, Failure> {
    let config = Config::load(file)?;
    let name = std::path::absolute(directory)?;
    let name = name.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let own = config.tenant_limits()?.remove(&TenantId::new(name)?);
    let kept = own.unwrap_or_else(|| config.limits.clone()).retention.to_engine();
    Ok(Options {
        retention_ms: kept.samples_ms,
        max_total_bytes: kept.max_bytes,
        max_expired_percent: kept.max_expired_percent,
        rollups: kept.rollups,
        ..config.engine_options()
    })
}

/// Lists the blocks that would go.
pub(crate) fn report(plan: &RetentionPlan, out: &mut impl Write) -> io::Result<()> {
    for step in &plan.steps {
        let what = match step.resolution_ms {
            None => "samples".to_owned(),
            Some(resolution_ms) => format!("windows of {} s", resolution_ms / 1000),
        };
        let why = if step.is_past { "past retention" } else { "too many bytes" };
        let (from, to) = (step.range.start(), step.range.end());
        let lost = if step.lacks_windows { ", and not all of it became windows" } else { "" };
        writeln!(out, "{}: {what} from {from} to {to}, {} bytes: {why}{lost}", step.block, step.bytes)?;
    }
    let (blocks, bytes) = (plan.steps.len(), plan.bytes());
    writeln!(out, "would delete {blocks} blocks, {bytes} of {} bytes", plan.all_bytes)?;
    if plan.is_refused {
        writeln!(out, "that is so much that a database refuses it unless max_expired_percent allows it")?;
    }
    Ok(())
}
