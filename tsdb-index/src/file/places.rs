//! Where in the file lies what a question will need: what a source that is far away is asked for in one go.
//!
//! Places are advice. Too few cost time and no answer; so does damage, which whoever reads the place will name.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::dictionary::Name;
use super::guide::Stretch;
use super::pages::Recent;
use super::reader::IndexReader;
use super::series::GROUP;
use super::source::Source;
use core::ops::Range;
use roaring::RoaringBitmap;
use tsdb_core::matcher::Implied;
use tsdb_core::{Corruption, Matcher};

/// Postings of one matcher that are longer than this in all are not read before the dictionary says which are needed.
const MAX_POSTINGS_BYTES: usize = 2 << 20;
/// Nor is more than this of the dictionary.
const MAX_DICTIONARY_BYTES: usize = 2 << 20;
/// Records of series that take more than this are not read before the postings say which are needed.
const MAX_SERIES_BYTES: usize = 2 << 20;

impl<S: Source> IndexReader<S> {
    /// Where [`select`](Self::select) will read to find the series that satisfy all `matchers`, as far as that is
    /// known before, and probably their records.
    ///
    /// # Errors
    /// Damage to what opening reads.
    pub fn places_of(&self, matchers: &[Matcher]) -> Result<Vec<Range<usize>>, Corruption> {
        let mut places = Vec::new();
        let (mut lowest, mut highest) = (0, self.series_count().saturating_sub(1));
        for matcher in matchers {
            let Some((number, name)) = self.find_name(matcher.name()) else { continue };
            let stretches = self.stretches(number, matcher)?;
            if !matcher.matches_empty() {
                lowest = lowest.max(stretches.iter().map(|s| *s.series.start()).min().unwrap_or(u32::MAX));
                highest = highest.min(stretches.iter().map(|s| *s.series.end()).max().unwrap_or(0));
            }
            self.add_dictionary(name, &stretches, &mut places)?;
            self.add_postings(&stretches, &mut places);
        }
        if lowest <= highest && lowest < self.series_count() {
            let groups = lowest as usize / GROUP..(highest as usize / GROUP).saturating_add(1);
            let place = self.groups_place(groups)?;
            if place.len() <= MAX_SERIES_BYTES {
                places.push(place);
            }
        }
        Ok(places)
    }

    /// Where the records of `series` lie.
    ///
    /// # Errors
    /// Damage to what opening reads.
    pub fn places_of_series(&self, series: &RoaringBitmap) -> Result<Vec<Range<usize>>, Corruption> {
        let mut places: Vec<Range<usize>> = Vec::new();
        let mut last = None;
        for group in series.iter().map(|series| series as usize / GROUP) {
            if last == Some(group) {
                continue;
            }
            last = Some(group);
            let place = self.groups_place(group..group.saturating_add(1))?;
            match places.last_mut() {
                Some(before) if before.end == place.start => before.end = place.end,
                _ => places.push(place),
            }
        }
        Ok(places)
    }

    /// Where block number `block` of the values of name number `name` lies.
    pub(super) fn place_of_block<'a>(
        &'a self,
        name: &Name,
        block: usize,
        recent: &mut Recent<'a>,
    ) -> Result<Range<usize>, Corruption> {
        let number = name.first_block.saturating_add(block);
        self.entry(&self.layout().value_blocks, number, &self.layout().values, recent)
    }

    /// The stretches of the values that selection fetches for `matcher`.
    fn stretches(&self, name: usize, matcher: &Matcher) -> Result<Vec<&Stretch>, Corruption> {
        let guide = self.guide()?;
        // Those that it names, unless exactly one of its operator and its way of selecting inverts it.
        let described = matcher.op().is_negative() == matcher.matches_empty();
        Ok(match matcher.implied() {
            Implied::Literals(literals) if described => {
                let first = guide.of_name(name).first();
                literals.iter().filter_map(|literal| guide.of_value(name, literal).or(first)).collect()
            }
            Implied::Prefixes { prefixes, .. } if described => {
                prefixes.iter().flat_map(|prefix| guide.around(name, prefix)).collect()
            }
            _ => guide.of_name(name).iter().collect(),
        })
    }

    fn add_dictionary(
        &self,
        name: &Name,
        stretches: &[&Stretch],
        places: &mut Vec<Range<usize>>,
    ) -> Result<(), Corruption> {
        let mut recent = Recent::default();
        let mut bytes = 0_usize;
        for stretch in stretches {
            let blocks = stretch.blocks();
            let first = self.place_of_block(name, blocks.start, &mut recent)?;
            let last = self.place_of_block(name, blocks.end.saturating_sub(1), &mut recent)?;
            bytes = bytes.saturating_add(last.end.saturating_sub(first.start));
            if bytes > MAX_DICTIONARY_BYTES {
                break;
            }
            places.push(first.start..last.end);
        }
        Ok(())
    }

    fn add_postings(&self, stretches: &[&Stretch], places: &mut Vec<Range<usize>>) {
        let bytes = stretches.iter().map(|stretch| stretch.postings.len()).fold(0, usize::saturating_add);
        if bytes <= MAX_POSTINGS_BYTES {
            let start = self.layout().postings.start;
            let place =
                |range: &Range<usize>| start.saturating_add(range.start)..start.saturating_add(range.end);
            places.extend(stretches.iter().map(|stretch| place(&stretch.postings)));
        }
    }

    fn groups_place(&self, groups: Range<usize>) -> Result<Range<usize>, Corruption> {
        let mut recent = Recent::default();
        let (offsets, section) = (&self.layout().groups, &self.layout().series);
        let first = self.entry(offsets, groups.start, section, &mut recent)?;
        let last = groups.end.min(offsets.len).saturating_sub(1);
        let last = self.entry(offsets, last, section, &mut recent)?;
        Ok(first.start..last.end.max(first.start))
    }
}
