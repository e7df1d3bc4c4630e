//! Series counted over a fleet of servers, in a real Redis that the tests start, kill, freeze and fill with rubbish.
#![expect(clippy::unwrap_used, reason = "clippy exempts test functions, not what they call")]

use redis::{Client, Connection, cmd};
use reqwest::blocking;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tsdb::{Appendable, Labels, Options, Sketch, SystemClock, TenantId, Tenants};
use tsdb_core::labels::write_wire;
use tsdb_core::testing::skipped;
use tsdb_server::{Config, Period, Server};

const PROGRAM: &str = "/usr/bin/redis-server";

/// A Redis that keeps nothing on disk. Dropping it kills it.
struct Redis {
    port: u16,
    uses_tls: bool,
    process: Option<Child>,
    folder: TempDir,
}

impl Redis {
    /// A Redis that answers; `None`, said loudly, where there is none.
    fn start() -> Option<Self> {
        Self::start_with(false)
    }

    fn start_with(uses_tls: bool) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            skipped(&format!("there is no {PROGRAM} (Debian: redis-server)"));
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut redis = Self { port, uses_tls, process: None, folder: tempfile::tempdir().unwrap() };
        redis.resume();
        Some(redis)
    }

    fn resume(&mut self) {
        let mut run = Command::new(PROGRAM);
        run.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let port = self.port.to_string();
        if self.uses_tls {
            run.args(["--port", "0", "--tls-auth-clients", "no", "--tls-port", &port]);
            for (option, file) in
                [("cert", "server.pem"), ("key", "server.key"), ("ca-cert", "authority.pem")]
            {
                run.arg(format!("--tls-{option}-file")).arg(certificate(file));
            }
        } else {
            run.args(["--port", &port]);
        }
        run.arg("--dir").arg(self.folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(run.spawn().unwrap());
        eventually("Redis answers", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    fn freeze(&self, frozen: bool) {
        let process = self.process.as_ref().unwrap().id().to_string();
        let signal = if frozen { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &process]).status().unwrap().success());
    }

    fn url(&self) -> String {
        let (scheme, host) = if self.uses_tls { ("rediss", "localhost") } else { ("redis", "127.0.0.1") };
        format!("{scheme}://{host}:{}/", self.port)
    }

    fn connection(&self) -> Connection {
        Client::open(self.url()).unwrap().get_connection().unwrap()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A file of the tests of TLS.
fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls/certificates").join(name)
}

/// A server of the fleet. Dropping it stops it.
struct Member {
    tenants: Arc<Tenants>,
    url: String,
    client: blocking::Client,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
    runtime: Option<tokio::runtime::Runtime>,
    _folder: TempDir,
}

impl Member {
    fn start(redis: &str) -> Self {
        Self::start_with(redis, |_| ())
    }

    fn start_with(redis: &str, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { self_ingest_interval: Period::from_ms(0), ..Config::default() };
        config.cardinality_tracker.url = redis.to_owned();
        config.cardinality_tracker.interval = Period::from_ms(100);
        config.cardinality_tracker.timeout = Period::from_ms(300);
        config.limits.cardinality.max_active_series = tsdb_server::Limit::at(4_000);
        change(&mut config);
        let options = Options { background: false, ..config.engine_options() };
        let tenants = Arc::new(Tenants::open(folder.path(), options).unwrap());
        let clock = Arc::new(SystemClock);
        let server = Server::new(config, Arc::<Tenants>::clone(&tenants), clock).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let served = runtime.spawn(async {
            tsdb_server::serve(listener, server, async { stopped.await.unwrap_or_default() }).await.unwrap();
        });
        let client = blocking::Client::new();
        Self {
            tenants,
            url,
            client,
            stop: Some(stop),
            served: Some(served),
            runtime: Some(runtime),
            _folder: folder,
        }
    }

    /// Writes a sample of each of these series; answers how many were taken.
    fn write(&self, tenant: &str, numbers: impl IntoIterator<Item = u64>) -> usize {
        let db = self.tenants.tenant(&TenantId::new(tenant).unwrap()).unwrap();
        let mut batch = db.appender();
        let mut taken = 0;
        for number in numbers {
            if let Ok(series) = batch.series(&labels(number)) {
                batch.append(series, 1_775_643_330_000, 1.0);
                taken += 1;
            }
        }
        batch.commit().unwrap();
        taken
    }

    fn ask(&self, tenant: &str) -> Value {
        let request = self.client.get(format!("{}/api/v1/cardinality/fleet", self.url));
        let answer: Value = request.header("X-Tenant-ID", tenant).send().unwrap().json().unwrap();
        answer["data"].clone()
    }

    /// Waits until `tenant` is told to have exactly `series`, or that it is not known.
    fn expect_exactly(&self, tenant: &str, series: Option<u64>) {
        eventually(&format!("{series:?} series of {tenant}, exactly"), || {
            let fleet = &self.ask(tenant)["fleet"];
            fleet["seriesExact"] == Value::from(series) && fleet["stale"] == false
        });
    }

    /// Waits until the estimate of `tenant` is `series` over `servers`, and fresh.
    fn expect(&self, tenant: &str, series: u64, servers: u64) {
        eventually(&format!("{series} series of {tenant} over {servers} servers"), || {
            let fleet = &self.ask(tenant)["fleet"];
            fleet["seriesEstimate"] == series && fleet["servers"] == servers && fleet["stale"] == false
        });
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let (Some(runtime), Some(served)) = (self.runtime.take(), self.served.take()) {
            // It ends with its tracker, or the test has failed already.
            drop(runtime.block_on(served));
            runtime.shutdown_timeout(Duration::from_secs(10));
        }
    }
}

fn labels(number: u64) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("number", &number.to_string())]).unwrap()
}

