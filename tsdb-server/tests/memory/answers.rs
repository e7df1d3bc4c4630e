//! What answering costs in memory.

use crate::waves::Waves;
use crate::{HEAP, TURN};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tsdb_core::testing::ManualClock;
use tsdb_server::{Config, Limit, Period, Server};

const SERIES: usize = 550;
const STEPS: i64 = 11_000;
/// Unix seconds of the first step.
const START: i64 = 1_700_000_000;

/// Asks for all waves at all steps; the stream stands behind the request.
async fn ask() -> TcpStream {
    let mut config = Config { self_ingest_interval: Period::from_ms(0), ..Config::default() };
    config.limits.query.max_response_bytes = Limit::NONE;
    let waves = Waves::new(SERIES, START * 1_000, 10_000, STEPS / 10);
    let server = Server::new(config, Arc::new(waves), Arc::new(ManualClock::at(0))).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    tokio::spawn(tsdb_server::serve(listener, server, std::future::pending::<()>()));
    let end = START + STEPS - 1;
    let request = format!(
        "GET /api/v1/query_range?query=m&start={START}&end={end}&step=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

/// An answer of 200 MB costs what the engine's rows cost, and less and less of that; the JSON costs chunks.
#[tokio::test]
async fn a_large_answer_is_never_in_memory_as_text() {
    let _turn = TURN.lock().await;
    let mut client = ask().await;
    let mut buffer = vec![0; 64 << 10];
    let mut received = client.read(&mut buffer).await.unwrap();
    let head = String::from_utf8_lossy(&buffer[..received]).into_owned();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    let at_start = HEAP.reset_peak();
    let mut at_half = None;
    let mut tail = Vec::new();
    loop {
        let count = client.read(&mut buffer).await.unwrap();
        if count == 0 {
            break;
        }
        received += count;
        if received > 100_000_000 && at_half.is_none() {
            at_half = Some(HEAP.live());
        }
        tail.drain(..tail.len().saturating_sub(64));
        tail.extend_from_slice(&buffer[count.saturating_sub(64)..count]);
    }
    assert!(received > 200_000_000, "{received}");
    assert!(tail.ends_with(b"]]}]}}\r\n0\r\n\r\n"), "{}", String::from_utf8_lossy(&tail));
    let rows = SERIES * STEPS as usize * 16;
    let (extra, half) = (HEAP.peak() - at_start, at_half.unwrap());
    eprintln!("{received} bytes; {at_start} live at the start, {extra} more at most, {half} at half");
    assert!(at_start < rows + rows / 4 + (8 << 20), "{at_start} live at the start");
    assert!(extra < 1 << 20, "{extra} bytes more than at the start");
    assert!(half < at_start * 6 / 10, "{half} of {at_start} live when half is sent");
}
