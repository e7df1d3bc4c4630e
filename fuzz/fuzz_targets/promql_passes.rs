//! Random queries over random data: with every choice of the planner's passes, the same result bit by bit, the same
//! annotations at the same places, or the same error. The input makes the choices of the generators that the tests of
//! the language use.
#![no_main]

#[path = "../../tsdb-promql/tests/random/planned.rs"]
mod planned;
#[path = "../../tsdb-promql/tests/random/mod.rs"]
mod random;

use libfuzzer_sys::fuzz_target;
use planned::{check, data, query};
use random::{Queries, STEP_MS, store};
use tsdb_promql::QueryParams;

fuzz_target!(|input: &[u8]| {
    let mut queries = Queries::from(input);
    let start = queries.one(&[0, 300_000, 615_000, 1_100_000]);
    let params = match queries.one(&[0, STEP_MS, 77_000]) {
        0 => QueryParams::instant(start),
        step_ms => QueryParams::range(start, start + step_ms * queries.one(&[1, 10]), step_ms),
    };
    let delayed = queries.below(2) == 0;
    let query = query(&mut queries);
    let store = if queries.below(3) == 0 { store() } else { data(&mut queries) };
    if let Err(difference) = check(&store, &query, &params, delayed) {
        panic!("{difference}");
    }
});
