//! Records of the write-ahead log: any bytes are decoded or refused, and what decodes survives being written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb::record::{Decoded, RecordSink, SamplesEncoder, SeriesEncoder, decode, encode_metadata};
use tsdb_core::metadata::Metadata;
use tsdb_core::{Labels, SeriesRef, Timestamp};

fuzz_target!(|data: &[u8]| {
    let mut found = Found::default();
    let Ok(kind) = decode(data, &mut found) else { return };
    let mut record = Vec::new();
    match kind {
        Decoded::Series => {
            let mut encoder = SeriesEncoder::new();
            found.series.iter().for_each(|(series, labels)| encoder.push(*series, labels));
            if encoder.is_empty() {
                return;
            }
            encoder.finish(&mut record);
        }
        Decoded::Samples => {
            let mut encoder = SamplesEncoder::new();
            let samples = found.samples.iter();
            samples.for_each(|(series, at, bits)| encoder.push(*series, *at, f64::from_bits(*bits)));
            if encoder.is_empty() {
                return;
            }
            encoder.finish(&mut record);
        }
        Decoded::Metadata => {
            let [(metric, metadata)] = found.metadata.as_slice() else { return };
            encode_metadata(metric, metadata, &mut record);
        }
        _ => return,
    }
    let mut again = Found::default();
    assert_eq!(decode(&record, &mut again), Ok(kind));
    assert_eq!(again, found);
});

#[derive(Debug, Default, PartialEq)]
struct Found {
    series: Vec<(SeriesRef, Labels)>,
    samples: Vec<(SeriesRef, Timestamp, u64)>,
    metadata: Vec<(String, Metadata)>,
}

impl RecordSink for Found {
    fn series(&mut self, series: SeriesRef, labels: &[(&str, &str)]) {
        let labels = Labels::from_sorted_pairs(labels.iter().copied());
        self.series.push((series, labels.expect("labels are handed out sorted, unique and not empty")));
    }

    fn sample(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
        self.samples.push((series, timestamp, value.to_bits()));
    }

    fn metadata(&mut self, metric: &str, metadata: Metadata) {
        self.metadata.push((metric.into(), metadata));
    }
}
