//! What a metric is: type, unit, help.

use super::{RecordSink, TAG_METADATA};
use tsdb_core::Corruption;
use tsdb_core::bytes::{Reader, Writer};
use tsdb_core::metadata::{Metadata, MetricType};

const SECTION: &str = "metadata record";

/// The number of each type is its position.
const TYPES: [MetricType; 8] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::Stateset,
];

/// The number of a type; that of the unknown one for a type that has none yet.
pub(crate) fn type_number(metric_type: MetricType) -> u8 {
    let number = TYPES.iter().zip(0_u8..).find(|(known, _)| **known == metric_type);
    number.map_or(0, |(_, number)| number)
}

/// The type with a number.
pub(crate) fn numbered_type(number: u8) -> Option<MetricType> {
    TYPES.get(usize::from(number)).copied()
}

/// Appends a record to `out` that says what `metric` is. A type that has no number yet is written as unknown.
pub fn encode_metadata(metric: &str, metadata: &Metadata, out: &mut Vec<u8>) {
    let mut writer = Writer::new();
    writer.u8(TAG_METADATA);
    writer.str(metric);
    writer.u8(type_number(metadata.metric_type));
    writer.str(&metadata.unit);
    writer.str(&metadata.help);
    out.extend_from_slice(writer.as_bytes());
}

pub(super) fn decode(payload: &[u8], sink: &mut impl RecordSink) -> Result<(), Corruption> {
    let mut reader = Reader::new(SECTION, payload);
    let metric = reader.str("metric")?;
    let number = reader.u8("type")?;
    let metric_type = numbered_type(number).ok_or_else(|| reader.invalid("type", u64::from(number)))?;
    let unit = reader.str("unit")?.to_owned();
    let help = reader.str("help")?.to_owned();
    sink.metadata(metric, Metadata { metric_type, unit, help });
    reader.finish()
}
