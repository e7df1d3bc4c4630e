//! The guide: which stretch of the dictionary and of the postings a value must lie in, known before either is read.
//!
//! A dictionary is searched in steps that depend on each other. Over a local file that is cheap; where each read takes
//! long the guide, which lies at the end of the file with all else that opening reads, tells the places at once.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::dictionary::{BLOCK, Name};
use core::ops::Range;
use std::ops::RangeInclusive;
use tsdb_core::Corruption;
use tsdb_core::bytes::{Reader, Writer};
use tsdb_core::error::CorruptionKind;

/// Name of the section in errors.
pub(super) const SECTION: &str = "index guide";

/// A stretch that has reached one of these ends before the next value.
const DICTIONARY_BYTES: usize = 8 << 10;
const POSTINGS_BYTES: usize = 64 << 10;
const SERIES: u64 = 8 << 10;

/// How many series have a value, and between which numbers they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeriesExtent {
    pub(super) lowest: u32,
    pub(super) highest: u32,
    pub(super) count: u64,
}

impl SeriesExtent {
    /// That of ascending numbers.
    pub(super) fn of(series: &[u32]) -> Self {
        let lowest = series.first().copied().unwrap_or(u32::MAX);
        Self { lowest, highest: series.last().copied().unwrap_or(0), count: series.len() as u64 }
    }
}

/// Builds the guide from the values of all names, in order.
#[derive(Debug, Default)]
pub(super) struct GuideWriter {
    names: Vec<NameWriter>,
}

#[derive(Debug, Default)]
struct NameWriter {
    out: Writer,
    count: u64,
    text: String,
    start: u64,
    open: Option<Open>,
    values: u64,
}

/// The stretch that grows.
#[derive(Debug)]
struct Open {
    first: u64,
    text: String,
    postings: u64,
    dictionary: usize,
    series: SeriesExtent,
}

impl GuideWriter {
    /// The next value is the first of another name.
    pub(super) fn next_name(&mut self) {
        self.names.push(NameWriter::default());
    }

    /// Adds a value whose postings, of `series`, lie at `place`.
    pub(super) fn push(&mut self, value: &str, place: Range<usize>, series: SeriesExtent) {
        let Some(name) = self.names.last_mut() else { return };
        let is_full = name.open.as_ref().is_some_and(|open| {
            open.dictionary >= DICTIONARY_BYTES
                || (place.start as u64).saturating_sub(open.postings) >= POSTINGS_BYTES as u64
                || open.series.count >= SERIES
        });
        if series.count >= SERIES || is_full {
            name.close();
        }
        let open = name.open.get_or_insert_with(|| Open {
            first: name.values,
            text: value.into(),
            postings: place.start as u64,
            dictionary: 0,
            series: SeriesExtent::of(&[]),
        });
        open.dictionary = open.dictionary.saturating_add(value.len());
        open.series.count = open.series.count.saturating_add(series.count);
        open.series.lowest = open.series.lowest.min(series.lowest);
        open.series.highest = open.series.highest.max(series.highest);
        name.values = name.values.saturating_add(1);
    }

    /// Appends the section.
    pub(super) fn write(self, out: &mut Writer) {
        for mut name in self.names {
            name.close();
            out.varint(name.count);
            out.bytes(name.out.as_bytes());
        }
    }
}

impl NameWriter {
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let shared = self.text.bytes().zip(open.text.bytes()).take_while(|(a, b)| a == b).count();
        self.out.varint(open.first.saturating_sub(self.start));
        self.out.varint(shared as u64);
        self.out.blob(open.text.as_bytes().get(shared..).unwrap_or_default());
        self.out.varint(open.postings);
        let SeriesExtent { lowest, highest, .. } = open.series;
        self.out.varint(lowest.min(highest).into());
        self.out.varint(highest.saturating_sub(lowest).into());
        (self.start, self.text) = (open.first, open.text);
        self.count = self.count.saturating_add(1);
    }
}

/// The guide, read.
#[derive(Debug, Default)]
pub(super) struct Guide {
    /// For each name its stretches, by their first values.
    names: Vec<Vec<Stretch>>,
}

/// Values that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The first value.
    pub(super) text: String,
    /// The numbers of the values among those of their name.
    pub(super) values: Range<usize>,
    /// Where their postings lie in the section.
    pub(super) postings: Range<usize>,
    /// No series outside has one of the values.
    pub(super) series: RangeInclusive<u32>,
}

impl Stretch {
    /// The blocks of the dictionary that hold the values, counted from 0 within the name.
    pub(super) fn blocks(&self) -> Range<usize> {
        self.values.start / BLOCK..self.values.end.div_ceil(BLOCK)
    }
}

impl Guide {
    /// Reads the section, which tells of `names`, whose postings take `postings` bytes.
    pub(super) fn read(bytes: &[u8], names: &[Name], postings: usize) -> Result<Self, Corruption> {
        let mut reader = Reader::new(SECTION, bytes);
        let mut guide = Self::default();
        for name in names {
            let stretches = read_name(&mut reader, name)?;
            guide.names.push(stretches);
        }
        reader.finish()?;
        let mut end = postings;
        for stretch in guide.names.iter_mut().rev().flat_map(|stretches| stretches.iter_mut().rev()) {
            if stretch.postings.start > end {
                return Err(broken("postings of the stretches follow each other"));
            }
            stretch.postings.end = end;
            end = stretch.postings.start;
        }
        Ok(guide)
    }

