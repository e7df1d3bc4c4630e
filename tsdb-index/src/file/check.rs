//! Full validation: every checksum, every structure, and that postings and series tell the same story.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::dictionary;
use super::guide;
use super::pages::{PAGE_BYTES, Recent};
use super::postings;
use super::reader::IndexReader;
use super::series::{self, GROUP, Group, LabelId};
use super::source::Source;
use core::ops::ControlFlow;
use tsdb_core::Corruption;
use tsdb_core::error::CorruptionKind;

/// Checks all of `index`. Takes 16 bytes of memory for each label pair.
pub(super) fn check<S: Source>(index: &IndexReader<S>) -> Result<(), Corruption> {
    let payload = index.layout().payload;
    for start in (0..payload).step_by(PAGE_BYTES) {
        index.bytes("index file", start..start.saturating_add(PAGE_BYTES).min(payload))?;
    }
    let mut told = Prints::new(index);
    check_postings(index, &mut told)?;
    let mut meant = Prints::new(index);
    check_series(index, &mut meant)?;
    check_guide(index)?;
    if told.pairs != meant.pairs {
        return Err(broken(postings::SECTION, 0, "postings and series agree"));
    }
    let mut recent = Default::default();
    for span in 0..index.layout().span_starts.len {
        index.span(u32::try_from(span).unwrap_or(u32::MAX), &mut recent)?;
    }
    Ok(())
}

/// For each pair the number of its series and a sum over them: equal sets have equal prints.
struct Prints {
    /// Number of pairs before those of each name.
    before: Vec<usize>,
    pairs: Vec<(u64, u64)>,
}

impl Prints {
    fn new<S: Source>(index: &IndexReader<S>) -> Self {
        let mut before = Vec::with_capacity(index.names().len());
        let mut total = 0_usize;
        for name in index.names() {
            before.push(total);
            total = total.saturating_add(name.values as usize);
        }
        Self { before, pairs: vec![(0, 0); total] }
    }

    fn add(&mut self, label: LabelId, series: u32) {
        let before = self.before.get(label.name as usize).copied().unwrap_or(usize::MAX);
        if let Some((count, sum)) = self.pairs.get_mut(before.saturating_add(label.value as usize)) {
            let hash = u64::from(series).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            *count = count.wrapping_add(1);
            *sum = sum.wrapping_add(hash ^ hash.wrapping_shr(29));
        }
    }
}

fn check_postings<S: Source>(index: &IndexReader<S>, prints: &mut Prints) -> Result<(), Corruption> {
    let mut end = 0;
    for (number, name) in (0_u32..).zip(index.names()) {
        let mut value_number = 0_u32;
        let mut previous = String::new();
        let _all = index.walk(name, "", &mut |value, place| {
            if value <= previous.as_str() {
                return Err(broken(dictionary::VALUES, 0, "values are ascending and not empty"));
            }
            previous = value.into();
            if place.start != end {
                return Err(broken(dictionary::VALUES, place.start, "postings follow each other"));
            }
            end = place.end;
            for series in index.postings(place)? {
                prints.add(LabelId { name: number, value: value_number }, series);
            }
            value_number = value_number.wrapping_add(1);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    if end != index.layout().postings.len() {
        return Err(broken(postings::SECTION, end, "postings fill their section"));
    }
    Ok(())
}

/// Does every value with its postings lie in the stretch that the guide says?
fn check_guide<S: Source>(index: &IndexReader<S>) -> Result<(), Corruption> {
    let guide = index.guide()?;
    for (number, name) in index.names().iter().enumerate() {
        let mut value_number = 0_usize;
        let _all = index.walk(name, "", &mut |value, place| {
            let holds = guide.of_value(number, value).is_some_and(|stretch| {
                let within = stretch.postings.start <= place.start && place.end <= stretch.postings.end;
                within && stretch.values.contains(&value_number)
            });
            value_number = value_number.wrapping_add(1);
            let broken = || broken(guide::SECTION, number, "values lie where the guide says");
            if holds { Ok(ControlFlow::Continue(())) } else { Err(broken()) }
        })?;
    }
    Ok(())
}

fn check_series<S: Source>(index: &IndexReader<S>, prints: &mut Prints) -> Result<(), Corruption> {
    let mut group = Group::default();
    let mut recent = Recent::default();
    let mut previous: Vec<LabelId> = Vec::new();
    let mut series = 0_u32;
    for number in 0..index.layout().groups.len {
        index.read_group(number, &mut group, &mut recent)?;
        for labels in (0..GROUP).map_while(|place| group.labels(place)) {
            if series > 0 && labels <= previous.as_slice() {
                return Err(broken(series::SECTION, series as usize, "series are in order of their labels"));
            }
            labels.iter().for_each(|label| prints.add(*label, series));
            previous.clear();
            previous.extend_from_slice(labels);
            series = series.wrapping_add(1);
        }
    }
    Ok(())
}

fn broken(section: &'static str, at: usize, rule: &'static str) -> Corruption {
    Corruption::new(section, at, CorruptionKind::Rule { rule })
}
