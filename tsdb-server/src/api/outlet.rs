//! The way out of an answer: whole if it is small, else in chunks that wait for the client.
//!
//! Whoever writes an answer on a thread for queries writes into [`Outlet::buffer`] and calls [`Outlet::pass`] between
//! any two pieces. As long as the answer fits one chunk nothing is sent, so it can still become an error with a status
//! of its own. From then on each full chunk goes to a short queue that the connection empties: a slow client holds up
//! the writer, not memory, and a client that left stops it with [`Stop::Gone`].
//!
//! An answer that breaks off behind its first chunk ends the connection without the end of the body, which tells the
//! client that it is not whole.

use crate::error::ApiError;
use crate::govern::{Answer, Delivered};
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::IntoResponse;
use hyper::body::{Body as HttpBody, Frame};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::{mpsc, oneshot};

/// Bytes of a chunk, about.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;

/// Chunks that wait between the writer and the connection.
pub(crate) const QUEUED_CHUNKS: usize = 2;

/// Room behind a chunk for the piece that fills it.
const SLACK_BYTES: usize = 4 << 10;

/// Why an answer is not written to its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It cannot be given; the client is told if it has heard nothing yet.
    Failed(ApiError),
    /// Nobody is there to take it.
    Gone,
}

impl<E: Into<ApiError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What waits for the first chunk or the whole of an answer.
pub(crate) type Waiter = oneshot::Sender<Result<Delivered, ApiError>>;

/// The way out of one answer.
#[derive(Debug)]
pub(crate) struct Outlet {
    buffer: Vec<u8>,
    way: Way,
    /// Bytes that left the buffer while it was only measured.
    measured: Option<usize>,
    /// Bytes of a whole answer, more or less.
    whole_bytes: usize,
}

#[derive(Debug)]
enum Way {
    /// Nothing is sent: what is behind the chunks kept so far is in the buffer.
    Whole(Waiter, Vec<Bytes>),
    Chunks(mpsc::Sender<Piece>),
}

#[derive(Debug)]
enum Piece {
    Chunk(Bytes),
    End,
}

impl Outlet {
    /// An answer of which nothing is written.
    pub(crate) fn new(waiter: Waiter) -> Self {
        Self::keeping(waiter, CHUNK_BYTES)
    }

    /// As [`new`](Self::new); an answer is sent whole up to about `whole_bytes`.
    pub(crate) fn keeping(waiter: Waiter, whole_bytes: usize) -> Self {
        let way = Way::Whole(waiter, Vec::new());
        Self { buffer: Vec::with_capacity(1 << 10), way, measured: None, whole_bytes }
    }

    /// Where to write the next piece.
    pub(crate) const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Sends the buffer if it is full, and waits until there is room for it.
    ///
    /// # Errors
    /// [`Stop::Gone`].
    #[inline]
    pub(crate) fn pass(&mut self) -> Result<(), Stop> {
        if self.buffer.len() < CHUNK_BYTES { Ok(()) } else { self.flush() }
    }

    /// How many bytes `write` writes. Nothing of it is sent.
    ///
    /// # Errors
    /// Those of `write`.
    pub(crate) fn measure(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), Stop>,
    ) -> Result<usize, Stop> {
        let kept = std::mem::take(&mut self.buffer);
        self.measured = Some(0);
        let outcome = write(self);
        let measured = self.measured.take().unwrap_or_default();
        let rest = std::mem::replace(&mut self.buffer, kept).len();
        outcome.map(|()| measured.saturating_add(rest))
    }

    /// Sends what is left and the end, or why there is no answer.
    pub(crate) fn finish(self, outcome: Result<(), Stop>) {
        match (self.way, outcome) {
            (_, Err(Stop::Gone)) => {}
            // A send fails if the client has left; then nobody misses it.
            (Way::Whole(waiter, mut kept), Ok(())) => {
                kept.push(self.buffer.into());
                drop(waiter.send(Ok(Delivered::Whole(Answer::new(kept)))));
            }
            (Way::Whole(waiter, _), Err(Stop::Failed(error))) => drop(waiter.send(Err(error))),
            (Way::Chunks(queue), Ok(())) => {
                if queue.blocking_send(Piece::Chunk(self.buffer.into())).is_ok() {
                    drop(queue.blocking_send(Piece::End));
                }
            }
            (Way::Chunks(_), Err(Stop::Failed(error))) => log::warn!("an answer breaks off: {error}"),
        }
    }

    #[cold]
    fn flush(&mut self) -> Result<(), Stop> {
        if let Some(measured) = &mut self.measured {
            *measured = measured.saturating_add(self.buffer.len());
            self.buffer.clear();
            return if self.is_wanted() { Ok(()) } else { Err(Stop::Gone) };
        }
        let fresh = Vec::with_capacity(CHUNK_BYTES.saturating_add(SLACK_BYTES));
        let chunk = Bytes::from(std::mem::replace(&mut self.buffer, fresh));
        if let Way::Whole(waiter, kept) = &mut self.way
            && kept.len().saturating_add(2).saturating_mul(CHUNK_BYTES) <= self.whole_bytes
        {
            kept.push(chunk);
            return if waiter.is_closed() { Err(Stop::Gone) } else { Ok(()) };
        }
        self.queue()?.blocking_send(Piece::Chunk(chunk)).map_err(|_| Stop::Gone)
    }

    /// The queue, whose other end becomes the body of the response when it is first needed.
    fn queue(&mut self) -> Result<&mpsc::Sender<Piece>, Stop> {
        if let Way::Whole(..) = self.way {
            let (queue, pieces) = mpsc::channel(QUEUED_CHUNKS);
            let body = Body::new(ChunkedBody { pieces });
            let head = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
            if let Way::Whole(waiter, kept) = std::mem::replace(&mut self.way, Way::Chunks(queue.clone())) {
                waiter.send(Ok(Delivered::Stream(head))).map_err(|_| Stop::Gone)?;
                for chunk in kept {
                    queue.blocking_send(Piece::Chunk(chunk)).map_err(|_| Stop::Gone)?;
                }
            }
        }
        match &self.way {
            Way::Chunks(queue) => Ok(queue),
            Way::Whole(..) => Err(Stop::Gone),
        }
    }

    fn is_wanted(&self) -> bool {
        match &self.way {
            Way::Whole(waiter, _) => !waiter.is_closed(),
            Way::Chunks(queue) => !queue.is_closed(),
        }
    }
}

