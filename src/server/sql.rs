//! `/api/v1/sql`: one SQL statement in, its result out.
//!
//! Statements from the network touch no files and have bounded results; rows that they write are held to the quota of the
//! tenant and to the room on the disk, as rows that are pushed. `GET` runs statements that only read, because a
//! link or an image on any web page can make a browser send it.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use lynxstore_query::{Cancellation, QueryEngine, QueryOutput, StatementAccess};
use serde::Deserialize;
use tracing::field::Empty;

use super::auth::{Identity, Role};
use super::in_flight::Share;
use super::negotiation::{ResultFormat, is_cross_origin, result_format};
use super::remote_write::body_status;
use super::response::{json_error, later};
use super::sql_output::{chunks, route_name};
use super::state::ServerState;
use super::stream::KeepingBody;
use crate::error::{Error, ErrorKind};

/// Parameters of the address.
#[derive(Debug, Deserialize)]
pub(super) struct SqlParameters {
    q: Option<String>,
    format: Option<String>,
}

/// A JSON body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SqlBody {
    sql: String,
}

/// `GET`: the statement is the parameter `q`.
pub(super) async fn get(
    State(state): State<Arc<ServerState>>,
    identity: Identity,
    Query(parameters): Query<SqlParameters>,
    headers: HeaderMap,
) -> Response {
    let Some(sql) = parameters.q else {
        return invalid("the parameter q is missing: /api/v1/sql?q=SELECT...");
    };
    if sql.len() > state.options.sql_bytes_max {
        return json_error(StatusCode::PAYLOAD_TOO_LARGE, "invalid_input", "the statement is too long");
    }
    let query = identity.tenant.query(StatementAccess::ReadOnly, identity.roles.system_access());
    match run(&state, query, sql, parameters.format.as_deref(), &headers).await {
        Err(error) if error.kind() == ErrorKind::Denied && identity.roles.include(Role::Write) => {
            invalid("GET runs statements that only read (SELECT, WITH, SHOW, DESCRIBE, EXPLAIN): send this one by POST")
        }
        Err(error) => failure(&state, &error),
        Ok(answer) => answer,
    }
}

/// `POST`: the statement is the body, as text, or as JSON when its content type says so.
pub(super) async fn post(
    State(state): State<Arc<ServerState>>,
    identity: Identity,
    Query(parameters): Query<SqlParameters>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let body = match state.bodies.read(&headers, body, state.options.sql_bytes_max).await {
        Ok(body) => body,
        Err(error) => {
            let kind = if body_status(&error) == StatusCode::SERVICE_UNAVAILABLE { "busy" } else { "invalid_input" };
            return json_error(body_status(&error), kind, &error.to_string());
        }
    };
    let sql = match statement(&headers, &body.bytes) {
        Ok(sql) => sql,
        Err(message) => return invalid(&message),
    };
    let query = identity.tenant.query(identity.roles.statement_access(), identity.roles.system_access());
    match run(&state, query, sql, parameters.format.as_deref(), &headers).await {
        Err(error) => failure(&state, &error),
        Ok(answer) => answer,
    }
}

fn statement(headers: &HeaderMap, body: &[u8]) -> Result<String, String> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        let body: SqlBody = serde_json::from_slice(body)
            .map_err(|error| format!("the body is not of the form {{\"sql\": \"...\"}}: {error}"))?;
        return Ok(body.sql);
    }
    match std::str::from_utf8(body) {
        Ok(sql) if sql.trim().is_empty() => Err("the body is empty: send the statement as its text".into()),
        Ok(sql) => Ok(sql.to_owned()),
        Err(_) => Err("the body is not UTF-8".into()),
    }
}

