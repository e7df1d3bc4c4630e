//! Damage of every kind to the files of Prometheus: what is not damaged is read as before, what is damaged is named, and
//! no length takes memory that the bytes do not justify.
#![expect(clippy::unwrap_used, reason = "clippy exempts test functions, not what they call")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use tsdb::fs::{Fs, SimFs};
use tsdb::prometheus::{Finding, read_block, read_head};
use tsdb_core::sample::SampleColumns;
use tsdb_core::testing::CountingHeap;

#[global_allocator]
static HEAP: CountingHeap = CountingHeap::new();

/// The heap counts what the whole process takes, so the tests take turns.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What a reader takes besides the bytes of the files: a step of a file for each open one, and what was decoded.
const MEMORY: usize = 4 << 20;

/// Samples of each series as a number that tells them apart, by time.
type Content = BTreeMap<String, BTreeMap<i64, u64>>;

fn add(content: &mut Content, labels: String, columns: &SampleColumns) {
    let samples = columns.timestamps.iter().enumerate().map(|(position, time)| {
        let sample = match columns.histogram(position) {
            Some(histogram) => {
                let counts = histogram.positive_counts().iter().chain(histogram.negative_counts());
                let totals = [histogram.count(), histogram.sum(), histogram.zero_count()];
                // Which empty buckets there are differs between the log and chunks.
                let counts = counts.filter(|count| **count != 0.0);
                counts.chain(&totals).fold(1_u64, |sum, count| sum.rotate_left(7) ^ count.to_bits())
            }
            None => columns.values[position].to_bits(),
        };
        (*time, sample)
    });
    content.entry(labels).or_default().extend(samples);
}

/// The golden block in memory.
struct Golden {
    sim: SimFs,
    fs: Arc<dyn Fs>,
    whole: Content,
}

const DIR: &str = "01M7YQ28WAFQEPZ6NZVKVRQG18";

impl Golden {
    fn new() -> Self {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/prometheus").join(DIR);
        let sim = SimFs::new();
        sim.create_dir_all(&Path::new(DIR).join("chunks")).unwrap();
        for name in ["index", "chunks/000001", "tombstones", "meta.json"] {
            let bytes = std::fs::read(from.join(name)).unwrap();
            sim.create_new(&Path::new(DIR).join(name)).unwrap().append(&bytes).unwrap();
        }
        let fs: Arc<dyn Fs> = Arc::new(sim.clone());
        let mut golden = Self { sim, fs, whole: Content::new() };
        let (whole, findings) = golden.read();
        assert_eq!((whole.len(), findings), (20, Vec::new()));
        golden.whole = whole;
        golden
    }

    fn read(&self) -> (Content, Vec<Finding>) {
        let mut content = Content::new();
        let live = HEAP.reset_peak();
        let findings = read_block(&self.fs, Path::new(DIR), &mut |labels, columns| {
            add(&mut content, labels.to_string(), columns);
        });
        let taken = HEAP.peak() - live;
        assert!(taken < MEMORY, "{taken} bytes were taken");
        (content, findings)
    }

    fn bytes(&self, name: &str) -> (PathBuf, Vec<u8>) {
        let path = Path::new(DIR).join(name);
        let bytes = self.fs.read(&path).unwrap();
        (path, bytes)
    }

    /// Everything that was read is as it was; all of it, if nothing was found.
    fn check(&self, what: &str) -> Vec<Finding> {
        let (content, findings) = self.read();
        for (series, samples) in &content {
            let whole = &self.whole[series];
            let same = samples.iter().all(|(time, sample)| whole.get(time) == Some(sample));
            assert!(same, "{what}: samples of {series} changed");
        }
        assert!(
            !findings.is_empty() || content == self.whole,
            "{what}: something is missing and nothing told"
        );
        findings
    }

    /// Checks the block with the file `name` cut at many lengths and with a bit flipped in many bytes.
    fn damage(&self, name: &str, mut law: impl FnMut(&str, Vec<Finding>)) {
        let (path, bytes) = self.bytes(name);
        for len in (0..bytes.len()).step_by(7) {
            self.sim.overwrite(&path, &bytes[..len]).unwrap();
            let what = format!("{name} cut at {len}");
            law(&what, self.check(&what));
        }
        self.sim.overwrite(&path, &bytes).unwrap();
        for offset in (0..bytes.len()).step_by(3) {
            let mask = 1 << (offset % 8);
            self.sim.flip(&path, offset, mask).unwrap();
            let what = format!("{name} with byte {offset} changed by {mask:#x}");
            law(&what, self.check(&what));
            self.sim.flip(&path, offset, mask).unwrap();
        }
    }
}

#[test]
fn a_damaged_index_costs_the_series_it_concerns() {
    let _turn = turn();
    let golden = Golden::new();
    golden.damage("index", |what, findings| {
        assert!(!what.contains("cut") || !findings.is_empty(), "{what}: nothing was told");
    });
}

