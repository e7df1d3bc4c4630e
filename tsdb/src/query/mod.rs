//! Queries over the head and the blocks as one store.
//!
//! A querier is a snapshot: the blocks of its time range and the border between them and the head that was published
//! with them, so a sample that moves from the head into a block is seen exactly once. It pins the head (see
//! [`crate::head`]), and a block that expires meanwhile keeps its files until the querier is gone.
//!
//! Blocks may overlap: late samples have blocks of their own. Sources are merged in the order in which they were written,
//! blocks by their names, the head last; at equal times the first or the last value is believed, as the policy on
//! duplicates has it.
//!
//! Damage in a block costs its samples, not the query: the answer lacks them, and a warning of the set says so. A
//! set may learn of damage only when it is read, so its warnings are complete after the last read.

mod block_set;
mod damage;
mod head_set;
mod merge;
mod selection;
mod window_set;

pub(crate) use damage::DamageLog;

use crate::block::Block;
use crate::blocks::Blocks;
use crate::head::{Head, HeadView, Pin};
use crate::record::Border;
use block_set::BlockSet;
use head_set::HeadSet;
use merge::MergedSet;
use selection::{Selected, Selection};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tsdb_core::block::Rollup;
use tsdb_core::read::{Projection, Querier, ReadError, SelectHints, SeriesSet};
use tsdb_core::{Matcher, TimeRange};
use tsdb_rollup::resolution::{Answer, Candidate, divide};
use window_set::{Samples, WindowSet};

/// What an answer says that is older than the samples.
const PAST_RETENTION: &str =
    "the query reaches past the retention of samples: what is older is answered from windows (rollups)";

/// A view of a database over a range of time.
pub(crate) struct DbQuerier {
    pub(crate) head: Arc<Head>,
    pub(crate) pin: Arc<Pin>,
    pub(crate) blocks: Blocks,
    /// What of the head is in blocks.
    pub(crate) border: Border,
    pub(crate) range: TimeRange,
    /// Of several values at a time, is the one written first believed, or the one written last?
    pub(crate) keep_first: bool,
    /// What the whole database knows of damage.
    pub(crate) damage: Arc<DamageLog>,
    /// Damage that cost names or values of this view.
    pub(crate) met: DamageLog,
    /// How much of the log was not replayed yet when the querier was opened.
    pub(crate) unreplayed_bytes: Option<u64>,
}

impl DbQuerier {
    /// The samples within `range` for which the head answers.
    fn head_view(&self, range: TimeRange) -> Option<HeadView> {
        let view = HeadView::beyond(self.border, range.intersect(&self.range)?);
        let memory = self.head.memory();
        view.overlaps(memory.range(), memory.late_range()).then_some(view)
    }

    /// What the head lacks until its log is replayed, as a sentence.
    fn unreplayed(&self) -> Option<String> {
        let left = self.unreplayed_bytes?;
        Some(format!("the newest samples may be missing: {left} bytes of the log are still to be replayed"))
    }

    /// The blocks that have samples within `range`.
    fn blocks(&self, range: TimeRange) -> impl Iterator<Item = &Arc<Block>> {
        let overlaps = move |block: &&Arc<Block>| block.meta().range.overlaps(&range);
        self.blocks.everywhere().filter(|block| block.meta().is_raw()).filter(overlaps)
    }

    /// These, and the blocks of windows of which samples are gone.
    fn all_blocks(&self, range: TimeRange) -> impl Iterator<Item = &Arc<Block>> {
        let alone = self.blocks.everywhere().filter(move |block| {
            let meta = block.meta();
            !meta.is_raw() && meta.range.overlaps(&range) && !self.blocks.has_samples_of(meta.id)
        });
        self.blocks(range).chain(alone)
    }

    /// The blocks of windows that answer for a part of `range`, and for which; a block may come more than once.
    fn windows(&self, range: TimeRange) -> (Vec<&Arc<Block>>, Vec<Candidate>) {
        // Of two that cover the same, one replaces the other: the newer one.
        let mut all: Vec<_> = self.blocks.everywhere().collect();
        all.sort_by_key(|block| std::cmp::Reverse(block.meta().id));
        let late = self.head.memory().late_range();
        let mut offers = Vec::new();
        for block in all {
            let Some(Rollup { resolution_ms, .. }) = block.meta().rollup else { continue };
            let has_samples = self.blocks.has_samples_of(block.meta().id);
            for covers in self.blocks.answered_by(block.meta(), late) {
                if covers.overlaps(&range) {
                    offers.push((block, Candidate { resolution_ms, covers, has_samples }));
                }
            }
        }
        offers.into_iter().unzip()
    }

