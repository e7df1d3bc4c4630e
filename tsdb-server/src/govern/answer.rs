//! Answers that are held whole: the bytes of a body in pieces, shared by all who get them.

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The body of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pieces: Arc<[Bytes]>,
    bytes: usize,
}

impl Answer {
    /// The answer in these pieces.
    pub(crate) fn new(pieces: Vec<Bytes>) -> Self {
        let bytes = pieces.iter().map(Bytes::len).fold(0, usize::saturating_add);
        Self { pieces: pieces.into(), bytes }
    }

    /// The answer in one piece.
    #[cfg(test)]
    pub(crate) fn of(body: Vec<u8>) -> Self {
        Self::new(vec![body.into()])
    }

    /// Its length.
    pub(crate) const fn len(&self) -> usize {
        self.bytes
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let body = match &*self.pieces {
            [one] => Body::from(one.clone()),
            _ => Body::new(Pieces { left: self.bytes as u64, answer: self, next: 0 }),
        };
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

/// A body of several pieces.
struct Pieces {
    answer: Answer,
    next: usize,
    left: u64,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(piece) = self.answer.pieces.get(self.next).cloned() else { return Poll::Ready(None) };
        self.next = self.next.saturating_add(1);
        self.left = self.left.saturating_sub(piece.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.next >= self.answer.pieces.len()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn the_pieces_come_in_order_and_their_length_is_known() {
        let answer = Answer::new(vec!["{\"a\":".into(), "1".into(), "}".into()]);
        assert_eq!(answer.len(), 7);
        let body = answer.into_response().into_body();
        assert_eq!(HttpBody::size_hint(&body).exact(), Some(7));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "{\"a\":1}");
    }
}
