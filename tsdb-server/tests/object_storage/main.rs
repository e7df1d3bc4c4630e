//! The engine on object storage: on a real S3-compatible server, started here, with a proxy between them that refuses,
//! delays and cuts; and what it relies on, with each of the services.
//!
//! The server is `moto_server` (`pip install 'moto[server]'`); without it the tests say `SKIPPED`.
#![expect(clippy::unwrap_used, reason = "a test")]

mod azure;
mod contract;
mod google;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tsdb::tier::{Condition, ObjectStore, Retry, StoreError, Tier};
use tsdb::{Appendable, Db, Labels, Options, Queryable, TimeRange};
use tsdb_core::read::{SampleColumns, SelectHints};
use tsdb_core::testing::skipped;
use tsdb_server::CloudStore;

/// A server with the bucket `blocks`.
struct Moto {
    process: Child,
    port: u16,
}

impl Moto {
    fn start() -> Option<Self> {
        if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
            skipped("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set, to anything");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("moto_server");
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let Ok(process) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            skipped("there is no moto_server (pip install 'moto[server]')");
            return None;
        };
        let moto = Self { process, port };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if moto.make_bucket().is_some() {
                return Some(moto);
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
        skipped("moto_server does not answer");
        None
    }

    fn make_bucket(&self) -> Option<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let request =
            "PUT /blocks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(())
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What a proxy does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Fine,
    /// 503 at once.
    Busy,
    /// This status at once, and to be left in peace for so many seconds.
    Later(u16, u64),
    /// The answer ends after so many bytes.
    Cut(usize),
    /// Of what the answer holds there are so many bytes.
    Torn(usize),
    /// There is no answer as long as anybody waits for it.
    Silent,
    /// It begins after so many ms.
    Slow(u64),
}

/// A proxy before `port` that asks `weather` what becomes of each connection, numbered from 0, and of the request that comes
/// over it, whose first line is told. Returns its port.
fn proxy(port: u16, weather: impl Fn(usize, &str) -> Weather + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    let (weather, count) = (Arc::new(weather), AtomicUsize::new(0));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (weather, number) = (Arc::clone(&weather), count.fetch_add(1, Ordering::SeqCst));
            std::thread::spawn(move || drop(relay(client, port, |line| weather(number, line))));
        }
    });
    own
}

/// One request and its answer, then the end: the next request is a connection of its own.
fn relay(mut client: TcpStream, port: u16, weather: impl Fn(&str) -> Weather) -> std::io::Result<()> {
    let head = read_head(&mut client)?;
    let head = String::from_utf8_lossy(&head).into_owned();
    let weather = weather(head.lines().next().unwrap_or_default());
    match weather {
        Weather::Busy => {
            return client
                .write_all(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
        Weather::Later(status, seconds) => {
            let rest = "Content-Length: 0\r\nConnection: close\r\n\r\n";
            let answer = format!("HTTP/1.1 {status} Later\r\nRetry-After: {seconds}\r\n{rest}");
            return client.write_all(answer.as_bytes());
        }
        // Until the other end is closed.
        Weather::Silent => return client.read_to_end(&mut Vec::new()).map(drop),
        _ => {}
    }
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    server.write_all(head.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes())?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    if let Weather::Slow(ms) = weather {
        std::thread::park_timeout(Duration::from_millis(ms));
    }
    let limit = match weather {
        Weather::Cut(bytes) | Weather::Torn(bytes) => bytes as u64,
        _ => u64::MAX,
    };
    if let Weather::Torn(_) = weather {
        client.write_all(&read_head(&mut server)?)?;
    }
    std::io::copy(&mut server.take(limit), &mut client)?;
    client.shutdown(Shutdown::Both)
}

fn read_head(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}

fn store(port: u16) -> Arc<dyn ObjectStore> {
    Arc::new(CloudStore::open("s3://blocks", &format!("http://127.0.0.1:{port}"), "us-east-1").unwrap())
}

fn retried<T>(mut call: impl FnMut() -> Result<T, StoreError>) -> T {
    loop {
        match call() {
            Err(error) if error.is_temporary() => {}
            outcome => return outcome.unwrap(),
        }
    }
}

#[test]
fn a_service_that_speaks_s3_does_what_the_engine_relies_on() {
    let Some(moto) = Moto::start() else { return };
    contract::holds_for(&*store(moto.port));
}

#[test]
fn of_writers_that_race_one_wins() {
    let Some(moto) = Moto::start() else { return };
    let store = store(moto.port);
    for round in 0..20 {
        let key = format!("race/{round}");
        let winners = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for writer in 0..8_u8 {
                let (store, key, winners) = (&store, &key, &winners);
                scope.spawn(move || match store.put(key, &[writer], &Condition::Absent) {
                    Ok(_) => drop(winners.fetch_add(1, Ordering::SeqCst)),
                    Err(error) => assert!(matches!(error, StoreError::Conflict { .. }), "{error}"),
                });
            }
        });
        assert_eq!(winners.into_inner(), 1);
    }
}

