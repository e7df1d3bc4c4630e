//! What series that stopped cost: resident bytes each, while those that go on are replaced again and again.
//!
//! `cargo run --release -p benches --example churn_cost -- [SERIES] [GENERATIONS] [IDLE_MINUTES]`
//!
//! SERIES series live at a time. Each generation has 40 samples, 15 s apart, and is then replaced by the next; a round of
//! maintenance comes every minute of the data. IDLE_MINUTES is the setting after which a series counts as stopped; 0
//! keeps all until the cut, which no run of fewer than 18 generations comes to.

#![expect(clippy::print_stdout, reason = "the figures are its output")]

use benches::process::{self, thread_cpu};
use std::error::Error;
use tsdb::{Appendable, Db, Labels, Options};

const SAMPLES: i64 = 40;
const INTERVAL_MS: i64 = 15_000;
const BATCH: usize = 2_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let series = arguments.next().transpose()?.unwrap_or(50_000);
    let generations = arguments.next().transpose()?.unwrap_or(16);
    let idle_minutes = arguments.next().transpose()?.unwrap_or(5) as i64;
    let dir = std::env::temp_dir().join(format!("churn_cost_{}", std::process::id()));
    let options = Options {
        idle_series_ms: idle_minutes * 60_000,
        future_skew_ms: None,
        retention_ms: None,
        background: false,
        ..Options::default()
    };
    let db = Db::open(&dir, options)?;
    let (mut cpu, mut resident_before) = (thread_cpu(), 0);
    println!("generation  stopped  in the head  resident MiB  bytes a stopped series more  ns CPU a sample");
    for generation in 0..generations {
        for scrape in 0..SAMPLES {
            scrape_all(&db, series, generation, scrape)?;
            if scrape % 4 == 3 {
                db.maintain()?;
            }
        }
        let (now, resident) = (thread_cpu(), process::own().rss_bytes);
        if generation == 0 {
            resident_before = resident;
        }
        let stopped = series * generation;
        let each = resident.saturating_sub(resident_before) / stopped.max(1) as u64;
        let (active, mib) = (db.stats().active_series, resident >> 20);
        let cost = (now - cpu).as_nanos() / (series as u128 * SAMPLES as u128);
        println!("{generation:10} {stopped:8} {active:12} {mib:13} {each:28} {cost:16}");
        cpu = now;
    }
    println!("{} blocks", db.stats().blocks);
    db.close()?;
    remove(&dir);
    Ok(())
}

fn scrape_all(db: &Db, series: usize, generation: usize, scrape: i64) -> Result<(), Box<dyn Error>> {
    let at = 1_700_006_400_000 + (generation as i64 * SAMPLES + scrape) * INTERVAL_MS;
    for first in (0..series).step_by(BATCH) {
        let mut appender = db.appender();
        for number in first..(first + BATCH).min(series) {
            let reference = appender.series(&labels_of(number, generation))?;
            appender.append(reference, at, (number as i64 % 50 * scrape) as f64);
        }
        assert_eq!(appender.commit()?.refused, []);
    }
    Ok(())
}

fn labels_of(number: usize, generation: usize) -> Labels {
    let metric = format!("app_metric_{:03}_total", number % 250);
    let pod = format!("app-{:x}-{generation:05}", number / 250);
    let pairs = [
        ("__name__", metric.as_str()),
        ("cluster", "eu-west-1a"),
        ("job", "app"),
        ("namespace", "shop"),
        ("pod", &pod),
        ("status", ["200", "301", "404", "500"][number % 4]),
    ];
    Labels::from_sorted_pairs(pairs).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "the directory is this program's own")]
fn remove(dir: &std::path::Path) {
    drop(std::fs::remove_dir_all(dir));
}
