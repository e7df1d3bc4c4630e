//! `/api/v1/admin/cardinality/tenants`: which tenants have the most series and write the fastest;
//! `/api/v1/cardinality/fleet`: how many series a tenant has over all servers.

use super::parameters;
use super::tenants::success;
use crate::access::Scope;
use crate::census::Standing;
use crate::error::ApiError;
use crate::fleet::FleetStatus;
use crate::state::Server;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Value, json as value};
use tsdb_core::TenantId;

/// Tenants of an answer where the request does not say how many.
const TENANTS: usize = 20;
/// The most of them.
const MAX_TENANTS: usize = 10_000;

/// `GET /api/v1/admin/cardinality/tenants`: the first `limit` tenants in descending order of `sort`, which is
/// `active_series`, `sample_rate` or `new_series`.
pub(super) async fn tenants(State(server): State<Server>, request: Request) -> Result<Response, ApiError> {
    let params = parameters(&server, request).await?;
    let limit = params.limit("limit")?.unwrap_or(TENANTS).min(MAX_TENANTS);
    let size: fn(&Standing) -> f64 = match params.get("sort").unwrap_or("active_series") {
        "active_series" => |standing| float(standing.stats.active_series),
        "sample_rate" => |standing| standing.samples_per_second,
        "new_series" => |standing| float(standing.stats.series_created_last_minute),
        _ => {
            let reason = "it must be active_series, sample_rate or new_series";
            return Err(ApiError::bad_parameter("sort", reason));
        }
    };
    let asked = server.clone();
    let look = move || Ok((asked.census().look(), asked.fleet()));
    let (mut all, fleet) = server.run_unasked(look).await?;
    all.sort_by(|a, b| size(b).total_cmp(&size(a)).then_with(|| a.tenant.cmp(&b.tenant)));
    let sum = |count: fn(&Standing) -> u64| all.iter().map(count).sum::<u64>();
    let listed: Vec<Value> =
        all.iter().take(limit).map(|standing| written(&server, standing, fleet.as_ref())).collect();
    success(&value!({
        "tenantsTotal": all.len(),
        "activeSeriesTotal": sum(|standing| standing.stats.active_series),
        "samplesPerSecondTotal": all.iter().map(|standing| standing.samples_per_second).sum::<f64>(),
        "tenants": listed,
    }))
}

fn written(server: &Server, standing: &Standing, fleet: Option<&FleetStatus>) -> Value {
    let stats = &standing.stats;
    let limits = server.limits(&standing.tenant);
    value!({
        "tenant": standing.tenant.as_str(),
        "activeSeries": stats.active_series,
        "idleSeries": stats.idle_series,
        "maxActiveSeries": limits.cardinality.max_active_series.get(),
        "newSeriesLastMinute": stats.series_created_last_minute,
        "removedSeriesLastMinute": stats.series_removed_last_minute,
        "usualNewSeriesPerMinute": standing.usual_new_series,
        "spike": standing.is_spike,
        "samplesPerSecond": standing.samples_per_second,
        "headBytes": stats.head_bytes,
        "fleet": fleet.map(|fleet| estimate(fleet, &standing.tenant)),
    })
}

/// `GET /api/v1/cardinality/fleet`: the series of the tenant on this server, exactly, and over the fleet, about.
pub(super) async fn fleet(State(server): State<Server>, scope: Scope) -> Result<Response, ApiError> {
    let tenant = scope.tenant()?.clone();
    let asked = server.clone();
    let work = move || {
        let store = asked.existing_store(&tenant)?;
        let here = store.and_then(|store| store.cardinality(0)).map_or(0, |counts| counts.series);
        let fleet = asked.fleet();
        Ok(value!({
            "tenant": tenant.as_str(),
            "seriesHere": here,
            "fleet": fleet.map(|fleet| estimate(&fleet, &tenant)),
        }))
    };
    success(&server.run_query(scope.first(), work).await?)
}

fn estimate(fleet: &FleetStatus, tenant: &TenantId) -> Value {
    let estimate = fleet.estimates.get(tenant);
    value!({
        "seriesEstimate": estimate.map(|estimate| estimate.count.series),
        "seriesExact": estimate.and_then(|estimate| estimate.count.exact),
        "servers": estimate.map(|estimate| estimate.count.servers),
        "ageSeconds": estimate.map(|estimate| estimate.age.as_secs_f64()),
        "stale": estimate.is_none_or(|estimate| estimate.is_stale),
        "fault": fleet.fault,
    })
}

#[expect(clippy::cast_precision_loss, reason = "an order needs no more than 53 bits")]
const fn float(count: u64) -> f64 {
    count as f64
}
