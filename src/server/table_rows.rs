//! `POST /api/v1/tables/<table>/rows`: rows of a declared table, as an Arrow IPC stream, as CSV or as a Parquet file.
//!
//! 200: every row is on disk. Anything else: none is.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::response::json_error;
use super::state::ServerState;
use super::tenant::{Caller, Tenant};
use super::upload::{HasRoom, refusal_as_json, write_rows};
use crate::ingest::table_body::{self, BodyFormat};

/// Handles one request.
pub(super) async fn write(
    State(state): State<Arc<ServerState>>,
    Caller(tenant): Caller,
    Path(table): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let format = match media_type.as_str() {
        "application/vnd.apache.arrow.stream" => BodyFormat::ArrowStream,
        "text/csv" => BodyFormat::Csv,
        #[cfg(feature = "files")]
        "application/vnd.apache.parquet" => BodyFormat::Parquet,
        _ => {
            let message = if cfg!(feature = "files") {
                "content types are application/vnd.apache.arrow.stream, application/vnd.apache.parquet and text/csv"
            } else {
                "content types are application/vnd.apache.arrow.stream and text/csv; this server was built without the \
                 feature 'files', which reads Parquet"
            };
            return json_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_input", message);
        }
    };
    let job = move |tenant: &Tenant, body: &[u8], has_room: &mut HasRoom<'_>| {
        table_body::write(&tenant.rows, &table, format, body, has_room)
    };
    match write_rows(state, tenant, "table_rows", &headers, body, job).await {
        Ok(outcome) => {
            let body = serde_json::json!({ "written": outcome.written }).to_string();
            ([(CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(refusal) => refusal_as_json(&refusal),
    }
}
