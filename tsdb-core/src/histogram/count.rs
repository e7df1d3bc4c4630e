//! What a bucket holds while histograms are added: a number, or a number and the rounding error of its sum.

/// A count (or a sum) that others are added to.
pub(super) trait Count: Copy + From<f64> {
    /// Adds `other`.
    fn add(&mut self, other: Self);
    /// Is nothing there, not even a rounding error?
    fn is_empty(self) -> bool;
    /// The number, without the rounding error.
    fn value(self) -> f64;
    /// Number and error, each through `f`.
    fn map(self, f: impl Fn(f64) -> f64) -> Self;
}

impl Count for f64 {
    #[inline]
    fn add(&mut self, other: Self) {
        *self += other;
    }

    #[inline]
    fn is_empty(self) -> bool {
        self == 0.0
    }

    #[inline]
    fn value(self) -> f64 {
        self
    }

    #[inline]
    fn map(self, f: impl Fn(f64) -> f64) -> Self {
        f(self)
    }
}

/// A sum and what rounding has lost of it.
///
/// Source: A. Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen" (1974), with
/// Prometheus' rule that a sum that has reached infinity carries no compensation.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kahan {
    pub(super) sum: f64,
    pub(super) compensation: f64,
}

impl Kahan {
    #[inline]
    fn add_number(&mut self, value: f64) {
        let total = self.sum + value;
        self.compensation = if total.is_infinite() {
            0.0
        } else if self.sum.abs() >= value.abs() {
            self.compensation + ((self.sum - total) + value)
        } else {
            self.compensation + ((value - total) + self.sum)
        };
        self.sum = total;
    }
}

impl From<f64> for Kahan {
    #[inline]
    fn from(sum: f64) -> Self {
        Self { sum, compensation: 0.0 }
    }
}

impl Count for Kahan {
    #[inline]
    fn add(&mut self, other: Self) {
        self.add_number(other.sum);
        if other.compensation != 0.0 {
            self.add_number(other.compensation);
        }
    }

    #[inline]
    fn is_empty(self) -> bool {
        self.sum == 0.0 && self.compensation == 0.0
    }

    #[inline]
    fn value(self) -> f64 {
        self.sum
    }

    #[inline]
    fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Self { sum: f(self.sum), compensation: f(self.compensation) }
    }
}
