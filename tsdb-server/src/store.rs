//! What the server asks of storage: a store to write and read, and one such store per tenant.
//!
//! Handlers know these traits alone, so the same API stands on the engine and, in tests, on a store in memory.

use std::sync::Arc;
use tsdb::retention::{Retention, RetentionPlan};
use tsdb::{
    Cardinality, ChangeMark, Changed, Db, LabelCost, LabelNames, LabelValues, RankBy, Ranking, SeriesFilter,
    Sketch, Stats, Tenants,
};
use tsdb_core::metadata::Metadata;
use tsdb_core::read::{
    ExemplarQueryable, Querier, Queryable, ReadError, SampleColumns, SelectHints, SeriesExemplars, SeriesSet,
};
use tsdb_core::write::{AppendReport, Appendable, Appender, CommitError, SeriesError};
use tsdb_core::{Labels, Matcher, SeriesRef, TenantId, TimeRange, Timestamp};

/// A store that is written and read.
pub trait Store: Queryable + Appendable {
    /// What is known of each metric, sorted by name.
    fn metadata(&self) -> Vec<(String, Metadata)>;

    /// The exemplars within `range` of the series that satisfy all matchers of at least one of `selectors`, as
    /// [`ExemplarQueryable`](tsdb_core::read::ExemplarQueryable) gives them; none if the store keeps none.
    ///
    /// # Errors
    /// As for queries.
    fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, ReadError> {
        let _: (&[Vec<Matcher>], TimeRange) = (selectors, range);
        Ok(Vec::new())
    }

    /// The present moment in the history of the store; `None` if it keeps none, which is what this says unless a store says
    /// otherwise. Results are kept only of stores that have one.
    fn change_mark(&self) -> Option<ChangeMark> {
        None
    }

    /// Which times may answer otherwise than at `mark`.
    fn changed_since(&self, mark: ChangeMark) -> Changed {
        let _: ChangeMark = mark;
        Changed::EVERYTHING
    }

    /// Numbers about the store; `None` if it keeps none.
    fn stats(&self) -> Option<Stats> {
        None
    }

    /// Writes everything that is only in memory and the log into blocks.
    ///
    /// # Errors
    /// The blocks cannot be written; the samples stay where they are.
    fn flush(&self) -> Result<(), tsdb::Error> {
        Ok(())
    }

    /// Puts other limits on its series in force; a store that has none ignores it, which is what this does unless a store
    /// says otherwise. Cheap if they are in force already.
    fn set_series_limits(&self, limits: &Arc<tsdb::SeriesLimits>) {
        let _: &Arc<tsdb::SeriesLimits> = limits;
    }

    /// Takes samples that lie so far behind the newest one from now on, in ms; a store that decides that itself ignores it,
    /// which is what this does unless a store says otherwise.
    fn set_out_of_order_window(&self, window_ms: i64) {
        let _: i64 = window_ms;
    }

    /// Puts another retention in force; a store that keeps everything ignores it, which is what this does unless a store
    /// says otherwise. Cheap if it is in force already.
    ///
    /// # Errors
    /// It makes no sense; what was in force stays. The same value is told once.
    fn set_retention(&self, retention: &Arc<Retention>) -> Result<(), tsdb::Error> {
        let _: &Arc<Retention> = retention;
        Ok(())
    }

    /// What `retention`, or the one in force, would delete now.
    ///
    /// # Errors
    /// The store is closed.
    fn retention_plan(&self, retention: Option<&Retention>) -> Result<RetentionPlan, tsdb::Error> {
        let _: Option<&Retention> = retention;
        Ok(RetentionPlan::default())
    }

    /// How many series are in memory, and what has the most of them; `None` if the store counts none.
    fn cardinality(&self, top: usize) -> Option<Cardinality> {
        let _: usize = top;
        None
    }

    /// How many values the labels of `series` have, with at most `top` names.
    fn label_name_counts(&self, series: &SeriesFilter, top: usize) -> LabelNames {
        let _: (&SeriesFilter, usize) = (series, top);
        LabelNames::default()
    }

    /// How many values each label in `names` has among `series`, and how many series these have.
    fn label_value_counts(&self, series: &SeriesFilter, names: &[String], top: usize) -> Vec<LabelValues> {
        let _: (&SeriesFilter, &[String], usize) = (series, names, top);
        Vec::new()
    }

    /// The metrics, labels and label pairs in memory that weigh most, where those series are new that were made within
    /// `window_ms`; `None` if the store counts none.
    fn ranking(&self, by: RankBy, window_ms: i64, top: usize) -> Option<Ranking> {
        let _: (RankBy, i64, usize) = (by, window_ms, top);
        None
    }

