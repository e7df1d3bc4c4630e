//! Writes the seeds of those targets whose input is binary: `cargo run --example seeds`, in this folder.
//!
//! Seeds are small and valid, so that the fuzzer begins behind the front door. Run it again when a format changes.

use std::error::Error;
use std::fs;
use std::path::Path;
use tsdb::record::{
    Border, ExemplarSeries, ExemplarsEncoder, HistogramsEncoder, SamplesEncoder, SeriesEncoder,
    encode_border, encode_late, encode_metadata, encode_named,
};
use tsdb_core::chunk::histogram::HistogramChunk;
use tsdb_core::chunk::starts::StartsWriter;
use tsdb_core::chunk::xor::XorChunk;
use tsdb_core::histogram::{FloatHistogram, FloatParts, Span};
use tsdb_core::metadata::{Metadata, MetricType};
use tsdb_core::pack::FrameWriter;
use tsdb_core::{Exemplar, Labels, NO_START, SeriesRef, TimeRange, labels};
use tsdb_index::{ChunkRef, IndexWriter};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    remote_write()?;
    db_ops()?;
    wal_read()?;
    record_decode()?;
    chunk_decode()?;
    index_open()?;
    prometheus()
}

fn seed(target: &str, name: &str, parts: &[&[u8]]) -> Outcome {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join(name), parts.concat())?)
}

fn fleet() -> Result<Vec<Labels>, Box<dyn Error>> {
    let mut fleet = Vec::new();
    for job in ["api", "web"] {
        for instance in ["a:9100", "b:9100", "c:9100"] {
            fleet.push(Labels::from_pairs([("__name__", "up"), ("instance", instance), ("job", job)])?);
        }
    }
    fleet.sort();
    Ok(fleet)
}

fn field(number: u8, payload: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(payload.len()).unwrap_or(u8::MAX)], payload].concat()
}

fn remote_write() -> Outcome {
    let mut message = Vec::new();
    for series in fleet()?.iter().take(2) {
        let mut fields = Vec::new();
        labels::write_wire(series, &mut fields);
        let sample = [&[0x09][..], &1.5_f64.to_le_bytes(), &[0x10, 0x90, 0x4e]].concat();
        fields.extend(field(2, &sample));
        message.extend(field(1, &fields));
    }
    let metadata = [&[0x08, 0x02][..], &field(2, b"up"), &field(4, b"Is it up?"), &field(5, b"s")].concat();
    message.extend(field(3, &metadata));
    seed("remote_write", "plain", &[&[0], &message])?;
    seed("remote_write", "snappy", &[&[1], &snap::raw::Encoder::new().compress_vec(&message)?])
}

/// Batches of two samples, with the steps between them that each name says.
fn db_ops() -> Outcome {
    let batch = |time: u8, first: u8| [0, time, 1, first, 3, first + 1, 40];
    let late = |time: u8| [1, time, 1, 0x82, 20, 0x85, 50];
    let (flush, maintain, snapshot, kill) = ([7], [8], [10], [11]);
    seed(
        "db_ops",
        "cuts",
        &[&batch(1, 0), &batch(200, 5), &flush, &batch(90, 2), &late(9), &maintain, &flush],
    )?;
    seed("db_ops", "kills", &[&batch(1, 5), &kill, &batch(200, 5), &snapshot, &late(1), &flush, &kill])?;
    seed(
        "db_ops",
        "power_cuts",
        &[&batch(1, 0), &[12, 0], &batch(250, 3), &flush, &[12, 9], &late(3), &[12, 1]],
    )?;
    let faults: [&[u8]; 6] = [&[13, 3], &batch(1, 0), &[14, 9], &batch(99, 4), &flush, &[15, 4, 1, 7]];
    seed("db_ops", "faults", &faults)
}

