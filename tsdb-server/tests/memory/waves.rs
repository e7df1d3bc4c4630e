//! A store of series whose values have many digits, made as they are read: it costs nothing but its labels.

use std::sync::Arc;
use tsdb_core::metadata::Metadata;
use tsdb_core::read::{Querier, Queryable, ReadError, SampleColumns, SelectHints, SeriesSet};
use tsdb_core::write::{Appendable, Appender};
use tsdb_core::{Labels, Matcher, TenantId, TimeRange};
use tsdb_server::{Store, Stores};

/// Series named `m` with the labels `a` (of each its own) and `b` (a few values), for every tenant the same.
#[derive(Debug, Clone)]
pub(crate) struct Waves {
    labels: Arc<Vec<Labels>>,
    start_ms: i64,
    step_ms: i64,
    samples: i64,
}

impl Waves {
    pub(crate) fn new(series: usize, start_ms: i64, step_ms: i64, samples: i64) -> Self {
        let labels = |number: usize| {
            let (a, b) = (format!("value-{number:05}"), (number % 7).to_string());
            Labels::from_pairs([("__name__", "m"), ("a", a.as_str()), ("b", b.as_str())]).unwrap()
        };
        Self { labels: Arc::new((0..series).map(labels).collect()), start_ms, step_ms, samples }
    }
}

impl Queryable for Waves {
    fn querier(&self, _range: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(self.clone()))
    }
}

impl Querier for Waves {
    fn select(&self, matchers: &[Matcher], _hints: &SelectHints) -> Result<Box<dyn SeriesSet>, ReadError> {
        let matches =
            |labels: &&Labels| matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or("")));
        let labels = self.labels.iter().filter(matches).cloned().collect();
        Ok(Box::new(Self { labels: Arc::new(labels), ..self.clone() }))
    }

    fn label_names(&self, _matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _name: &str, _matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }
}

impl SeriesSet for Waves {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.labels.get(index).cloned().unwrap_or_default()
    }

    fn read(&self, index: usize, into: &mut SampleColumns) -> Result<(), ReadError> {
        into.clear();
        for sample in 0..self.samples {
            into.push(self.start_ms + sample * self.step_ms, (index as f64 + sample as f64 / 3.0).sin());
        }
        Ok(())
    }

    fn estimated_samples(&self) -> u64 {
        self.labels.len() as u64 * self.samples as u64
    }
}

impl Appendable for Waves {
    fn appender(&self) -> Box<dyn Appender + '_> {
        unreachable!("nobody writes here")
    }
}

impl Store for Waves {
    fn metadata(&self) -> Vec<(String, Metadata)> {
        Vec::new()
    }
}

impl Stores for Waves {
    fn open(&self, _tenant: &TenantId) -> Result<Arc<dyn Store>, tsdb::Error> {
        Ok(Arc::new(self.clone()))
    }

    fn existing(&self, _tenant: &TenantId) -> Result<Option<Arc<dyn Store>>, tsdb::Error> {
        Ok(Some(Arc::new(self.clone())))
    }

    fn list(&self) -> Vec<(TenantId, Arc<dyn Store>)> {
        Vec::new()
    }

    fn close(&self) -> Result<(), tsdb::Error> {
        Ok(())
    }
}
