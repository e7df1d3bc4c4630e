//! What an index costs: promises in bytes a series.

use super::fixture::{file, fleet, live};

#[test]
fn the_file_of_a_fleet_takes_less_than_25_bytes_a_series() {
    let series = fleet(300);
    let bytes = file(&series).len() as f64 / series.len() as f64;
    println!("{} series, index file {bytes:.2} B a series", series.len());
    assert!(bytes < 25.0, "{bytes}");
}

#[test]
fn the_live_index_of_a_fleet_takes_less_than_80_bytes_a_series() {
    // Targets come one after the other, as they are scraped.
    let mut series = fleet(300);
    series.sort_by(|a, b| a.get("instance").cmp(&b.get("instance")));
    let mut index = live(&series);
    println!("grown: {:.1} B a series", index.memory_bytes() as f64 / series.len() as f64);
    index.shrink();
    let bytes = index.memory_bytes() as f64 / series.len() as f64;
    println!("{} series, live index {bytes:.1} B a series, {} pairs", series.len(), index.pair_count());
    assert!(bytes < 80.0, "{bytes}");
}
