//! What a server is told at its start.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use lynxstore_query::SqlLimits;

use super::auth::TenantName;
use super::tls::TlsOptions;
use crate::ingest::prometheus::Limits;
use crate::ingest::quota::TenantLimits;
use crate::ingest::rows::RowLimits;
use crate::ingest::sampling::SamplingOptions;

/// Which addresses a server without credentials may listen on: whoever reaches the port reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exposure {
    /// Only addresses of this machine; others are refused at the start.
    #[default]
    LoopbackOnly,
    /// Any address, at the operator's own risk.
    AnyAddress,
}

/// Options of a server. The defaults suit a machine of a few cores; each bound is an upper limit on what others can make
/// this process do.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Address to listen on; port 0 takes any free port.
    pub listen: SocketAddr,
    /// Whether `listen` may be an address that other machines reach.
    pub exposure: Exposure,
    /// The file that declares users, see [`Credentials`](super::Credentials); without one everybody who reaches the port
    /// may do everything, for the one tenant that is the namespace of the database.
    pub credentials_file: Option<PathBuf>,
    /// How often files that may change under a running server are looked at.
    pub reload_interval: Duration,
    /// Passwords that are checked at the same time; each takes a core some 70 ms.
    pub password_checks_max: usize,
    /// How connections are encrypted; they are not without it.
    pub tls: Option<TlsOptions>,
    /// Bounds of a remote-write request.
    pub remote_write: Limits,
    /// Bounds of a request of rows: line protocol, events.
    pub rows: RowLimits,
    /// When fewer events are kept, for requests that ask for sampling.
    pub event_sampling: SamplingOptions,
    /// Memory for the cache from labels to series.
    pub series_cache_bytes_max: usize,
    /// Remote-write requests that are decoded and committed at the same time.
    pub writes_max: usize,
    /// SQL statements that run at the same time.
    pub statements_max: usize,
    /// Requests of each of the two kinds that wait for their turn; more get 503.
    pub waiting_max: usize,
    /// How long a request waits for its turn before it gets 503.
    pub wait_max: Duration,
    /// Bytes of all request bodies in memory together, as they came and decoded; a request that does not fit gets 503.
    /// 0 is as much as unflushed rows may take, at least 64 MiB.
    pub body_bytes_in_flight_max: usize,
    /// Bytes per second that a body has to come with, after its first 10 s.
    pub body_bytes_per_second_min: u64,
    /// Bytes of all results that their clients have not read yet; a statement whose result does not fit gets 503.
    pub result_bytes_in_flight_max: usize,
    /// Free bytes on the disk of the database below which writes get 503.
    pub disk_free_bytes_min: u64,
    /// Bounds of each tenant.
    pub tenant_limits: TenantLimits,
    /// Bounds of tenants that differ from the others.
    pub tenant_overrides: BTreeMap<TenantName, TenantLimits>,
    /// Depth of brackets and subqueries of a statement.
    pub sql_depth_max: usize,
    /// Names, literals and operators of a statement.
    pub sql_nodes_max: usize,
    /// Bytes of the text of an SQL statement.
    pub sql_bytes_max: usize,
    /// Rows of an SQL result.
    pub sql_rows_max: u64,
    /// Memory for the groups, sorted rows and result of one statement.
    pub statement_memory_bytes_max: u64,
    /// How long a statement may run; then it is cancelled.
    pub statement_time_max: Duration,
    /// Connections; one more takes the place of the one that has been idle for longest, or waits.
    pub connections_max: usize,
    /// Bytes of the head of a request.
    pub head_bytes_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// How long the head of a request may take from its first byte on.
    pub head_timeout: Duration,
    /// How long a connection may be without a request.
    pub idle_timeout: Duration,
    /// How long a client may take for 64 KiB of its answer.
    pub stall_timeout: Duration,
    /// How long the body of a request may take in all.
    pub body_timeout: Duration,
    /// How long requests in flight have to finish at a shutdown.
    pub shutdown_grace: Duration,
}

impl ServerOptions {
    /// Connections that have a thread of their own to write on: more than write at a time, since some wait for their sender.
    pub(super) fn writer_threads(&self) -> usize {
        2 * self.writes_max
    }
}

impl Default for ServerOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9393)),
            exposure: Exposure::default(),
            credentials_file: None,
            reload_interval: Duration::from_secs(5),
            password_checks_max: (cores / 2).max(1),
            tls: None,
            remote_write: Limits::default(),
            rows: RowLimits::default(),
            event_sampling: SamplingOptions::default(),
            series_cache_bytes_max: 128 << 20,
            // While half of them wait for the disk, the other half decode.
            writes_max: 2 * cores,
            statements_max: cores.max(2),
            waiting_max: 64,
            wait_max: Duration::from_secs(5),
            body_bytes_in_flight_max: 0,
            body_bytes_per_second_min: 1 << 10,
            result_bytes_in_flight_max: 512 << 20,
            disk_free_bytes_min: 256 << 20,
            tenant_limits: TenantLimits::default(),
            tenant_overrides: BTreeMap::new(),
            sql_depth_max: SqlLimits::DEPTH_CAP,
            sql_nodes_max: 50_000,
            sql_bytes_max: 1 << 20,
            sql_rows_max: 1_000_000,
            statement_memory_bytes_max: 256 << 20,
            statement_time_max: Duration::from_secs(30),
            connections_max: 512,
            head_bytes_max: 16 << 10,
            headers_max: 64,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(120),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}
