//! Remote write: the protobuf messages `prometheus.WriteRequest` (1.0) and `io.prometheus.write.v2.Request` (2.0),
//! decoded in place.
//!
//! [`decode`] and [`decode_version_2`] walk a body and hand each series to a [`Sink`] as the raw bytes of its labels and
//! iterators over what it brings. They build no label set and, for 1.0, copy nothing and allocate nothing (a series
//! whose label fields do not stand together, which no known sender writes, costs one buffer); of 2.0 the labels are
//! written out in the form of 1.0. Whoever knows the series by these bytes never decodes a label; whoever does not calls
//! [`decode_labels`].
//!
//! Source: Prometheus remote-write specifications 1.0 and 2.0-rc.4, `prompb/{remote,types}.proto`,
//! `prompb/io/prometheus/write/v2/types.proto`.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod exemplar;
mod histogram;
mod version_2;

pub use exemplar::{ExemplarFault, ExemplarMessage, Exemplars};
pub use histogram::{HistogramFault, HistogramMessage, Histograms};
pub use version_2::{RequestError, SymbolLimits, decode_version_2};

use super::protobuf::{Reader, Tag};
use crate::validation::LabelFault;
use tsdb_core::labels::LabelsMaker;
use tsdb_core::metadata::{Metadata, MetricType};
use tsdb_core::{Corruption, Labels, NO_START, Sample, Timestamp};
use version_2::Symbols;

/// Takes what a body holds, in order.
pub trait Sink {
    /// Length of the labels of the series that will probably come next, in the form of
    /// [`TimeSeries::labels_wire`]; `None` without a guess, and from a sink that never guesses.
    fn expected_len(&self) -> Option<usize> {
        None
    }

    /// Are these the labels of the series that is expected next? If so, [`series`](Self::series) is called with them, and
    /// nothing comes between.
    fn is_expected(&mut self, labels: &[u8]) -> bool {
        let _: &[u8] = labels;
        false
    }

    /// A series with its samples.
    ///
    /// # Errors
    /// Damage found while reading the samples; it ends the decoding.
    fn series(&mut self, series: TimeSeries<'_>) -> Result<(), Corruption>;

    /// What the sender knows of a metric.
    fn metadata(&mut self, metric: &str, metadata: Metadata);
}

/// Decodes a `WriteRequest` message.
///
/// # Errors
/// Bytes that are no such message. The sink may have been given what stands before the damage.
pub fn decode(body: &[u8], sink: &mut impl Sink) -> Result<(), Corruption> {
    let mut reader = Reader::new("WriteRequest", body);
    let mut joined = Vec::new();
    loop {
        while let Some(fields) = reader.short_message(0x0a, "TimeSeries") {
            series(fields, &mut joined, sink)?;
        }
        let Some(tag) = reader.tag()? else { return Ok(()) };
        match tag.field {
            1 => series(reader.message(tag, "TimeSeries")?, &mut joined, sink)?,
            3 => metadata(reader.message(tag, "MetricMetadata")?, sink)?,
            _ => reader.skip(tag)?,
        }
    }
}

/// One `TimeSeries` message of either version.
#[derive(Debug, Clone)]
pub struct TimeSeries<'a> {
    labels: &'a [u8],
    /// The fields from the first that may be a sample.
    samples: Reader<'a>,
    layout: Layout,
    version: Version<'a>,
}

/// Which message a series stands in.
#[derive(Debug, Clone, Copy)]
enum Version<'a> {
    One,
    Two(&'a Symbols<'a>),
}

/// What a first walk over the fields of a series found.
#[derive(Debug, Clone, Copy)]
struct Layout {
    labels_start: usize,
    labels_end: usize,
    scattered: bool,
    exemplars: usize,
    histograms: usize,
    /// Start of all samples that do not say their own.
    start: Timestamp,
}