fn wal_read() -> Outcome {
    seed(
        "wal_read",
        "raw",
        &[&[0, 0xff, 0xff], &tsdb_fuzz::wal_segment(tsdb_fuzz::Input::new(b"\x01\x02hi"), 1, 0)],
    )?;
    let fragments = b"\x01\x02hi\x02\x01a\x03\x01b\x04\x01c\x41\x00\x81\x01x\x01\x00";
    seed("wal_read", "fragments", &[&[1, 9, 0, 0, 0], fragments])?;
    seed("wal_read", "damaged", &[&[2, 1, 50, 0, 1], b"\x05\x00abcdefgh\xff\x03abcdefgh\x00\x00"])
}

fn record_decode() -> Outcome {
    let (mut series, mut samples) = (SeriesEncoder::new(), SamplesEncoder::new());
    for (number, labels) in (0..).zip(&fleet()?) {
        series.push(SeriesRef(number), labels);
        samples.push(SeriesRef(number), 1_700_000_000_000, f64::from(number));
        samples.push(SeriesRef(number), 1_700_000_015_000, 0.5);
    }
    let mut record = Vec::new();
    series.finish(&mut record);
    seed("record_decode", "series", &[&record])?;
    let mut batch = vec![std::mem::take(&mut record)];
    samples.finish(&mut record);
    seed("record_decode", "samples", &[&record])?;
    let (mut late, mut named, mut border) = (Vec::new(), Vec::new(), Vec::new());
    encode_late(2, &record, &mut late);
    seed("record_decode", "late", &[&late])?;
    encode_border(Border { from: 1_700_000_000_000, cut: 2, flushed: 1 }, &mut border);
    seed("record_decode", "border", &[&border])?;
    batch.push(std::mem::take(&mut record));
    encode_named(&batch, &mut named);
    seed("record_decode", "named", &[&named])?;
    let metadata =
        Metadata { metric_type: MetricType::Counter, unit: "seconds".into(), help: "Time spent.".into() };
    encode_metadata("up", &metadata, &mut record);
    seed("record_decode", "metadata", &[&record])?;
    record.clear();
    samples.push_started(SeriesRef(0), 1_700_000_000_000, 1_600_000_000_000, 1.0);
    samples.push_started(SeriesRef(1), 1_700_000_000_000, NO_START, 2.0);
    samples.finish(&mut record);
    seed("record_decode", "started_samples", &[&record])?;
    histograms()?;
    exemplars()
}

fn histograms() -> Outcome {
    let mut encoder = HistogramsEncoder::new();
    let custom = FloatParts {
        schema: -53,
        count: 2.5,
        sum: 4.0,
        positive_spans: vec![Span { offset: 0, length: 1 }],
        positive_counts: vec![2.5],
        bounds: [1.0, 2.0].into(),
        ..FloatParts::default()
    };
    let exponential = FloatParts {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: 9.0,
        sum: 20.0,
        positive_spans: vec![Span { offset: -1, length: 2 }, Span { offset: 3, length: 1 }],
        positive_counts: vec![2.0, 3.0, 1.0],
        negative_spans: vec![Span { offset: 1, length: 1 }],
        negative_counts: vec![2.0],
        ..FloatParts::default()
    };
    for (number, parts) in (0..).zip([custom.clone(), custom, exponential.clone(), exponential]) {
        encoder.push(SeriesRef(number), 1_700_000_000_000, NO_START, &FloatHistogram::new(parts)?);
    }
    let mut record = Vec::new();
    encoder.finish(&mut record);
    seed("record_decode", "histograms", &[&record])
}

fn exemplars() -> Outcome {
    let mut encoder = ExemplarsEncoder::new();
    let labels = Labels::from_pairs([("trace_id", "a1")])?;
    let exemplar = Exemplar { labels, timestamp: 1_700_000_000_000, value: 0.25 };
    let registered = ExemplarSeries::Registered(SeriesRef(3));
    let labelled = ExemplarSeries::Labelled(Labels::from_pairs([("__name__", "up")])?);
    for (number, series) in (7..).zip([registered.clone(), registered, labelled]) {
        encoder.push(number, series, &exemplar);
    }
    let mut record = Vec::new();
    encoder.finish(&mut record);
    seed("record_decode", "exemplars", &[&record])
}

