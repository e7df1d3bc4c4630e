//! The server over real HTTP on a loopback port, standing on stores in memory.

mod api_contract;
mod harness;
mod ingest;
