//! `POST /v1/metrics` and `/api/v1/otlp/v1/metrics`: OpenTelemetry metrics over HTTP.
//!
//! 200 with an empty answer: every point is on disk. 200 with `partial_success`: some points were left out, the others
//! are on disk; the protocol does not allow another status for that. The answer has the encoding of the request.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::response::{text, with_retry};
use super::state::ServerState;
use super::tenant::{Caller, Tenant};
use super::upload::{HasRoom, Refusal, write_rows};
use crate::ingest::otlp::{self, json_to_protobuf};
use crate::ingest::rows::RowOutcome;

/// How a request and its answer are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    /// The encoding that the content type names.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        [Self::Protobuf, Self::Json].into_iter().find(|encoding| media_type.eq_ignore_ascii_case(encoding.media_type()))
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    fn respond(self, status: StatusCode, body: Vec<u8>) -> Response {
        with_retry(status, (status, [(CONTENT_TYPE, self.media_type())], body).into_response())
    }
}

/// Handles one request.
pub(super) async fn write(
    State(state): State<Arc<ServerState>>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(encoding) = Encoding::of(&headers) else {
        let message = "content types are application/x-protobuf and application/json";
        return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
    };
    let job = move |tenant: &Tenant, body: &[u8], has_room: &mut HasRoom<'_>| match encoding {
        Encoding::Protobuf => otlp::write(&tenant.rows, body),
        Encoding::Json => {
            let limit = tenant.rows.limits().decoded_bytes_max;
            otlp::write(&tenant.rows, &json_to_protobuf(body, limit, has_room)?)
        }
    };
    match write_rows(state, tenant, "otlp", &headers, body, job).await {
        Ok(outcome) => encoding.respond(StatusCode::OK, success(encoding, &outcome)),
        Err(refusal) => refusal.with_retry(encoding.respond(refusal.status, status(encoding, &refusal))),
    }
}

/// An `ExportMetricsServiceResponse`.
fn success(encoding: Encoding, outcome: &RowOutcome) -> Vec<u8> {
    let rejected = &outcome.rejected;
    let Some(first) = rejected.shown().first() else {
        return match encoding {
            Encoding::Protobuf => Vec::new(),
            Encoding::Json => b"{}".to_vec(),
        };
    };
    let reasons: Vec<_> = rejected.by_reason().map(|(reason, count)| format!("{}={count}", reason.as_str())).collect();
    let message = format!("{}; first: {}", reasons.join(" "), first.fault.detail);
    match encoding {
        Encoding::Protobuf => otlp::partial_success(rejected.lines(), &message),
        Encoding::Json => {
            let partial = serde_json::json!({
                "rejectedDataPoints": rejected.lines().to_string(),
                "errorMessage": message,
            });
            serde_json::json!({ "partialSuccess": partial }).to_string().into_bytes()
        }
    }
}

/// A `google.rpc.Status`.
fn status(encoding: Encoding, refusal: &Refusal) -> Vec<u8> {
    // Of the codes of gRPC.
    let code = match refusal.status.as_u16() {
        403 => 7,
        413 | 429 => 8,
        500 => 13,
        503 => 14,
        _ => 3,
    };
    match encoding {
        Encoding::Protobuf => otlp::status(code, &refusal.message),
        Encoding::Json => serde_json::json!({ "code": code, "message": refusal.message }).to_string().into_bytes(),
    }
}
