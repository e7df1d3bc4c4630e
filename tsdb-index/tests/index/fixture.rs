//! Series to index.

use tsdb_core::{Labels, MatchOp, Matcher, SeriesRef, TimeRange};
use tsdb_index::{ChunkRef, IndexWriter, LiveIndex};

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

pub(crate) fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher::new(op, name, value).unwrap()
}

pub(crate) fn live(series: &[Labels]) -> LiveIndex {
    let mut index = LiveIndex::new();
    for (number, labels) in (0..).zip(series) {
        index.insert(SeriesRef(number), labels).unwrap();
    }
    index
}

/// The file of `series`, which are in order, with one chunk each.
pub(crate) fn file(series: &[Labels]) -> Vec<u8> {
    let mut writer = IndexWriter::new();
    for (number, labels) in (0..).zip(series) {
        assert_eq!(writer.add(labels, &chunks(number)).unwrap(), number);
    }
    writer.finish()
}

/// Chunks as a writer of frames makes them: neighbours share a frame and mostly a span; some series have two, one none.
pub(crate) fn chunks(number: u32) -> Vec<ChunkRef> {
    let frame = u64::from(number / 50) * 9_000 + 8;
    let start = 1_700_000_000_000 + i64::from(number % 7) * 13;
    let chunk = |slot, start: i64| ChunkRef {
        frame,
        slot,
        range: TimeRange::new(start, start + 7_000_000 + i64::from(number % 3)).unwrap(),
        samples: 480 - number % 2,
        times: number % 7,
    };
    match number % 40 {
        39 => Vec::new(),
        38 => vec![chunk(38, start), chunk(90, start + 8_000_000)],
        slot => vec![chunk(slot + number / 40 % 2 * 10, start)],
    }
}

/// Series of a fleet: `targets` instances, each with counters, a histogram and a few gauges; ten labels a series.
pub(crate) fn fleet(targets: usize) -> Vec<Labels> {
    let mut series = Vec::new();
    for target in 0..targets {
        let instance = format!("10.{}.{}.{}:9100", target / 65_536, target / 256 % 256, target % 256);
        let pod = format!(
            "api-{:08x}-{:04x}",
            target.wrapping_mul(2_654_435_761) & 0xffff_ffff,
            (target * 7) & 0xffff
        );
        let zone = format!("eu-west-1{}", ["a", "b", "c"][target % 3]);
        let version = format!("v1.{}.0", target % 5);
        let base = [
            ("cluster", "prod-eu"),
            ("env", "prod"),
            ("instance", &*instance),
            ("job", "api"),
            ("pod", &*pod),
            ("version", &*version),
            ("zone", &*zone),
        ];
        let mut add = |name: &str, more: &[(&str, &str)]| {
            let pairs = base.iter().copied().chain([("__name__", name)]).chain(more.iter().copied());
            series.push(Labels::from_pairs(pairs).unwrap());
        };
        for method in ["GET", "POST", "PUT"] {
            for code in ["200", "404", "500", "503"] {
                add("http_requests_total", &[("method", method), ("code", code)]);
            }
            for le in ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"]
            {
                add("http_request_duration_seconds_bucket", &[("method", method), ("le", le)]);
            }
        }
        for cpu in ["0", "1", "2", "3"] {
            for mode in ["idle", "iowait", "system", "user"] {
                add("node_cpu_seconds_total", &[("cpu", cpu), ("mode", mode)]);
            }
        }
        for name in ["process_resident_memory_bytes", "process_open_fds", "up", "go_goroutines"] {
            add(name, &[]);
        }
    }
    series.sort();
    series
}
