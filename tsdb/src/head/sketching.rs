//! A sketch of the distinct series of a head, filled as they come once somebody has asked for it. A sample of a known series
//! costs nothing, a new series the hash of its labels.

use super::Head;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tsdb_core::labels::write_wire;
use tsdb_core::read::Projection;
use tsdb_core::{Labels, SeriesRef};
use tsdb_index::cardinality::Sketch;

/// Series whose labels are read under one lock: who registers a series waits meanwhile.
const READ_AT_ONCE: usize = 1024;

/// The sketch, if one is filled.
#[derive(Debug, Default)]
pub(super) struct Sketching {
    is_on: AtomicBool,
    sketch: Mutex<Option<Sketch>>,
}

impl Sketching {
    /// Takes note of a new series. The caller has put it into the index before.
    pub(super) fn note(&self, labels: &Labels) {
        // ORDER: either whoever switched this on finds the series in the index, or the lock of the index shows that it is on.
        if !self.is_on.load(Ordering::Relaxed) {
            return;
        }
        let mut wire = Vec::with_capacity(labels.encoded_len());
        write_wire(labels, &mut wire);
        if let Some(sketch) = self.sketch.lock().as_mut() {
            sketch.insert(&wire);
        }
    }

    fn restart(&self) {
        *self.sketch.lock() = Some(Sketch::new());
        self.is_on.store(true, Ordering::Relaxed);
    }
}

impl Head {
    /// A sketch of the series that are there, and of those that were since the sketch was begun: the first time, or when it is
    /// wanted `anew`, which looks at all series. Its elements are the labels in their wire form, so that sketches of several
    /// processes count a series once.
    pub(crate) fn sketch(&self, anew: bool) -> Sketch {
        let sketching = &self.memory.sketching;
        let begun = sketching.sketch.lock().clone();
        if let Some(sketch) = begun.filter(|_| !anew) {
            return sketch;
        }
        sketching.restart();
        let mut found = self.sketch_of_present();
        let mut running = sketching.sketch.lock();
        if let Some(new) = running.as_ref() {
            found.merge(new);
        }
        *running = Some(found.clone());
        found
    }

    fn sketch_of_present(&self) -> Sketch {
        let (mut found, mut wire) = (Sketch::new(), Vec::new());
        let numbers: Vec<u32> = self.memory.index.read().all().iter().collect();
        for some in numbers.chunks(READ_AT_ONCE) {
            let index = self.memory.index.read();
            let mut cursor = index.cursor(&Projection::All);
            for labels in some.iter().filter_map(|series| cursor.labels(SeriesRef(*series))) {
                wire.clear();
                write_wire(&labels, &mut wire);
                found.insert(&wire);
            }
        }
        found
    }
}
