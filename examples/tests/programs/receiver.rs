//! A receiver of HTTP requests that remembers what came and answers as the test says: well, late, wrongly or not at all.

use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How a request is answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// With a status, and perhaps a header line.
    Status(u16, &'static str),
    /// By a redirect to this address.
    Redirect(String),
    /// Not within the patience of the sender.
    Never,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Value,
}

/// A running receiver; it ends with the runtime of the test.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
}

struct State {
    answer: Answer,
    requests: Vec<Request>,
}

impl Receiver {
    pub(crate) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State { answer, requests: Vec::new() }));
        let receiver = Self { address, state };
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let receiver = serving.clone();
                // A sender that leaves is its own affair.
                tokio::spawn(async move { drop(receiver.serve(stream).await) });
            }
        });
        receiver
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on requests are answered so.
    pub(crate) fn answer(&self, answer: Answer) {
        self.state.lock().unwrap().answer = answer;
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    /// All alerts of all requests to an Alertmanager, in the order in which they came.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        let bodies = self.requests().into_iter().map(|request| request.body);
        bodies.flat_map(|body| body.as_array().cloned().unwrap_or_default()).collect()
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            let Some(request) = read(&mut stream).await? else { return Ok(()) };
            let answer = {
                let mut state = self.state.lock().unwrap();
                state.requests.push(request);
                state.answer.clone()
            };
            let (status, header) = match answer {
                Answer::Status(status, "") => (status, String::new()),
                Answer::Status(status, header) => (status, format!("{header}\r\n")),
                Answer::Redirect(to) => (307, format!("Location: {to}\r\n")),
                Answer::Never => {
                    tokio::time::sleep(Duration::from_secs(3_600)).await;
                    return Ok(());
                }
            };
            let said = "because the test says so";
            let text = format!("HTTP/1.1 {status} x\r\n{header}Content-Length: {}\r\n\r\n{said}", said.len());
            stream.write_all(text.as_bytes()).await?;
        }
    }
}

/// The next request of a connection; `None` if it ended.
async fn read(stream: &mut TcpStream) -> std::io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    let head_len = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_len]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let end = head_len + length.parse::<usize>().unwrap();
    while bytes.len() < end {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    // Values of headers keep their case.
    let head = String::from_utf8_lossy(&bytes[..head_len]).into_owned();
    Ok(Some(Request { head, body: serde_json::from_slice(&bytes[head_len..end]).unwrap_or(Value::Null) }))
}