    /// What each label in `names` costs among `series`.
    fn label_costs(&self, series: &SeriesFilter, names: &[String]) -> Vec<LabelCost> {
        let _: (&SeriesFilter, &[String]) = (series, names);
        Vec::new()
    }

    /// How many series in memory `series` means, and the labels of at most `most` of them.
    fn head_series(&self, series: &SeriesFilter, most: usize) -> (u64, Vec<Labels>) {
        let _: (&SeriesFilter, usize) = (series, most);
        (0, Vec::new())
    }

    /// A sketch of the distinct series in memory, begun `anew` or kept up; `None` if the store keeps none.
    fn series_sketch(&self, anew: bool) -> Option<Sketch> {
        let _: bool = anew;
        None
    }

    /// Hashes of the series in memory, all of them if `anew` and else those that came since this was last asked; `None` if
    /// there are more than `most`, if it is not known which came, or if the store knows none.
    fn series_hashes(&self, anew: bool, most: usize) -> Option<Vec<u64>> {
        let _: (bool, usize) = (anew, most);
        None
    }

    /// Deletes the samples and exemplars within `range` of the series that satisfy all `matchers`.
    ///
    /// # Errors
    /// A part of the store cannot be written, and the delete should be repeated; or the store cannot delete, which is what
    /// this says unless a store says otherwise.
    fn delete(&self, matchers: &[Matcher], range: TimeRange) -> Result<(), tsdb::Error> {
        let _: (&[Matcher], TimeRange) = (matchers, range);
        Err(unsupported("delete samples from", "store"))
    }

    /// Takes deleted samples off the disk.
    ///
    /// # Errors
    /// A part of the store cannot be written; the rest is done.
    fn clean_tombstones(&self) -> Result<(), tsdb::Error> {
        Ok(())
    }

    /// Makes the snapshot `name`, without what is only in memory and the log if not `with_head`. Returns what is not in
    /// it, as sentences.
    ///
    /// # Errors
    /// It cannot be written, or the store keeps no files, which is what this says unless a store says otherwise.
    fn snapshot(&self, name: &str, with_head: bool) -> Result<Vec<String>, tsdb::Error> {
        let _: bool = with_head;
        Err(unsupported("make a snapshot as", name))
    }
}

fn unsupported(action: &'static str, path: &str) -> tsdb::Error {
    tsdb::Error::Io { action, path: path.into(), source: std::io::ErrorKind::Unsupported.into() }
}

/// A store per tenant.
pub trait Stores: Send + Sync {
    /// The store of `tenant`, created if there is none.
    ///
    /// # Errors
    /// It cannot be opened, or there are too many tenants.
    fn open(&self, tenant: &TenantId) -> Result<Arc<dyn Store>, tsdb::Error>;

    /// The store of `tenant` if there is one. Reading never creates a tenant.
    ///
    /// # Errors
    /// There is one, and it cannot be opened.
    fn existing(&self, tenant: &TenantId) -> Result<Option<Arc<dyn Store>>, tsdb::Error>;

    /// All stores, in order of tenants.
    fn list(&self) -> Vec<(TenantId, Arc<dyn Store>)>;

    /// Makes everything durable and closes all stores.
    ///
    /// # Errors
    /// The first failure; the others are closed all the same.
    fn close(&self) -> Result<(), tsdb::Error>;
}

impl Store for Db {
    fn metadata(&self) -> Vec<(String, Metadata)> {
        Self::metadata(self)
    }

    fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, ReadError> {
        ExemplarQueryable::exemplars(self, selectors, range)
    }

    fn change_mark(&self) -> Option<ChangeMark> {
        Some(Self::change_mark(self))
    }

    fn changed_since(&self, mark: ChangeMark) -> Changed {
        Self::changed_since(self, mark)
    }

    fn stats(&self) -> Option<Stats> {
        Some(Self::stats(self))
    }

    fn flush(&self) -> Result<(), tsdb::Error> {
        Self::flush(self)
    }

    fn set_series_limits(&self, limits: &Arc<tsdb::SeriesLimits>) {
        Self::set_series_limits(self, limits);
    }

    fn set_out_of_order_window(&self, window_ms: i64) {
        Self::set_out_of_order_window(self, window_ms);
    }

    fn set_retention(&self, retention: &Arc<Retention>) -> Result<(), tsdb::Error> {
        Self::set_retention(self, retention)
    }

    fn retention_plan(&self, retention: Option<&Retention>) -> Result<RetentionPlan, tsdb::Error> {
        retention.map_or_else(|| Self::retention_plan(self), |other| self.retention_plan_of(other))
    }