async fn run(
    state: &Arc<ServerState>,
    query: QueryEngine,
    sql: String,
    format: Option<&str>,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    if is_cross_origin(headers) {
        let message = "requests from pages of other sites are not accepted";
        return Ok(json_error(StatusCode::FORBIDDEN, "forbidden", message));
    }
    let format = match result_format(format, headers) {
        Ok(format) => format,
        Err(message) => return Ok(invalid(&message)),
    };
    let Ok(permit) = state.sql_gate.enter().await else {
        let message = "too many statements wait to be run: try again later";
        return Ok(json_error(StatusCode::SERVICE_UNAVAILABLE, "busy", message));
    };
    let cancel = CancelOnDrop(Cancellation::new());
    let cancellation = cancel.0.clone();
    let span = tracing::debug_span!("statement", route = Empty, rows = Empty);
    let job = move || {
        // Held to the end of the job, also when the client has gone.
        let (_permit, _entered) = (permit, span.enter());
        let start = Instant::now();
        let output = query.execute_with(&sql, &[], &cancellation)?;
        span.record("route", route_name(output.route));
        span.record("rows", output.row_count());
        Ok::<_, Error>((output, start.elapsed().as_secs_f64()))
    };
    match tokio::time::timeout(state.options.statement_time_max, tokio::task::spawn_blocking(job)).await {
        Ok(Ok(Ok((output, seconds)))) => {
            state.metrics.statement_seconds.with_label_values(&[route_name(output.route)]).observe(seconds);
            state.metrics.result_rows.inc_by(output.row_count() as u64);
            let mut share = Share::default();
            let bytes = output.batches.iter().map(RecordBatch::get_array_memory_size).sum();
            if !state.results.grow(&mut share, bytes) {
                let message = "too many results wait to be read by their clients: try again later, or select less";
                return Ok(json_error(StatusCode::SERVICE_UNAVAILABLE, "busy", message));
            }
            Ok(success(output, format, seconds * 1_000.0, share))
        }
        Ok(Ok(Err(error))) => Err(error),
        Ok(Err(error)) => {
            tracing::error!(%error, "a statement failed by a bug");
            let message = "the statement failed by a bug of the server; see its log";
            Ok(json_error(StatusCode::INTERNAL_SERVER_ERROR, "internal", message))
        }
        Err(_) => {
            let limit = state.options.statement_time_max;
            let message = format!("the statement ran longer than {limit:?} and was cancelled: narrow its time range");
            Ok(json_error(StatusCode::BAD_REQUEST, "limit_exceeded", &message))
        }
    }
}

/// Cancels a statement when nobody waits for its result any more: its time is over, or the client hung up.
struct CancelOnDrop(Cancellation);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// The rows of a result, made into text as the client reads them; until then they hold their share of the memory.
fn success(output: QueryOutput, format: ResultFormat, elapsed_ms: f64, share: Share) -> Response {
    let content_type = match format {
        ResultFormat::Json => "application/json",
        ResultFormat::NdJson => "application/x-ndjson",
        ResultFormat::Csv => "text/csv; charset=utf-8; header=present",
    };
    let chunks = chunks(output, format, elapsed_ms).map(Ok::<_, std::convert::Infallible>);
    let body = Body::new(KeepingBody::new(Body::from_stream(futures::stream::iter(chunks)), share));
    ([(CONTENT_TYPE, content_type)], body).into_response()
}

fn invalid(message: &str) -> Response {
    json_error(StatusCode::BAD_REQUEST, "invalid_input", message)
}

fn failure(state: &ServerState, error: &Error) -> Response {
    let (status, kind) = match error.kind() {
        ErrorKind::InvalidInput => (StatusCode::BAD_REQUEST, "invalid_input"),
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        ErrorKind::AlreadyExists => (StatusCode::CONFLICT, "already_exists"),
        ErrorKind::OverRate => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
        ErrorKind::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        ErrorKind::ReadOnly => (StatusCode::FORBIDDEN, "read_only"),
        ErrorKind::Denied => (StatusCode::FORBIDDEN, "forbidden"),
        ErrorKind::LimitExceeded => (StatusCode::BAD_REQUEST, "limit_exceeded"),
        ErrorKind::Unsupported => (StatusCode::BAD_REQUEST, "unsupported"),
        ErrorKind::Closed => (StatusCode::SERVICE_UNAVAILABLE, "closed"),
        ErrorKind::Damaged => (StatusCode::INTERNAL_SERVER_ERROR, "damaged"),
        ErrorKind::Io => (StatusCode::INTERNAL_SERVER_ERROR, "io"),
    };
    if status == StatusCode::INTERNAL_SERVER_ERROR && state.log.allows() {
        tracing::warn!(%error, "a statement failed");
    }
    let answer = json_error(status, kind, &error.to_string());
    match error.retry_after() {
        Some(retry_after) => later(answer, retry_after),
        None => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_text_or_json() {
        let json = HeaderMap::from_iter([(CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap())]);
        assert_eq!(statement(&json, br#"{"sql": "SELECT 1"}"#), Ok("SELECT 1".into()));
        assert!(statement(&json, br#"{"sql": 1}"#).is_err());
        assert!(statement(&json, br#"{"sql": "SELECT 1", "other": 1}"#).is_err());
        assert_eq!(statement(&HeaderMap::new(), b"SELECT 1"), Ok("SELECT 1".into()));
        assert!(statement(&HeaderMap::new(), b" ").is_err());
        assert!(statement(&HeaderMap::new(), b"\xff").is_err());
    }
}
