//! Records of the write-ahead log: any bytes are decoded or refused, and what decodes survives being written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb::record::{
    Border, Decoded, ExemplarSeries, ExemplarsEncoder, HistogramsEncoder, RecordSink, SamplesEncoder,
    SeriesEncoder, decode, encode_border, encode_metadata,
};
use tsdb_core::histogram::FloatHistogram;
use tsdb_core::metadata::Metadata;
use tsdb_core::{Exemplar, Labels, NO_START, SeriesRef, Timestamp};

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
            for (series, at, start, bits) in &found.samples {
                encoder.push_started(*series, *at, *start, f64::from_bits(*bits));
            }
            if encoder.is_empty() {
                return;
            }
            encoder.finish(&mut record);
        }
        Decoded::Histograms => {
            let mut encoder = HistogramsEncoder::new();
            for (series, at, start, histogram) in &found.histograms {
                encoder.push(*series, *at, *start, histogram);
            }
            if encoder.is_empty() {
                return;
            }
            encoder.finish(&mut record);
        }
        Decoded::Exemplars => {
            let mut encoder = ExemplarsEncoder::new();
            for (number, series, exemplar) in &found.exemplars {
                encoder.push(*number, series.clone(), exemplar);
            }
            if encoder.is_empty() {
                return;
            }
            encoder.finish(&mut record);
        }
        Decoded::Metadata => {
            let [(metric, metadata)] = found.metadata.as_slice() else { return };
            encode_metadata(metric, metadata, &mut record);
        }
        Decoded::Border => found.borders.iter().for_each(|border| encode_border(*border, &mut record)),
        _ => return,
    }
    let mut again = Found::default();
    assert_eq!(decode(&record, &mut again), Ok(kind));
    assert_eq!(again, found);
});

#[derive(Debug, Default, PartialEq)]
struct Found {
    series: Vec<(SeriesRef, Labels)>,
    samples: Vec<(SeriesRef, Timestamp, Timestamp, u64)>,
    histograms: Vec<(SeriesRef, Timestamp, Timestamp, FloatHistogram)>,
    exemplars: Vec<(u64, ExemplarSeries, Exemplar)>,
    metadata: Vec<(String, Metadata)>,
    borders: Vec<Border>,
}

impl RecordSink for Found {
    fn series(&mut self, series: SeriesRef, labels: &[(&str, &str)]) {
        let labels = Labels::from_sorted_pairs(labels.iter().copied());
        self.series.push((series, labels.expect("labels are handed out sorted, unique and not empty")));
    }

    fn sample(&mut self, series: SeriesRef, timestamp: Timestamp, value: f64) {
        self.samples.push((series, timestamp, NO_START, value.to_bits()));
    }

    fn started_sample(&mut self, series: SeriesRef, timestamp: Timestamp, start: Timestamp, value: f64) {
        self.samples.push((series, timestamp, start, value.to_bits()));
    }

    fn histogram(
        &mut self,
        series: SeriesRef,
        timestamp: Timestamp,
        start: Timestamp,
        histogram: FloatHistogram,
    ) {
        self.histograms.push((series, timestamp, start, histogram));
    }

    fn exemplar(&mut self, number: u64, series: &ExemplarSeries, exemplar: Exemplar) {
        self.exemplars.push((number, series.clone(), exemplar));
    }

    fn border(&mut self, border: Border) {
        self.borders.push(border);
    }

    fn metadata(&mut self, metric: &str, metadata: Metadata) {
        self.metadata.push((metric.into(), metadata));
    }
}
