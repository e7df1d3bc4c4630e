//! The server over real HTTP on a loopback port, standing on stores in memory.

#[cfg(test)]
mod access;
#[cfg(test)]
mod across;
#[cfg(test)]
mod admin;
#[cfg(test)]
mod admission;
#[cfg(test)]
mod api_contract;
#[cfg(test)]
mod cardinality;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod features;
#[cfg(test)]
mod govern;
#[cfg(test)]
mod hardening;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod ingest;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod planning;
mod refused;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod streaming;