/// The body of a response that is still being written.
struct ChunkedBody {
    pieces: mpsc::Receiver<Piece>,
}

/// The writer ended before the answer did.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
struct BrokenOff;

impl HttpBody for ChunkedBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        Poll::Ready(match ready!(self.pieces.poll_recv(context)) {
            Some(Piece::Chunk(chunk)) => Some(Ok(Frame::data(chunk))),
            Some(Piece::End) => None,
            None => Some(Err(BrokenOff)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::thread;

    struct Waiting(oneshot::Receiver<Result<Delivered, ApiError>>);

    impl Waiting {
        async fn response(self) -> Result<axum::response::Response, ApiError> {
            Ok(match self.0.await.unwrap()? {
                Delivered::Whole(answer) => answer.into_response(),
                Delivered::Stream(response) => response,
            })
        }
    }

    fn outlet() -> (Outlet, Waiting) {
        let (answer, answered) = oneshot::channel();
        (Outlet::new(answer), Waiting(answered))
    }

    fn fill(outlet: &mut Outlet, chunks: usize) -> Result<(), Stop> {
        for _ in 0..chunks {
            outlet.buffer().resize(CHUNK_BYTES, b'x');
            outlet.pass()?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_fits_one_chunk_is_sent_whole_or_becomes_an_error() {
        let (mut small, answered) = outlet();
        small.buffer().extend_from_slice(b"{}");
        small.finish(Ok(()));
        let response = answered.response().await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{}");
        let (mut failed, answered) = outlet();
        failed.buffer().extend_from_slice(b"{\"half\":");
        failed.finish(Err(ApiError::bad_data("no").into()));
        assert_eq!(answered.response().await.unwrap_err(), ApiError::bad_data("no"));
    }

    #[tokio::test]
    async fn a_writer_is_never_further_ahead_than_the_queue() {
        let (mut outlet, answered) = outlet();
        let (passed, mut progress) = mpsc::unbounded_channel();
        let writer = thread::spawn(move || {
            for chunk in 0..10 {
                fill(&mut outlet, 1).unwrap();
                passed.send(chunk).unwrap();
            }
            outlet.finish(Ok(()));
        });
        let mut body = answered.response().await.unwrap().into_body();
        for taken in 0..10 {
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap().len(), CHUNK_BYTES);
            while let Ok(written) = progress.try_recv() {
                assert!(written <= taken + QUEUED_CHUNKS + 1, "{written} written, {taken} taken");
            }
        }
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 0);
        assert!(body.frame().await.is_none());
        writer.join().unwrap();
    }

    #[tokio::test]
    async fn a_client_that_leaves_stops_the_writer() {
        let (mut outlet, answered) = outlet();
        let writer = thread::spawn(move || fill(&mut outlet, usize::MAX));
        drop(answered.response().await);
        assert!(matches!(writer.join().unwrap(), Err(Stop::Gone)));
        let (mut early, answered) = self::outlet();
        drop(answered);
        assert!(matches!(early.measure(|out| fill(out, 1)), Err(Stop::Gone)), "measuring stops too");
        assert!(matches!(fill(&mut early, 1), Err(Stop::Gone)));
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_has_no_end() {
        let (mut outlet, answered) = outlet();
        thread::spawn(move || {
            fill(&mut outlet, 1).unwrap();
            outlet.finish(Err(ApiError::bad_data("late").into()));
        });
        let body = answered.response().await.unwrap().into_body();
        assert!(body.collect().await.is_err());
    }

    #[tokio::test]
    async fn measuring_counts_and_sends_nothing() {
        let (mut outlet, answered) = outlet();
        outlet.buffer().extend_from_slice(b"kept");
        assert_eq!(
            outlet
                .measure(|out| {
                    fill(out, 3)?;
                    out.buffer().push(b'y');
                    Ok(())
                })
                .unwrap(),
            3 * CHUNK_BYTES + 1
        );
        outlet.finish(Ok(()));
        let response = answered.response().await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "kept");
    }
}
