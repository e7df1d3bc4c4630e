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
    /// What comes in a second.
    rate: f64,
    /// What it holds at most.
    burst: f64,
}

impl Bucket {
    fn full(limits: &IngestLimits, now: Instant) -> Option<Self> {
        let rate = float(limits.samples_per_second.get()?);
        let burst = limits.burst_samples.get().map_or(rate, float).max(rate);
        Some(Self { tokens: burst, filled: now, rate, burst })
    }

    /// What it holds at `now`.
    fn tokens(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        passed.mul_add(self.rate, self.tokens).min(self.burst)
    }

    /// How long until it is in debt no more.
    fn debt(&self, now: Instant) -> Result<(), Duration> {
        let tokens = self.tokens(now);
        if tokens < 0.0 { Err(Duration::from_secs_f64(-tokens / self.rate)) } else { Ok(()) }
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
        self.with_bucket(tenant, limits, now, |bucket| {
            bucket.debt(now)?;
            bucket.tokens -= float(samples as u64);
            Ok(())
        })
        .unwrap_or(Ok(()))
    }

    /// Takes `samples` from the bucket of `tenant`, also from one in debt: for what has cost the server already.
    pub(crate) fn charge(&self, tenant: &TenantId, samples: usize, limits: &IngestLimits, now: Instant) {
        self.with_bucket(tenant, limits, now, |bucket| bucket.tokens -= float(samples as u64));
    }

    /// Calls `work` with the bucket as it is now; not if there is no limit.
    fn with_bucket<T>(
        &self,
        tenant: &TenantId,
        limits: &IngestLimits,
        now: Instant,
        work: impl FnOnce(&mut Bucket) -> T,
    ) -> Option<T> {
        let full = Bucket::full(limits, now)?;
        let mut buckets = self.buckets.lock();
        if buckets.len() >= MANY_BUCKETS && !buckets.contains_key(tenant) {
            buckets.retain(|_, bucket| bucket.tokens(now) < bucket.burst);
        }
        let bucket = buckets.entry(tenant.clone()).or_insert(full);
        let tokens = bucket.tokens(now).min(full.burst);
        *bucket = Bucket { tokens, ..full };
        Some(work(bucket))
    }

    /// Would a request of `tenant` be refused now, whatever it holds? Asking takes nothing.
    ///
    /// # Errors
    /// The bucket is in debt: how long until it is not.
    pub(crate) fn check(
        &self,
        tenant: &TenantId,
        limits: &IngestLimits,
        now: Instant,
    ) -> Result<(), Duration> {
        match (limits.samples_per_second.get(), self.buckets.lock().get(tenant)) {
            (Some(_), Some(bucket)) => bucket.debt(now),
            _ => Ok(()),
        }
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
    fn a_tenant_in_debt_is_told_without_being_charged_and_a_new_rate_holds_at_once() {
        let limits = |rate| IngestLimits {
            samples_per_second: Limit::at(rate),
            burst_samples: Limit::at(100),
            ..IngestLimits::default()
        };
        let (limiter, tenant, start) = (RateLimiter::default(), TenantId::new("a").unwrap(), Instant::now());
        assert_eq!(limiter.check(&tenant, &limits(100), start), Ok(()), "nobody knows it");
        assert_eq!(limiter.take(&tenant, 300, &limits(100), start), Ok(()));
        for _ in 0..3 {
            assert_eq!(limiter.check(&tenant, &limits(100), start), Err(Duration::from_secs(2)));
        }
        assert_eq!(limiter.take(&tenant, 1, &limits(200), start), Err(Duration::from_secs(1)));
        assert_eq!(limiter.check(&tenant, &limits(200), start), Err(Duration::from_secs(1)));
        let lifted = IngestLimits { samples_per_second: Limit::NONE, ..limits(1) };
        assert_eq!(limiter.check(&tenant, &lifted, start), Ok(()));
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
