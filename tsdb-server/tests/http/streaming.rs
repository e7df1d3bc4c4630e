//! Answers too large for one piece: what comes is whole, and clients that do not take it hold nobody up.

use crate::harness::{Running, config, send, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tsdb_core::Labels;
use tsdb_server::{Limit, Period};

const SERIES: i64 = 60;
const STEPS: i64 = 11_000;

/// A range query whose answer, of more than 20 MB, fits no buffer between two programs.
const LARGE: &str = "/api/v1/query_range?query=large&start=0&end=10999&step=1";

fn load(server: &Running) {
    let store = server.stores.of("default");
    for number in 0..SERIES {
        let labels =
            Labels::from_pairs([("__name__", "large"), ("n", format!("{number:02}").as_str())]).unwrap();
        for minute in 0..STEPS / 60 + 1 {
            store.0.put(&labels, minute * 60_000, (number * minute) as f64 / 7.0);
        }
    }
}

/// Sends the large query by hand; nothing of the answer is read.
async fn ask(server: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(format!("GET {LARGE} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_streamed_answer_is_whole_and_reads_like_a_small_one() {
    let server = start(config()).await;
    load(&server);
    let response = server.get(LARGE).send().await.unwrap();
    assert_eq!(response.headers()["transfer-encoding"], "chunked");
    assert_eq!(response.headers()["content-type"], "application/json");
    let large = response.text().await.unwrap();
    let answer: serde_json::Value = serde_json::from_str(&large).unwrap();
    let rows = answer["data"]["result"].as_array().unwrap();
    assert_eq!(rows.len() as i64, SERIES);
    assert!(rows.iter().all(|row| row["values"].as_array().unwrap().len() as i64 == STEPS));
    let few = "/api/v1/query_range?query=large&start=0&end=100&step=1";
    let (_, small) = send(server.get(few)).await;
    let few_points = &small[..small.find("]]},").unwrap()];
    assert!(large.starts_with(few_points), "the same bytes, as far as they go");
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_refused_before_any_of_it_is_sent() {
    let mut config = config();
    config.limits.query.max_response_bytes = Limit::at(10_000_000);
    let server = start(config).await;
    load(&server);
    let (status, body) = send(server.get(LARGE)).await;
    assert_eq!(status, 422, "{body}");
    assert!(body.contains("bytes, max_response_bytes allows 10000000"), "{body}");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_frees_its_place() {
    let mut config = config();
    config.limits.query.concurrency = Limit::at(1);
    let server = start(config).await;
    load(&server);
    let mut leaving = ask(&server).await;
    let mut head = [0; 1024];
    leaving.read_exact(&mut head).await.unwrap();
    drop(leaving);
    // The only place for a query is free again, although nobody took the rest of the answer.
    assert_eq!(send(server.get("/api/v1/query?query=1")).await.0, 200);
}

#[tokio::test]
async fn a_client_that_takes_nothing_loses_its_connection_and_its_place() {
    let mut config = config();
    config.limits.query.concurrency = Limit::at(1);
    config.http.write_timeout = Period::from_ms(200);
    let server = start(config).await;
    load(&server);
    let mut idle = ask(&server).await;
    // Waits for its turn behind the answer that nobody takes.
    assert_eq!(send(server.get("/api/v1/query?query=1")).await.0, 200);
    let mut rest = Vec::new();
    let ended = idle.read_to_end(&mut rest).await;
    assert!(ended.is_err() || !rest.ends_with(b"0\r\n\r\n"), "what came of the answer has no end");
}
