//! What a tenant may write: how fast, and how many series.
//!
//! A write request passes these in order, and what refuses it is counted by tenant and reason: size of the body, before and
//! after decompression, and caps of a request (`ingest`); names, reserved and blocked labels, lengths and counts of a new
//! series (`validation`); the window of time (`ingest`); the rate of samples ([`rate`]); then, in the engine and for every way
//! in alike, new series within a minute, series in all, of a metric, values of a label, approval ([`stores`] tells it the
//! limits). One is asked earlier than its place because it costs least: a tenant that is in debt with its rate is told so
//! before its body is decompressed.

mod look_alike;
mod rate;
mod stores;

pub(crate) use look_alike::look_alike;
pub(crate) use rate::RateLimiter;
pub(crate) use stores::LimitedStores;
