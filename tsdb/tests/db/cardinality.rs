//! Sketches of the series of a database.

use super::fixture::*;
use std::thread;
use tsdb::fs::SimFs;
use tsdb::{Appendable, Db, Labels, Sketch};
use tsdb_core::labels::write_wire;

fn numbered(number: usize) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("number", &number.to_string())]).unwrap()
}

fn write(db: &Db, number: usize) {
    let mut batch = db.appender();
    let series = batch.series(&numbered(number)).unwrap();
    batch.append(series, 1, 1.0);
    batch.commit().unwrap();
}

fn sketch_of(numbers: impl IntoIterator<Item = usize>) -> Sketch {
    let mut sketch = Sketch::new();
    for number in numbers {
        let mut wire = Vec::new();
        write_wire(&numbered(number), &mut wire);
        sketch.insert(&wire);
    }
    sketch
}

#[test]
fn a_sketch_holds_what_was_there_and_what_came_since_until_it_is_begun_anew() {
    let db = open_with(&SimFs::new(), options()).unwrap();
    (0..300).for_each(|number| write(&db, number));
    assert_eq!(db.series_sketch(false), sketch_of(0..300));
    (200..400).for_each(|number| write(&db, number));
    assert_eq!(db.series_sketch(false), sketch_of(0..400));
    db.flush().unwrap();
    assert_eq!(db.stats().active_series, 0, "all of it is in a block");
    write(&db, 1000);
    assert_eq!(db.series_sketch(false), sketch_of((0..400).chain([1000])));
    assert_eq!(db.series_sketch(true), sketch_of([1000]));
    write(&db, 1001);
    assert_eq!(db.series_sketch(false), sketch_of([1000, 1001]));
}

#[test]
fn no_series_that_comes_while_a_sketch_is_begun_is_missing() {
    let db = open_with(&SimFs::new(), options()).unwrap();
    thread::scope(|scope| {
        for writer in 0..4 {
            let db = &db;
            scope.spawn(move || (0..500).for_each(|number| write(db, writer * 500 + number)));
        }
        (0..20).for_each(|round| drop(db.series_sketch(round % 2 == 0)));
    });
    assert_eq!(db.series_sketch(false), sketch_of(0..2000));
}
