//! Starts a server, runs it, and ends it without losing anything.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};

use super::auth::Credentials;
use super::connection::Connections;
use super::disk::watch_disk;
use super::options::{Exposure, ServerOptions};
use super::reload::{Stamps, Watched, watch};
use super::router::router;
use super::state::ServerState;
use super::stream::StreamTimes;
use super::tls::{ClientAuth, Tls, TlsOptions};
use super::writer_thread::WriterThreads;
use crate::database::Database;
use crate::error::{Error, ErrorKind, Result};

/// Stack of a thread of the runtime. Statements are parsed and planned on them, and nesting costs stack.
const THREAD_STACK_BYTES: usize = 8 << 20;

/// How long blocking jobs may go on after the last connection is gone. A commit that is waiting for the disk ends in
/// that time; a long query is left behind, it writes nothing.
const JOBS_GRACE: Duration = Duration::from_secs(5);

/// A server that has its port but does not serve yet.
#[derive(Debug)]
pub struct Server {
    database: Database,
    options: Arc<ServerOptions>,
    files: Checked,
    listener: TcpListener,
    local_addr: SocketAddr,
    runtime: Runtime,
}

impl Server {
    /// Checks everything that [`Server::bind`] checks, but for the port.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`].
    pub fn check(options: &ServerOptions) -> Result<()> {
        Checked::new(options).map(drop)
    }

    /// Takes the port. Connections queue up from now on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when the address can be reached from other machines and the options neither name
    /// credentials nor allow that, and for credentials that make no sense; [`ErrorKind::Io`] when the address cannot be listened on.
    pub fn bind(database: Database, options: ServerOptions) -> Result<Self> {
        let address = options.listen;
        let files = Checked::new(&options)?;
        let io = |error: std::io::Error| Error::new(ErrorKind::Io, format!("cannot listen on {address}: {error}"));
        let listener = TcpListener::bind(address).map_err(io)?;
        listener.set_nonblocking(true).map_err(io)?;
        let local_addr = listener.local_addr().map_err(io)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("lynxstore-http")
            .thread_stack_size(THREAD_STACK_BYTES)
            .max_blocking_threads(
                options.writer_threads()
                    + (options.writes_max + options.statements_max + options.password_checks_max).max(4),
            )
            .build()
            .map_err(|error| Error::new(ErrorKind::Io, format!("cannot start the threads of the server: {error}")))?;
        Ok(Self { database, options: Arc::new(options), files, listener, local_addr, runtime })
    }

    /// The address with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown` completes, then ends in order: requests in flight finish within the grace period, and the
    /// database is flushed and closed.
    ///
    /// # Errors
    /// Those of closing the database; every answered request is safe all the same.
    pub fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let Self { database, options, files, listener, local_addr, runtime } = self;
        let Checked { credentials, tls, .. } = &files;
        let reload_interval = options.reload_interval;
        let state = Arc::new(ServerState::new(&database, options, credentials.clone())?);
        let router = router(Arc::clone(&state));
        let options = &state.options;
        let connections = Connections {
            router,
            connections_max: options.connections_max,
            times: StreamTimes {
                idle_max: options.idle_timeout,
                head_max: options.head_timeout,
                stall_max: options.stall_timeout,
            },
            head_bytes_max: options.head_bytes_max,
            headers_max: options.headers_max,
            tls: tls.clone(),
            open: state.load.connections.clone(),
            writers: WriterThreads::new(options.writer_threads()),
            shutdown_grace: options.shutdown_grace,
        };
        tracing::info!(address = %local_addr, tls = tls.is_some(), "serving");
        let served = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let (stop, stopped) = watch::channel(false);
            let disk = tokio::spawn(watch_disk(Arc::clone(&state.disk)));
            let watching = tokio::spawn(watch(Arc::clone(&state), watched_files(&state, &files), reload_interval));
            let serving = tokio::spawn(connections.serve(listener, stopped));
            shutdown.await;
            tracing::info!("shutting down");
            state.is_stopping.store(true, Ordering::Release);
            let _ = stop.send(true);
            if let Err(error) = serving.await {
                tracing::error!(%error, "the server ended by a bug");
            }
            disk.abort();
            watching.abort();
            Ok::<_, std::io::Error>(())
        });
        runtime.shutdown_timeout(JOBS_GRACE);
        let closed = database.close();
        served.map_err(|error| Error::new(ErrorKind::Io, format!("cannot listen on {local_addr}: {error}")))?;
        closed
    }
}

/// The files that options name, read and found to be sound, and how they were then.
#[derive(Debug)]
struct Checked {
    credentials: Option<Arc<Credentials>>,
    credentials_seen: Stamps,
    tls: Option<Arc<Tls>>,
    tls_seen: Stamps,
}

