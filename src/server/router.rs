//! Which path leads where, and the figures of every request.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tracing::Instrument;

use super::auth::{Identity, Role, authenticate};
use super::body::discard_body;
use super::request_trace::{REQUEST_ID, record_status, request_id, request_span};
use super::state::ServerState;
use super::unread_body::UnreadBody;
use super::{events, line_protocol, otlp, remote_write, response, sql, table_rows};

/// The routes of a server.
pub(super) fn router(state: Arc<ServerState>) -> Router {
    Router::new()
        .route("/api/v1/write", post(remote_write::write))
        .route("/api/v1/sql", get(sql::get).post(sql::post))
        .route("/write", post(line_protocol::write))
        .route("/api/v2/write", post(line_protocol::write))
        .route("/api/v3/write_lp", post(line_protocol::write_v3))
        .route("/ping", get(line_protocol::ping))
        .route("/health", get(line_protocol::health))
        .route("/api/v1/events/{table}", post(events::write))
        .route("/api/v1/tables/{table}/rows", post(table_rows::write))
        .route("/v1/metrics", post(otlp::write))
        .route("/api/v1/otlp/v1/metrics", post(otlp::write))
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .route("/metrics", get(metrics))
        .fallback(not_found)
        .layer(from_fn_with_state(Arc::clone(&state), authenticate))
        .layer(from_fn_with_state(Arc::clone(&state), observe))
        .with_state(state)
}

/// What paths without a route are called: the set of names must not be up to clients.
const OTHER: &str = "other";

/// Counts and times a request, and tells a client that stays connected that the server is going.
async fn observe(State(state): State<Arc<ServerState>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map_or(OTHER, MatchedPath::as_str);
    let id = request_id(request.headers());
    let span = request_span(request.method().as_str(), path, &id, request.headers());
    let (request, unread) = UnreadBody::of(request);
    let mut answer = next.run(request).instrument(span.clone()).await;
    if let Some(body) = unread.take() {
        discard_body(body).await;
    }
    record_status(&span, answer.status());
    span.in_scope(|| tracing::debug!(status = answer.status().as_u16(), elapsed = ?start.elapsed(), "answered"));
    answer.headers_mut().insert(REQUEST_ID, id);
    state.metrics.request_seconds.with_label_values(&[path]).observe(start.elapsed().as_secs_f64());
    state.metrics.requests.with_label_values(&[path, answer.status().as_str()]).inc();
    if state.is_stopping.load(Ordering::Acquire) {
        answer.headers_mut().insert(CONNECTION, axum::http::HeaderValue::from_static("close"));
    }
    answer
}

/// The process runs.
async fn healthy() -> &'static str {
    "LynxStore is healthy.\n"
}

/// The server takes requests.
async fn ready(State(state): State<Arc<ServerState>>) -> Response {
    if state.is_stopping.load(Ordering::Acquire) {
        return response::text(StatusCode::SERVICE_UNAVAILABLE, "LynxStore is shutting down.");
    }
    "LynxStore is ready.\n".into_response()
}

/// Figures: all for administrators, those of the own tenants for others.
async fn metrics(State(state): State<Arc<ServerState>>, identity: Identity) -> Response {
    let stats = state.engine.stats();
    let text = if identity.roles.include(Role::Admin) {
        for tenant in state.tenants.known() {
            state.metrics.set_rejected(tenant.name(), &tenant.rejected.counts());
        }
        let mut text = state.metrics.render(&stats, state.cached_series());
        text.extend(state.load.render(&state, &stats, None));
        text
    } else {
        state.load.render(&state, &stats, Some(&identity.tenants))
    };
    ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response()
}

async fn not_found() -> Response {
    let paths = "nothing is here: rows go to /api/v1/write, /write, /v1/metrics, /api/v1/events/TABLE and /api/v1/tables/TABLE/rows, statements to /api/v1/sql; see /metrics, /-/healthy and /-/ready";
    response::text(StatusCode::NOT_FOUND, paths)
}
