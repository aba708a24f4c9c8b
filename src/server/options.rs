//! What a server is told at its start.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::ingest::prometheus::Limits;
use crate::ingest::rows::RowLimits;

/// Which addresses a server may listen on. There is no authentication yet: whoever reaches the port reads and writes.
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
    /// Bounds of a remote-write request.
    pub remote_write: Limits,
    /// Bounds of a request of rows: line protocol, events.
    pub rows: RowLimits,
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
    /// Bytes of all request bodies in memory together; a request that does not fit gets 503.
    pub body_bytes_in_flight_max: usize,
    /// Bytes of the text of an SQL statement.
    pub sql_bytes_max: usize,
    /// Rows of an SQL result.
    pub sql_rows_max: u64,
    /// Memory for the groups, sorted rows and result of one statement.
    pub statement_memory_bytes_max: u64,
    /// How long a statement may run; then it is cancelled.
    pub statement_time_max: Duration,
    /// Connections; more wait in the backlog of the operating system.
    pub connections_max: usize,
    /// How long a connection may be idle or take to send the head of a request.
    pub head_timeout: Duration,
    /// How long the body of a request may take in all.
    pub body_timeout: Duration,
    /// How long requests in flight have to finish at a shutdown.
    pub shutdown_grace: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9393)),
            exposure: Exposure::default(),
            remote_write: Limits::default(),
            rows: RowLimits::default(),
            series_cache_bytes_max: 128 << 20,
            // While half of them wait for the disk, the other half decode.
            writes_max: 2 * cores,
            statements_max: cores.max(2),
            waiting_max: 64,
            wait_max: Duration::from_secs(5),
            body_bytes_in_flight_max: 256 << 20,
            sql_bytes_max: 1 << 20,
            sql_rows_max: 1_000_000,
            statement_memory_bytes_max: 256 << 20,
            statement_time_max: Duration::from_secs(30),
            connections_max: 512,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(120),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}
