//! What writer and reader of a chunk know of the samples before the next one.

use super::adaptive::Adaptive;
use crate::Timestamp;
use crate::decimal::to_decimal;

/// Values in XOR mode that are tried as decimals before the chunk stays in that mode.
pub(super) const TRIALS: u8 = 2;

/// The state between two samples. One flat struct, so that its small fields share their padding: a million chunks are
/// open at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    /// The last timestamp.
    pub(super) time: Timestamp,
    /// Distance of the last two timestamps.
    pub(super) delta: i64,
    /// Bits of the last value.
    pub(super) value: u64,
    /// Size of the changes of distance.
    pub(super) time_size: Adaptive,
    /// Size of the differences of decimals.
    pub(super) value_size: Adaptive,
    /// The last exponent of the decimal mode.
    pub(super) exponent: u8,
    /// Is the chunk in decimal mode, not in XOR mode?
    pub(super) decimal: bool,
    /// Leading zeros of the window of XOR mode.
    pub(super) leading: u8,
    /// Bits of the window of XOR mode; 0 if there is none yet.
    pub(super) meaningful: u8,
    /// Known to the writer alone: how often XOR mode will yet try to leave.
    pub(super) trials: u8,
}

impl State {
    /// The state behind the first sample.
    pub(super) fn new(timestamp: Timestamp, value: f64) -> Self {
        Self {
            time: timestamp,
            delta: 0,
            value: value.to_bits(),
            time_size: Adaptive::new(3),
            value_size: Adaptive::new(4),
            exponent: 0,
            decimal: to_decimal(value, 0).is_some(),
            leading: 0,
            meaningful: 0,
            trials: TRIALS,
        }
    }
}
