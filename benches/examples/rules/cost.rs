//! What rules cost: CPU of the threads that evaluate them, and how late evaluations are.
//!
//! `rules cost [RULES] [SERIES] [SECONDS] [ALERTS]`: SERIES series get a sample every 15 s, five minutes of them before the
//! rules begin, which are evaluated for SECONDS. ALERTS of the rules, evenly spread, have an alert, every other one of which
//! fires while the others are pending. The figures leave out what comes before the first evaluations.

use super::{INTERVAL_MS, Outcome, feed, number, serve, settings};
use benches::process::threads_cpu;
use benches::rules::{Evaluated, push, rule_file};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tsdb::{Options, SystemClock, Tenants};
use tsdb_core::TenantId;
use tsdb_core::time::Clock;
use tsdb_server::{Server, Stores};

const BACK: usize = 20;
/// After a start rules wait for senders that were there before, until the first has been back for half a minute; then they
/// make up for what they missed.
const WARM_UP: Duration = Duration::from_secs(60);

pub(super) fn run(arguments: &[String]) -> Outcome<()> {
    let (rules, series) = (number(arguments, 0, 10_000)?, number(arguments, 1, 1_000_000)?);
    let (seconds, alerts) = (number(arguments, 2, 180)?, number(arguments, 3, 0)?);
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("rules.yml");
    std::fs::write(&file, rule_file(rules, series, |rule| hold(rule, rules, alerts)))?;
    let stores: Arc<dyn Stores> = Arc::new(Tenants::open(dir.path().join("data"), Options::default())?);
    let store = stores.open(&TenantId::new("default")?)?;
    let began = Instant::now();
    let start = SystemClock.now() - BACK as i64 * INTERVAL_MS;
    for scrape in 0..BACK {
        feed(store.as_ref(), series, start + scrape as i64 * INTERVAL_MS, scrape)?;
    }
    println!(
        "{rules} rules, {alerts} alerts, {series} series, filled in {:.1} s",
        began.elapsed().as_secs_f64()
    );

    let runtime = tokio::runtime::Runtime::new()?;
    let server = Server::new(settings(&file), Arc::clone(&stores), Arc::new(SystemClock))?;
    let address = serve(&runtime, server)?;
    push(address, SystemClock.now())?;
    let (mut last, mut scrape) = (SystemClock.now() - INTERVAL_MS, BACK);
    let mut go_on = |duration: Duration| -> Outcome<()> {
        let began = Instant::now();
        while began.elapsed() < duration {
            if SystemClock.now() - last >= INTERVAL_MS {
                last = SystemClock.now();
                feed(store.as_ref(), series, last, scrape)?;
                scrape += 1;
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
        Ok(())
    };
    go_on(WARM_UP)?;
    let (cpu, before, began) = (threads_cpu("rules-")?, Evaluated::of(address)?, Instant::now());
    go_on(Duration::from_secs(seconds as u64))?;
    let used = threads_cpu("rules-")?.saturating_sub(cpu).as_secs_f64();
    let share = 100.0 * used / began.elapsed().as_secs_f64();
    println!("CPU of the rules: {used:.1} s in {seconds} s, {share:.1} % of a core");
    println!("{}", Evaluated::of(address)?.since(&before));
    Ok(())
}

/// The `for` of a rule that has an alert.
fn hold(rule: usize, rules: usize, alerts: usize) -> Option<&'static str> {
    let stride = rules.checked_div(alerts)?.max(1);
    let has_one = rule.is_multiple_of(stride);
    has_one.then_some(if (rule / stride).is_multiple_of(2) { "0s" } else { "1h" })
}
