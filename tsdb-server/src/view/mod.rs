//! What a request reads: the store of its tenant, those of several merged, or nothing.

mod across;

pub(crate) use across::Across;

use crate::store::{NoStore, Store};
use std::sync::Arc;
use tsdb_core::metadata::Metadata;
use tsdb_core::read::{ExemplarQueryable, Querier, Queryable, ReadError, SeriesExemplars};
use tsdb_core::{Matcher, TimeRange};

/// What a request reads.
pub(crate) enum View {
    /// The tenant has no store.
    Empty,
    /// The store of one tenant.
    One(Arc<dyn Store>),
    /// The stores of several tenants.
    Many(Across),
}

impl View {
    /// The store whose history says when an answer no longer holds; `None` if nothing does,
    /// or several tenants do.
    pub(crate) fn history(&self) -> Option<&dyn Store> {
        match self {
            Self::One(store) => Some(store.as_ref()),
            Self::Empty | Self::Many(_) => None,
        }
    }

    /// What is known of each metric, sorted by name; of one metric several things if several tenants say so.
    pub(crate) fn metadata(&self) -> Vec<(String, Metadata)> {
        match self {
            Self::Empty => Vec::new(),
            Self::One(store) => store.metadata(),
            Self::Many(stores) => stores.metadata(),
        }
    }
}

impl Queryable for View {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, ReadError> {
        match self {
            Self::Empty => NoStore.querier(range),
            Self::One(store) => store.querier(range),
            Self::Many(stores) => stores.querier(range),
        }
    }
}

impl ExemplarQueryable for View {
    fn exemplars(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, ReadError> {
        match self {
            Self::Empty => Ok(Vec::new()),
            Self::One(store) => store.exemplars(selectors, range),
            Self::Many(stores) => stores.exemplars(selectors, range),
        }
    }
}
