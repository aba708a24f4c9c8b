//! Accepts connections and serves HTTP/1.1 on each, until told to stop.
//!
//! HTTP/1.1 only: nothing that writes to this server needs HTTP/2, and its rapid resets cannot happen. The head of a
//! request is bounded in bytes, headers and time, an idle connection in time; see `stream.rs`. When all connections are
//! taken, a new one takes the place of the one that has been without a request for longest, so that who opens many and says
//! nothing keeps nobody out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use prometheus::IntGauge;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

use super::stream::{Activity, KeepingBody, StreamTimes, TimedStream};
use super::tls::Tls;
use super::writer_thread::WriterThreads;

/// Bytes that a connection buffers; at least those of a head.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// Pause after a failed accept, such as for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How connections are served.
pub(super) struct Connections {
    pub(super) router: Router,
    pub(super) connections_max: usize,
    pub(super) times: StreamTimes,
    /// Bytes and headers of the head of a request.
    pub(super) head_bytes_max: usize,
    pub(super) headers_max: usize,
    pub(super) tls: Option<Arc<Tls>>,
    /// How many are open.
    pub(super) open: IntGauge,
    /// For connections that write.
    pub(super) writers: WriterThreads,
    pub(super) shutdown_grace: Duration,
}

/// Connections that are open, and how to end each.
#[derive(Debug, Default)]
struct OpenConnections {
    by_id: Mutex<HashMap<u64, OpenConnection>>,
}

#[derive(Debug)]
struct OpenConnection {
    activity: Arc<Activity>,
    end: Arc<Notify>,
}

impl OpenConnections {
    /// Ends the connection that has been without a request for longest.
    fn end_idlest(&self) {
        let open = self.by_id.lock();
        let idle = open.values().filter_map(|one| Some((one.activity.idle_since()?, &one.end)));
        if let Some((_, end)) = idle.min_by_key(|(since, _)| *since) {
            end.notify_one();
        }
    }
}

impl Connections {
    /// Serves until `stop` becomes true; then lets requests in flight finish within the grace period.
    pub(super) async fn serve(self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let slots = Arc::new(Semaphore::new(self.connections_max.max(1)));
        let open = Arc::new(OpenConnections::default());
        let shutdown_grace = self.shutdown_grace;
        let this = Arc::new(self);
        let mut connections = JoinSet::new();
        for id in 0.. {
            // One future to its end: given up half way, it would lose a connection that waits for its place.
            let mut accepting = std::pin::pin!(accept(&listener, &slots, &open));
            let accepted = loop {
                tokio::select! {
                    biased;
                    () = stopped(&mut stop) => break None,
                    accepted = accepting.as_mut() => break Some(accepted),
                    Some(_) = connections.join_next(), if !connections.is_empty() => {}
                }
            };
            let Some((stream, slot)) = accepted else { break };
            let (this, open, stop) = (Arc::clone(&this), Arc::clone(&open), stop.clone());
            connections.spawn(async move {
                let (activity, end) = (Activity::new(), Arc::new(Notify::new()));
                this.open.inc();
                let this_one = OpenConnection { activity: Arc::clone(&activity), end: Arc::clone(&end) };
                open.by_id.lock().insert(id, this_one);
                tokio::select! {
                    () = Arc::clone(&this).serve_one(stream, activity, stop) => {}
                    () = end.notified() => tracing::debug!("an idle connection was closed for a new one"),
                }
                open.by_id.lock().remove(&id);
                this.open.dec();
                drop(slot);
            });
        }
        // From here on the port refuses connections.
        drop(listener);
        let finished = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(shutdown_grace, finished).await.is_err() {
            tracing::warn!(open = connections.len(), "connections were closed before their requests had finished");
            connections.abort_all();
        }
    }

    async fn serve_one(self: Arc<Self>, stream: TcpStream, activity: Arc<Activity>, mut stop: watch::Receiver<bool>) {
        // Answers are small and written at once; waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        if self.tls.is_none() {
            let thread = tokio::select! {
                thread = tokio::time::timeout(self.times.idle_max, self.writers.thread_for(&stream)) => thread,
                () = stopped(&mut stop) => return,
            };
            match thread {
                Ok(Some(thread)) => {
                    let serve = move |stream| async move { self.serve_stream(stream, activity, stop).await };
                    return thread.serve(stream, serve).await;
                }
                Ok(None) => {}
                Err(_) => return tracing::debug!("a connection ended without a request"),
            }
        }
        self.serve_stream(stream, activity, stop).await;
    }

    async fn serve_stream(&self, stream: TcpStream, activity: Arc<Activity>, stop: watch::Receiver<bool>) {
        let stream = TimedStream::new(stream, self.times, Arc::clone(&activity));
        let Some(tls) = &self.tls else { return self.serve_http(stream, activity, stop).await };
        match tls.acceptor().accept(stream).await {
            Ok(stream) => {
                activity.set_idle();
                self.serve_http(stream, activity, stop).await;
            }
            Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
        }
    }

    async fn serve_http(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        activity: Arc<Activity>,
        mut stop: watch::Receiver<bool>,
    ) {
        let router = TowerToHyperService::new(self.router.clone());
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let guard = activity.begin_request();
            let answer = router.call(request);
            async move { answer.await.map(|answer| answer.map(|body| Body::new(KeepingBody::new(body, guard)))) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // The stream knows when a head begins; hyper would count the time before it too.
            .header_read_timeout(None)
            .max_headers(self.headers_max)
            .max_header_size(self.head_bytes_max)
            .max_buf_size(BUFFER_BYTES_MAX.max(self.head_bytes_max))
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = stopped(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a connection ended with an error");
        }
    }
}

/// Completes when the server is told to stop, or is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Waits for a connection, and for a place for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    open: &OpenConnections,
) -> (TcpStream, tokio::sync::OwnedSemaphorePermit) {
    let stream = loop {
        match listener.accept().await {
            Ok((stream, _)) => break stream,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    };
    if slots.available_permits() == 0 {
        open.end_idlest();
    }
    let slot = Arc::clone(slots).acquire_owned().await.expect("the semaphore of connections is never closed");
    (stream, slot)
}