#[test]
fn a_damaged_chunk_costs_the_samples_in_it() {
    let _turn = turn();
    let golden = Golden::new();
    let samples = |content: &Content| content.values().map(BTreeMap::len).sum::<usize>();
    let all = samples(&golden.whole);
    let (path, bytes) = golden.bytes("chunks/000001");
    // Behind magic and version three bytes have no meaning.
    for offset in (8..bytes.len()).step_by(37) {
        golden.sim.flip(&path, offset, 1 << (offset % 8)).unwrap();
        let findings = golden.check(&format!("byte {offset}"));
        let (content, _) = golden.read();
        assert_eq!(findings.len(), 1, "byte {offset}");
        // What had been deleted from a damaged chunk is gone too, so more than a chunk can never be missing.
        assert!(samples(&content) >= all - 240, "byte {offset}: {} of {all}", samples(&content));
        golden.sim.flip(&path, offset, 1 << (offset % 8)).unwrap();
    }
    for len in (0..bytes.len()).step_by(97) {
        golden.sim.overwrite(&path, &bytes[..len]).unwrap();
        assert!(!golden.check(&format!("cut at {len}")).is_empty());
    }
}

#[test]
fn damaged_tombstones_bring_back_what_was_deleted_and_are_told() {
    let _turn = turn();
    let golden = Golden::new();
    let (path, bytes) = golden.bytes("tombstones");
    for offset in 0..bytes.len() {
        golden.sim.flip(&path, offset, 1 << (offset % 8)).unwrap();
        let (content, findings) = golden.read();
        assert_eq!(findings.len(), 1, "byte {offset}");
        for (series, samples) in &golden.whole {
            assert!(samples.iter().all(|(time, sample)| content[series].get(time) == Some(sample)));
        }
        golden.sim.flip(&path, offset, 1 << (offset % 8)).unwrap();
    }
}

#[test]
fn other_versions_are_refused_by_name() {
    let _turn = turn();
    let golden = Golden::new();
    let (path, _) = golden.bytes("index");
    golden.sim.flip(&path, 4, 3).unwrap();
    let findings = golden.check("version 1");
    assert_eq!(
        findings[0].to_string(),
        format!(
            "{DIR}/index: index is damaged at byte 4: format version 0x1 is unknown to this version; \
             the block was left out"
        )
    );
}

/// A log and chunks of the head as a server left them: see `golden/v1/prometheus/README.md`.
fn head() -> (SimFs, Arc<dyn Fs>, Vec<PathBuf>) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/prometheus/head");
    let sim = SimFs::new();
    let mut files = Vec::new();
    for dir in ["wal", "wbl", "chunks_head"] {
        sim.create_dir_all(Path::new(dir)).unwrap();
        let mut entries: Vec<_> =
            std::fs::read_dir(from.join(dir)).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for entry in entries {
            let path = Path::new(dir).join(entry.file_name().unwrap());
            sim.create_new(&path).unwrap().append(&std::fs::read(entry).unwrap()).unwrap();
            files.push(path);
        }
    }
    let fs: Arc<dyn Fs> = Arc::new(sim.clone());
    (sim, fs, files)
}

fn read_all(fs: &Arc<dyn Fs>) -> (Content, Vec<Finding>) {
    let mut content = Content::new();
    let live = HEAP.reset_peak();
    let read = read_head(fs, Path::new(""), &mut |labels, columns| {
        add(&mut content, labels.to_string(), columns);
    });
    let taken = HEAP.peak() - live;
    assert!(taken < 2 * MEMORY, "{taken} bytes were taken");
    (content, read.unwrap())
}

#[test]
fn a_damaged_log_costs_the_records_it_concerns() {
    let _turn = turn();
    let (sim, fs, files) = head();
    let (whole, findings) = read_all(&fs);
    assert_eq!(findings, []);
    assert!(whole.len() > 10 && whole.values().map(BTreeMap::len).sum::<usize>() > 2000);
    for path in &files {
        let bytes = fs.read(path).unwrap();
        for number in 0..25 {
            let offset = number * 7919 % bytes.len().max(1);
            let cut = number % 3 == 0;
            if cut {
                sim.overwrite(path, &bytes[..offset]).unwrap();
            } else if !bytes.is_empty() {
                sim.flip(path, offset, 1 << (number % 8)).unwrap();
            }
            let (content, _) = read_all(&fs);
            for (series, samples) in &content {
                let whole = &whole[series];
                let same = samples.iter().all(|(time, sample)| whole.get(time) == Some(sample));
                assert!(same, "{} at {offset}: samples of {series} changed", path.display());
            }
            sim.overwrite(path, &bytes).unwrap();
        }
    }
}
