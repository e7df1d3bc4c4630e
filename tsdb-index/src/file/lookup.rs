//! Finding values and their series in the file.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::dictionary::{Block, Name};
use super::pages::Recent;
use super::postings;
use super::reader::IndexReader;
use super::source::Source;
use crate::postings::Union;
use crate::select::Lookup;
use core::ops::{ControlFlow, Range};
use roaring::RoaringBitmap;
use std::borrow::Cow;
use tsdb_core::Corruption;

/// Asking a series for its labels costs about as much as decoding this many numbers of postings.
const SERIES_COST: u64 = 8;

/// Called with a value and the place of its postings; says whether to go on.
type Visit<'v> = dyn FnMut(&str, Range<usize>) -> Result<ControlFlow<()>, Corruption> + 'v;

impl<S: Source> IndexReader<S> {
    /// Names of the labels of the series in `within` (of all series if `None`), sorted.
    ///
    /// # Errors
    /// Damage to what had to be read.
    pub fn label_names(&self, within: Option<&RoaringBitmap>) -> Result<Vec<String>, Corruption> {
        let mut found = Vec::new();
        match within {
            None => found.extend(self.names().iter().map(|name| name.text.clone())),
            Some(within) if self.is_cheaper_by_series(within) => {
                let mut used = RoaringBitmap::new();
                let mut cursor = self.cursor();
                for series in within {
                    used.extend(cursor.label_ids(series)?.iter().map(|label| label.name));
                }
                let names = used.iter().filter_map(|name| self.names().get(name as usize));
                found.extend(names.map(|name| name.text.clone()));
            }
            Some(within) => {
                for name in self.names() {
                    let flow = self.walk(name, "", &mut |_, place| {
                        let meets = !self.postings(place)?.is_disjoint(within);
                        Ok(if meets { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
                    })?;
                    if flow.is_break() {
                        found.push(name.text.clone());
                    }
                }
            }
        }
        Ok(found)
    }

    /// Values of the label `name` among the series in `within` (among all series if `None`), sorted.
    ///
    /// # Errors
    /// Damage to what had to be read.
    pub fn label_values(
        &self,
        name: &str,
        within: Option<&RoaringBitmap>,
    ) -> Result<Vec<String>, Corruption> {
        let mut found = Vec::new();
        let Some((number, name)) = self.find_name(name) else { return Ok(found) };
        match within {
            Some(within) if self.is_cheaper_by_series(within) => {
                let mut used = RoaringBitmap::new();
                let mut cursor = self.cursor();
                for series in within {
                    let of_name =
                        cursor.label_ids(series)?.iter().find(|label| label.name as usize == number);
                    used.extend(of_name.map(|label| label.value));
                }
                for value in used {
                    let label =
                        super::series::LabelId { name: u32::try_from(number).unwrap_or(u32::MAX), value };
                    found.push(cursor.value(label)?.into());
                }
            }
            _ => {
                let _all = self.walk(name, "", &mut |value, place| {
                    let meets = match within {
                        None => true,
                        Some(within) => !self.postings(place)?.is_disjoint(within),
                    };
                    if meets {
                        found.push(value.into());
                    }
                    Ok(ControlFlow::Continue(()))
                })?;
            }
        }
        Ok(found)
    }

    /// Shows `visit` the values of `name` that begin with `prefix`, in order, with the places of their postings,
    /// until it breaks.
    pub(super) fn walk(
        &self,
        name: &Name,
        prefix: &str,
        visit: &mut Visit<'_>,
    ) -> Result<ControlFlow<()>, Corruption> {
        let mut recent = Recent::default();
        for number in self.block_before(name, prefix, &mut recent)?..name.blocks() {
            let block: Block = self.block(name, number, &mut recent)?;
            for (value, place) in block.iter() {
                if value.starts_with(prefix) {
                    if visit(value, place)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                } else if value > prefix {
                    return Ok(ControlFlow::Continue(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The last block whose first value is not greater than `value`: where `value` is, if it is anywhere.
    fn block_before<'a>(
        &'a self,
        name: &Name,
        value: &str,
        recent: &mut Recent<'a>,
    ) -> Result<usize, Corruption> {
        let (mut low, mut high) = self.blocks_around(name, value)?;
        while low < high {
            let middle = low.midpoint(high);
            if Block::first(&self.block_bytes(name, middle, recent)?)? <= value {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        Ok(low.saturating_sub(1))
    }

    /// Between which blocks `value` is. Where every read takes long the guide narrows them down.
    fn blocks_around(&self, name: &Name, value: &str) -> Result<(usize, usize), Corruption> {
        let number = self.find_name(&name.text).filter(|_| self.source().is_far());
        let Some((number, _)) = number else { return Ok((0, name.blocks())) };
        let stretch = self.guide()?.of_value(number, value);
        Ok(stretch.map_or((0, 0), |stretch| (stretch.blocks().start, stretch.blocks().end)))
    }

    /// Where the postings of the pair lie in their section.
    fn find(&self, name: &str, value: &str) -> Result<Option<Range<usize>>, Corruption> {
        let Some((_, name)) = self.find_name(name) else { return Ok(None) };
        let mut recent = Recent::default();
        let number = self.block_before(name, value, &mut recent)?;
        let block = self.block(name, number, &mut recent)?;
        Ok(block.iter().find(|(candidate, _)| *candidate == value).map(|(_, place)| place))
    }

    fn is_cheaper_by_series(&self, within: &RoaringBitmap) -> bool {
        within.len().saturating_mul(SERIES_COST) < u64::from(self.series_count())
    }
}

impl<S: Source> Lookup for IndexReader<S> {
    fn all(&self) -> Result<RoaringBitmap, Corruption> {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.series_count());
        Ok(all)
    }

    fn with_pair(&self, name: &str, value: &str) -> Result<Cow<'_, RoaringBitmap>, Corruption> {
        let place = self.find(name, value)?;
        place.map_or_else(|| Ok(RoaringBitmap::new()), |place| self.postings(place)).map(Cow::Owned)
    }

    fn estimate(&self, name: &str, value: &str) -> Result<u64, Corruption> {
        let place = self.find(name, value)?;
        place.map_or(Ok(0), |place| postings::count(&self.postings_bytes(place)?))
    }

    fn value_count(&self, name: &str) -> Result<u64, Corruption> {
        Ok(self.find_name(name).map_or(0, |(_, name)| name.values.into()))
    }

    fn union(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<RoaringBitmap, Corruption> {
        let mut union = Union::default();
        if let Some((_, name)) = self.find_name(name) {
            let _all = self.walk(name, prefix, &mut |value, place| {
                if keep(value) {
                    let bytes = self.postings_bytes(place)?;
                    union.add_bitmap(postings::read(&bytes, self.series_count())?);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(union.finish())
    }

    fn filter(
        &self,
        candidates: &RoaringBitmap,
        name: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<RoaringBitmap, Corruption> {
        let number = self.find_name(name).map(|(number, _)| number);
        let mut cursor = self.cursor();
        let mut found = RoaringBitmap::new();
        for series in candidates {
            let labels = cursor.label_ids(series)?.iter().copied();
            let label = labels.into_iter().find(|label| Some(label.name as usize) == number);
            let value = match label {
                Some(label) => cursor.value(label)?,
                None => "",
            };
            if keep(value) {
                found.insert(series);
            }
        }
        Ok(found)
    }
}
