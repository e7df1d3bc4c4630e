//! Native histograms, exemplars and start timestamps by remote write of both versions, and what comes back.

use crate::harness::{NOW, Running, config, send, start};
use crate::ingest::{UP, field, series, varint};
use tsdb_core::NO_START;
use tsdb_core::labels::write_wire_pair;
use tsdb_core::read::{Queryable, SampleColumns, SelectHints};
use tsdb_core::{MatchOp, Matcher, TimeRange};
use tsdb_server::Limit;

fn int(number: u8, value: u64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value)].concat()
}

fn sint(number: u8, value: i64) -> Vec<u8> {
    int(number, zigzag(value))
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn double(number: u8, value: f64) -> Vec<u8> {
    [varint(u64::from(number) << 3 | 1), value.to_le_bytes().to_vec()].concat()
}

/// A field whose number needs two bytes with its tag.
fn wide(number: u64, content: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn packed(number: u64, values: &[i64]) -> Vec<u8> {
    wide(number, &values.iter().flat_map(|value| varint(zigzag(*value))).collect::<Vec<_>>())
}

fn doubles(number: u64, values: &[f64]) -> Vec<u8> {
    wide(number, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

fn span(offset: i64, length: u64) -> Vec<u8> {
    [sint(1, offset), int(2, length)].concat()
}

/// Six observations: one in the zero bucket, two and three in the first two buckets.
fn integer_histogram(timestamp: i64) -> Vec<u8> {
    [
        int(1, 6),
        double(3, 10.5),
        sint(4, 0),
        double(5, 0.001),
        int(6, 1),
        wide(11, &span(0, 2)),
        packed(12, &[2, 1]),
        int(15, timestamp as u64),
    ]
    .concat()
}

fn float_histogram(timestamp: i64) -> Vec<u8> {
    [
        double(2, 3.5),
        double(3, -1.5),
        sint(4, 1),
        double(7, 0.5),
        wide(8, &span(1, 1)),
        doubles(10, &[3.0]),
        int(14, 3),
        int(15, timestamp as u64),
    ]
    .concat()
}

fn custom_histogram(timestamp: i64, bounds: &[f64]) -> Vec<u8> {
    let counts = vec![1; 1].into_iter().chain(vec![0; bounds.len()]).collect::<Vec<i64>>();
    [
        int(1, counts.len() as u64),
        double(3, 4.0),
        sint(4, -53),
        wide(11, &span(0, counts.len() as u64)),
        packed(12, &counts),
        int(15, timestamp as u64),
        wide(16, &bounds.iter().flat_map(|bound| bound.to_le_bytes()).collect::<Vec<_>>()),
    ]
    .concat()
}

fn stale_histogram(timestamp: i64) -> Vec<u8> {
    [double(3, f64::from_bits(tsdb_core::sample::STALE_NAN_BITS)), int(15, timestamp as u64)].concat()
}

/// A series of remote write 1.0 with native histograms.
fn histograms(name: &str, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut series = Vec::new();
    write_wire_pair("__name__", name, &mut series);
    messages.iter().for_each(|message| series.extend(field(4, message)));
    field(1, &series)
}

fn exemplar(labels: &[(&str, &str)], value: f64, timestamp: i64) -> Vec<u8> {
    let mut message = Vec::new();
    labels.iter().for_each(|(name, value)| write_wire_pair(name, value, &mut message));
    [message, double(2, value), int(3, timestamp as u64)].concat()
}

async fn value_at(server: &Running, query: &str, ms: i64) -> String {
    let path = format!("/api/v1/query?query={query}&time={}.{:03}", ms / 1000, ms % 1000);
    send(server.get(&path)).await.1
}

#[tokio::test]
async fn histograms_of_every_form_are_stored_and_answered() {
    let server = start(config()).await;
    let body = [
        histograms("integer", &[integer_histogram(NOW), stale_histogram(NOW + 1_000)]),
        histograms("float", &[float_histogram(NOW)]),
        histograms("custom", &[custom_histogram(NOW, &[0.5, 2.0])]),
        histograms("dead", &[stale_histogram(NOW)]),
    ]
    .concat();
    let response = server.write(&body).send().await.unwrap();
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()["x-prometheus-remote-write-histograms-written"], "4");
    assert_eq!(response.headers()["x-prometheus-remote-write-samples-written"], "0");
    for (query, expected) in [
        (
            "integer",
            r#""count":"6","sum":"10.5","buckets":[[3,"-0.001","0.001","1"],[0,"0.5","1","2"],[0,"1","2","3"]]"#,
        ),
        ("float", r#""count":"3.5","sum":"-1.5","buckets":[[1,"-1.414213562373095","-1","3"]"#),
        (
            "custom",
            r#""count":"3","sum":"4","buckets":[[3,"-Inf","0.5","1"],[0,"0.5","2","1"],[0,"2","+Inf","1"]]"#,
        ),
    ] {
        let found = value_at(&server, query, NOW).await;
        assert!(found.contains(expected), "{found}");
    }
    assert!(
        value_at(&server, "integer", NOW + 2_000).await.contains("\"result\":[]"),
        "the series has ended"
    );
    assert!(!server.stores.of("default").knows(&[("__name__", "dead")]), "a stale marker makes no series");
}

#[tokio::test]
async fn what_is_no_histogram_is_refused_by_name_and_the_rest_is_stored() {
    let server = start(config()).await;
    let broken =
        [int(1, 7), sint(4, 0), wide(11, &span(0, 1)), packed(12, &[3]), int(15, NOW as u64)].concat();
    let body = [
        histograms("good", &[integer_histogram(NOW), broken.clone(), integer_histogram(NOW + 9_999_999)]),
        histograms("bad", &[broken]),
        series(UP, &[(NOW, 1.0)]),
    ]
    .concat();
    let response = server.write(&body).send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["x-prometheus-remote-write-histograms-written"], "1");
    assert_eq!(response.headers()["x-prometheus-remote-write-samples-written"], "1");
    let text = response.text().await.unwrap();
    for part in [
        "3 samples were refused, 2 were stored",
        "invalid_histogram: 2",
        "too_far_in_future: 1",
        "good: native histogram at 1775643330000 ms: the count is 7, but the buckets hold 3 observations",
        "bad: native histogram at",
    ] {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
    assert!(!server.stores.of("default").knows(&[("__name__", "bad")]));
}

#[tokio::test]
async fn histograms_of_many_buckets_become_coarser_or_are_refused() {
    let mut config = config();
    config.limits.ingest.max_histogram_buckets = Limit::at(4);
    let server = start(config).await;
    let eight = [
        int(1, 8),
        double(3, 1.0),
        sint(4, 3),
        wide(11, &span(0, 8)),
        packed(12, &[1, 0, 0, 0, 0, 0, 0, 0]),
        int(15, NOW as u64),
    ]
    .concat();
    let bounds: Vec<f64> = (0..8).map(f64::from).collect();
    let body = [histograms("exponential", &[eight]), histograms("custom", &[custom_histogram(NOW, &bounds)])]
        .concat();
    let (status, text) = send(server.write(&body)).await;
    assert_eq!(status, 400);
    assert!(text.contains("custom: native histogram at 1775643330000 ms: 9 buckets exceed the limit of 4, max_histogram_buckets"), "{text}");
    let found = value_at(&server, "exponential", NOW).await;
    assert!(found.contains("\"count\":\"8\"") && found.matches("[0,\"").count() <= 4, "{found}");
}

#[tokio::test]
async fn exemplars_come_back_with_their_series() {
    let server = start(config()).await;
    let long = "x".repeat(123);
    let mut message = Vec::new();
    UP.iter().for_each(|(name, value)| write_wire_pair(name, value, &mut message));
    message.extend(field(2, &[double(1, 1.0), int(2, NOW as u64)].concat()));
    message.extend(field(3, &exemplar(&[("trace_id", "abc\"")], 0.25, NOW - 500)));
    message.extend(field(3, &exemplar(&[("trace_id", &long)], 0.25, NOW)));
    message.extend(field(3, &exemplar(&[], f64::INFINITY, NOW)));
    let response = server.write(&field(1, &message)).send().await.unwrap();
    assert_eq!(response.status(), 204, "a refused exemplar does not fail a request of 1.0");
    assert_eq!(response.headers()["x-prometheus-remote-write-exemplars-written"], "2");
    let (_, metrics) = send(server.get("/metrics")).await;
    assert!(metrics.contains("tsdb_ingested_exemplars_total 2\n"), "{metrics}");
    assert!(metrics.contains("tsdb_refused_exemplars_total 1\n"), "{metrics}");
    let expected = concat!(
        r#"{"status":"success","data":[{"seriesLabels":{"__name__":"up","job":"x"},"exemplars":["#,
        r#"{"labels":{"trace_id":"abc\""},"value":"0.25","timestamp":1775643329.500},"#,
        r#"{"labels":{},"value":"+Inf","timestamp":1775643330}]}]}"#
    );
    let (status, found) = send(server.get("/api/v1/query_exemplars?query=sum(rate(up[5m]))%2Bother")).await;
    assert_eq!((status.as_u16(), found.as_str()), (200, expected));
    let (_, none) = send(server.get("/api/v1/query_exemplars?query=up&start=0&end=1")).await;
    assert_eq!(none, r#"{"status":"success","data":[]}"#);
}

/// Builds a request of remote write 2.0.
#[derive(Default)]
struct Request {
    symbols: Vec<String>,
    series: Vec<u8>,
}

impl Request {
    fn new() -> Self {
        Self { symbols: vec![String::new()], series: Vec::new() }
    }

    fn symbol(&mut self, text: &str) -> u64 {
        let known = self.symbols.iter().position(|symbol| symbol == text);
        known.unwrap_or_else(|| {
            self.symbols.push(text.to_owned());
            self.symbols.len() - 1
        }) as u64
    }

    fn refs(&mut self, labels: &[(&str, &str)]) -> Vec<u8> {
        let refs = labels.iter().flat_map(|(name, value)| [self.symbol(name), self.symbol(value)]);
        field(1, &refs.flat_map(varint).collect::<Vec<_>>())
    }

    fn add(&mut self, labels: &[(&str, &str)], rest: &[u8]) {
        let refs = self.refs(labels);
        self.series.extend(field(5, &[refs, rest.to_vec()].concat()));
    }

    fn body(&self) -> Vec<u8> {
        let symbols = self.symbols.iter().flat_map(|symbol| field(4, symbol.as_bytes()));
        symbols.chain(self.series.iter().copied()).collect()
    }
}

pub(crate) fn write_2(server: &Running, body: &[u8]) -> reqwest::RequestBuilder {
    server
        .post("/api/v1/write")
        .header("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
        .header("Content-Encoding", "snappy")
        .header("X-Prometheus-Remote-Write-Version", "2.0.0")
        .body(snap::raw::Encoder::new().compress_vec(body).unwrap())
}

fn sample(value: f64, timestamp: i64) -> Vec<u8> {
    field(2, &[double(1, value), int(2, timestamp as u64)].concat())
}

/// Samples and start timestamps of the only series with this name.
fn columns(server: &Running, name: &str) -> SampleColumns {
    let matcher = Matcher::new(MatchOp::Equal, "__name__", name).unwrap();
    let querier = server.stores.of("default").querier(TimeRange::ALL).unwrap();
    let set = querier.select(&[matcher], &SelectHints::over(TimeRange::ALL)).unwrap();
    assert_eq!(set.len(), 1, "{name}");
    let mut columns = SampleColumns::new();
    set.read(0, &mut columns).unwrap();
    columns
}

#[tokio::test]
async fn version_2_carries_samples_histograms_exemplars_starts_and_descriptions() {
    let server = start(config()).await;
    assert_eq!(send(server.write(&series(UP, &[(NOW - 1, 0.5)]))).await.0, 204);
    let mut request = Request::new();
    let trace = request.refs(&[("trace_id", "t1")]);
    let help = request.symbol("Requests.");
    let exemplar = field(4, &[trace, double(2, 9.0)].concat());
    let described = field(5, &[int(1, 1), int(3, help)].concat());
    request.add(UP, &[sample(1.5, NOW), exemplar, described, int(6, (NOW - 60_000) as u64)].concat());
    let own_start = [double(1, 7.0), int(2, NOW as u64), int(3, (NOW - 5) as u64)].concat();
    request.add(&[("__name__", "own_start")], &[sample(6.0, NOW - 10), field(2, &own_start)].concat());
    let described = field(5, &int(1, 3));
    request.add(&[("__name__", "hist")], &[field(3, &integer_histogram(NOW)), described.clone()].concat());
    request.add(&[("__name__", "classic_bucket"), ("le", "1")], &[sample(1.0, NOW), described].concat());
    let response = write_2(&server, &request.body()).send().await.unwrap();
    let headers = response.headers().clone();
    assert_eq!((response.status().as_u16(), response.text().await.unwrap()), (204, String::new()));
    for (name, count) in [("samples", "4"), ("histograms", "1"), ("exemplars", "1")] {
        assert_eq!(headers[&format!("x-prometheus-remote-write-{name}-written")], count, "{name}");
    }
    assert_eq!(server.samples(UP), [(NOW - 1, 0.5), (NOW, 1.5)], "the series that 1.0 made");
    assert_eq!(columns(&server, "up").starts, [NO_START, NOW - 60_000]);
    assert_eq!(columns(&server, "own_start").starts, [NO_START, NOW - 5]);
    assert!(value_at(&server, "hist", NOW).await.contains("\"count\":\"6\""));
    let (_, exemplars) = send(server.get("/api/v1/query_exemplars?query=up")).await;
    assert!(
        exemplars.contains(r#"[{"labels":{"trace_id":"t1"},"value":"9","timestamp":1775643330}]"#),
        "{exemplars}"
    );
    let store = server.stores.of("default");
    let metadata = store.0.metadata("up").unwrap();
    assert_eq!((metadata.metric_type.as_str(), metadata.help.as_str()), ("counter", "Requests."));
    assert_eq!(store.0.metadata("classic").unwrap().metric_type.as_str(), "histogram");
    assert!(store.0.metadata("classic_bucket").is_none());
}

#[tokio::test]
async fn version_2_stores_what_is_good_and_names_what_is_not() {
    let server = start(config()).await;
    let mut request = Request::new();
    let long = request.refs(&[("trace_id", &"x".repeat(121))]);
    request.add(
        &[("__name__", "good")],
        &[sample(1.0, NOW), field(4, &[long, double(2, 1.0)].concat())].concat(),
    );
    request.add(&[("job", "x")], &sample(1.0, NOW));
    request.add(&[("__name__", "twice"), ("a", "1"), ("a", "2")], &sample(1.0, NOW));
    let response = write_2(&server, &request.body()).send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["x-prometheus-remote-write-samples-written"], "1");
    assert_eq!(response.headers()["x-prometheus-remote-write-exemplars-written"], "0");
    let text = response.text().await.unwrap();
    for part in [
        "2 samples were refused, 1 were stored",
        "missing_metric_name: 1",
        "duplicate_label: 1",
        "1 exemplars were refused",
        "good: exemplar at 1775643330000 ms: the labels have more than 128 characters, which max_exemplar_chars allows",
    ] {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
    assert_eq!(server.samples(&[("__name__", "good")]), [(NOW, 1.0)]);
}

#[tokio::test]
async fn version_2_refuses_references_to_nothing_and_to_too_much() {
    let mut config = config();
    config.limits.ingest.max_symbols_per_request = Limit::at(100);
    config.limits.ingest.max_decoded_bytes = Limit::at(100_000);
    let server = start(config).await;
    let refs = |refs: &[u64]| field(1, &refs.iter().flat_map(|r| varint(*r)).collect::<Vec<_>>());
    let symbols = [field(4, b""), field(4, b"__name__"), field(4, b"m")].concat();
    let with = |refs: Vec<u8>| [symbols.clone(), field(5, &[refs, sample(1.0, NOW)].concat())].concat();
    let large = [field(4, b""), field(4, b"__name__"), field(4, "y".repeat(1_000).as_bytes())].concat();
    let many = field(5, &refs(&[1, 2].repeat(200)));
    let cases = [
        ("beyond the table", with(refs(&[1, 9])), 400, "a reference to a symbol has the impossible value 9"),
        ("odd", with(refs(&[1, 2, 1])), 400, "the number of references is odd"),
        ("a message of 1.0", series(UP, &[(NOW, 1.0)]), 400, "belong to remote write 1.0"),
        ("a long table", field(4, b"").repeat(101), 413, "max_symbols_per_request allows"),
        ("much text", [large, many].concat(), 413, "max_decoded_bytes allows"),
        ("truncated", with(refs(&[1, 2]))[..20].to_vec(), 400, "ends inside"),
    ];
    for (name, body, status, reason) in cases {
        let (found, text) = send(write_2(&server, &body)).await;
        assert_eq!(found.as_u16(), status, "{name}: {text}");
        assert!(text.contains(reason), "{name}: {text}");
    }
    assert_eq!(server.samples(&[("__name__", "m")]), [], "nothing of a refused request is stored");
    assert_eq!(send(write_2(&server, &with(refs(&[1, 2])))).await.0, 204);
}
