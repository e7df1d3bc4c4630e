//! A file that lies far away: what is asked for in one go suffices for the answer.

use super::fixture::{file, fleet, matcher};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use tsdb_core::{Corruption, MatchOp, Matcher};
use tsdb_index::IndexReader;
use tsdb_index::file::{Check, Page, Source};

const PAGE: usize = 4096;

/// A buffer that notes which of its pages are read.
struct Far<'a> {
    bytes: &'a [u8],
    pages: RefCell<BTreeSet<usize>>,
}

impl Source for Far<'_> {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn is_far(&self) -> bool {
        true
    }

    fn read(&self, range: Range<usize>) -> Result<Vec<u8>, Corruption> {
        Source::read(&self.bytes, range)
    }

    fn page(&self, number: usize, range: Range<usize>, check: &Check<'_>) -> Result<Page<'_>, Corruption> {
        self.pages.borrow_mut().insert(number);
        self.bytes.page(number, range, check)
    }
}

/// The pages of `places`, and those that opening has read.
fn pages(index: &IndexReader<Far<'_>>, places: &[Range<usize>]) -> BTreeSet<usize> {
    let tail = index.tail() / PAGE..index.source().len().div_ceil(PAGE);
    let pages = |range: &Range<usize>| range.start / PAGE..range.end.div_ceil(PAGE);
    places.iter().filter(|range| !range.is_empty()).flat_map(pages).chain(tail).collect()
}

/// Finds the series of `matchers`, reads all of them, and says whether what was read beyond the places told before.
fn read_beyond(bytes: &[u8], matchers: &[Matcher]) -> (usize, usize) {
    let index = IndexReader::open(Far { bytes, pages: RefCell::default() }).unwrap();
    let mut told = pages(&index, &index.places_of(matchers).unwrap());
    let found = index.select(matchers).unwrap();
    assert_eq!(found, IndexReader::open(bytes).unwrap().select(matchers).unwrap());
    let beyond = index.source().pages.borrow().difference(&told).count();
    told.extend(pages(&index, &index.places_of_series(&found).unwrap()));
    let (mut cursor, mut chunks, mut places) = (index.cursor(), Vec::new(), Vec::new());
    for series in &found {
        cursor.chunks(series, &mut chunks).unwrap();
        cursor.places_of_labels(series, &mut places).unwrap();
    }
    told.extend(pages(&index, &places));
    for series in &found {
        cursor.labels(series).unwrap();
    }
    assert_eq!(index.source().pages.borrow().difference(&told).count(), beyond, "{matchers:?}");
    (beyond, told.len())
}

#[test]
fn what_a_selection_reads_is_told_before() {
    let series = fleet(400);
    let bytes = file(&series);
    let name = |value| matcher("__name__", MatchOp::Equal, value);
    let cases = [
        vec![name("up")],
        vec![name("up"), matcher("instance", MatchOp::Equal, "10.0.1.7:9100")],
        vec![name("http_requests_total"), matcher("pod", MatchOp::Regex, "api-00.*")],
        vec![name("http_requests_total"), matcher("code", MatchOp::NotEqual, "200")],
        vec![
            name("http_requests_total"),
            matcher("code", MatchOp::Regex, "200|404"),
            matcher("x", MatchOp::Equal, ""),
        ],
        vec![matcher("instance", MatchOp::Equal, "nowhere")],
        vec![name("up"), matcher("instance", MatchOp::Equal, "")],
    ];
    for matchers in cases {
        let (beyond, told) = read_beyond(&bytes, &matchers);
        assert_eq!(beyond, 0, "{matchers:?}");
        assert!(told > 0);
    }
}
