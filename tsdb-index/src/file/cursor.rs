//! Reading series one after the other: the group and the strings decoded last are kept.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::ChunkRef;
use super::dictionary::{self, Block};
use super::pages::Recent;
use super::reader::{IndexReader, Span, beyond};
use super::series::{self, ChunkEntry, GROUP, Group, LabelId};
use super::source::Source;
use tsdb_core::error::CorruptionKind;
use tsdb_core::labels::LabelsMaker;
use tsdb_core::read::Projection;
use tsdb_core::{Corruption, Labels};

/// Reads series; keeps the group of series and, for each name, the block of values that it decoded last.
#[derive(Debug)]
pub struct SeriesCursor<'a, S> {
    index: &'a IndexReader<S>,
    group: Group,
    group_number: Option<usize>,
    blocks: Vec<Option<(usize, Block)>>,
    /// For each name the block of values whose place was told last.
    announced: Vec<Option<usize>>,
    /// The group whose frames were told last.
    group_told: Option<usize>,
    /// The span told last: thousands of neighbours share one.
    span: Option<(u32, Span)>,
    places: Places<'a>,
    /// For each name, whether its label is asked for; `None` for all.
    wanted: Option<Vec<bool>>,
    maker: LabelsMaker,
}

/// Where the cursor read numbers last.
#[derive(Debug, Default)]
struct Places<'a> {
    groups: Recent<'a>,
    values: Recent<'a>,
    spans: [Recent<'a>; 4],
}

impl<'a, S: Source> SeriesCursor<'a, S> {
    pub(super) fn new(index: &'a IndexReader<S>) -> Self {
        let places = Places::default();
        Self {
            index,
            group: Group::default(),
            group_number: None,
            blocks: Vec::new(),
            announced: Vec::new(),
            group_told: None,
            span: None,
            places,
            wanted: None,
            maker: LabelsMaker::new(),
        }
    }

    /// Has [`labels`](Self::labels) decode only the labels that `projection` asks for.
    #[must_use]
    pub fn projected(mut self, projection: &Projection) -> Self {
        self.wanted = match projection {
            Projection::Only(names) => {
                let is_wanted = |name: &dictionary::Name| names.contains(&name.text);
                Some(self.index.names().iter().map(is_wanted).collect())
            }
            _ => None,
        };
        self
    }

    /// Labels of `series`, those that are asked for.
    ///
    /// # Errors
    /// Damage, or a number that is not below the count of series.
    pub fn labels(&mut self, series: u32) -> Result<Labels, Corruption> {
        self.load(series)?;
        let labels = self.group.labels(place(series)).unwrap_or_default();
        let wanted = self.wanted.as_deref();
        let is_wanted = |label: &&LabelId| {
            wanted.is_none_or(|wanted| wanted.get(label.name as usize).copied().unwrap_or(true))
        };
        for label in labels.iter().filter(is_wanted) {
            load_value(self.index, &mut self.blocks, *label, &mut self.places.values)?;
        }
        let pairs =
            labels.iter().filter(is_wanted).filter_map(|label| text(self.index, &self.blocks, *label));
        // Few labels of many series are mostly the same few sets.
        let made = if wanted.is_some() { self.maker.make_shared(pairs) } else { self.maker.make(pairs) };
        made.ok_or_else(|| {
            let rule = "labels of a series are ascending and not empty";
            Corruption::new(series::SECTION, 0, CorruptionKind::Rule { rule })
        })
    }

    /// Replaces `into` by the chunks of `series`, in order of time.
    ///
    /// # Errors
    /// Damage, or a number that is not below the count of series; `into` is then empty.
    pub fn chunks(&mut self, series: u32, into: &mut Vec<ChunkRef>) -> Result<(), Corruption> {
        into.clear();
        self.load(series)?;
        for entry in self.group.chunks(place(series)).unwrap_or_default() {
            let ChunkEntry { frame, slot, span } = *entry;
            let told = match self.span {
                Some(last) if last.0 == span => Ok(last),
                _ => self.index.span(span, &mut self.places.spans).map(|told| (span, told)),
            };
            match told {
                Ok(told) => {
                    self.span = Some(told);
                    let Span { range, samples, times } = told.1;
                    into.push(ChunkRef { frame, slot, range, samples, times });
                }
                Err(damage) => {
                    into.clear();
                    return Err(damage);
                }
            }
        }
        Ok(())
    }