impl Checked {
    fn new(options: &ServerOptions) -> Result<Self> {
        let credentials_seen = Stamps::of(options.credentials_file.as_slice());
        let tls_seen = Stamps::of(&options.tls.as_ref().map(TlsOptions::files).unwrap_or_default());
        let credentials = options.credentials_file.as_deref().map(Credentials::load).transpose();
        let credentials = credentials.map_err(Error::invalid)?.map(Arc::new);
        let tls = options.tls.clone().map(Tls::load).transpose().map_err(Error::invalid)?.map(Arc::new);
        if !options.listen.ip().is_loopback() {
            check_exposure(options, credentials.is_some())?;
        }
        Ok(Self { credentials, credentials_seen, tls, tls_seen })
    }
}

/// Whether a server may listen on an address that other machines reach.
fn check_exposure(options: &ServerOptions, has_credentials: bool) -> Result<()> {
    let address = options.listen;
    let asks_for_certificates =
        options.tls.as_ref().is_some_and(|tls| tls.client_auth_type == ClientAuth::RequireAndVerifyClientCert);
    match (has_credentials || asks_for_certificates, options.exposure) {
        (true, _) => {
            if options.tls.is_none() {
                tracing::warn!(%address, "passwords and tokens come over this address without TLS: everyone on the way reads them");
            }
            Ok(())
        }
        (false, Exposure::AnyAddress) => {
            tracing::warn!(
                %address,
                "INSECURE: everyone who reaches this address reads and writes everything, without a password"
            );
            Ok(())
        }
        (false, Exposure::LoopbackOnly) => Err(Error::invalid(format!(
            "{address} can be reached from other machines and the server asks for no credentials: \
             listen on 127.0.0.1, name a credentials file, or allow it all the same (--insecure)"
        ))),
    }
}

/// The files that the server takes anew when they change.
fn watched_files(state: &Arc<ServerState>, loaded: &Checked) -> Vec<Watched> {
    let mut files = Vec::new();
    if let Some(path) = state.options.credentials_file.clone() {
        let state = Arc::clone(state);
        files.push(Watched {
            what: "credentials",
            paths: vec![path.clone()],
            seen: loaded.credentials_seen.clone(),
            load: Box::new(move || {
                let credentials = Credentials::load(&path)?;
                let summary = format!("{} users", credentials.len());
                state.auth.replace(Arc::new(credentials));
                Ok(summary)
            }),
        });
    }
    if let Some(tls) = loaded.tls.clone() {
        files.push(Watched {
            what: "tls",
            paths: tls.options().files(),
            seen: loaded.tls_seen.clone(),
            load: Box::new(move || tls.reload().map(|()| "certificates".to_owned())),
        });
    }
    files
}

/// Serves a database over HTTP until `shutdown` completes; see [`Server::run`].
///
/// ```no_run
/// use lynxstore::Database;
/// use lynxstore::server::{ServerOptions, serve, shutdown_signal};
///
/// # fn main() -> lynxstore::Result<()> {
/// let database = Database::open("metrics")?;
/// serve(database, ServerOptions::default(), shutdown_signal())?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Server::bind`] and [`Server::run`].
pub fn serve(database: Database, options: ServerOptions, shutdown: impl Future<Output = ()>) -> Result<()> {
    Server::bind(database, options)?.run(shutdown)
}

/// Completes at the first SIGTERM or Ctrl-C. To be awaited within a tokio runtime, as [`serve`] does.
pub async fn shutdown_signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => _ = signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}

/// A server on a thread of its own, for programs that do other things beside and for tests.
#[derive(Debug)]
pub struct ServerHandle {
    local_addr: SocketAddr,
    shutdown: oneshot::Sender<()>,
    thread: JoinHandle<Result<()>>,
}

impl ServerHandle {
    /// Starts a server.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub fn start(database: Database, options: ServerOptions) -> Result<Self> {
        let server = Server::bind(database, options)?;
        let local_addr = server.local_addr();
        let (shutdown, asked) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("lynxstore-server".into())
            .spawn(move || {
                server.run(async {
                    // A handle that was dropped asks as well.
                    let _ = asked.await;
                })
            })
            .map_err(|error| Error::new(ErrorKind::Io, format!("cannot start a thread for the server: {error}")))?;
        Ok(Self { local_addr, shutdown, thread })
    }

    /// The address with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Shuts the server down, closes the database and returns when both are done.
    ///
    /// # Errors
    /// As [`Server::run`].
    pub fn shutdown(self) -> Result<()> {
        let _ = self.shutdown.send(());
        match self.thread.join() {
            Ok(result) => result,
            Err(_) => Err(Error::new(ErrorKind::Closed, "the server ended by a bug; see its log")),
        }
    }
}
