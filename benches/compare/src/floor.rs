//! What no server can do without: unpacking a request and looking at each of its bytes once.

use crate::Arguments;
use crate::load::{Fleet, Plan};
use std::error::Error;
use std::time::{Duration, Instant};

/// Requests that are unpacked.
const REQUESTS: usize = 200;

/// Says what snappy and one pass over the bytes cost per sample on this machine, with requests like those sent.
pub(crate) fn measure(series: u32, arguments: &Arguments) -> Result<String, Box<dyn Error>> {
    let plan = Plan::new(series, arguments);
    let (mut bodies, mut samples) = (Vec::new(), 0);
    let mut fleet = Fleet::new(&plan);
    while bodies.len() < REQUESTS {
        samples += fleet.scrape_into(&mut bodies)?;
    }
    let mut decoder = snap::raw::Decoder::new();
    let (mut best, mut sum) = (Duration::MAX, 0u64);
    for _ in 0..5 {
        let started = Instant::now();
        for body in &bodies {
            let bytes = decoder.decompress_vec(body)?;
            sum = bytes.iter().fold(sum, |sum, byte| sum + u64::from(*byte));
        }
        best = best.min(started.elapsed());
    }
    let nanoseconds = best.as_nanos() as f64 / samples as f64;
    std::hint::black_box(sum);
    Ok(format!("floor: snappy and one pass over the bytes take {nanoseconds:.0} ns a sample"))
}