    /// The frames of `series` and of the neighbours whose records are read with its own, in no order. Nothing if it follows
    /// one of these neighbours, which were told then.
    ///
    /// # Errors
    /// Damage, or a number that is not below the count of series.
    pub fn frames_around(&mut self, series: u32) -> Result<impl Iterator<Item = u64> + '_, Corruption> {
        let before = self.group_told.replace(series as usize / GROUP);
        self.load(series)?;
        let is_new = before != self.group_told;
        Ok(self.group.all_chunks().iter().filter(move |_| is_new).map(|chunk| chunk.frame))
    }

    /// Appends to `into` where the texts of the labels of `series` lie, those that are asked for, unless they were just
    /// read or appended.
    ///
    /// # Errors
    /// Damage, or a number that is not below the count of series.
    pub fn places_of_labels(
        &mut self,
        series: u32,
        into: &mut Vec<core::ops::Range<usize>>,
    ) -> Result<(), Corruption> {
        self.load(series)?;
        for label in self.group.labels(place(series)).unwrap_or_default() {
            let number = label.name as usize;
            let wanted = self.wanted.as_deref();
            if wanted.is_some_and(|wanted| wanted.get(number) == Some(&false)) {
                continue;
            }
            let Some(name) = self.index.names().get(number) else {
                return Err(beyond(dictionary::NAMES, number));
            };
            if number >= self.announced.len() {
                self.announced.resize(self.index.names().len(), None);
            }
            let block = label.value as usize / dictionary::BLOCK;
            let Some(last) = self.announced.get_mut(number) else { continue };
            if last.replace(block) != Some(block) {
                into.push(self.index.place_of_block(name, block, &mut self.places.values)?);
            }
        }
        Ok(())
    }

    /// Labels of `series` as numbers.
    pub(super) fn label_ids(&mut self, series: u32) -> Result<&[LabelId], Corruption> {
        self.load(series)?;
        Ok(self.group.labels(place(series)).unwrap_or_default())
    }

    /// Text of the value of `label`.
    pub(super) fn value(&mut self, label: LabelId) -> Result<&str, Corruption> {
        load_value(self.index, &mut self.blocks, label, &mut self.places.values)?;
        Ok(text(self.index, &self.blocks, label).map_or("", |(_, value)| value))
    }

    fn load(&mut self, series: u32) -> Result<(), Corruption> {
        if series >= self.index.series_count() {
            return Err(beyond(series::SECTION, series as usize));
        }
        let number = (series as usize) / GROUP;
        if self.group_number != Some(number) {
            self.group_number = None;
            self.index.read_group(number, &mut self.group, &mut self.places.groups)?;
            self.group_number = Some(number);
        }
        Ok(())
    }
}

fn place(series: u32) -> usize {
    (series as usize) % GROUP
}

fn load_value<'a, S: Source>(
    index: &'a IndexReader<S>,
    blocks: &mut Vec<Option<(usize, Block)>>,
    label: LabelId,
    recent: &mut Recent<'a>,
) -> Result<(), Corruption> {
    let place = label.name as usize;
    let number = (label.value as usize) / dictionary::BLOCK;
    if place >= blocks.len() {
        blocks.resize_with(index.names().len(), || None);
    }
    let (Some(slot), Some(name)) = (blocks.get_mut(place), index.names().get(place)) else {
        return Err(beyond(dictionary::NAMES, place));
    };
    if slot.as_ref().is_none_or(|(loaded, _)| *loaded != number) {
        *slot = None;
        *slot = Some((number, index.block(name, number, recent)?));
    }
    Ok(())
}

fn text<'t, S: Source>(
    index: &'t IndexReader<S>,
    blocks: &'t [Option<(usize, Block)>],
    label: LabelId,
) -> Option<(&'t str, &'t str)> {
    let name = index.names().get(label.name as usize)?;
    let (_, block) = blocks.get(label.name as usize)?.as_ref()?;
    Some((&name.text, block.value((label.value as usize) % dictionary::BLOCK)?))
}