impl Layout {
    const fn at(offset: usize) -> Self {
        Self {
            labels_start: offset,
            labels_end: offset,
            scattered: false,
            exemplars: 0,
            histograms: 0,
            start: NO_START,
        }
    }
}

impl<'a> TimeSeries<'a> {
    /// The labels as `labels` fields of 1.0: the wire form of
    /// [`labels::write_wire`](tsdb_core::labels::write_wire) if the sender sorts its labels.
    pub const fn labels_wire(&self) -> &'a [u8] {
        self.labels
    }

    /// The samples in order of the message.
    pub const fn samples(&self) -> Samples<'a> {
        Samples {
            fields: self.samples,
            series_start: self.layout.start,
            start: NO_START,
            have_starts: matches!(self.version, Version::Two(_)),
        }
    }

    /// The exemplars in order of the message.
    pub const fn exemplars(&self) -> Exemplars<'a> {
        Exemplars::new(self.samples, self.version, self.layout.exemplars)
    }

    /// The native histograms in order of the message.
    pub const fn histograms(&self) -> Histograms<'a> {
        Histograms::new(self.samples, self.version, self.layout.histograms, self.layout.start)
    }

    /// Number of exemplars.
    pub const fn exemplar_count(&self) -> usize {
        self.layout.exemplars
    }

    /// Number of native histograms.
    pub const fn histogram_count(&self) -> usize {
        self.layout.histograms
    }
}

fn series(fields: Reader<'_>, joined: &mut Vec<u8>, sink: &mut impl Sink) -> Result<(), Corruption> {
    if let Some(series) = expected_series(fields, sink) {
        return sink.series(series);
    }
    let layout = match usual_layout(fields) {
        Some(layout) => layout,
        None => scan(fields)?,
    };
    let labels = fields.rest();
    let relative = |offset: usize| offset.saturating_sub(fields.offset());
    let labels = labels.get(relative(layout.labels_start)..relative(layout.labels_end)).unwrap_or_default();
    if layout.scattered {
        join_labels(fields, joined)?;
        return sink.series(TimeSeries { labels: joined, samples: fields, layout, version: Version::One });
    }
    let samples = if layout.labels_start == fields.offset() { fields.at(layout.labels_end) } else { fields };
    sink.series(TimeSeries { labels, samples, layout, version: Version::One })
}

/// The series that `sink` expects, if it stands here with one sample behind its labels: found without a look at them.
#[inline]
fn expected_series<'a>(fields: Reader<'a>, sink: &mut impl Sink) -> Option<TimeSeries<'a>> {
    let labels = fields.rest().get(..sink.expected_len()?)?;
    let (start, end) = (fields.offset(), fields.offset().checked_add(labels.len())?);
    let samples = fields.at(end);
    let mut behind = samples;
    let is_there = behind.skip_short(0x12) && behind.rest().is_empty() && sink.is_expected(labels);
    let layout = Layout { labels_end: end, ..Layout::at(start) };
    is_there.then_some(TimeSeries { labels, samples, layout, version: Version::One })
}

/// The layout of a series with labels of up to 127 bytes in front and one sample behind them: the usual one.
#[inline]
fn usual_layout(mut fields: Reader<'_>) -> Option<Layout> {
    let labels_start = fields.offset();
    while fields.skip_short(0x0a) {}
    let labels_end = fields.offset();
    let usual = fields.skip_short(0x12) && fields.rest().is_empty();
    usual.then_some(Layout { labels_end, ..Layout::at(labels_start) })
}

fn scan(mut fields: Reader<'_>) -> Result<Layout, Corruption> {
    let start = fields.offset();
    let mut layout = Layout::at(start);
    let mut at = start;
    while let Some(tag) = fields.tag()? {
        fields.skip(expect_message(tag, &fields)?)?;
        match tag.field {
            1 if layout.labels_end == at => layout.labels_end = fields.offset(),
            1 if layout.labels_start == layout.labels_end => {
                (layout.labels_start, layout.labels_end) = (at, fields.offset());
            }
            1 => layout.scattered = true,
            3 => layout.exemplars = layout.exemplars.saturating_add(1),
            4 => layout.histograms = layout.histograms.saturating_add(1),
            _ => {}
        }
        at = fields.offset();
    }
    Ok(layout)
}

