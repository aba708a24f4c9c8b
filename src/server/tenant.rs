//! Tenants: who a request acts for, and what it may touch.
//!
//! A tenant is a namespace with its own SQL engine and its own writers. A handler gets its tenant from the request and
//! from nowhere else: no handler names a namespace itself, so none can reach that of another.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use lynxstore_query::{QueryEngine, QueryOptions};
use lynxstore_storage::engine::Engine;

use super::options::ServerOptions;
use super::state::ServerState;
use crate::ingest::prometheus::RemoteWriter;
use crate::ingest::rejected::{RejectedLog, system_tables};
use crate::ingest::rows::RowWriter;

/// A namespace as its requests see it.
#[derive(Debug)]
pub(super) struct Tenant {
    /// Runs statements from the network: no files, bounded results, this namespace alone.
    pub(super) query: QueryEngine,
    pub(super) writer: RemoteWriter<Arc<Engine>>,
    /// Writes rows of the other protocols.
    pub(super) rows: RowWriter,
    /// What its requests brought in vain; its own statements see it as `system.rejected_samples`.
    pub(super) rejected: Arc<RejectedLog>,
}

impl Tenant {
    /// The tenant of the namespace that `query` names.
    pub(super) fn new(engine: &Arc<Engine>, query: QueryOptions, options: &ServerOptions) -> Self {
        let rejected = Arc::new(RejectedLog::default());
        let query = QueryOptions { system_tables: system_tables(&rejected), ..query };
        let writer = RemoteWriter::new(
            Arc::clone(engine),
            query.namespace.clone(),
            options.remote_write.clone(),
            options.series_cache_bytes_max,
        );
        let rows = RowWriter::new(
            Arc::clone(engine),
            query.namespace.clone(),
            options.rows.clone(),
            options.series_cache_bytes_max,
        );
        Self { query: QueryEngine::new(Arc::clone(engine), query), writer, rows, rejected }
    }
}

/// The tenant that a request acts for.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Arc<Tenant>);

impl FromRequestParts<Arc<ServerState>> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &Arc<ServerState>) -> Result<Self, Infallible> {
        Ok(Self(Arc::clone(&state.tenant)))
    }
}
