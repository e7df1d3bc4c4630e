//! Reading the labels of many series of the live index, all of them or some.

use super::{LiveIndex, PairId};
use tsdb_core::labels::LabelsMaker;
use tsdb_core::read::Projection;
use tsdb_core::{Labels, SeriesRef};

/// Reads labels of series. If only some labels are asked for, equal sets of them mostly share their memory.
#[derive(Debug)]
pub struct LabelsCursor<'i> {
    index: &'i LiveIndex,
    /// For each name, by number, whether its label is asked for; `None` for all.
    wanted: Option<Vec<bool>>,
    maker: LabelsMaker,
}

impl<'i> LabelsCursor<'i> {
    pub(super) fn new(index: &'i LiveIndex, projection: &Projection) -> Self {
        let wanted = match projection {
            Projection::Only(names) => Some(index.pairs.which_names(|name| names.iter().any(|n| n == name))),
            _ => None,
        };
        Self { index, wanted, maker: LabelsMaker::new() }
    }

    /// Labels of `series`, those that are asked for; `None` if the index does not hold it.
    pub fn labels(&mut self, series: SeriesRef) -> Option<Labels> {
        let LiveIndex { pairs, members, all, .. } = self.index;
        if !all.contains(series.0) {
            return None;
        }
        let of_series = members.pairs(series.0);
        let Some(wanted) = &self.wanted else {
            return self.maker.make(of_series.map(|pair| pairs.text(pair)));
        };
        let is_wanted = |pair: &PairId| wanted.get(pairs.name_number(*pair)).copied().unwrap_or(false);
        self.maker.make_shared(of_series.filter(is_wanted).map(|pair| pairs.text(pair)))
    }
}
