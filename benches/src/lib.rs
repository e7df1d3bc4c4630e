//! Input for benchmarks: a generated fleet of scraped targets.
//!
//! The kernels are measured in `benches/benches/*.rs` with criterion; whole servers are compared by the
//! `tsdb-compare` package beside this one. Both draw their samples from [`fleet`] and ask
//! [`queries`].

pub mod fleet;
pub mod latency;
pub mod plain;
pub mod process;
pub mod queries;
pub mod remote_write;
pub mod rules;