    /// The answer of windows and samples together, if windows are to answer anything.
    fn select_windows(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Option<Box<dyn SeriesSet>>, ReadError> {
        let Some(range) = hints.range.intersect(&self.range).filter(|_| hints.ends.is_some()) else {
            return Ok(None);
        };
        let (blocks, candidates) = self.windows(range);
        let hints = SelectHints { range, ..hints.clone() };
        let parts = divide(&hints, &candidates);
        if parts.iter().all(|part| part.candidate.is_none()) {
            return Ok(None);
        }
        let answer = Answer::of(&hints);
        let (mut sources, mut damage, mut missing): (Vec<Box<dyn SeriesSet>>, _, _) =
            (Vec::new(), Vec::new(), BTreeSet::new());
        for part in parts {
            let offer = part.candidate.and_then(|index| Some((*blocks.get(index)?, *candidates.get(index)?)));
            let Some((block, Candidate { resolution_ms, has_samples, .. })) = offer else {
                sources.push(self.select_samples(matchers, part.range, &hints)?);
                continue;
            };
            if !has_samples {
                missing.insert(PAST_RETENTION.to_owned());
            }
            let mut met = Vec::new();
            let selected = block.select(matchers, part.range, &Projection::All, &mut met);
            let series = selected.unwrap_or_else(|error| {
                met.push(error);
                Vec::new()
            });
            if !met.is_empty() && has_samples {
                // The samples know all of the series: the answer lacks nothing for it.
                met.iter().for_each(|error| self.damage.note_and_tell(error));
                sources.push(self.select_samples(matchers, part.range, &hints)?);
                continue;
            }
            damage.extend(met);
            missing.extend(self.blocks.lacking(block, part.range, self.head.memory().late_range()));
            sources.push(Box::new(WindowSet {
                block: Arc::clone(block),
                resolution_ms,
                range: part.range,
                series,
                answer,
                is_across: part.is_across,
                samples: has_samples.then(|| self.samples(part.range)),
                approximates: AtomicBool::new(false),
            }));
        }
        let merged = MergedSet::new(sources, damage, Arc::clone(&self.damage));
        Ok(Some(Box::new(merged.lacking(missing.into_iter().collect()))))
    }

    /// The answer of samples within `range`, instead of windows.
    fn select_samples(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, ReadError> {
        let hints = SelectHints { range, projection: Projection::All, ends: None, ..hints.clone() };
        self.select(matchers, &hints)
    }

    /// The samples of blocks within `range`.
    fn samples(&self, range: TimeRange) -> Arc<Samples> {
        let (keep_first, damage) = (self.keep_first, Arc::clone(&self.damage));
        let (blocks, met) = (self.blocks(range).cloned().collect(), DamageLog::default());
        Arc::new(Samples { blocks, keep_first, damage, met })
    }

    /// The labels to load of blocks, if the head has nothing. Parts are joined by labels, all of which it takes; a part
    /// that is alone needs no joining.
    fn projection<'h>(&self, range: TimeRange, hints: &'h SelectHints) -> &'h Projection {
        if self.blocks(range).nth(1).is_none() { &hints.projection } else { &Projection::All }
    }

    /// Strings of all parts, sorted, unique. The strings of a block that is damaged are missing.
    fn collect(
        &self,
        of_block: impl Fn(&Block) -> Result<Vec<String>, ReadError>,
        of_head: impl FnOnce(&HeadView) -> Vec<String>,
    ) -> Vec<String> {
        let mut strings = BTreeSet::new();
        for block in self.all_blocks(self.range) {
            match of_block(block) {
                Ok(found) => strings.extend(found),
                Err(error) => {
                    self.met.note(&error);
                    self.damage.note_and_tell(&error);
                }
            }
        }
        strings.extend(self.head_view(self.range).as_ref().map(of_head).unwrap_or_default());
        strings.into_iter().collect()
    }
}

impl Querier for DbQuerier {
    fn select(&self, matchers: &[Matcher], hints: &SelectHints) -> Result<Box<dyn SeriesSet>, ReadError> {
        if let Some(answered) = self.select_windows(matchers, hints)? {
            return Ok(answered);
        }
        let mut sources: Vec<Box<dyn SeriesSet>> = Vec::new();
        let mut damage = Vec::new();
        let mut missing: Vec<_> = self.unreplayed().into_iter().collect();
        let view = self.head_view(hints.range);
        if let Some(range) = hints.range.intersect(&self.range) {
            missing.extend(self.blocks.missing(range).chain(self.blocks.incomplete(range)));
            let projection = if view.is_none() { self.projection(range, hints) } else { &Projection::All };
            let blocks = self.blocks(range).filter(|block| !(hints.near && block.is_far()));
            for selected in (Selection { matchers, range, projection }).of(&blocks.collect::<Vec<_>>()) {
                damage.extend(selected.damage);
                if !selected.series.is_empty() {
                    let Selected { block, series, ahead_bytes, .. } = selected;
                    sources.push(Box::new(BlockSet::new(block, range, series, ahead_bytes)));
                }
            }
        }
        if let Some(view) = view {
            // Parts are joined by labels, all of which it takes; a part that is alone needs no joining.
            let projection = if sources.is_empty() { &hints.projection } else { &Projection::All };
            let series = self.head.memory().select(matchers, &view, projection);
            let set = HeadSet { head: Arc::clone(&self.head), pin: Arc::clone(&self.pin), view, series };
            if sources.is_empty() && damage.is_empty() && missing.is_empty() {
                return Ok(Box::new(set));
            }
            sources.push(Box::new(set));
        }
        let merged = MergedSet::new(sources, damage, Arc::clone(&self.damage));
        Ok(Box::new(merged.keeping_first(self.keep_first).lacking(missing)))
    }

    fn may_hold_histograms(&self) -> bool {
        self.head.memory().has_histograms()
            || self.unreplayed_bytes.is_some()
            || self.all_blocks(self.range).any(|block| block.meta().stats.histograms > 0)
    }

    fn may_hold_windows(&self) -> bool {
        !self.windows(self.range).0.is_empty()
    }

    fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        let memory = self.head.memory();
        Ok(self.collect(|block| block.label_names(matchers), |view| memory.label_names(matchers, view)))
    }

    fn label_values(&self, name: &str, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        let memory = self.head.memory();
        let of_head = |view: &HeadView| memory.label_values(name, matchers, view);
        Ok(self.collect(|block| block.label_values(name, matchers), of_head))
    }

    fn warnings(&self) -> Vec<String> {
        let missing = self.unreplayed().into_iter().chain(self.blocks.missing(self.range));
        missing.chain(self.met.sentences()).collect()
    }
}
