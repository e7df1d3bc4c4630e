//! Data of Prometheus, imported and exported, beside Prometheus' own tools.
//!
//! The tools are looked for in `$TSDB_PEERS_DIR/usr/bin`, by default `~/.cache/tsdb-peers/usr/bin`, where
//! `scripts/peers` installs them; a capture of real data in `$TSDB_PROMETHEUS_DATA_DIR`, by default
//! `../shared/data/prometheus-data`. Where they are absent the tests say `SKIPPED` and pass.
#![expect(clippy::unwrap_used, clippy::panic, reason = "clippy exempts test functions, not what they call")]

mod blocks;
mod dump;
mod export;
mod golden;
mod peers;
mod server;
