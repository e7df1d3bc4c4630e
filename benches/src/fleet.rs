//! A generated fleet: targets that are scraped every 15 s, each with counters, gauges and classic histograms.
//!
//! Deterministic: the same [`Spec`] gives the same samples on every machine. What it imitates, because it decides
//! sizes and speeds: 5 to 10 labels a series, all samples of one scrape at one time, a scrape offset per target with
//! a few milliseconds of jitter, counters that rise by small integers, histograms whose buckets rise together,
//! gauges with one or two decimals, a share (about one in eight) of full-precision floats, and many values that
//! do not change from scrape to scrape.

mod shape;

pub use shape::SERIES_PER_TARGET;

use shape::{Kind, Series};
use tsdb_core::Labels;

/// What fleet to generate.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Number of scraped targets; each has [`SERIES_PER_TARGET`] series.
    pub targets: u32,
    /// Time of the first scrape, ms.
    pub start_ms: i64,
    /// Distance of scrapes, ms.
    pub interval_ms: i64,
}

/// One target of the fleet, scraped step by step.
pub struct Target {
    spec: Spec,
    number: u32,
    series: Vec<Series>,
    random: Random,
    scrape: i64,
}

impl Target {
    /// Target `number` of the fleet, not scraped yet.
    pub fn new(spec: Spec, number: u32) -> Self {
        Self::generation(spec, number, 0)
    }

    /// The target after its `generation`-th redeployment: new pod name, so all its series are new.
    pub fn generation(spec: Spec, number: u32, generation: u32) -> Self {
        let mut random = Random::new(u64::from(number) << 32 | u64::from(generation));
        let series = shape::series_of_target(number, generation, &mut random);
        Self { spec, number, series, random, scrape: 0 }
    }

    /// The labels of its series, in the order in which [`scrape`](Self::scrape) gives their values.
    pub fn labels(&self) -> impl Iterator<Item = &Labels> {
        self.series.iter().map(|series| &series.labels)
    }

    /// A target that counts the requests of customers, one series a customer: labels with very many values. Customers
    /// are numbered through all such targets.
    pub fn of_customers(spec: Spec, number: u32) -> Self {
        let mut random = Random::new(u64::from(number) << 32 | u64::from(u32::MAX));
        let series = shape::customers_of_target(number, &mut random);
        Self { spec, number, series, random, scrape: 0 }
    }

    /// Scrapes the target once: the time (ms) and, in `values`, one value per series.
    pub fn scrape(&mut self, values: &mut Vec<f64>) -> i64 {
        let offset =
            i64::from(self.number.wrapping_mul(2_654_435_761) % 15_000) * self.spec.interval_ms / 15_000;
        let jitter = i64::from(self.random.below(8));
        let at = self.spec.start_ms + offset + self.scrape * self.spec.interval_ms + jitter;
        self.scrape += 1;
        values.clear();
        values.extend(self.series.iter_mut().map(|series| series.kind.advance(&mut self.random)));
        let mut observed = 0.0;
        for (series, value) in self.series.iter().zip(values) {
            // Buckets are cumulative: each holds what the ones below it hold.
            if let Kind::Bucket { first, .. } = series.kind {
                observed = if first { *value } else { observed + *value };
                *value = observed;
            }
        }
        at
    }
}

/// A small fast generator of pseudo-random numbers (xorshift64*, Vigna 2016).
pub struct Random(u64);

impl Random {
    /// A generator whose sequence depends on `seed` alone.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// A number in `0.0..1.0` with full precision.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const SPEC: Spec = Spec { targets: 2, start_ms: 1_000_000, interval_ms: 15_000 };

    #[test]
    fn every_series_of_the_fleet_is_unique() {
        let mut seen = HashSet::new();
        for number in 0..SPEC.targets {
            for target in [Target::new(SPEC, number), Target::of_customers(SPEC, number)] {
                for labels in target.labels() {
                    assert!(seen.insert(labels.clone()), "{labels} comes twice");
                }
            }
        }
        assert_eq!(seen.len(), 2 * (SPEC.targets * SERIES_PER_TARGET) as usize);
    }

    #[test]
    fn labels_number_five_to_ten() {
        for labels in Target::new(SPEC, 0).labels() {
            assert!((5..=10).contains(&labels.len()), "{labels}");
        }
    }

    #[test]
    fn the_same_spec_gives_the_same_samples() {
        let (mut a, mut b) = (Target::new(SPEC, 1), Target::new(SPEC, 1));
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            assert_eq!(a.scrape(&mut x), b.scrape(&mut y));
            assert_eq!(x, y);
        }
    }

    #[test]
    fn counters_and_buckets_never_fall() {
        let mut target = Target::new(SPEC, 0);
        let names: Vec<_> = target.labels().map(|l| l.metric_name().to_owned()).collect();
        let (mut before, mut now) = (Vec::new(), Vec::new());
        target.scrape(&mut before);
        for _ in 0..20 {
            target.scrape(&mut now);
            for ((name, a), b) in names.iter().zip(&before).zip(&now) {
                if name.ends_with("_total") || name.ends_with("_bucket") || name.ends_with("_count") {
                    assert!(a <= b, "{name} fell from {a} to {b}");
                }
            }
            std::mem::swap(&mut before, &mut now);
        }
    }
}