    fn cardinality(&self, top: usize) -> Option<Cardinality> {
        Some(Self::cardinality(self, top))
    }

    fn label_name_counts(&self, series: &SeriesFilter, top: usize) -> LabelNames {
        Self::label_name_counts(self, series, top)
    }

    fn label_value_counts(&self, series: &SeriesFilter, names: &[String], top: usize) -> Vec<LabelValues> {
        Self::label_value_counts(self, series, names, top)
    }

    fn ranking(&self, by: RankBy, window_ms: i64, top: usize) -> Option<Ranking> {
        Some(Self::ranking(self, by, window_ms, top))
    }

    fn label_costs(&self, series: &SeriesFilter, names: &[String]) -> Vec<LabelCost> {
        Self::label_costs(self, series, names)
    }

    fn head_series(&self, series: &SeriesFilter, most: usize) -> (u64, Vec<Labels>) {
        Self::head_series(self, series, most)
    }

    fn series_sketch(&self, anew: bool) -> Option<Sketch> {
        Some(Self::series_sketch(self, anew))
    }

    fn series_hashes(&self, anew: bool, most: usize) -> Option<Vec<u64>> {
        Self::series_hashes(self, anew, most)
    }

    fn delete(&self, matchers: &[Matcher], range: TimeRange) -> Result<(), tsdb::Error> {
        Self::delete(self, matchers, range)
    }

    fn clean_tombstones(&self) -> Result<(), tsdb::Error> {
        Self::clean_tombstones(self)
    }

    fn snapshot(&self, name: &str, with_head: bool) -> Result<Vec<String>, tsdb::Error> {
        let to = self.snapshots_dir().join(name);
        let made = if with_head { Self::snapshot(self, to) } else { self.snapshot_of_blocks(to) }?;
        let far = made.far_away.iter().map(ToString::to_string);
        Ok(far.chain(made.unreadable).collect())
    }
}

impl Stores for Tenants {
    fn open(&self, tenant: &TenantId) -> Result<Arc<dyn Store>, tsdb::Error> {
        Ok(self.tenant(tenant)?)
    }

    fn existing(&self, tenant: &TenantId) -> Result<Option<Arc<dyn Store>>, tsdb::Error> {
        Ok(Self::existing(self, tenant)?.map(|db| db as Arc<dyn Store>))
    }

    fn list(&self) -> Vec<(TenantId, Arc<dyn Store>)> {
        let all = Self::list(self).into_iter();
        all.map(|(tenant, db)| (tenant, db as Arc<dyn Store>)).collect()
    }

    fn close(&self) -> Result<(), tsdb::Error> {
        Self::close(self)
    }
}

/// The store of a tenant that has none: it reads as empty, and what is appended to it is forgotten.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoStore;

impl Queryable for NoStore {
    fn querier(&self, _range: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
        Ok(Box::new(*self))
    }
}

impl Querier for NoStore {
    fn select(&self, _matchers: &[Matcher], _hints: &SelectHints) -> Result<Box<dyn SeriesSet>, ReadError> {
        Ok(Box::new(*self))
    }

    fn label_names(&self, _matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _name: &str, _matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }
}

impl Appendable for NoStore {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(*self)
    }
}

impl Appender for NoStore {
    fn lookup(&mut self, _wire: &[u8]) -> Option<SeriesRef> {
        None
    }

    fn series(&mut self, _labels: &Labels) -> Result<SeriesRef, SeriesError> {
        Ok(SeriesRef(0))
    }

    fn append(&mut self, _series: SeriesRef, _timestamp: Timestamp, _value: f64) {}

    fn set_metadata(&mut self, _metric: &str, _metadata: Metadata) {}

    fn commit(self: Box<Self>) -> Result<AppendReport, CommitError> {
        Ok(AppendReport::default())
    }
}

impl Store for NoStore {
    fn metadata(&self) -> Vec<(String, Metadata)> {
        Vec::new()
    }
}

impl SeriesSet for NoStore {
    fn len(&self) -> usize {
        0
    }

    fn labels(&self, _index: usize) -> Labels {
        Labels::empty()
    }

    fn read(&self, _index: usize, into: &mut SampleColumns) -> Result<(), ReadError> {
        into.clear();
        Ok(())
    }

    fn estimated_samples(&self) -> u64 {
        0
    }
}

#[cfg(test)]
impl Store for tsdb_core::testing::MemStore {
    fn metadata(&self) -> Vec<(String, Metadata)> {
        self.all_metadata()
    }

    fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, ReadError> {
        ExemplarQueryable::exemplars(self, selectors, range)
    }
}
