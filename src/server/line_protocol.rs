//! `/write`, `/api/v2/write` and `/api/v3/write_lp`: InfluxDB line protocol, and what its clients ask beside it.
//!
//! 204: every line is on disk. 400: some lines were bad, the others are on disk; clients do not send either again. The
//! answer has the members that clients of all three versions look for. Database, bucket and organisation are accepted
//! and mean nothing: the namespace comes from the tenant.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::response::with_retry;
use super::state::ServerState;
use super::tenant::{Caller, Tenant};
use super::upload::{HasRoom, Refusal, now_ns, partly, write_rows};
use crate::ingest::Precision;
use crate::ingest::line_protocol::{self, LineOptions};
use crate::ingest::rows::{RowOutcome, Unfit};

/// Bad lines that an answer lists.
const LISTED_MAX: usize = 20;

/// Parameters of the address; those that are not listed are accepted and mean nothing.
#[derive(Debug, Deserialize)]
pub(super) struct LineParameters {
    precision: Option<String>,
    accept_partial: Option<bool>,
}

/// Versions 1 and 2: timestamps are nanoseconds unless said otherwise, and good lines are always written.
pub(super) async fn write(
    State(state): State<Arc<ServerState>>,
    Caller(tenant): Caller,
    Query(parameters): Query<LineParameters>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let parameters = LineParameters { accept_partial: None, ..parameters };
    respond(state, tenant, parameters, Precision::Nanoseconds, &headers, body).await
}

/// Version 3: the size of a timestamp tells its unit, and one bad line may refuse the others.
pub(super) async fn write_v3(
    State(state): State<Arc<ServerState>>,
    Caller(tenant): Caller,
    Query(parameters): Query<LineParameters>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    respond(state, tenant, parameters, Precision::Auto, &headers, body).await
}

async fn respond(
    state: Arc<ServerState>,
    tenant: Arc<Tenant>,
    parameters: LineParameters,
    precision: Precision,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let precision = match parameters.precision.as_deref().map_or(Ok(precision), str::parse) {
        Ok(precision) => precision,
        Err(message) => return refusal(&Refusal::new(StatusCode::BAD_REQUEST, message)),
    };
    let unfit = if parameters.accept_partial == Some(false) { Unfit::RefuseAll } else { Unfit::LeaveOut };
    let options = LineOptions { precision, unfit };
    let job = move |tenant: &Tenant, body: &[u8], _: &mut HasRoom<'_>| {
        line_protocol::write(&tenant.rows, body, &options, now_ns())
    };
    match write_rows(state, tenant, "line_protocol", headers, body, job).await {
        Ok(outcome) if outcome.rejected.is_empty() => StatusCode::NO_CONTENT.into_response(),
        Ok(outcome) => partial(&outcome),
        Err(error) => refusal(&error),
    }
}

fn partial(outcome: &RowOutcome) -> Response {
    let rejected = &outcome.rejected;
    let reasons: Vec<_> = rejected.by_reason().map(|(reason, count)| format!("{}={count}", reason.as_str())).collect();
    let first = rejected.shown().first();
    let first = first.map(|row| format!("; first: line {}: {}", row.line, row.fault.detail)).unwrap_or_default();
    // Telegraf knows a request that it should not repeat by the first two words.
    let message = format!(
        "partial write: {} lines written, {} rejected: {}{first}",
        outcome.written,
        rejected.count(),
        reasons.join(" ")
    );
    let lines = rejected.shown().iter().take(LISTED_MAX).map(|row| {
        serde_json::json!({
            "line_number": row.line,
            "error_message": row.fault.detail,
            "reason": row.fault.reason.as_str(),
        })
    });
    let data: Vec<_> = lines.collect();
    let body = serde_json::json!({ "code": "invalid", "message": message, "error": message, "data": data });
    partly(rejected, |status| json(status, &body))
}

fn refusal(refusal: &Refusal) -> Response {
    let code = match refusal.status.as_u16() {
        403 => "forbidden",
        413 => "request too large",
        429 => "too many requests",
        503 => "unavailable",
        500 => "internal error",
        _ => "invalid",
    };
    let Refusal { status, message, .. } = refusal;
    refusal.with_retry(json(*status, &serde_json::json!({ "code": code, "message": message, "error": message })))
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response {
    with_retry(status, (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response())
}

/// `/ping`: the server is there. Clients read a version from the head.
pub(super) async fn ping() -> Response {
    let version = HeaderValue::from_static(concat!("LynxStore ", env!("CARGO_PKG_VERSION")));
    (StatusCode::NO_CONTENT, [("x-influxdb-version", version)]).into_response()
}

/// `/health`: the same as JSON.
pub(super) async fn health() -> Response {
    let body = serde_json::json!({
        "name": "lynxstore",
        "message": "ready for queries and writes",
        "status": "pass",
        "version": env!("CARGO_PKG_VERSION"),
    });
    json(StatusCode::OK, &body)
}
