//! Remote write 1.0 and 2.0: any body is decoded or refused, and labels that decode are stable.
//!
//! The first byte chooses between a compressed body and a plain message, and the version.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tsdb_core::metadata::Metadata;
use tsdb_core::{Corruption, labels};
use tsdb_server::remote_write::{Sink, SymbolLimits, TimeSeries, decode, decode_labels, decode_version_2};
use tsdb_server::{Encoding, Limit, decode_content};

fuzz_target!(|data: &[u8]| {
    let Some((mode, body)) = data.split_first() else { return };
    let encoding =
        [Encoding::Identity, Encoding::Snappy, Encoding::Gzip, Encoding::Zstd][usize::from(mode & 3)];
    let mut buffer = Vec::new();
    let limit = 1 << 20;
    if let Ok(message) = decode_content(encoding, body, Limit::at(limit), &mut buffer) {
        assert!(message.len() as u64 <= limit);
        let mut reader = Reader { samples_left: 1 << 20 };
        if mode & 4 == 0 {
            let _ = decode(message, &mut reader);
        } else {
            let limits = SymbolLimits { max_symbols: Limit::at(10_000), max_label_bytes: Limit::at(1 << 20) };
            let _ = decode_version_2(message, limits, &mut reader);
        }
    }
});

struct Reader {
    samples_left: usize,
}

impl Sink for Reader {
    fn series(&mut self, series: TimeSeries<'_>) -> Result<(), Corruption> {
        for sample in series.samples() {
            let _ = sample?;
            // Every sample takes at least two bytes of the message.
            self.samples_left -= 1;
        }
        for histogram in series.histograms() {
            let _ = histogram?.decode();
        }
        for exemplar in series.exemplars() {
            let exemplar = exemplar?;
            if let Ok(decoded) = exemplar.decode(exemplar.timestamp(), Limit::at(128)) {
                let chars = |text: &str| text.chars().count();
                assert!(decoded.labels.iter().map(|(n, v)| chars(n) + chars(v)).sum::<usize>() <= 128);
            }
        }
        if let Ok(decoded) = decode_labels(series.labels_wire()) {
            let mut wire = Vec::new();
            labels::write_wire(&decoded, &mut wire);
            assert_eq!(decode_labels(&wire).as_ref(), Ok(&decoded));
        }
        Ok(())
    }

    fn metadata(&mut self, metric: &str, _metadata: Metadata) {
        assert!(!metric.is_empty());
    }
}