    /// The stretches of the name with this number.
    pub(super) fn of_name(&self, name: usize) -> &[Stretch] {
        self.names.get(name).map_or(&[], Vec::as_slice)
    }

    /// The stretches of a name in which values from `first` to those that begin with `prefix` lie. The prefix of one
    /// value is itself.
    pub(super) fn around(&self, name: usize, prefix: &str) -> &[Stretch] {
        let all = self.of_name(name);
        let from = all.partition_point(|stretch| stretch.text.as_str() <= prefix).saturating_sub(1);
        let beyond = |stretch: &Stretch| stretch.text.as_str() > prefix && !stretch.text.starts_with(prefix);
        let rest = all.get(from..).unwrap_or_default();
        let len = rest.iter().position(beyond).unwrap_or(rest.len());
        rest.get(..len).unwrap_or_default()
    }

    /// The stretch of a name in which `value` lies, if it is anywhere.
    pub(super) fn of_value(&self, name: usize, value: &str) -> Option<&Stretch> {
        let all = self.of_name(name);
        all.get(all.partition_point(|stretch| stretch.text.as_str() <= value).checked_sub(1)?)
    }
}

fn read_name(reader: &mut Reader<'_>, name: &Name) -> Result<Vec<Stretch>, Corruption> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut text: Vec<u8> = Vec::new();
    let mut first = 0_usize;
    for index in 0..reader.count(6, "count of stretches")? {
        let distance = size(reader, "first value of a stretch")?;
        first = first.saturating_add(distance);
        if first >= name.values as usize || (distance == 0) != (index == 0) {
            return Err(reader.invalid("first value of a stretch", first as u64));
        }
        let shared = size(reader, "shared prefix")?;
        if shared > text.len() {
            return Err(reader.invalid("shared prefix", shared as u64));
        }
        text.truncate(shared);
        text.extend_from_slice(reader.blob("value")?);
        let value =
            str::from_utf8(&text).map_err(|_| reader.corruption(CorruptionKind::Utf8 { field: "value" }))?;
        let postings = size(reader, "offset of postings")?;
        let lowest = reader.varint("lowest series")?;
        let highest = lowest.saturating_add(reader.varint("distance of the highest series")?);
        let series = u32::try_from(lowest).ok().zip(u32::try_from(highest).ok());
        let (lowest, highest) = series.ok_or_else(|| reader.invalid("highest series", highest))?;
        if let Some(last) = stretches.last_mut() {
            if last.text.as_str() >= value {
                return Err(broken("stretches are in order of their values"));
            }
            last.values.end = first;
        }
        let values = first..name.values as usize;
        stretches.push(Stretch {
            text: value.into(),
            values,
            postings: postings..postings,
            series: lowest..=highest,
        });
    }
    if stretches.is_empty() {
        return Err(broken("every name has a stretch"));
    }
    Ok(stretches)
}

fn broken(rule: &'static str) -> Corruption {
    Corruption::new(SECTION, 0, CorruptionKind::Rule { rule })
}

fn size(reader: &mut Reader<'_>, field: &'static str) -> Result<usize, Corruption> {
    let value = reader.varint(field)?;
    usize::try_from(value).map_err(|_| reader.invalid(field, value))
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers made up here"
)]
mod tests {
    use super::*;

    /// A guide of one name whose values have postings of 100 bytes and `series` series each.
    fn guide(values: &[String], series: usize) -> (Guide, Name) {
        let mut writer = GuideWriter::default();
        writer.next_name();
        for (number, value) in values.iter().enumerate() {
            let numbers: Vec<u32> = (number * series..(number + 1) * series).map(|n| n as u32).collect();
            writer.push(value, number * 100..(number + 1) * 100, SeriesExtent::of(&numbers));
        }
        let mut out = Writer::new();
        writer.write(&mut out);
        let name = Name { text: "pod".into(), values: values.len() as u32, first_block: 0 };
        let guide = Guide::read(out.as_bytes(), std::slice::from_ref(&name), values.len() * 100).unwrap();
        (guide, name)
    }

    fn values(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("pod-{number:06}")).collect()
    }

    #[test]
    fn every_value_lies_in_the_stretch_that_is_found_for_it() {
        let values = values(5_000);
        let (guide, _) = guide(&values, 2);
        assert!((5..20).contains(&guide.of_name(0).len()), "{}", guide.of_name(0).len());
        for (number, value) in values.iter().enumerate() {
            let stretch = guide.of_value(0, value).unwrap();
            assert!(stretch.values.contains(&number) && stretch.blocks().contains(&(number / BLOCK)));
            assert!(stretch.postings.start <= number * 100 && (number + 1) * 100 <= stretch.postings.end);
            assert!(stretch.series.contains(&(number as u32 * 2)));
        }
        assert_eq!(guide.of_value(0, "pod"), None);
        let narrow: usize = guide.around(0, "pod-0042").iter().map(|stretch| stretch.values.len()).sum();
        assert!((100..2_000).contains(&narrow), "{narrow}");
    }

    #[test]
    fn a_popular_value_has_a_stretch_of_its_own_that_tells_its_series() {
        let (guide, _) = guide(&values(4), 10_000);
        assert_eq!(guide.of_name(0).len(), 4);
        assert_eq!(guide.of_value(0, "pod-000002").unwrap().series, 20_000..=29_999);
    }
}
