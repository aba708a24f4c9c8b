//! Tenants: who a request acts for, and what it may touch.
//!
//! A tenant is a namespace with its own SQL engine, its own writers and its own quotas. A handler gets its tenant from the
//! request and from nowhere else: no handler names a namespace itself, so none can reach that of another.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use lynxstore_query::{NamespaceAccess, QueryEngine, QueryOptions, StatementAccess, SystemAccess};
use lynxstore_storage::engine::Engine;
use parking_lot::RwLock;

use super::auth::{Identity, TenantName};
use super::disk::Disk;
use super::options::ServerOptions;
use super::response;
use super::sql_admission::SqlAdmission;
use super::state::ServerState;
use crate::ingest::events::EventSamplers;
use crate::ingest::prometheus::RemoteWriter;
use crate::ingest::quota::IngestQuota;
use crate::ingest::rejected::{RejectedLog, system_tables};
use crate::ingest::rows::RowWriter;

/// A cache from labels to series is at least this large, however many tenants share its memory.
const SERIES_CACHE_BYTES_MIN: usize = 1 << 20;

/// A namespace as its requests see it.
#[derive(Debug)]
pub(super) struct Tenant {
    name: TenantName,
    /// Runs statements from the network: no files, bounded results, this namespace alone.
    query: QueryEngine,
    pub(super) writer: RemoteWriter<Arc<Engine>>,
    /// Writes rows of the other protocols.
    pub(super) rows: RowWriter,
    /// How much of its events is kept, where a request asks for sampling.
    pub(super) event_samplers: EventSamplers,
    /// What its requests brought in vain; its own statements see it as `system.rejected_samples`.
    pub(super) rejected: Arc<RejectedLog>,
    /// What it may bring; writers of every protocol take from it.
    pub(super) quota: Arc<IngestQuota>,
}

impl Tenant {
    fn new(
        name: &TenantName,
        engine: &Arc<Engine>,
        query: &QueryEngine,
        options: &ServerOptions,
        disk: &Arc<Disk>,
        cache: usize,
    ) -> Self {
        let rejected = Arc::new(RejectedLog::default());
        let limits = options.tenant_overrides.get(name).unwrap_or(&options.tenant_limits);
        let quota = IngestQuota::new(name.as_str(), limits.clone());
        let admission = SqlAdmission { engine: Arc::clone(engine), disk: Arc::clone(disk), quota: Arc::clone(&quota) };
        let query = query.with_options(QueryOptions {
            namespace: name.as_str().to_owned(),
            system_tables: system_tables(&rejected),
            namespace_access: NamespaceAccess::Own,
            write_admission: Some(Arc::new(admission)),
            ..query.options().clone()
        });
        Self {
            query,
            writer: RemoteWriter::new(Arc::clone(engine), name.as_str(), options.remote_write.clone(), cache)
                .with_quota(Arc::clone(&quota)),
            rows: RowWriter::new(Arc::clone(engine), name.as_str(), options.rows.clone(), cache)
                .with_quota(Arc::clone(&quota)),
            event_samplers: EventSamplers::new(options.event_sampling),
            rejected,
            quota,
            name: name.clone(),
        }
    }

    /// The name, which is that of the namespace.
    pub(super) fn name(&self) -> &str {
        self.name.as_str()
    }

    /// What runs the statements of a user.
    pub(super) fn query(&self, statement_access: StatementAccess, system_access: SystemAccess) -> QueryEngine {
        self.query.with_options(QueryOptions { statement_access, system_access, ..self.query.options().clone() })
    }
}

/// All tenants that requests acted for. Only names that credentials hold get here, so there are not more than the operator
/// declared since the start.
#[derive(Debug)]
pub(super) struct Tenants {
    engine: Arc<Engine>,
    query: QueryEngine,
    options: Arc<ServerOptions>,
    disk: Arc<Disk>,
    /// Memory for the cache from labels to series, for one tenant.
    series_cache_bytes: usize,
    known: RwLock<HashMap<TenantName, Arc<Tenant>>>,
}

impl Tenants {
    /// No tenant yet; `expected` of them will share the memory for caches.
    pub(super) fn new(
        engine: Arc<Engine>,
        query: QueryOptions,
        options: Arc<ServerOptions>,
        disk: Arc<Disk>,
        expected: usize,
    ) -> Self {
        // Half for remote write, half for rows.
        let series_cache_bytes = (options.series_cache_bytes_max / (2 * expected.max(1))).max(SERIES_CACHE_BYTES_MIN);
        let query = QueryEngine::new(Arc::clone(&engine), query);
        Self { engine, query, options, disk, series_cache_bytes, known: RwLock::default() }
    }

    /// The tenant of a name, made when it is first asked for.
    pub(super) fn get(&self, name: &TenantName) -> Arc<Tenant> {
        if let Some(tenant) = self.known.read().get(name) {
            return Arc::clone(tenant);
        }
        let mut known = self.known.write();
        let tenant = known.entry(name.clone()).or_insert_with(|| {
            let Self { engine, query, options, disk, series_cache_bytes, .. } = self;
            Arc::new(Tenant::new(name, engine, query, options, disk, *series_cache_bytes))
        });
        Arc::clone(tenant)
    }

    /// Those that requests acted for so far, by name.
    pub(super) fn known(&self) -> Vec<Arc<Tenant>> {
        let mut tenants: Vec<_> = self.known.read().values().cloned().collect();
        tenants.sort_by(|a, b| a.name.cmp(&b.name));
        tenants
    }
}

/// The tenant that a request acts for.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Arc<Tenant>);

/// A request that got to its handler around [`authenticate`](super::auth::authenticate), which stands before every route.
#[derive(Debug)]
pub(super) struct Unidentified;

impl IntoResponse for Unidentified {
    fn into_response(self) -> Response {
        tracing::error!("a request reached its handler without having been identified");
        response::text(StatusCode::INTERNAL_SERVER_ERROR, "the request failed by a bug of the server; see its log")
    }
}

impl FromRequestParts<Arc<ServerState>> for Caller {
    type Rejection = Unidentified;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<ServerState>) -> Result<Self, Unidentified> {
        Ok(Self(Arc::clone(&identity(parts)?.tenant)))
    }
}

impl FromRequestParts<Arc<ServerState>> for Identity {
    type Rejection = Unidentified;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<ServerState>) -> Result<Self, Unidentified> {
        identity(parts).cloned()
    }
}

fn identity(parts: &Parts) -> Result<&Identity, Unidentified> {
    parts.extensions.get::<Identity>().ok_or(Unidentified)
}
