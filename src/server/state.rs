//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lynxstore_query::{FileAccess, QueryOptions, SqlLimits};
use lynxstore_storage::engine::Engine;

use super::auth::{Authenticator, Credentials, TenantName};
use super::body::BodyReader;
use super::disk::Disk;
use super::gate::Gate;
use super::in_flight::InFlight;
use super::load_metrics::LoadMetrics;
use super::log_limit::LogLimit;
use super::metrics::Metrics;
use super::options::ServerOptions;
use super::tenant::Tenants;
use crate::database::Database;
use crate::error::{Error, ErrorKind, Result};

/// A few bodies of the largest size, in databases with little memory.
const BODIES_BYTES_MIN: usize = 64 << 20;

/// The state of a server.
#[derive(Debug)]
pub(super) struct ServerState {
    pub(super) options: Arc<ServerOptions>,
    pub(super) engine: Arc<Engine>,
    pub(super) auth: Authenticator,
    pub(super) tenants: Tenants,
    pub(super) write_gate: Gate,
    pub(super) sql_gate: Gate,
    pub(super) bodies: BodyReader,
    /// Results that are on their way to their clients.
    pub(super) results: InFlight,
    pub(super) disk: Arc<Disk>,
    pub(super) metrics: Metrics,
    pub(super) load: LoadMetrics,
    pub(super) log: LogLimit,
    /// Set when a shutdown begins: whoever still asks over an open connection should turn to the next server.
    pub(super) is_stopping: AtomicBool,
}

impl ServerState {
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when the namespace of the database cannot be a tenant.
    pub(super) fn new(
        database: &Database,
        options: Arc<ServerOptions>,
        credentials: Option<Arc<Credentials>>,
    ) -> Result<Self> {
        let query = QueryOptions {
            file_access: FileAccess::Denied,
            rows_out_max: options.sql_rows_max,
            memory_bytes_max: options.statement_memory_bytes_max,
            sql: SqlLimits {
                bytes_max: options.sql_bytes_max,
                depth_max: options.sql_depth_max,
                nodes_max: options.sql_nodes_max,
                ..database.query_options().sql
            },
            ..database.query_options().clone()
        };
        let anonymous = TenantName::parse(&query.namespace).map_err(|message| {
            Error::invalid(format!("the namespace '{}' cannot be served: {message}", query.namespace))
        })?;
        let engine = Arc::clone(database.engine());
        let gate = |slots| Gate::new(slots, options.waiting_max, options.wait_max);
        let bodies_max = match options.body_bytes_in_flight_max {
            // Memtables are a quarter of the memory of the database.
            0 => usize::try_from(engine.stats().memtable_bytes_max).unwrap_or(usize::MAX).max(BODIES_BYTES_MIN),
            bytes => bytes,
        };
        let expected = credentials.as_ref().map_or(1, |credentials| credentials.tenant_count());
        let auth = Authenticator::new(credentials, anonymous, gate(options.password_checks_max))
            .map_err(|message| Error::new(ErrorKind::Io, message))?;
        let disk = Arc::new(Disk::new(engine.directory(), options.disk_free_bytes_min));
        Ok(Self {
            auth,
            tenants: Tenants::new(Arc::clone(&engine), query, Arc::clone(&options), Arc::clone(&disk), expected),
            write_gate: gate(options.writes_max),
            sql_gate: gate(options.statements_max),
            bodies: BodyReader::new(bodies_max, options.body_timeout, options.body_bytes_per_second_min),
            results: InFlight::new(options.result_bytes_in_flight_max),
            disk,
            metrics: Metrics::new(),
            load: LoadMetrics::new(),
            is_stopping: AtomicBool::new(false),
            log: LogLimit::default(),
            engine,
            options,
        })
    }

    /// Series in the caches of all tenants.
    pub(super) fn cached_series(&self) -> usize {
        self.tenants.known().iter().map(|tenant| tenant.writer.cached_series()).sum()
    }
}
