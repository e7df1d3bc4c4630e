//! The distinct series of a head, for whoever counts those of several processes: a sketch, and hashes where there are few enough.
//! Both are filled by new series once somebody has asked. A sample of a known series costs nothing, a new series the hash of its
//! labels.

use super::Head;
use super::count::Among;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tsdb_core::Labels;
use tsdb_core::labels::write_wire;
use tsdb_index::cardinality::Sketch;

/// What is filled.
#[derive(Debug, Default)]
pub(super) struct Sketching {
    is_on: AtomicBool,
    sketch: Mutex<Option<Sketch>>,
    fresh: Mutex<Option<Fresh>>,
}

/// Hashes of the series that came since somebody took them.
#[derive(Debug)]
struct Fresh {
    hashes: Vec<u64>,
    most: usize,
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
        let hash = Sketch::hash(&wire);
        if let Some(sketch) = self.sketch.lock().as_mut() {
            sketch.insert_hash(hash);
        }
        let mut fresh = self.fresh.lock();
        match fresh.as_mut() {
            Some(running) if running.hashes.len() < running.most => running.hashes.push(hash),
            // Nobody took them for long, or they are too many: whoever asks next begins anew.
            Some(_) => *fresh = None,
            None => {}
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
        let mut found = Sketch::new();
        self.hash_present(|hash| {
            found.insert_hash(hash);
        });
        let mut running = sketching.sketch.lock();
        if let Some(new) = running.as_ref() {
            found.merge(new);
        }
        *running = Some(found.clone());
        found
    }

    /// The hashes, as those of the elements of the [sketch](Self::sketch), of the series that came since this was last asked; of
    /// all that are there if they are wanted `anew`. `None` if there are more than `most`, or it is not known which came: then
    /// they must be wanted anew. Some may come twice.
    pub(crate) fn series_hashes(&self, anew: bool, most: usize) -> Option<Vec<u64>> {
        let sketching = &self.memory.sketching;
        if usize::try_from(self.memory.active()).map_or(true, |series| series > most) {
            *sketching.fresh.lock() = None;
            return None;
        }
        if !anew {
            let mut fresh = sketching.fresh.lock();
            return fresh.as_mut().map(|fresh| std::mem::take(&mut fresh.hashes));
        }
        *sketching.fresh.lock() = Some(Fresh { hashes: Vec::new(), most });
        sketching.is_on.store(true, Ordering::Relaxed);
        let mut hashes = Vec::new();
        self.hash_present(|hash| hashes.push(hash));
        Some(hashes)
    }

    /// Calls `take` with the hash of every series that is there.
    fn hash_present(&self, mut take: impl FnMut(u64)) {
        let mut wire = Vec::new();
        self.each_labels(&Among::All, usize::MAX, |labels| {
            wire.clear();
            write_wire(&labels, &mut wire);
            take(Sketch::hash(&wire));
        });
    }
}
