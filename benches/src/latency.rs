//! How long requests took, as a sender sees it.

use std::time::Duration;

/// The durations of all requests of a phase.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    /// Microseconds, in no order.
    micros: Vec<u32>,
}

impl Latencies {
    /// Adds a request.
    pub fn push(&mut self, duration: Duration) {
        self.micros.push(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX));
    }

    /// Takes all requests of `other`.
    pub fn append(&mut self, other: &mut Self) {
        self.micros.append(&mut other.micros);
    }

    /// How many requests there are.
    pub fn count(&self) -> usize {
        self.micros.len()
    }

    /// The duration in ms that the share `quantile` of the requests did not exceed (nearest rank); 0 of no requests.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let rank = (quantile * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).map_or(0.0, |micros| f64::from(*micros) / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_nearest_rank() {
        let mut latencies = Latencies::default();
        assert!(latencies.quantile_ms(0.5) == 0.0, "none yet");
        for ms in (1..=1000).rev() {
            latencies.push(Duration::from_millis(ms));
        }
        let quantiles = [0.5, 0.999, 1.0].map(|q| latencies.quantile_ms(q));
        assert!(quantiles == [500.0, 999.0, 1000.0], "{quantiles:?}");
    }
}
