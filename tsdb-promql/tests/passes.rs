//! The passes of the planner change nothing but the cost: whatever the query and the data, with every choice of passes
//! results are equal bit by bit, and so are errors, annotations and their places.
#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "random/planned.rs"]
mod planned;
mod random;

use planned::{check, data, query};
use random::{Queries, STEP_MS, store};
use tsdb_promql::QueryParams;

/// How many queries are drawn; `TSDB_PASSES_CASES` asks for more.
fn cases() -> u64 {
    std::env::var("TSDB_PASSES_CASES").map_or(1_500, |cases| cases.parse().unwrap())
}

/// Draws times for a query.
fn params(queries: &mut Queries) -> QueryParams {
    let start = queries.one(&[0, 300_000, 615_000, 1_100_000]);
    match queries.one(&[0, STEP_MS, 77_000]) {
        0 => QueryParams::instant(start),
        step_ms => QueryParams::range(start, start + step_ms * queries.one(&[1, 10]), step_ms),
    }
}

#[test]
fn passes_change_nothing_but_the_cost() {
    let fixed = store();
    let mut failures = Vec::new();
    for seed in 0..cases() {
        let mut queries = Queries::new(seed);
        let query = query(&mut queries);
        let params = params(&mut queries);
        let delayed = queries.below(2) == 0;
        let drawn = data(&mut queries);
        let store = if queries.below(3) == 0 { &fixed } else { &drawn };
        failures.extend(
            check(store, &query, &params, delayed).err().map(|failure| format!("seed {seed}: {failure}")),
        );
    }
    failures.sort_by_key(String::len);
    assert!(failures.is_empty(), "{} failures, the shortest:\n{}", failures.len(), failures[0]);
}
