//! Samples, their columns, the stale marker.

mod columns;
mod slices;

pub use columns::SampleColumns;
pub use slices::SampleSlices;

use crate::Timestamp;

/// Where a start timestamp would stand: it is not known. Source: Prometheus, remote write 2.0.
pub const NO_START: Timestamp = 0;

/// The bit pattern that says "this series has ended": a NaN that no arithmetic produces.
///
/// Only this exact pattern is the marker; every other NaN is a value. Source: Prometheus `model/value`.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The stale marker as a value. Compare with [`is_stale_nan`]: NaN equals nothing.
pub const STALE_NAN: f64 = f64::from_bits(STALE_NAN_BITS);

/// Is `value` the stale marker?
#[inline]
pub fn is_stale_nan(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// One measurement: a time and a value.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// When, in milliseconds since the Unix epoch.
    pub timestamp: Timestamp,
    /// What was measured.
    pub value: f64,
}

impl Sample {
    /// A sample of `value` at `timestamp` (ms).
    pub const fn new(timestamp: Timestamp, value: f64) -> Self {
        Self { timestamp, value }
    }
}

/// Bitwise equality: NaN payloads and signed zeros are data.
impl PartialEq for Sample {
    fn eq(&self, other: &Self) -> bool {
        self.timestamp == other.timestamp && self.value.to_bits() == other.value.to_bits()
    }
}

impl Eq for Sample {}