/// The fields 1 to 4 of a series are messages; anything else in their place is another kind of body.
fn expect_message(tag: Tag, fields: &Reader<'_>) -> Result<Tag, Corruption> {
    const NAMES: [&str; 4] = ["labels", "samples", "exemplars", "histograms"];
    let name = tag.field.checked_sub(1).and_then(|index| NAMES.get(usize::try_from(index).ok()?));
    if let Some(name) = name {
        fields.expect_bytes(tag, name)?;
    }
    Ok(tag)
}

fn join_labels(mut fields: Reader<'_>, joined: &mut Vec<u8>) -> Result<(), Corruption> {
    joined.clear();
    let mut at = fields.offset();
    while let Some(tag) = fields.tag()? {
        fields.skip(tag)?;
        if tag.field == 1 {
            joined.extend_from_slice(fields.since(at));
        }
        at = fields.offset();
    }
    Ok(())
}

/// The samples of a [`TimeSeries`].
#[derive(Debug, Clone)]
pub struct Samples<'a> {
    fields: Reader<'a>,
    series_start: Timestamp,
    start: Timestamp,
    have_starts: bool,
}

impl Iterator for Samples<'_> {
    type Item = Result<Sample, Corruption>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.start = self.series_start;
        if self.fields.is_at_end() {
            return None;
        }
        if let Some((value, timestamp)) = self.fields.plain_sample() {
            return Some(Ok(Sample::new(timestamp.cast_signed(), value)));
        }
        self.next_of_any_form()
    }
}

impl Samples<'_> {
    /// When the counting behind the sample given out last began, ms; [`NO_START`] if the sender does not say.
    #[inline]
    pub const fn start(&self) -> Timestamp {
        self.start
    }

    fn next_of_any_form(&mut self) -> Option<Result<Sample, Corruption>> {
        loop {
            let tag = match self.fields.tag() {
                Ok(tag) => tag?,
                Err(fault) => return Some(Err(fault)),
            };
            let outcome = match tag.field {
                2 => self.fields.message(tag, "Sample").and_then(|fields| self.sample(fields)).map(Some),
                _ => self.fields.skip(tag).map(|()| None),
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(sample)) => return Some(Ok(sample)),
                Err(fault) => return Some(Err(fault)),
            }
        }
    }

    fn sample(&mut self, mut fields: Reader<'_>) -> Result<Sample, Corruption> {
        let mut sample = Sample::new(0, 0.0);
        while let Some(tag) = fields.tag()? {
            match tag.field {
                1 => sample.value = fields.double(tag, "value")?,
                2 => sample.timestamp = fields.int(tag, "timestamp")?.cast_signed(),
                3 if self.have_starts => self.start = fields.int(tag, "start_timestamp")?.cast_signed(),
                _ => fields.skip(tag)?,
            }
        }
        Ok(sample)
    }
}

/// Decodes `labels` fields into a label set: sorted, without empty values.
///
/// # Errors
/// Bytes that are no label fields, or labels that form no set.
pub fn decode_labels(wire: &[u8]) -> Result<Labels, LabelsError> {
    decode_labels_with(wire, &mut LabelsMaker::new())
}

/// As [`decode_labels`], for many label sets one after the other.
pub(crate) fn decode_labels_with(wire: &[u8], maker: &mut LabelsMaker) -> Result<Labels, LabelsError> {
    if let Some(labels) = usual_labels(wire, maker) {
        return Ok(labels);
    }
    let mut fields = Reader::new("TimeSeries", wire);
    let mut pairs = Vec::with_capacity(16);
    while let Some(tag) = fields.tag()? {
        pairs.push(label(fields.message(tag, "Label")?)?);
    }
    match maker.make(pairs.iter().copied()) {
        Some(labels) => Ok(labels),
        None => Ok(Labels::from_pairs(pairs).map_err(LabelFault::from)?),
    }
}

