//! `POST /api/v1/write`: Prometheus remote write 1.0 and 2.0.
//!
//! What a sender does next depends on the status, so it is chosen with care. 204: everything is on disk. 4xx: the sender
//! throws the request away, so it stands only for what no retry can mend. 503: the sender keeps the request and comes
//! back; Prometheus by default does not do that for 429, which therefore stands only for a tenant that is over its own quota
//! and should lose its samples rather than take the room of others. Repeating a request is harmless.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use lynxstore_storage::Error as StorageError;

use super::body::BodyError;
use super::negotiation::{UnsupportedMedia, check_remote_write, is_cross_origin};
use super::response;
use super::state::ServerState;
use super::tenant::{Caller, Tenant};
use super::writer_thread::run_blocking;
use crate::ingest::prometheus::{Counts, DecodeError, RejectReason, Rejections, Version, WriteError, WriteOutcome};
use crate::ingest::rejected::{Refusal, RejectedLog};

/// The name of the protocol in counts and descriptions of what was refused.
const PROTOCOL: &str = "remote_write";

/// Set by Prometheus on repetitions of a request.
const RETRY_ATTEMPT: &str = "retry-attempt";

/// How much was written, for senders of version 2.
const WRITTEN_SAMPLES: &str = "x-prometheus-remote-write-samples-written";
const WRITTEN_HISTOGRAMS: &str = "x-prometheus-remote-write-histograms-written";
const WRITTEN_EXEMPLARS: &str = "x-prometheus-remote-write-exemplars-written";
/// When a tenant of which too many series began may bring others.
pub(super) const SERIES_RETRY: Duration = Duration::from_secs(30);

/// Handles one request.
pub(super) async fn write(
    State(state): State<Arc<ServerState>>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let version = match check_remote_write(&headers) {
        Ok(version) => version,
        Err(UnsupportedMedia(message)) => {
            return response::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, &message);
        }
    };
    let mut written = Counts::default();
    let mut answer = write_body(&state, tenant, version, &headers, body, &mut written).await;
    // Senders of version 2 take their absence for a receiver that knows version 1 only; those of version 1 take their
    // presence for a partial write.
    if version == Version::V2 {
        for (name, count) in [
            (WRITTEN_SAMPLES, written.samples),
            (WRITTEN_HISTOGRAMS, written.histograms),
            (WRITTEN_EXEMPLARS, written.exemplars),
        ] {
            answer.headers_mut().insert(name, HeaderValue::from(count));
        }
    }
    answer
}

async fn write_body(
    state: &Arc<ServerState>,
    tenant: Arc<Tenant>,
    version: Version,
    headers: &HeaderMap,
    body: Body,
    written: &mut Counts,
) -> Response {
    if is_cross_origin(headers) {
        return response::text(StatusCode::FORBIDDEN, "requests from pages of other sites are not accepted");
    }
    if headers.contains_key(RETRY_ATTEMPT) {
        state.metrics.retried_requests.inc();
    }
    let mut body = match state.bodies.read(headers, body, state.options.remote_write.body_bytes_max).await {
        Ok(body) => body,
        Err(error) => return response::text(body_status(&error), &error.to_string()),
    };
    state.metrics.received_bytes.inc_by(body.bytes.len() as u64);
    // More than the limit is refused before it is unpacked.
    let declared = snap::raw::decompress_len(&body.bytes).unwrap_or(0);
    let decoded = declared.min(state.options.remote_write.decoded_bytes_max);
    if let Err(error) = state.bodies.reserve_decoded(&mut body, decoded) {
        return response::text(body_status(&error), &error.to_string());
    }
    let Ok(permit) = state.write_gate.enter().await else {
        return response::text(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many requests wait to be written: try again later",
        );
    };
    let span = tracing::debug_span!("write", protocol = PROTOCOL);
    let job = move || {
        // Held to the end of the job, also when the client has gone; the body with its share of the memory.
        let (_permit, body, _entered) = (permit, body, span.enter());
        let arrival_ns = now_ns();
        let result = tenant.writer.write(&body.bytes, version, arrival_ns);
        if let Ok(outcome) = &result {
            keep_rejections(&tenant.rejected, &outcome.rejected, arrival_ns);
        }
        result
    };
    match run_blocking(job).await {
        Ok(result) => {
            if let Ok(outcome) = &result {
                *written = outcome.written;
            }
            answer(state, result)
        }
        Err(error) => {
            tracing::error!(%error, "a remote-write request failed by a bug");
            response::text(StatusCode::INTERNAL_SERVER_ERROR, "the request failed by a bug of the server; see its log")
        }
    }
}

/// Counts what was refused, and keeps the descriptions that the request has.
fn keep_rejections(log: &RejectedLog, rejections: &Rejections, refused_ns: i64) {
    for (reason, count) in rejections.elements_by_reason() {
        log.count(PROTOCOL, reason.as_str(), count);
    }
    for description in rejections.described() {
        let refusal = Refusal {
            protocol: PROTOCOL,
            reason: description.reason.as_str(),
            table: &description.metric,
            labels: &description.labels,
            time_ns: description.time_ns,
            detail: &description.detail,
        };
        log.describe(&refusal, refused_ns);
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
            if outcome.rejected.by_reason().any(|(reason, _)| reason == RejectReason::SeriesRate) {
                return response::too_many(&message, SERIES_RETRY);
            }
            response::text(StatusCode::BAD_REQUEST, &message)
        }
        Err(error) => {
            let status = error_status(&error);
            if let WriteError::Rate(rate) = &error {
                return response::too_many(&error.to_string(), rate.retry_after);
            }
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
        WriteError::Rate(_) => StatusCode::TOO_MANY_REQUESTS,
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
