//! Targets of the generated fleet, sent by remote write.

use crate::Outcome;
use benches::fleet::{SERIES_PER_TARGET, Spec, Target};
use benches::remote_write::Body;
use tsdb_core::Labels;
use tsdb_core::labels::write_wire;

/// Sends some targets.
pub(crate) struct Sender {
    targets: Vec<(Target, Vec<Vec<u8>>)>,
    body: Body,
    values: Vec<f64>,
}

impl Sender {
    /// Sends the targets with these numbers; those of one tenant may be those of another.
    pub(crate) fn new(spec: Spec, numbers: std::ops::Range<u32>) -> Self {
        let encoded = |number| {
            let target = Target::new(spec, number);
            let wires = target.labels().map(wire).collect();
            (target, wires)
        };
        Self { targets: numbers.map(encoded).collect(), body: Body::default(), values: Vec::new() }
    }

    /// Scrapes all targets once; each request holds `together` of them. All samples have the time `at`, or that of the scrape.
    pub(crate) fn scrape(
        &mut self,
        at: Option<i64>,
        together: usize,
        mut send: impl FnMut(&[u8], usize) -> Outcome<()>,
    ) -> Outcome<()> {
        for targets in self.targets.chunks_mut(together.max(1)) {
            let samples = targets.len() * SERIES_PER_TARGET as usize;
            for (target, wires) in targets {
                let scraped = target.scrape(&mut self.values);
                for (wire, value) in wires.iter().zip(&self.values) {
                    self.body.push(wire, at.unwrap_or(scraped), *value);
                }
            }
            send(self.body.take()?, samples)?;
        }
        Ok(())
    }
}

/// The wire form of `labels`.
pub(crate) fn wire(labels: &Labels) -> Vec<u8> {
    let mut out = Vec::new();
    write_wire(labels, &mut out);
    out
}
