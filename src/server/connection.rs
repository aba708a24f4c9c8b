//! Accepts connections and serves HTTP/1.1 on each, until told to stop.
//!
//! HTTP/1.1 only: nothing that writes to this server needs HTTP/2, and its rapid resets cannot happen. The head of a
//! request is bounded in bytes, headers and time; the time also ends connections that are idle.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Bytes and headers of the head of a request.
const HEAD_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;
/// Bytes that a connection buffers; at least those of a head.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// Pause after a failed accept, such as for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How connections are served.
pub(super) struct Connections {
    pub(super) router: Router,
    pub(super) connections_max: usize,
    pub(super) head_timeout: Duration,
    pub(super) shutdown_grace: Duration,
}

impl Connections {
    /// Serves until `stop` becomes true; then lets requests in flight finish within the grace period.
    pub(super) async fn serve(self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let slots = Arc::new(Semaphore::new(self.connections_max.max(1)));
        let mut connections = JoinSet::new();
        loop {
            let stream = tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                accepted = accept(&listener, &slots) => accepted,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            };
            let (stream, slot) = stream;
            let connection = serve_one(stream, self.router.clone(), self.head_timeout, stop.clone());
            connections.spawn(async move {
                connection.await;
                drop(slot);
            });
        }
        // From here on the port refuses connections.
        drop(listener);
        let finished = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(self.shutdown_grace, finished).await.is_err() {
            tracing::warn!(open = connections.len(), "connections were closed before their requests had finished");
            connections.abort_all();
        }
    }
}

/// Completes when the server is told to stop, or is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Waits for a free slot, then for a connection.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, tokio::sync::OwnedSemaphorePermit) {
    let slot = Arc::clone(slots).acquire_owned().await.expect("the semaphore of connections is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn serve_one(stream: TcpStream, router: Router, head_timeout: Duration, mut stop: watch::Receiver<bool>) {
    // Answers are small and written at once; waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
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
