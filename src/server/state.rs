//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lynxstore_query::{FileAccess, QueryOptions, SqlLimits};
use lynxstore_storage::engine::Engine;

use super::body::BodyReader;
use super::gate::Gate;
use super::log_limit::LogLimit;
use super::metrics::Metrics;
use super::options::ServerOptions;
use super::tenant::Tenant;
use crate::database::Database;

/// The state of a server.
#[derive(Debug)]
pub(super) struct ServerState {
    pub(super) options: ServerOptions,
    pub(super) engine: Arc<Engine>,
    /// Whom all requests act for.
    pub(super) tenant: Arc<Tenant>,
    pub(super) write_gate: Gate,
    pub(super) sql_gate: Gate,
    pub(super) bodies: BodyReader,
    pub(super) metrics: Metrics,
    pub(super) log: LogLimit,
    /// Set when a shutdown begins: whoever still asks over an open connection should turn to the next server.
    pub(super) is_stopping: AtomicBool,
}

impl ServerState {
    pub(super) fn new(database: &Database, options: ServerOptions) -> Self {
        let query = QueryOptions {
            file_access: FileAccess::Denied,
            rows_out_max: options.sql_rows_max,
            memory_bytes_max: options.statement_memory_bytes_max,
            sql: SqlLimits { bytes_max: options.sql_bytes_max, ..database.query_options().sql },
            ..database.query_options().clone()
        };
        let engine = Arc::clone(database.engine());
        let gate = |slots| Gate::new(slots, options.waiting_max, options.wait_max);
        Self {
            tenant: Arc::new(Tenant::new(&engine, query, &options)),
            write_gate: gate(options.writes_max),
            sql_gate: gate(options.statements_max),
            bodies: BodyReader::new(options.body_bytes_in_flight_max, options.body_timeout),
            metrics: Metrics::new(),
            is_stopping: AtomicBool::new(false),
            log: LogLimit::default(),
            engine,
            options,
        }
    }
}
