//! The rest of a body that no handler read.
//!
//! A request may be refused for its path, method, head or credentials before anybody looks at its body. Were the rest left in
//! the connection, the connection would have to end, and its sender might find it reset instead of reading the answer. So
//! every body comes back here when its handler drops it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;

/// Where the rest of a body comes back to.
#[derive(Debug, Clone, Default)]
pub(super) struct UnreadBody(Arc<Mutex<Option<Body>>>);

impl UnreadBody {
    /// The request with a body that gives its rest back.
    pub(super) fn of(request: Request) -> (Request, Self) {
        let rest = Self::default();
        let request = request.map(|body| Body::new(Lent { body, owner: rest.clone() }));
        (request, rest)
    }

    /// What is left, once the handler is done with it.
    pub(super) fn take(&self) -> Option<Body> {
        self.0.lock().take()
    }
}

/// A body in the hands of a handler.
struct Lent {
    body: Body,
    owner: UnreadBody,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            *self.owner.0.lock() = Some(std::mem::take(&mut self.body));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    fn request() -> Request {
        let chunks = ["one", "two", "three"].map(|chunk| Ok::<_, std::io::Error>(Bytes::from(chunk)));
        Request::new(Body::from_stream(futures::stream::iter(chunks)))
    }

    #[tokio::test]
    async fn what_a_handler_leaves_comes_back_and_nothing_else() {
        let (lent, rest) = UnreadBody::of(request());
        let mut stream = lent.into_body().into_data_stream();
        assert_eq!(stream.next().await.unwrap().unwrap(), "one");
        assert!(rest.take().is_none(), "the handler still has it");
        drop(stream);
        let left: Vec<_> = rest.take().unwrap().into_data_stream().map(Result::unwrap).collect().await;
        assert_eq!(left, ["two", "three"]);
        let (lent, rest) = UnreadBody::of(Request::new(Body::empty()));
        drop(lent);
        assert!(rest.take().is_none(), "there is nothing to read");
    }
}