#[test]
fn a_database_survives_a_store_that_refuses_delays_and_cuts() {
    let Some(moto) = Moto::start() else { return };
    let port = proxy(moto.port, |number, _| match number % 7 {
        1 => Weather::Busy,
        3 => Weather::Cut(40),
        4 => Weather::Cut(700),
        5 => Weather::Slow(300),
        _ => Weather::Fine,
    });
    let dir = tempfile::tempdir().unwrap();
    let options = options(port);
    let db = Db::open(dir.path(), options.clone()).unwrap();
    fill(&db);
    let expected = read(&db);
    let begun = Instant::now();
    while db.ship().is_err() && begun.elapsed() < Duration::from_secs(60) {}
    assert_eq!(db.stats().tier.unwrap().backlog_blocks, 0);
    assert!(db.stats().tier.unwrap().blocks > 0);
    assert_eq!(read(&db), expected);
    db.close().unwrap();
    drop(db);
    let objects = retried(|| store(moto.port).list("tenant/blocks"));
    let db = Db::open(tempfile::tempdir().unwrap().path(), options).unwrap();
    assert!(!objects.is_empty());
    assert_eq!(read(&db), expected, "another machine reads the same");
}

/// A bucket with a database in it, and what that answers.
fn shipped(moto: &Moto) -> Vec<(String, Vec<(i64, u64)>)> {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), options(moto.port)).unwrap();
    fill(&db);
    let expected = read(&db);
    db.ship().unwrap();
    db.close().unwrap();
    assert!(!expected.is_empty());
    expected
}

/// Is this a read of the samples of a block?
fn is_read_of_samples(line: &str) -> bool {
    line.starts_with("GET") && line.contains("/chunks-")
}

#[test]
fn a_read_without_an_answer_is_asked_for_a_second_time_and_that_answer_counts() {
    let Some(moto) = Moto::start() else { return };
    let expected = shipped(&moto);
    let was_silent = Arc::new(AtomicBool::new(false));
    let is_first = Arc::clone(&was_silent);
    let port = proxy(moto.port, move |_, line| {
        let is_silent = is_read_of_samples(line) && !is_first.swap(true, Ordering::SeqCst);
        if is_silent { Weather::Silent } else { Weather::Fine }
    });
    let db = Db::open(tempfile::tempdir().unwrap().path(), options(port)).unwrap();
    assert_eq!(read(&db), expected);
    let tier = db.stats().tier.unwrap();
    assert!(was_silent.load(Ordering::SeqCst), "samples were read");
    assert!(tier.hedged_requests > 0, "{tier:?}");
    assert_eq!(tier.failed_requests, 0, "nobody waited until the first one was given up: {tier:?}");
}

#[test]
fn a_read_whose_answer_is_cut_short_is_asked_for_again() {
    let Some(moto) = Moto::start() else { return };
    let expected = shipped(&moto);
    // The first answer of every object, some bytes of what was asked for.
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let known = Arc::clone(&seen);
    let port = proxy(moto.port, move |_, line| {
        let is_new = is_read_of_samples(line) && known.lock().unwrap().insert(line.to_owned());
        if is_new { Weather::Torn(10) } else { Weather::Fine }
    });
    let db = Db::open(tempfile::tempdir().unwrap().path(), options(port)).unwrap();
    assert_eq!(read(&db), expected);
    let (torn, tier) = (seen.lock().unwrap().len() as u64, db.stats().tier.unwrap());
    assert!(torn > 1 && tier.failed_requests >= torn, "{torn} answers were cut: {tier:?}");
}

#[test]
fn a_store_that_says_when_to_come_back_is_asked_nothing_before() {
    let Some(moto) = Moto::start() else { return };
    for status in [429, 503] {
        let times = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::clone(&times);
        let port = proxy(moto.port, move |number, _| {
            asked.lock().unwrap().push(Instant::now());
            if number == 0 { Weather::Later(status, 1) } else { Weather::Fine }
        });
        let store = store(port);
        let error = store.put("peace/one", b"first", &Condition::Always).unwrap_err();
        assert!(error.is_temporary(), "{status}: {error}");
        // Another call, which knows nothing of the first one.
        std::thread::scope(|scope| {
            scope.spawn(|| store.put("peace/two", b"second", &Condition::Always).unwrap());
            store.put("peace/one", b"first", &Condition::Always).unwrap();
        });
        assert_eq!(store.get("peace/two", 0..6, None).unwrap(), b"second");
        let times = times.lock().unwrap();
        assert_eq!(times.len(), 4, "{status}");
        let soonest = times[1..].iter().map(|time| time.duration_since(times[0])).min();
        assert!(soonest >= Some(Duration::from_secs(1)), "{status}: {soonest:?}");
    }
}

