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

/// Appends a record to `out` that says what `metric` is. A type that has no number yet is written as unknown.
pub fn encode_metadata(metric: &str, metadata: &Metadata, out: &mut Vec<u8>) {
    let number = TYPES.iter().zip(0_u8..).find(|(known, _)| **known == metadata.metric_type);
    let mut writer = Writer::new();
    writer.u8(TAG_METADATA);
    writer.str(metric);
    writer.u8(number.map_or(0, |(_, number)| number));
    writer.str(&metadata.unit);
    writer.str(&metadata.help);
    out.extend_from_slice(writer.as_bytes());
}

pub(super) fn decode(payload: &[u8], sink: &mut impl RecordSink) -> Result<(), Corruption> {
    let mut reader = Reader::new(SECTION, payload);
    let metric = reader.str("metric")?;
    let number = reader.u8("type")?;
    let metric_type =
        *TYPES.get(usize::from(number)).ok_or_else(|| reader.invalid("type", u64::from(number)))?;
    let unit = reader.str("unit")?.to_owned();
    let help = reader.str("help")?.to_owned();
    sink.metadata(metric, Metadata { metric_type, unit, help });
    reader.finish()
}
