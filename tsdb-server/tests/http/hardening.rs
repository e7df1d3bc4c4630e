//! Clients that leave, stall, trickle, flood or speak something else, over real sockets.

use crate::harness::{NOW, Running, SLOW_PREFIX, config, send, start};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tsdb_core::Labels;
use tsdb_server::{Limit, Period};

/// Longer than anything here takes, and shorter than the defaults that would end it.
const PATIENCE: Duration = Duration::from_secs(30);

async fn open(server: &Running, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    drop(stream.write_all(bytes).await);
    stream
}

/// What the server sends until it closes the connection, which it must.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the server keeps the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn is_well(server: &Running) -> bool {
    send(server.get("/api/v1/query?query=1")).await.0 == 200
}

#[tokio::test]
async fn a_query_whose_client_leaves_does_little_more_and_frees_its_place() {
    let mut config = config();
    config.limits.query.concurrency = Limit::at(1);
    let server = start(config).await;
    let store = server.stores.of("default");
    for number in 0..400 {
        let (name, number) = (format!("{SLOW_PREFIX}m"), number.to_string());
        let labels = Labels::from_pairs([("__name__", name.as_str()), ("n", number.as_str())]).unwrap();
        store.0.put(&labels, NOW, 1.0);
    }
    let path = format!("/api/v1/query?query=sum({SLOW_PREFIX}m)&time={}", NOW / 1_000);
    let leaving = open(&server, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
    while store.slow_reads() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let before = store.slow_reads();
    drop(leaving);
    assert!(is_well(&server).await, "the only place is free");
    // A read takes 50 ms. Two may have begun, one on each of two threads, and as many before the server heard of it.
    let after = store.slow_reads() - before;
    assert!(after <= 8, "{after} reads of 50 ms after the client had left");
}

#[tokio::test]
async fn a_head_or_a_body_that_trickles_in_is_given_up() {
    let mut config = config();
    config.http.header_timeout = Period::from_ms(150);
    config.limits.ingest.body_timeout = Period::from_ms(150);
    let server = start(config).await;
    let head = b"POST /v1/metrics/push HTTP/1.1\r\nHost: x\r\n";
    let mut slow = open(&server, head).await;
    let (mut from, mut to) = slow.split();
    let trickle = async {
        while to.write_all(b"X-A: b\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = trickle => {}
        _ = from.read_to_end(&mut answer) => {}
        () = tokio::time::sleep(PATIENCE) => panic!("the server waits for ever"),
    }
    let mut body =
        open(&server, b"POST /v1/metrics/push HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{").await;
    assert!(rest(&mut body).await.starts_with("HTTP/1.1 408 "));
    assert!(is_well(&server).await);
}

#[tokio::test]
async fn silent_and_half_open_connections_are_closed_and_free_their_places() {
    let mut config = config();
    config.http.header_timeout = Period::from_ms(150);
    config.http.max_connections = 4;
    let server = start(config).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(open(&server, b"").await);
    }
    assert!(is_well(&server).await, "once the silent ones are closed");
    for stream in &mut silent {
        rest(stream).await;
    }
    let mut half = open(&server, b"GET /api/v1/query?query=1 HTTP/1.1\r\nHost: x\r\n").await;
    half.shutdown().await.unwrap();
    rest(&mut half).await;
    let mut idle = open(&server, b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(
        rest(&mut idle).await.starts_with("HTTP/1.1 200 "),
        "an answer, and then the end of the idle connection"
    );
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_no_more() {
    let mut config = config();
    config.http.max_connections_per_address = 8;
    let server = start(config.clone()).await;
    let mut kept = Vec::new();
    for _ in 0..8 {
        let mut stream = open(&server, b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        kept.push(stream);
    }
    for _ in 0..100 {
        let mut refused = open(&server, b"").await;
        assert_eq!(rest(&mut refused).await, "");
    }
    drop(kept);
    let (_, metrics) = loop {
        // The server takes a moment to hear that the others are gone.
        match server.get("/metrics").send().await {
            Ok(response) => break (response.status(), response.text().await.unwrap()),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let refused =
        metrics.lines().find(|line| line.starts_with("tsdb_http_refused_connections_total ")).unwrap();
    assert!(refused.rsplit(' ').next().unwrap().parse::<f64>().unwrap() >= 100.0, "{refused}");
    config.access.trusted_networks = vec!["127.0.0.1".parse().unwrap()];
    let trusting = start(config).await;
    let mut many = Vec::new();
    for _ in 0..20 {
        many.push(open(&trusting, b"").await);
    }
    assert!(is_well(&trusting).await, "a network that is trusted by name has no such limit");
}

#[tokio::test]
async fn floods_of_headers_are_refused() {
    let server = start(config()).await;
    let many: String = (0..200).map(|number| format!("X-{number}: x\r\n")).collect();
    let large = format!("X-Large: {}\r\n", "x".repeat(200 << 10));
    for flood in [many, large] {
        let head = format!("GET /api/v1/query?query=1 HTTP/1.1\r\nHost: x\r\n{flood}\r\n");
        let mut stream = open(&server, head.as_bytes()).await;
        let mut answer = [0; 12];
        match stream.read_exact(&mut answer).await {
            Ok(_) => assert_eq!(&answer, b"HTTP/1.1 431"),
            // It was closed while the rest of the flood was under way.
            Err(error) => assert!(flood.len() > 128 << 10, "{error}"),
        }
    }
    let few = format!(
        "GET /-/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-A: {}\r\n\r\n",
        "x".repeat(30 << 10)
    );
    assert!(rest(&mut open(&server, few.as_bytes()).await).await.starts_with("HTTP/1.1 200 "));
    assert!(is_well(&server).await);
}

#[tokio::test]
async fn http_2_is_not_spoken() {
    let server = start(config()).await;
    let mut two = open(&server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let answer = rest(&mut two).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 505"),
        "{answer}"
    );
    let upgrade = b"GET /-/ready HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\
                    Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let answer = rest(&mut open(&server, upgrade).await).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
