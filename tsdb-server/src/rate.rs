//! How fast a tenant may write: a token bucket each.
//!
//! A bucket fills at the tenant's rate up to its burst. A request passes if the bucket is not in debt, and may then
//! put it into debt: so a request larger than the burst is not refused for ever, and the rate holds over time.

use crate::limits::IngestLimits;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tsdb_core::TenantId;

/// The buckets of all tenants that wrote lately. A full bucket is as good as none and is let go when there are many.
#[derive(Debug, Default)]
pub(crate) struct RateLimiter {
    buckets: Mutex<HashMap<TenantId, Bucket>>,
}

/// Buckets beyond this number are looked through for full ones.
const MANY_BUCKETS: usize = 1_024;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// What the bucket would hold at `now` if it could not overflow.
    fn refilled(&self, rate: f64, now: Instant) -> f64 {
        now.saturating_duration_since(self.filled).as_secs_f64().mul_add(rate, self.tokens)
    }
}

impl RateLimiter {
    /// Takes `samples` from the bucket of `tenant`.
    ///
    /// # Errors
    /// The bucket is in debt: how long until it is not.
    pub(crate) fn take(
        &self,
        tenant: &TenantId,
        samples: usize,
        limits: &IngestLimits,
        now: Instant,
    ) -> Result<(), Duration> {
        let Some(rate) = limits.samples_per_second.get().map(float) else { return Ok(()) };
        let burst = limits.burst_samples.get().map_or(rate, float).max(rate);
        let mut buckets = self.buckets.lock();
        if buckets.len() >= MANY_BUCKETS && !buckets.contains_key(tenant) {
            buckets.retain(|_, bucket| bucket.refilled(rate, now) < burst);
        }
        let bucket = buckets.entry(tenant.clone()).or_insert(Bucket { tokens: burst, filled: now });
        bucket.tokens = bucket.refilled(rate, now).min(burst);
        bucket.filled = now;
        if bucket.tokens < 0.0 {
            return Err(Duration::from_secs_f64(-bucket.tokens / rate));
        }
        bucket.tokens -= float(samples as u64);
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limit;

    #[test]
    fn the_rate_holds_over_time_and_a_burst_passes() {
        let limits = IngestLimits {
            samples_per_second: Limit::at(100),
            burst_samples: Limit::at(1_000),
            ..IngestLimits::default()
        };
        let (limiter, tenant, start) = (RateLimiter::default(), TenantId::new("a").unwrap(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(
            limiter.take(&tenant, 5_000, &limits, start),
            Ok(()),
            "larger than the burst, but not for ever"
        );
        assert_eq!(limiter.take(&tenant, 1, &limits, start), Err(Duration::from_secs(40)));
        assert_eq!(
            limiter.take(&TenantId::new("b").unwrap(), 1, &limits, start),
            Ok(()),
            "tenants are apart"
        );
        assert_eq!(limiter.take(&tenant, 1, &limits, after(39)), Err(Duration::from_secs(1)));
        assert_eq!(limiter.take(&tenant, 1, &limits, after(40)), Ok(()));
    }

    #[test]
    fn invented_tenants_leave_no_buckets_behind() {
        let limits = IngestLimits { samples_per_second: Limit::at(100), ..IngestLimits::default() };
        let (limiter, start) = (RateLimiter::default(), Instant::now());
        for number in 0..5_000 {
            let tenant = TenantId::new(&format!("t{number}")).unwrap();
            assert_eq!(limiter.take(&tenant, 1, &limits, start + Duration::from_secs(number)), Ok(()));
        }
        assert!(limiter.buckets.lock().len() <= MANY_BUCKETS);
    }

    #[test]
    fn without_a_limit_everything_passes() {
        let limits = IngestLimits { samples_per_second: Limit::NONE, ..IngestLimits::default() };
        let (limiter, tenant) = (RateLimiter::default(), TenantId::new("a").unwrap());
        for _ in 0..100 {
            assert_eq!(limiter.take(&tenant, 1_000_000, &limits, Instant::now()), Ok(()));
        }
    }
}
