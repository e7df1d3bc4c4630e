//! The vocabulary of the metrics store and its chunk codecs.
//!
//! Every crate of the family speaks in the words defined here; this crate imports none of them, opens no file,
//! reads no clock and starts no thread. It builds without `std`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`labels`] | the identity of a series: a sorted, unique, immutable set of labels |
//! | [`matcher`] | what a selector asks of one label |
//! | [`time`], [`sample`] | milliseconds, ranges; values and the stale marker |
//! | [`histogram`] | native histograms: the model and its arithmetic |
//! | [`bytes`], [`bits`] | bounds-checked readers and their writers: the ground of all formats |
//! | [`chunk`], [`pack`] | encodings of samples: the open chunk of the head, the sealed columns of a block |
//! | [`read`], [`write`](mod@write) | the traits between storage and everyone else |
//! | [`block`], [`metadata`], [`series`], [`tenant`] | values that cross crate borders |
//! | `testing` | an in-memory store, generators, a manual clock (feature `testing`) |
#![no_std]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(any(test, feature = "testing"))]
extern crate std;

pub mod bits;
pub mod block;
pub mod bytes;
pub mod chunk;
mod decimal;
pub mod error;
mod exemplar;
pub mod histogram;
pub mod labels;
pub mod matcher;
pub mod metadata;
pub mod pack;
mod prefetch;
pub mod read;
pub mod sample;
pub mod series;
pub mod tenant;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
pub mod write;

pub use error::Corruption;
pub use exemplar::Exemplar;
pub use labels::{Labels, LabelsBuilder, METRIC_NAME};
pub use matcher::{MatchOp, Matcher};
pub use sample::{NO_START, STALE_NAN, Sample, is_stale_nan};
pub use series::SeriesRef;
pub use tenant::TenantId;
pub use time::{TimeRange, Timestamp};
