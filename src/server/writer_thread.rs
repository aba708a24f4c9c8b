//! Threads of their own for connections that write.
//!
//! A request of samples takes some hundred microseconds of work and waits for a sync of the log. Handed from the thread that
//! reads its socket to one that may block, and its answer back, it costs five wake-ups and as many task switches, a tenth of
//! all the work of the request. So a connection whose first bytes are those of a write gets a thread with a small runtime of
//! its own, and its jobs run right there: nobody else waits for that thread.
//!
//! Invariant: a job runs on the thread that calls it only where one connection has the thread for itself. A connection that
//! finds all threads taken, or begins with something else, or is encrypted, is served as any other.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// How a request of remote write begins.
const WRITE_HEAD: &[u8] = b"POST /api/v1/write";

/// The threads.
#[derive(Debug)]
pub(super) struct WriterThreads {
    free: Arc<Semaphore>,
}

/// One of the threads, for one connection.
#[derive(Debug)]
pub(super) struct WriterThread {
    _place: OwnedSemaphorePermit,
}

impl WriterThreads {
    pub(super) fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)) }
    }

    /// Waits for the first bytes of a connection; returns a thread for it when they are those of a write and one is free.
    pub(super) async fn thread_for(&self, stream: &TcpStream) -> Option<WriterThread> {
        let mut head = [0; WRITE_HEAD.len()];
        let byte_count = stream.peek(&mut head).await.ok()?;
        if head[..byte_count] != *WRITE_HEAD {
            return None;
        }
        Arc::clone(&self.free).try_acquire_owned().ok().map(|_place| WriterThread { _place })
    }
}

impl WriterThread {
    /// Serves a connection on the thread to its end. When the future is dropped before, the thread ends as soon as the
    /// connection waits for something.
    pub(super) async fn serve<F: Future<Output = ()>>(
        self,
        stream: TcpStream,
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) {
        let (cared_for, given_up) = oneshot::channel::<()>();
        let stream = stream.into_std();
        let job = move || {
            let _thread = self;
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let served = runtime.block_on(async move {
                let stream = TcpStream::from_std(stream?)?;
                tokio::select! {
                    () = serve(stream) => {}
                    _ = given_up => {}
                }
                Ok::<_, std::io::Error>(())
            });
            // A statement that still runs, since its client left, writes nothing.
            runtime.shutdown_background();
            served
        };
        match tokio::task::spawn_blocking(job).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a connection could not be given a thread"),
            Err(error) => tracing::error!(%error, "a connection ended by a bug"),
        }
        drop(cared_for);
    }
}

/// Runs a job that may block: here, when the thread has one connection only, else on a thread for such jobs.
///
/// # Errors
/// What the job panicked with.
pub(super) async fn run_blocking<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    // Only connections with a thread of their own have a runtime of one thread.
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return catch_unwind(AssertUnwindSafe(job)).map_err(|panic| {
            let text = panic.downcast_ref::<&str>().copied();
            text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic").to_owned()
        });
    }
    tokio::task::spawn_blocking(job).await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    /// Both ends of a connection.
    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    #[tokio::test]
    async fn only_connections_that_begin_with_a_write_get_a_thread_as_long_as_one_is_free() {
        let threads = WriterThreads::new(1);
        let (mut client, stream) = connection().await;
        client.write_all(b"GET /api/v1/write HTTP/1.1").await.unwrap();
        assert!(threads.thread_for(&stream).await.is_none());
        let (mut client, stream) = connection().await;
        client.write_all(b"POST /api/v1/write HTTP/1.1").await.unwrap();
        let taken = threads.thread_for(&stream).await;
        assert!(taken.is_some());
        assert!(threads.thread_for(&stream).await.is_none());
        drop(taken);
        assert!(threads.thread_for(&stream).await.is_some());
        let (client, stream) = connection().await;
        drop(client);
        assert!(threads.thread_for(&stream).await.is_none(), "it ended before it said anything");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_job_runs_on_the_thread_of_its_connection_and_elsewhere_without_one() {
        let own = std::thread::current().id();
        let job = || std::thread::current().id();
        assert_ne!(run_blocking(job).await.unwrap(), own);
        let threads = WriterThreads::new(1);
        let (mut client, stream) = connection().await;
        client.write_all(WRITE_HEAD).await.unwrap();
        let (seen, ran) = oneshot::channel();
        let serve = move |_stream| async move {
            let ids = (std::thread::current().id(), run_blocking(job).await.unwrap());
            let failed = run_blocking(|| panic!("a bug")).await;
            seen.send((ids, failed)).unwrap();
        };
        threads.thread_for(&stream).await.unwrap().serve(stream, serve).await;
        let ((connection, job), failed) = ran.await.unwrap();
        assert_eq!(connection, job);
        assert_eq!(failed, Err("a bug".to_owned()));
        assert_eq!(threads.free.available_permits(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_connection_that_is_given_up_gives_its_thread_back() {
        let threads = WriterThreads::new(1);
        let (mut client, stream) = connection().await;
        client.write_all(WRITE_HEAD).await.unwrap();
        let thread = threads.thread_for(&stream).await.unwrap();
        let (begun, has_begun) = oneshot::channel();
        let serving = tokio::spawn(thread.serve(stream, move |_stream| async move {
            begun.send(()).unwrap();
            std::future::pending::<()>().await;
        }));
        has_begun.await.unwrap();
        assert_eq!(threads.free.available_permits(), 0);
        serving.abort();
        let _permit = threads.free.acquire().await.unwrap();
    }
}