/// The labels, if they are written as nearly all senders write them: sorted, without empty values, each of up to 127 bytes
/// with its name first and nothing else. Anything else, damage included, is left to the slow way.
fn usual_labels(wire: &[u8], maker: &mut LabelsMaker) -> Option<Labels> {
    // Tags and lengths are ASCII here, so names and values are UTF-8 if the whole is.
    let mut rest = std::str::from_utf8(wire).ok()?;
    let labels = maker.make(std::iter::from_fn(|| {
        let (pair, behind) = usual_label(rest)?;
        rest = behind;
        Some(pair)
    }));
    labels.filter(|_| rest.is_empty())
}

/// A label of that form, and what is behind it.
#[inline]
fn usual_label(wire: &str) -> Option<((&str, &str), &str)> {
    let [0x0a, label @ 0..0x80, 0x0a, name @ 0..0x80, ..] = *wire.as_bytes() else { return None };
    let (label, behind) = wire.get(2..)?.split_at_checked(usize::from(label))?;
    let (name, value) = label.get(2..)?.split_at_checked(usize::from(name))?;
    match *value.as_bytes() {
        [0x12, length @ 0..0x80, ref value_bytes @ ..] if value_bytes.len() == usize::from(length) => {
            Some(((name, value.get(2..)?), behind))
        }
        _ => None,
    }
}

/// Calls `visit` with each label as it lies in the labels fields of a `TimeSeries`, until it says no. Says whether it never
/// did.
pub(crate) fn visit_labels<'a>(
    wire: &'a [u8],
    mut visit: impl FnMut(&'a str, &'a str) -> bool,
) -> Result<bool, LabelsError> {
    let mut fields = Reader::new("TimeSeries", wire);
    while let Some(tag) = fields.tag()? {
        let (name, value) = label(fields.message(tag, "Label")?)?;
        if !visit(name, value) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn label(mut fields: Reader<'_>) -> Result<(&str, &str), LabelsError> {
    let (mut name, mut value) = ("", "");
    while let Some(tag) = fields.tag()? {
        match tag.field {
            1 => name = text(fields.bytes(tag, "a label name")?)?,
            2 => value = text(fields.bytes(tag, "a label value")?)?,
            _ => fields.skip(tag)?,
        }
    }
    Ok((name, value))
}

fn text(bytes: &[u8]) -> Result<&str, LabelFault> {
    std::str::from_utf8(bytes).map_err(|_| LabelFault::Utf8)
}

/// Why [`decode_labels`] found no label set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelsError {
    /// The bytes are no label fields.
    #[error(transparent)]
    Damaged(#[from] Corruption),
    /// The labels form no set.
    #[error(transparent)]
    Fault(#[from] LabelFault),
}

fn metadata(mut fields: Reader<'_>, sink: &mut impl Sink) -> Result<(), Corruption> {
    let mut metadata = Metadata::default();
    let mut metric = "".into();
    while let Some(tag) = fields.tag()? {
        match tag.field {
            1 => metadata.metric_type = metric_type(fields.int(tag, "type")?),
            2 => metric = String::from_utf8_lossy(fields.bytes(tag, "metric_family_name")?),
            4 => metadata.help = String::from_utf8_lossy(fields.bytes(tag, "help")?).into_owned(),
            5 => metadata.unit = String::from_utf8_lossy(fields.bytes(tag, "unit")?).into_owned(),
            _ => fields.skip(tag)?,
        }
    }
    if !metric.is_empty() {
        sink.metadata(&metric, metadata);
    }
    Ok(())
}

const fn metric_type(wire: u64) -> MetricType {
    match wire {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::Stateset,
        _ => MetricType::Unknown,
    }
}

#[cfg(test)]
mod tests;
