//! `POST /api/v1/write`: Prometheus remote write 1.0.
//!
//! What a sender does next depends on the status, so it is chosen with care. 204: everything is on disk. 4xx: the sender
//! throws the request away, so it stands only for what no retry can mend. 503: the sender keeps the request and comes
//! back; Prometheus by default does not do that for 429, which is therefore never used. Repeating a request is harmless.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use lynxstore_storage::Error as StorageError;

use super::body::{BodyError, discard_body};
use super::negotiation::{UnsupportedMedia, check_remote_write, is_cross_origin};
use super::response;
use super::state::ServerState;
use super::tenant::Caller;
use crate::ingest::prometheus::{DecodeError, WriteError, WriteOutcome};

/// The name of the protocol in counts and descriptions of what was refused.
const PROTOCOL: &str = "remote_write";

/// Set by Prometheus on repetitions of a request.
const RETRY_ATTEMPT: &str = "retry-attempt";

/// Handles one request.
pub(super) async fn write(
    State(state): State<Arc<ServerState>>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if is_cross_origin(&headers) {
        discard_body(body).await;
        return response::text(StatusCode::FORBIDDEN, "requests from pages of other sites are not accepted");
    }
    if let Err(UnsupportedMedia(message)) = check_remote_write(&headers) {
        discard_body(body).await;
        return response::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, &message);
    }
    if headers.contains_key(RETRY_ATTEMPT) {
        state.metrics.retried_requests.inc();
    }
    let body = match state.bodies.read(&headers, body, state.options.remote_write.body_bytes_max).await {
        Ok(body) => body,
        Err(error) => return response::text(body_status(&error), &error.to_string()),
    };
    state.metrics.received_bytes.inc_by(body.bytes.len() as u64);
    let Ok(permit) = state.write_gate.enter().await else {
        return response::text(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many requests wait to be written: try again later",
        );
    };
    let job = move || {
        // Held to the end of the job, also when the client has gone.
        let _permit = permit;
        let result = tenant.writer.write(&body.bytes, now_ns());
        if let Ok(outcome) = &result {
            for (reason, count) in outcome.rejected.by_reason() {
                tenant.rejected.count(PROTOCOL, reason.as_str(), count);
            }
        }
        result
    };
    match tokio::task::spawn_blocking(job).await {
        Ok(result) => answer(&state, result),
        Err(error) => {
            tracing::error!(%error, "a remote-write request failed by a bug");
            response::text(StatusCode::INTERNAL_SERVER_ERROR, "the request failed by a bug of the server; see its log")
        }
    }
}

/// Nanoseconds since the epoch.
fn now_ns() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
}

pub(super) fn body_status(error: &BodyError) -> StatusCode {
    match error {
        BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        // A sender drops what is answered with 4xx, and a stalled network is not the fault of its samples.
        BodyError::TooSlow | BodyError::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        BodyError::Broken => StatusCode::BAD_REQUEST,
    }
}

fn answer(state: &ServerState, result: Result<WriteOutcome, WriteError>) -> Response {
    match result {
        Ok(outcome) => {
            state.metrics.count_write(&outcome);
            if outcome.rejected.is_empty() {
                return StatusCode::NO_CONTENT.into_response();
            }
            let message = format!("written {}; {}", outcome.written, outcome.rejected);
            tracing::debug!(message, "a remote-write request was written in part");
            response::text(StatusCode::BAD_REQUEST, &message)
        }
        Err(error) => {
            let status = error_status(&error);
            if status.is_server_error() && state.log.allows() {
                tracing::warn!(%error, status = status.as_u16(), "a remote-write request was not written");
            } else {
                tracing::debug!(%error, status = status.as_u16(), "a remote-write request was refused");
            }
            response::text(status, &error.to_string())
        }
    }
}

/// The status of a request of which nothing was written.
fn error_status(error: &WriteError) -> StatusCode {
    match error {
        WriteError::Decode(DecodeError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        WriteError::Decode(_) => StatusCode::BAD_REQUEST,
        WriteError::Store(error) => store_status(error),
    }
}

/// The status of a request that the engine did not take.
pub(super) fn store_status(error: &StorageError) -> StatusCode {
    match error {
        StorageError::Backpressure { .. }
        | StorageError::WalPoisoned { .. }
        | StorageError::Closed
        | StorageError::Io { .. }
        | StorageError::TableNotFound { .. }
        | StorageError::Locked { .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_tell_a_sender_to_drop_only_what_no_retry_can_mend() {
        let too_large = DecodeError::TooLarge { what: "samples", found: 2, limit: 1 };
        let corrupt = DecodeError::Snappy { reason: "x".into() };
        let io = StorageError::io("sync", std::path::Path::new("wal"), std::io::Error::other("full"));
        let poisoned = StorageError::WalPoisoned { operation: "sync", reason: "x".into() };
        let full = StorageError::Backpressure { used_bytes: 2, limit_bytes: 1 };
        for (error, status) in [
            (WriteError::Decode(too_large), 413),
            (WriteError::Decode(corrupt), 400),
            (WriteError::Store(full), 503),
            (WriteError::Store(StorageError::Closed), 503),
            (WriteError::Store(poisoned), 503),
            (WriteError::Store(io), 503),
            (WriteError::Store(StorageError::invalid("a bug")), 500),
        ] {
            assert_eq!(error_status(&error).as_u16(), status, "{error}");
        }
    }
}