fn element(number: u64) -> Vec<u8> {
    let mut wire = Vec::new();
    write_wire(&labels(number), &mut wire);
    wire
}

fn sketch_of(numbers: impl IntoIterator<Item = u64>) -> Sketch {
    let mut sketch = Sketch::new();
    for number in numbers {
        sketch.insert(&element(number));
    }
    sketch
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn redis_and_our_sketches_count_the_same_to_the_unit() {
    let Some(redis) = Redis::start() else { return };
    let mut connection = redis.connection();
    for count in [0, 1, 10, 300, 5_000, 100_000_u64] {
        let own = sketch_of(0..count);
        let () = cmd("SET").arg("own").arg(own.to_redis()).query(&mut connection).unwrap();
        let counted: u64 = cmd("PFCOUNT").arg("own").query(&mut connection).unwrap();
        assert_eq!(own.estimate(), counted, "{count}");

        let _: () = cmd("DEL").arg("theirs").query(&mut connection).unwrap();
        let _: u64 = cmd("PFADD").arg("theirs").query(&mut connection).unwrap();
        let numbers: Vec<u64> = (0..count).collect();
        for some in numbers.chunks(10_000) {
            let elements: Vec<Vec<u8>> = some.iter().map(|number| element(*number)).collect();
            let _: u64 = cmd("PFADD").arg("theirs").arg(elements).query(&mut connection).unwrap();
        }
        let bytes: Vec<u8> = cmd("GET").arg("theirs").query(&mut connection).unwrap();
        assert_eq!(Sketch::from_redis(&bytes).unwrap(), own, "{count} elements added by Redis");

        let other = sketch_of(count / 2..count * 2);
        let () = cmd("SET").arg("other").arg(other.to_redis()).query(&mut connection).unwrap();
        let together: u64 = cmd("PFCOUNT").arg("own").arg("other").query(&mut connection).unwrap();
        let mut merged = own;
        merged.merge(&other);
        assert_eq!(merged.estimate(), together, "{count}");
    }
}

#[test]
fn a_fleet_counts_each_series_once_and_lives_without_its_redis() {
    let Some(mut redis) = Redis::start() else { return };
    let (one, two) = (Member::start(&redis.url()), Member::start(&redis.url()));
    one.write("acme", 0..2_000);
    two.write("acme", 1_500..3_500);
    two.write("other", 0..70);
    let all = sketch_of(0..3_500).estimate();
    one.expect("acme", all, 2);
    two.expect("acme", all, 2);
    two.expect("other", sketch_of(0..70).estimate(), 1);

    println!("Redis is killed");
    redis.kill();
    for member in [&one, &two] {
        eventually("the estimate is stale", || member.ask("acme")["fleet"]["stale"] == true);
    }
    let told = one.ask("acme");
    assert_eq!(
        (&told["fleet"]["seriesEstimate"], &told["seriesHere"]),
        (&all.into(), &2_000.into()),
        "{told}"
    );
    assert!(
        told["fleet"]["fault"].is_string() && told["fleet"]["ageSeconds"].as_f64().unwrap() > 0.2,
        "{told}"
    );
    assert_eq!(one.write("acme", 5_000..8_000), 2_000, "the limit holds exactly");
    assert_eq!(one.ask("acme")["seriesHere"], 4_000);
    let metrics = one.client.get(format!("{}/metrics", one.url)).send().unwrap().text().unwrap();
    assert!(metrics.contains("tsdb_cardinality_tracker_up 0"), "{metrics}");

    println!("Redis comes back, empty");
    redis.resume();
    let all = sketch_of((0..3_500).chain(5_000..7_000)).estimate();
    one.expect("acme", all, 2);
    two.expect("acme", all, 2);
    assert_eq!(one.ask("acme")["fleet"]["fault"], Value::Null);

    println!("Redis does not answer");
    redis.freeze(true);
    eventually("the estimate is stale", || one.ask("acme")["fleet"]["stale"] == true);
    assert_eq!(two.write("acme", 7_000..7_100), 100);
    redis.freeze(false);
    one.expect("acme", sketch_of((0..3_500).chain(5_000..7_100)).estimate(), 2);
}

#[test]
fn sketches_that_are_lost_or_overwritten_come_back_and_rubbish_costs_its_tenant_alone() {
    let Some(redis) = Redis::start() else { return };
    let member = Member::start(&redis.url());
    member.write("acme", 0..100);
    member.write("other", 0..50);
    let (acme, other) = (sketch_of(0..100).estimate(), sketch_of(0..50).estimate());
    member.expect("acme", acme, 1);
    let mut connection = redis.connection();
    let own: Vec<String> = cmd("KEYS").arg("tsdb:series:{acme}:*").query(&mut connection).unwrap();
    let life: i64 = cmd("TTL").arg(&own[0]).query(&mut connection).unwrap();
    assert!((1..=300).contains(&life), "{life}");

    println!("evicted, and of another type");
    let _: () = cmd("FLUSHALL").query(&mut connection).unwrap();
    let _: u64 = cmd("LPUSH").arg(&own[0]).arg("rubbish").query(&mut connection).unwrap();
    let kinds: BTreeMap<_, _> = own.iter().map(|key| (key.clone(), "string".to_owned())).collect();
    eventually("the key is a sketch again", || {
        kinds
            .iter()
            .all(|(key, kind)| cmd("TYPE").arg(key).query::<String>(&mut connection).unwrap() == *kind)
    });
    member.expect("acme", acme, 1);

    println!("another server puts something that is no sketch");
    let _: u64 = cmd("LPUSH").arg("tsdb:series:{acme}:rogue").arg("rubbish").query(&mut connection).unwrap();
    let _: u64 =
        cmd("ZADD").arg("tsdb:servers").arg(4_000_000_000_u64).arg("rogue").query(&mut connection).unwrap();
    eventually("the estimate of acme is stale", || member.ask("acme")["fleet"]["stale"] == true);
    member.expect("other", other, 1);
    let _: u64 = cmd("DEL").arg("tsdb:series:{acme}:rogue").query(&mut connection).unwrap();
    member.expect("acme", acme, 1);
}

#[test]
fn few_series_are_counted_exactly_whatever_happens_to_their_set() {
    let Some(mut redis) = Redis::start() else { return };
    let few = |config: &mut Config| config.cardinality_tracker.max_exact_series = 2_000;
    let (one, two) = (Member::start_with(&redis.url(), few), Member::start_with(&redis.url(), few));
    one.write("acme", 0..1_000);
    two.write("acme", 600..1_500);
    one.expect_exactly("acme", Some(1_500));
    two.write("acme", 1_400..1_600);
    one.expect_exactly("acme", Some(1_600));
    two.expect_exactly("acme", Some(1_600));

    println!("the set is lost, and something else put in its place");
    let mut connection = redis.connection();
    let set = |connection: &mut Connection| -> String {
        let keys: Vec<String> = cmd("KEYS").arg("tsdb:set:{acme}:*").query(connection).unwrap();
        keys.into_iter().max().unwrap()
    };
    let key = set(&mut connection);
    let _: u64 = cmd("DEL").arg(&key).query(&mut connection).unwrap();
    one.write("acme", 1_600..1_610);
    one.expect_exactly("acme", Some(1_610));
    let _: u64 = cmd("DEL").arg(&key).query(&mut connection).unwrap();
    let _: u64 = cmd("RPUSH").arg(&key).arg("rubbish").query(&mut connection).unwrap();
    one.expect_exactly("acme", None);
    let _: u64 = cmd("DEL").arg(&key).query(&mut connection).unwrap();
    one.expect_exactly("acme", Some(1_610));

    println!("Redis comes back, empty");
    redis.kill();
    eventually("the estimate is stale", || one.ask("acme")["fleet"]["stale"] == true);
    two.write("acme", 1_610..1_620);
    redis.resume();
    one.expect_exactly("acme", Some(1_620));

    println!("a server has too many");
    two.write("acme", 5_000..8_000);
    one.expect_exactly("acme", None);
    two.expect_exactly("acme", None);
    two.write("other", 0..70);
    two.expect_exactly("other", Some(70));
}

#[test]
fn a_set_that_is_lost_is_missed_however_little_it_began_with() {
    let Some(redis) = Redis::start() else { return };
    let member = Member::start(&redis.url());
    member.write("acme", 0..0);
    member.expect_exactly("acme", Some(0));
    member.write("acme", 0..1_000);
    member.expect_exactly("acme", Some(1_000));
    let mut connection = redis.connection();
    let keys: Vec<String> = cmd("KEYS").arg("tsdb:set:{acme}:*").query(&mut connection).unwrap();
    let _: u64 = cmd("DEL").arg(&keys).query(&mut connection).unwrap();
    member.write("acme", 1_000..1_010);
    eventually("all are counted again", || {
        let exact = member.ask("acme")["fleet"]["seriesExact"].clone();
        assert!([Value::Null, 1_000.into(), 1_010.into()].contains(&exact), "{exact}");
        exact == 1_010
    });
}

#[test]
fn a_set_counts_for_as_long_as_its_window_lasts() {
    let Some(redis) = Redis::start() else { return };
    let short = |config: &mut Config| config.cardinality_tracker.window = Period::from_secs(4);
    let (one, two) = (Member::start_with(&redis.url(), short), Member::start_with(&redis.url(), short));
    one.write("acme", 0..300);
    two.write("acme", 200..500);
    one.expect_exactly("acme", Some(500));
    println!("a server goes for ever");
    drop(two);
    one.expect_exactly("acme", Some(300));
}

#[test]
fn a_tracker_that_cannot_be_is_refused() {
    let refused = |change: fn(&mut Config)| {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { data_dir: folder.path().into(), ..Config::default() };
        config.cardinality_tracker.url = "redis://127.0.0.1:1/".to_owned();
        change(&mut config);
        Server::open(config).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(refused(|_| ()), "", "one whose Redis is away is not");
    let told = refused(|config| config.cardinality_tracker.url = "http://x".to_owned());
    assert!(told.starts_with("cardinality_tracker: url: "), "{told}");
    let told = refused(|config| config.cardinality_tracker.expiry = Period::from_secs(1));
    assert!(told.starts_with("cardinality_tracker: expiry: "), "{told}");
    let told = refused(|config| config.cardinality_tracker.ca_file = PathBuf::from("absent.pem"));
    assert!(told.starts_with("cardinality_tracker: ca_file: absent.pem: "), "{told}");
}

#[test]
fn servers_meet_in_a_redis_with_tls_whose_authority_they_know_and_no_other() {
    let Some(redis) = Redis::start_with(true) else { return };
    let knows = |file: &str| {
        let ca_file = certificate(file);
        Member::start_with(&redis.url(), |config| config.cardinality_tracker.ca_file = ca_file)
    };
    let (one, other, stranger) = (knows("authority.pem"), knows("authority.pem"), knows("stranger.pem"));
    one.write("a", 0..700);
    other.write("a", 500..1_000);
    one.expect_exactly("a", Some(1_000));
    stranger.write("a", 0..10);
    eventually("the certificate is refused", || {
        stranger.ask("a")["fleet"]["fault"].as_str().is_some_and(|fault| fault.contains("ertificate"))
    });
}