fn chunk_decode() -> Outcome {
    let drawn: Vec<u8> = (0..60).flat_map(|n| [n % 16, n, 3, 200 - n]).collect();
    let columns = tsdb_fuzz::samples(tsdb_fuzz::Input::new(&drawn));
    let mut chunk = XorChunk::new();
    for (timestamp, value) in columns.timestamps.iter().zip(&columns.values) {
        chunk.push(*timestamp, *value)?;
    }
    seed("chunk_decode", "chunk", &[&[0], &chunk.to_bytes()])?;
    let mut frame = FrameWriter::new();
    frame.push(&columns.timestamps, &columns.values)?;
    frame.push(&columns.timestamps, &vec![1.0; columns.len()])?;
    frame.push(&[1, 2, 3], &[0.1, 0.2, f64::NAN])?;
    seed("chunk_decode", "frame", &[&[1], &frame.finish()])?;
    seed("chunk_decode", "into_chunk", &[&[2], &drawn])?;
    seed("chunk_decode", "into_frame", &[&[3, 120], &drawn])?;
    chunk_decode_histograms(&drawn)
}

fn chunk_decode_histograms(drawn: &[u8]) -> Outcome {
    let columns = tsdb_fuzz::histograms(tsdb_fuzz::Input::new(drawn));
    let (mut chunk, mut starts) = (HistogramChunk::new(), StartsWriter::new());
    for (index, (timestamp, histogram)) in columns.timestamps.iter().zip(&columns.histograms).enumerate() {
        if let Some(histogram) = histogram {
            chunk.push(*timestamp, histogram)?;
        }
        starts.push(*timestamp, columns.start(index));
    }
    let mut frame = FrameWriter::new();
    frame.push_samples(columns.as_slices())?;
    seed("chunk_decode", "frame_of_histograms", &[&[1], &frame.finish()])?;
    seed("chunk_decode", "histograms", &[&[4], chunk.as_bytes()])?;
    seed("chunk_decode", "into_histograms", &[&[5], drawn])?;
    seed("chunk_decode", "into_mixed_frame", &[&[6], drawn])?;
    let count = u8::try_from(columns.len()).unwrap_or(u8::MAX);
    seed("chunk_decode", "starts", &[&[7, count], &starts.to_bytes()])
}

fn index_open() -> Outcome {
    let mut writer = IndexWriter::new();
    for (slot, labels) in (0..).zip(&fleet()?) {
        let range = TimeRange::new(1000, 2000).ok_or("the range is in order")?;
        writer.add(labels, &[ChunkRef { frame: 0, slot, range, samples: 8, times: 0 }])?;
    }
    let file = writer.finish();
    seed("index_open", "sealed", &[&[0], &file])?;
    seed("index_open", "as_it_is", &[&[1], &file])
}

fn prometheus() -> Outcome {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tsdb/tests/golden/v1/prometheus");
    let read = |name: &str| fs::read(golden.join(name));
    seed("prometheus", "index", &[&[0], &read("01M7YQ28WAFQEPZ6NZVKVRQG18/index")?])?;
    // A series with a name and a value, and a chunk of one sample at byte 8.
    let index = [8, 0, 0, 0, 2, 1, b'a', 1, b'b', 7, 1, 0, 1, 1, 2, 0, 8];
    let chunk = [12, 1, 0, 1, 2, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0];
    seed("prometheus", "block", &[&[1, 17, 0], &index, &chunk])?;
    seed("prometheus", "mapped", &[&[3], &read("head/chunks_head/000001")?])?;
    seed("prometheus", "late", &[&[4], &read("head/wbl/00000000")?])
}
