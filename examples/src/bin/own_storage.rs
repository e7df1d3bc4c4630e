//! PromQL over series of one's own: a vector of them becomes queryable by implementing the three traits of reading.
//!
//! No database is involved: `tsdb-core` has the traits, `tsdb-promql` the language.

use std::error::Error;
use std::io::{Write, stdout};
use tsdb_core::read::{Querier, Queryable, ReadError, SampleColumns, SelectHints, SeriesSet};
use tsdb_core::{Labels, Matcher, TimeRange};
use tsdb_promql::{Engine, EngineOptions, Value};

/// Series: labels and points `(ms, value)` in order of time.
#[derive(Clone)]
struct Mine(Vec<(Labels, Vec<(i64, f64)>)>);

impl Queryable for Mine {
    fn querier(&self, _range: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(self.clone()))
    }
}

impl Querier for Mine {
    fn select(&self, matchers: &[Matcher], hints: &SelectHints) -> Result<Box<dyn SeriesSet>, ReadError> {
        // An absent label is an empty one. Only what the hints ask for is read, both ends included.
        let all_match =
            |labels: &Labels| matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or("")));
        let found = self.0.iter().filter(|(labels, _)| all_match(labels)).map(|(labels, points)| {
            (labels.clone(), points.iter().copied().filter(|(ms, _)| hints.range.contains(*ms)).collect())
        });
        Ok(Box::new(Mine(found.collect())))
    }

    // PromQL asks only for series; label names and values serve whoever lists labels.
    fn label_names(&self, _matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _name: &str, _matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }
}

impl SeriesSet for Mine {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.0.get(index).map(|(labels, _)| labels.clone()).unwrap_or_default()
    }

    fn read(&self, index: usize, into: &mut SampleColumns) -> Result<(), ReadError> {
        into.clear();
        let points = self.0.get(index).into_iter().flat_map(|(_, points)| points);
        points.for_each(|(ms, value)| into.push(*ms, *value));
        Ok(())
    }

    fn estimated_samples(&self) -> u64 {
        self.0.iter().map(|(_, points)| points.len() as u64).sum()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mine = ["kitchen", "office"].iter().zip([2.0, 5.0]).map(|(room, per_minute)| {
        let labels = Labels::from_pairs([("__name__", "door_opened_total"), ("room", room)])?;
        Ok((labels, (0..=10).map(|minute| (minute * 60_000, minute as f64 * per_minute)).collect()))
    });
    let mine = Mine(mine.collect::<Result<_, Box<dyn Error>>>()?);
    let result = Engine::new(EngineOptions::default()).instant(
        &mine,
        "topk(1, rate(door_opened_total[5m]) * 60)",
        600_000,
    )?;
    let Value::Vector(samples) = result.value else { return Err("topk gives a vector".into()) };
    for sample in samples {
        writeln!(stdout(), "{} is opened {:.1} times a minute", sample.labels, sample.value)?;
    }
    Ok(())
}
