//! What storage finds missing while it reads reaches the answer as a warning.

use std::sync::atomic::{AtomicBool, Ordering};
use tsdb_core::read::{Querier, Queryable, ReadError, SampleColumns, SelectHints, SeriesSet};
use tsdb_core::{Labels, Matcher, TimeRange};
use tsdb_promql::{Engine, EngineOptions};

/// A store that notices damage only when its one series is read.
struct Damaged;

impl Queryable for Damaged {
    fn querier(&self, _range: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(Self))
    }
}

impl Querier for Damaged {
    fn select(&self, _: &[Matcher], _: &SelectHints) -> Result<Box<dyn SeriesSet>, ReadError> {
        Ok(Box::new(DamagedSet { met: AtomicBool::new(false) }))
    }

    fn label_names(&self, _: &[Matcher]) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _: &str, _: &[Matcher]) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }
}

struct DamagedSet {
    met: AtomicBool,
}

impl SeriesSet for DamagedSet {
    fn len(&self) -> usize {
        1
    }

    fn labels(&self, _: usize) -> Labels {
        Labels::from_pairs([("__name__", "x")]).unwrap_or_default()
    }

    fn read(&self, _: usize, into: &mut SampleColumns) -> Result<(), ReadError> {
        self.met.store(true, Ordering::Relaxed);
        into.clear();
        into.push(1_000, 7.0);
        Ok(())
    }

    fn estimated_samples(&self) -> u64 {
        1
    }

    fn warnings(&self) -> Vec<String> {
        let met = self.met.load(Ordering::Relaxed);
        met.then(|| "a chunk of x is damaged".to_owned()).into_iter().collect()
    }
}

#[test]
fn damage_met_while_reading_is_a_warning_of_the_answer() {
    let engine = Engine::new(EngineOptions::default());
    for query in ["x", "sum(x)", "count_over_time(x[1m])"] {
        let result = engine.instant(&Damaged, query, 1_000).unwrap();
        let warnings = result.annotations.warnings(query);
        assert!(
            warnings.iter().any(|text| text.contains("a chunk of x is damaged")),
            "{query}: {warnings:?}"
        );
    }
}