#[test]
fn a_process_that_is_killed_while_it_uploads_and_merges_loses_nothing_and_the_next_one_goes_on() {
    let Some(moto) = Moto::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), Options { tier: None, ..options(moto.port) }).unwrap();
    fill(&db);
    let expected = read(&db);
    db.close().unwrap();
    drop(db);
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "uploads_until_it_is_killed", "--ignored", "--nocapture"]);
        child.env("TIER_PORT", moto.port.to_string()).env("TIER_DIR", dir.path());
        let mut child = child.stdout(Stdio::null()).spawn().unwrap();
        std::thread::park_timeout(Duration::from_millis(60 + 90 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let other = Db::open(tempfile::tempdir().unwrap().path(), options(moto.port)).unwrap();
        let told = read(&other);
        assert!(told.iter().all(|(labels, samples)| is_part_of(labels, samples, &expected)), "round {round}");
    }
    let db = Db::open(dir.path(), options(moto.port)).unwrap();
    let begun = Instant::now();
    while db.ship().is_err() && begun.elapsed() < Duration::from_secs(60) {}
    db.compact_far().unwrap();
    assert_eq!((read(&db), db.stats().tier.unwrap().backlog_blocks), (expected.clone(), 0));
    drop(db);
    let other = Db::open(tempfile::tempdir().unwrap().path(), options(moto.port)).unwrap();
    assert_eq!(read(&other), expected, "another machine reads the same");
}

fn is_part_of(labels: &str, samples: &[(i64, u64)], all: &[(String, Vec<(i64, u64)>)]) -> bool {
    let known = all.iter().find(|(known, _)| known == labels);
    known.is_some_and(|(_, known)| samples.iter().all(|sample| known.contains(sample)))
}

#[test]
#[ignore = "the process that another test kills"]
fn uploads_until_it_is_killed() {
    let Some(port) = std::env::var("TIER_PORT").ok().and_then(|port| port.parse().ok()) else { return };
    let db = Db::open(std::env::var_os("TIER_DIR").unwrap(), options(port)).unwrap();
    loop {
        drop(db.ship());
        drop(db.compact_far());
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Blocks go to the bucket at once.
fn options(port: u16) -> Options {
    options_for(&store(port))
}

fn options_for(store: &Arc<dyn ObjectStore>) -> Options {
    let mut tier = Tier::new(Arc::clone(store), 16 << 20).unwrap();
    tier.prefix = "tenant".into();
    tier.keep_local_ms = 0;
    tier.retry = Retry::default();
    tier.lease_ms = 300;
    Options {
        block_range_ms: 10_000,
        retention_ms: None,
        background: false,
        tier: Some(tier),
        ..Options::default()
    }
}

/// What a database put on `store`, and merged there, is all there on another machine.
fn survives_its_machine(store: &Arc<dyn ObjectStore>) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), options_for(store)).unwrap();
    fill(&db);
    let expected = read(&db);
    db.ship().unwrap();
    db.compact_far().unwrap();
    assert_eq!((db.stats().tier.unwrap().backlog_blocks, read(&db)), (0, expected.clone()));
    db.close().unwrap();
    drop(db);
    let other = Db::open(tempfile::tempdir().unwrap().path(), options_for(store)).unwrap();
    assert_eq!(read(&other), expected);
}

fn fill(db: &Db) {
    let mut batch = db.appender();
    for number in 0..200 {
        let pairs = [("__name__", "m"), ("n", &*number.to_string())];
        let series = batch.series(&Labels::from_pairs(pairs).unwrap()).unwrap();
        (0..50).for_each(|t| batch.append(series, t * 1_000, (t * number) as f64));
    }
    batch.commit().unwrap();
    db.flush().unwrap();
}

fn read(db: &Db) -> Vec<(String, Vec<(i64, u64)>)> {
    let querier = db.querier(TimeRange::ALL).unwrap();
    let set = querier.select(&[], &SelectHints::over(TimeRange::ALL)).unwrap();
    let mut columns = SampleColumns::new();
    let mut all = Vec::new();
    for index in 0..set.len() {
        set.read(index, &mut columns).unwrap();
        let values = columns.values.iter().map(|value| value.to_bits());
        all.push((set.labels(index).to_string(), columns.timestamps.iter().copied().zip(values).collect()));
    }
    assert_eq!(set.warnings(), [""; 0]);
    all.sort();
    all
}
