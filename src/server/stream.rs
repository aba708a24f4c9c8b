//! The bytes of a connection under time: nobody holds one by sending or reading nothing.
//!
//! A connection is idle (between requests), in the head of a request, or in a request. The head has its time from its first
//! byte on, idle connections have theirs, and inside a request the reader of its body looks after the time. An answer that
//! its client does not read is cut: a client has to take [`STALL_BYTES`] within the time for stalls, whatever it reads of.
//! What is watched are the bytes of the socket, below TLS, so that a handshake is under the same rules.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes that a client has to take in the time for stalls.
const STALL_BYTES: usize = 64 << 10;

/// Times of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamTimes {
    /// Between two requests.
    pub(super) idle_max: Duration,
    /// From the first byte of a head to its last.
    pub(super) head_max: Duration,
    /// For a client to take some of an answer.
    pub(super) stall_max: Duration,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Head,
    Request,
}

/// What a connection is doing, and since when; shared by its socket and its service.
#[derive(Debug)]
pub(super) struct Activity(Mutex<ActivityState>);

#[derive(Debug)]
struct ActivityState {
    phase: Phase,
    since: Instant,
    /// Who waits for bytes without a deadline, because there was a request.
    reader: Option<Waker>,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(ActivityState { phase: Phase::Idle, since: Instant::now(), reader: None })))
    }

    /// The connection waits for the next request.
    pub(super) fn set_idle(&self) {
        let mut state = self.0.lock();
        (state.phase, state.since) = (Phase::Idle, Instant::now());
        // From now on there is a deadline, which the reader does not know of.
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    /// A head was read; the request lasts until the guard is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> RequestGuard {
        let mut state = self.0.lock();
        (state.phase, state.since) = (Phase::Request, Instant::now());
        RequestGuard(Arc::clone(self))
    }

    /// Since when the connection has been without a request; `None` while it has one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.0.lock();
        (state.phase != Phase::Request).then_some(state.since)
    }

    /// Notes that bytes came; returns whether they begin a request.
    fn bytes_came(&self) -> bool {
        let mut state = self.0.lock();
        let is_new = state.phase == Phase::Idle;
        if is_new {
            (state.phase, state.since) = (Phase::Head, Instant::now());
        }
        is_new
    }

    /// Until when bytes have to come; without a deadline, who waits is woken when there is one.
    fn read_deadline(&self, times: &StreamTimes, context: &Context<'_>) -> Option<Instant> {
        let mut state = self.0.lock();
        match state.phase {
            Phase::Idle => Some(state.since + times.idle_max),
            Phase::Head => Some(state.since + times.head_max),
            Phase::Request => {
                state.reader = Some(context.waker().clone());
                None
            }
        }
    }
}

/// Ends a request when its answer was sent, or given up.
#[derive(Debug)]
pub(super) struct RequestGuard(Arc<Activity>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.set_idle();
    }
}

/// The body of an answer, which keeps something until it was sent.
pub(super) struct KeepingBody<T> {
    body: Body,
    _kept: T,
}

impl<T> KeepingBody<T> {
    pub(super) fn new(body: Body, kept: T) -> Self {
        Self { body, _kept: kept }
    }
}

impl<T: Unpin> HttpBody for KeepingBody<T> {
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

/// A socket under time; see the module.
pub(super) struct TimedStream<S> {
    stream: S,
    times: StreamTimes,
    activity: Arc<Activity>,
    read_timer: Pin<Box<Sleep>>,
    /// Runs while a client does not take what is written.
    stall: Option<Stall>,
}

struct Stall {
    timer: Pin<Box<Sleep>>,
    taken_bytes: usize,
}

impl<S> TimedStream<S> {
    pub(super) fn new(stream: S, times: StreamTimes, activity: Arc<Activity>) -> Self {
        let read_timer = Box::pin(tokio::time::sleep(times.idle_max));
        Self { stream, times, activity, read_timer, stall: None }
    }

    /// What a write came to: an error when the client has not taken enough for too long.
    fn watch_write(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                if let Some(stall) = &mut self.stall {
                    stall.taken_bytes += bytes;
                    if stall.taken_bytes >= STALL_BYTES {
                        self.stall = None;
                    }
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let stall_max = self.times.stall_max;
                let stall = self
                    .stall
                    .get_or_insert_with(|| Stall { timer: Box::pin(tokio::time::sleep(stall_max)), taken_bytes: 0 });
                ready!(stall.timer.as_mut().poll(context));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(context, buffer) {
            // A client that asks again has read the answer before.
            if buffer.filled().len() > before && this.activity.bytes_came() {
                this.stall = None;
            }
            return Poll::Ready(result);
        }
        let Some(deadline) = this.activity.read_deadline(&this.times, context) else { return Poll::Pending };
        if this.read_timer.deadline() != deadline {
            this.read_timer.as_mut().reset(deadline);
        }
        ready!(this.read_timer.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no request came in time")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch_write(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch_write(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const TIMES: StreamTimes = StreamTimes {
        idle_max: Duration::from_millis(60),
        head_max: Duration::from_millis(20),
        stall_max: Duration::from_millis(30),
    };

    fn is_timeout<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
    }

    #[tokio::test]
    async fn idle_connections_and_slow_heads_end_and_requests_do_not() {
        let (mut client, socket) = duplex(1024);
        let activity = Activity::new();
        let mut stream = TimedStream::new(socket, TIMES, activity.clone());
        assert!(is_timeout(stream.read_u8().await), "nothing came");
        activity.set_idle();
        client.write_all(b"G").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'G');
        let since = activity.idle_since().unwrap();
        assert!(is_timeout(stream.read_u8().await), "the head did not end");
        assert!(since.elapsed() >= TIMES.head_max);

        let request = activity.begin_request();
        assert!(activity.idle_since().is_none());
        let read = tokio::time::timeout(TIMES.idle_max * 4, stream.read_u8()).await;
        assert!(read.is_err(), "a request is not cut by the time of heads");
        drop(request);
        assert!(is_timeout(stream.read_u8().await), "after the request the connection is idle again");
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_is_cut_and_one_that_is_read_is_not() {
        let (mut client, socket) = duplex(1024);
        let mut stream = TimedStream::new(socket, TIMES, Activity::new());
        let answer = vec![7; 4 * STALL_BYTES];
        let reading = tokio::spawn(async move {
            let mut read = vec![0; 4 * STALL_BYTES];
            client.read_exact(&mut read).await.map(|_| client)
        });
        stream.write_all(&answer).await.unwrap();
        let _client = reading.await.unwrap().unwrap();
        assert!(is_timeout(stream.write_all(&answer).await));
    }
}
