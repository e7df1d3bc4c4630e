//! Remote write 2.0: strings stand once, in a table of symbols, and everything else refers to them.
//!
//! The labels of each series are written out in the form of 1.0, in one buffer that all series share, so that a store
//! finds a known series by the same bytes whichever version it came in. A reference of one byte may stand for a long
//! symbol: what is written out for one request is therefore limited as a body of 1.0 is.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use super::super::protobuf::{Reader, Tag};
use super::{Layout, Sink, TimeSeries, Version, metric_type};
use crate::limits::Limit;
use std::collections::HashSet;
use tsdb_core::error::CorruptionKind;
use tsdb_core::labels::write_wire_pair;
use tsdb_core::metadata::{Metadata, MetricType};
use tsdb_core::{Corruption, METRIC_NAME};

/// What a table of symbols may cost.
#[derive(Debug, Clone, Copy)]
pub struct SymbolLimits {
    /// Symbols in the table.
    pub max_symbols: Limit,
    /// Bytes of the labels of all series, written out.
    pub max_label_bytes: Limit,
}

/// Why a body of 2.0 is not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The bytes are no such message.
    #[error(transparent)]
    Damaged(#[from] Corruption),
    /// The table is too long.
    #[error("the request has more than {allowed} symbols, which max_symbols_per_request allows")]
    TooManySymbols {
        /// What the limit allows.
        allowed: u64,
    },
    /// The series refer to too much text.
    #[error("the labels of the request have more than {allowed} bytes, which max_decoded_bytes allows")]
    LabelsTooLarge {
        /// What the limit allows.
        allowed: u64,
    },
}

/// Decodes an `io.prometheus.write.v2.Request` message.
///
/// # Errors
/// Bytes that are no such message, or that cost more than the limits allow. The sink may have been given what stands
/// before the fault.
pub fn decode_version_2(body: &[u8], limits: SymbolLimits, sink: &mut impl Sink) -> Result<(), RequestError> {
    let request = Reader::new("Request", body);
    let symbols = Symbols::read(request, limits.max_symbols)?;
    let mut wires = Wires { wire: Vec::new(), written: 0, limit: limits.max_label_bytes };
    let mut described = HashSet::new();
    let mut fields = request;
    while let Some(tag) = fields.tag()? {
        match tag.field {
            1..=3 => {
                let rule = "the fields 1 to 3 belong to remote write 1.0";
                return Err(fields.fault(fields.offset(), CorruptionKind::Rule { rule }).into());
            }
            5 => {
                let series = fields.message(tag, "TimeSeries")?;
                let found = scan(series, &symbols, &mut wires)?;
                let version = Version::Two(&symbols);
                let labels = wires.wire.as_slice();
                sink.series(TimeSeries { labels, samples: series, layout: found.layout, version })?;
                describe(&found, &series, &symbols, &mut described, sink)?;
            }
            _ => fields.skip(tag)?,
        }
    }
    Ok(())
}

/// The strings of a request.
#[derive(Debug)]
pub(super) struct Symbols<'a> {
    list: Vec<&'a [u8]>,
}

impl<'a> Symbols<'a> {
    fn read(mut request: Reader<'a>, limit: Limit) -> Result<Self, RequestError> {
        let mut list = Vec::new();
        while let Some(tag) = request.tag()? {
            if tag.field != 4 {
                request.skip(tag)?;
                continue;
            }
            list.push(request.bytes(tag, "a symbol")?);
            if let Some(allowed) = limit.exceeded_by(list.len()) {
                return Err(RequestError::TooManySymbols { allowed });
            }
        }
        Ok(Self { list })
    }

    /// The symbol with this number, to which the message of `reader` refers.
    pub(super) fn at(&self, reference: u64, reader: &Reader<'_>) -> Result<&'a [u8], Corruption> {
        let symbol = usize::try_from(reference).ok().and_then(|index| self.list.get(index));
        symbol.copied().ok_or_else(|| reader.invalid(reader.offset(), "a reference to a symbol", reference))
    }
}

/// The labels of one series after the other, written out.
struct Wires {
    wire: Vec<u8>,
    written: usize,
    limit: Limit,
}

impl Wires {
    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), RequestError> {
        self.written = self.written.saturating_add(name.len()).saturating_add(value.len());
        if let Some(allowed) = self.limit.exceeded_by(self.written) {
            return Err(RequestError::LabelsTooLarge { allowed });
        }
        write_wire_pair(name, value, &mut self.wire);
        Ok(())
    }
}

