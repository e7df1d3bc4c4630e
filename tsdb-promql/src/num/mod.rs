//! Pure numerics of the language: functions from slices of floats to floats.
//!
//! They know no labels, no steps and no storage. Where the order of floating-point operations decides the last
//! bit, it is the order that Prometheus defines; each module names its source.

mod arithmetic;
mod buckets;
mod compare;
mod extrapolate;
mod interpolate;
mod kahan;
mod mean;
mod natural;
mod quantile;
mod regression;
mod smoothing;
mod start;

pub(crate) use arithmetic::{arithmetic, compares, larger, scalar_operation, smaller};
pub(crate) use buckets::{Bucket, MonotonicityFix, bucket_fraction, bucket_quantile};
pub(crate) use compare::{ascending_exactly, ascending_nan_last, descending_nan_last};
pub(crate) use extrapolate::{Extrapolation, RateWindow};
pub(crate) use interpolate::interpolate;
pub(crate) use kahan::{KahanSum, sums_side_by_side};
pub(crate) use mean::{MeanAccumulator, VarianceAccumulator, windowed_variance};
pub(crate) use natural::compare_natural;
pub(crate) use quantile::{median_absolute_deviation, quantile, quantile_of_ordered};
pub(crate) use regression::linear_regression;
pub(crate) use smoothing::double_exponential_smoothing;
pub(crate) use start::Stamp;
