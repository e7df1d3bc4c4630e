//! Exemplars of a series. The versions differ in how their labels are written.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::super::protobuf::{Reader, Tag};
use super::histogram::next_message;
use super::version_2::Symbols;
use super::{LabelsError, Version, label, text};
use crate::limits::Limit;
use crate::validation::LabelFault;
use tsdb_core::error::CorruptionKind;
use tsdb_core::{Corruption, Exemplar, Labels, Timestamp};

/// The exemplars of a [`TimeSeries`](super::TimeSeries).
#[derive(Debug, Clone)]
pub struct Exemplars<'a> {
    fields: Reader<'a>,
    version: Version<'a>,
    left: usize,
}

impl<'a> Exemplars<'a> {
    pub(super) const fn new(fields: Reader<'a>, version: Version<'a>, left: usize) -> Self {
        Self { fields, version, left }
    }
}

impl<'a> Iterator for Exemplars<'a> {
    type Item = Result<ExemplarMessage<'a>, Corruption>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let number = match self.version {
            Version::One => 3,
            Version::Two(_) => 4,
        };
        next_message(&mut self.fields, number, "Exemplar")
            .and_then(|fields| fields.map(|fields| ExemplarMessage::new(fields, self.version)).transpose())
            .transpose()
    }
}

/// One `Exemplar` message.
#[derive(Debug, Clone)]
pub struct ExemplarMessage<'a> {
    fields: Reader<'a>,
    version: Version<'a>,
    value: f64,
    timestamp: Timestamp,
}

/// Why a message is no exemplar that is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExemplarFault {
    /// The bytes are no such message.
    #[error(transparent)]
    Damaged(#[from] Corruption),
    /// The labels form no set.
    #[error(transparent)]
    Labels(#[from] LabelFault),
    /// The labels are too long.
    #[error("the labels have more than {allowed} characters, which max_exemplar_chars allows")]
    TooLong {
        /// What the limit allows.
        allowed: u64,
    },
}

impl From<LabelsError> for ExemplarFault {
    fn from(error: LabelsError) -> Self {
        match error {
            LabelsError::Damaged(damage) => Self::Damaged(damage),
            LabelsError::Fault(fault) => Self::Labels(fault),
        }
    }
}

impl<'a> ExemplarMessage<'a> {
    fn new(fields: Reader<'a>, version: Version<'a>) -> Result<Self, Corruption> {
        let (mut walk, mut value, mut timestamp) = (fields, 0.0, 0);
        while let Some(tag) = walk.tag()? {
            match tag.field {
                2 => value = walk.double(tag, "value")?,
                3 => timestamp = walk.int(tag, "timestamp")?.cast_signed(),
                _ => walk.skip(tag)?,
            }
        }
        Ok(Self { fields, version, value, timestamp })
    }

    /// When it was observed, ms; 0 if the sender does not say.
    pub const fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The exemplar, as observed at `timestamp`, if its labels have at most `max_chars` characters together.
    ///
    /// # Errors
    /// Damage, labels that form no set or are too long.
    pub fn decode(&self, timestamp: Timestamp, max_chars: Limit) -> Result<Exemplar, ExemplarFault> {
        let mut pairs = Pairs { list: Vec::new(), chars: 0, max_chars };
        let mut fields = self.fields;
        let mut name = None;
        while let Some(tag) = fields.tag()? {
            match (tag.field, self.version) {
                (1, Version::One) => pairs.add(label(fields.message(tag, "Label")?)?)?,
                (1, Version::Two(symbols)) => refs(&mut fields, tag, symbols, &mut name, &mut pairs)?,
                _ => fields.skip(tag)?,
            }
        }
        if name.is_some() {
            let rule = "a label has a name and no value: the number of references is odd";
            return Err(fields.fault(fields.offset(), CorruptionKind::Rule { rule }).into());
        }
        let labels = Labels::from_pairs(pairs.list).map_err(LabelFault::from)?;
        Ok(Exemplar { labels, timestamp, value: self.value })
    }
}

/// Labels under a limit on their length.
struct Pairs<'a> {
    list: Vec<(&'a str, &'a str)>,
    chars: usize,
    max_chars: Limit,
}

impl<'a> Pairs<'a> {
    fn add(&mut self, (name, value): (&'a str, &'a str)) -> Result<(), ExemplarFault> {
        let chars = name.chars().count().saturating_add(value.chars().count());
        self.chars = self.chars.saturating_add(chars);
        if let Some(allowed) = self.max_chars.exceeded_by(self.chars) {
            return Err(ExemplarFault::TooLong { allowed });
        }
        self.list.push((name, value));
        Ok(())
    }
}

/// Takes references to symbols, which name labels and their values in turn.
fn refs<'a>(
    fields: &mut Reader<'a>,
    tag: Tag,
    symbols: &'a Symbols<'a>,
    name: &mut Option<&'a str>,
    pairs: &mut Pairs<'a>,
) -> Result<(), ExemplarFault> {
    let at = *fields;
    fields.ints(tag, "labels_refs", |reference| {
        let symbol = text(symbols.at(reference, &at)?)?;
        match name.take() {
            None => *name = Some(symbol),
            Some(name) => pairs.add((name, symbol))?,
        }
        Ok(())
    })
}