/// What a walk over the fields of a series found.
struct Found {
    layout: Layout,
    /// The symbol that is the metric's name.
    name: Option<u64>,
    description: Description,
}

/// A `Metadata` message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Description {
    metric_type: u64,
    help: u64,
    unit: u64,
}

fn scan(mut fields: Reader<'_>, symbols: &Symbols<'_>, wires: &mut Wires) -> Result<Found, RequestError> {
    wires.wire.clear();
    let mut found =
        Found { layout: Layout::at(fields.offset()), name: None, description: Description::default() };
    let mut name = None;
    while let Some(tag) = fields.tag()? {
        match tag.field {
            1 => found.name = labels(&mut fields, tag, symbols, &mut name, wires)?.or(found.name),
            2 => fields.message(tag, "samples").map(drop)?,
            3 => {
                fields.message(tag, "histograms").map(drop)?;
                found.layout.histograms = found.layout.histograms.saturating_add(1);
            }
            4 => {
                fields.message(tag, "exemplars").map(drop)?;
                found.layout.exemplars = found.layout.exemplars.saturating_add(1);
            }
            5 => found.description = description(fields.message(tag, "Metadata")?)?,
            6 => found.layout.start = fields.int(tag, "created_timestamp")?.cast_signed(),
            _ => fields.skip(tag)?,
        }
    }
    if name.is_some() {
        let rule = "a label has a name and no value: the number of references is odd";
        return Err(fields.fault(fields.offset(), CorruptionKind::Rule { rule }).into());
    }
    Ok(found)
}

/// Writes out labels; answers which symbol is the metric's name, if it is among them.
fn labels<'a>(
    fields: &mut Reader<'_>,
    tag: Tag,
    symbols: &Symbols<'a>,
    name: &mut Option<&'a [u8]>,
    wires: &mut Wires,
) -> Result<Option<u64>, RequestError> {
    let (at, mut metric) = (*fields, None);
    fields.ints(tag, "labels_refs", |reference| {
        let symbol = symbols.at(reference, &at)?;
        let Some(name) = name.take() else {
            *name = Some(symbol);
            return Ok(());
        };
        if name == METRIC_NAME.as_bytes() {
            metric = Some(reference);
        }
        wires.add(name, symbol)
    })?;
    Ok(metric)
}

fn description(mut fields: Reader<'_>) -> Result<Description, Corruption> {
    let mut description = Description::default();
    while let Some(tag) = fields.tag()? {
        match tag.field {
            1 => description.metric_type = fields.int(tag, "type")?,
            3 => description.help = fields.int(tag, "help_ref")?,
            4 => description.unit = fields.int(tag, "unit_ref")?,
            _ => fields.skip(tag)?,
        }
    }
    Ok(description)
}

/// Descriptions that are remembered to be told once. Beyond it they are told again, which is only slower.
const MAX_REMEMBERED: usize = 1 << 16;

/// Tells the sink what a series says of its metric, once per metric and description.
fn describe(
    found: &Found,
    series: &Reader<'_>,
    symbols: &Symbols<'_>,
    told: &mut HashSet<(u64, Description)>,
    sink: &mut impl Sink,
) -> Result<(), Corruption> {
    let description = found.description;
    let Some(name) = found.name.filter(|_| description != Description::default()) else { return Ok(()) };
    if told.contains(&(name, description)) {
        return Ok(());
    }
    if told.len() < MAX_REMEMBERED {
        told.insert((name, description));
    }
    // The symbol 0 is the empty string by the protocol, whatever the table says.
    let text = |reference: u64| match reference {
        0 => Ok(String::new()),
        other => symbols.at(other, series).map(|symbol| String::from_utf8_lossy(symbol).into_owned()),
    };
    let metadata = Metadata {
        metric_type: metric_type(description.metric_type),
        help: text(description.help)?,
        unit: text(description.unit)?,
    };
    let name = text(name)?;
    let family = family(&name, metadata.metric_type);
    if !family.is_empty() {
        sink.metadata(family, metadata);
    }
    Ok(())
}

/// The name of the metric that a series of this name belongs to: a histogram's is that of its parts without suffix.
fn family(name: &str, metric_type: MetricType) -> &str {
    let suffixes: &[&str] = match metric_type {
        MetricType::Histogram | MetricType::GaugeHistogram => &["_bucket", "_count", "_sum"],
        MetricType::Summary => &["_count", "_sum"],
        _ => &[],
    };
    suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}
