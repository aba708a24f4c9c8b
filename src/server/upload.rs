//! Bodies of rows, whatever their protocol: received within their bounds, unpacked, and written under the gate.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use flate2::read::MultiGzDecoder;
use tracing::field::Empty;

use super::negotiation::is_cross_origin;
use super::remote_write::{SERIES_RETRY, body_status, store_status};
use super::response::{self, json_error};
use super::state::ServerState;
use super::tenant::Tenant;
use super::writer_thread::run_blocking;
use crate::ingest::rejected;
use crate::ingest::rows::{RejectedRows, RowOutcome, RowReason, RowsError};

/// Rows of one request that are described in the log of what was refused; all are counted.
const DESCRIBED_MAX: usize = 10;

/// Bytes that are unpacked between two looks at the memory that bodies take.
const UNPACKED_AT_ONCE: usize = 1 << 20;

/// A request that is refused whole; each protocol has its own form for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
    /// When the request may be sent again, where that is known.
    pub(super) retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None }
    }

    /// The answer with when to come back.
    pub(super) fn with_retry(&self, response: Response) -> Response {
        match self.retry_after {
            Some(retry_after) => response::later(response, retry_after),
            None => response,
        }
    }
}

/// A refusal in the form of the SQL endpoint.
pub(super) fn refusal_as_json(refusal: &Refusal) -> Response {
    let kind = match refusal.status.as_u16() {
        403 => "forbidden",
        404 => "not_found",
        429 => "too_many_requests",
        500 => "internal",
        503 => "busy",
        _ => "invalid_input",
    };
    refusal.with_retry(json_error(refusal.status, kind, &refusal.message))
}

/// The answer to a request some rows of which were refused: what began too many series may come back for those.
pub(super) fn partly(rejected: &RejectedRows, respond: impl FnOnce(StatusCode) -> Response) -> Response {
    if rejected.by_reason().any(|(reason, _)| reason == RowReason::SeriesRate) {
        return response::later(respond(StatusCode::TOO_MANY_REQUESTS), SERIES_RETRY);
    }
    respond(StatusCode::BAD_REQUEST)
}

/// Nanoseconds since the epoch.
pub(super) fn now_ns() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
}

/// Whether the memory for all bodies has room for so many bytes beside those of the body; they are taken when it has.
pub(super) type HasRoom<'r> = dyn FnMut(usize) -> bool + 'r;

/// Receives a body and hands it, unpacked, to `job` on a blocking thread; counts what `job` wrote under the name of the
/// protocol. `job` asks before it takes more bytes than the body has, as many as it takes in all.
pub(super) async fn write_rows(
    state: Arc<ServerState>,
    tenant: Arc<Tenant>,
    protocol: &'static str,
    headers: &HeaderMap,
    body: Body,
    job: impl FnOnce(&Tenant, &[u8], &mut HasRoom<'_>) -> Result<RowOutcome, RowsError> + Send + 'static,
) -> Result<RowOutcome, Refusal> {
    if is_cross_origin(headers) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "requests from pages of other sites are not accepted"));
    }
    let is_gzip = is_gzip(headers)?;
    let limits = &state.options.rows;
    let body = state.bodies.read(headers, body, limits.body_bytes_max).await;
    let mut body = body.map_err(|error| Refusal::new(body_status(&error), error.to_string()))?;
    let permit = state.write_gate.enter().await.map_err(|_| {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many requests wait to be written: try again later")
    })?;
    let (decoded_bytes_max, job_state) = (limits.decoded_bytes_max, Arc::clone(&state));
    let span = tracing::debug_span!("write", protocol, rows = Empty);
    let job = move || -> Result<RowOutcome, Refusal> {
        // Held to the end of the job, also when the client has gone.
        let (_permit, _entered) = (permit, span.enter());
        let packed = std::mem::take(&mut body.bytes);
        let mut has_room =
            |bytes: usize| job_state.bodies.reserve_decoded(&mut body, packed.len().saturating_add(bytes)).is_ok();
        let unpacked = if is_gzip { Some(gunzip(&packed, decoded_bytes_max, &mut has_room)?) } else { None };
        let bytes = unpacked.as_deref().unwrap_or(&packed);
        let unpacked_len = unpacked.as_ref().map_or(0, Vec::len);
        let mut has_room = |bytes| has_room(unpacked_len.saturating_add(bytes));
        let outcome = job(&tenant, bytes, &mut has_room).map_err(|error| Refusal {
            retry_after: retry_after(&error),
            ..Refusal::new(status(&error), error.to_string())
        })?;
        span.record("rows", outcome.written);
        note_rejected(&tenant, protocol, &outcome.rejected);
        Ok(outcome)
    };
    match run_blocking(job).await {
        Ok(Ok(outcome)) => {
            state.metrics.count_rows(protocol, &outcome);
            Ok(outcome)
        }
        Ok(Err(refusal)) => {
            let Refusal { status, message, .. } = &refusal;
            if status.is_server_error() && state.log.allows() {
                tracing::warn!(error = %message, status = status.as_u16(), protocol, "rows were not written");
            } else {
                tracing::debug!(error = %message, status = status.as_u16(), protocol, "rows were refused");
            }
            Err(refusal)
        }
        Err(error) => {
            tracing::error!(%error, protocol, "a request of rows failed by a bug");
            let message = "the request failed by a bug of the server; see its log";
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message))
        }
    }
}

/// Counts what a request brought in vain, and describes the first of it, where its tenant can look it up.
fn note_rejected(tenant: &Tenant, protocol: &'static str, rejected: &RejectedRows) {
    for (reason, count) in rejected.by_reason() {
        tenant.rejected.count(protocol, reason.as_str(), count);
    }
    for row in rejected.shown().iter().take(DESCRIBED_MAX) {
        let described = rejected::Refusal {
            protocol,
            reason: row.fault.reason.as_str(),
            table: "",
            labels: "",
            time_ns: None,
            detail: &format!("line {}: {}", row.line, row.fault.detail),
        };
        tenant.rejected.describe(&described, now_ns());
    }
}

fn status(error: &RowsError) -> StatusCode {
    match error {
        RowsError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        RowsError::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        RowsError::Malformed(_) => StatusCode::BAD_REQUEST,
        RowsError::NotFound(_) => StatusCode::NOT_FOUND,
        RowsError::Rate(_) => StatusCode::TOO_MANY_REQUESTS,
        RowsError::Series(fault) if fault.reason == RowReason::SeriesRate => StatusCode::TOO_MANY_REQUESTS,
        RowsError::Series(_) => StatusCode::BAD_REQUEST,
        RowsError::Store(error) => store_status(error),
    }
}

fn retry_after(error: &RowsError) -> Option<Duration> {
    match error {
        RowsError::Rate(rate) => Some(rate.retry_after),
        RowsError::Series(fault) if fault.reason == RowReason::SeriesRate => Some(SERIES_RETRY),
        _ => None,
    }
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, Refusal> {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    match (encodings.next().map(|value| value.as_bytes().trim_ascii()), encodings.next()) {
        (None, _) => Ok(false),
        (Some(encoding), None) if encoding.eq_ignore_ascii_case(b"gzip") => Ok(true),
        (Some(encoding), None) if encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity") => Ok(false),
        _ => Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content encodings are gzip and identity")),
    }
}

/// Unpacks gzip; memory grows with what comes out, up to the limit, as long as there is room for so many bytes.
fn gunzip(bytes: &[u8], limit: usize, mut has_room: impl FnMut(usize) -> bool) -> Result<Vec<u8>, Refusal> {
    let mut unpacked = Vec::new();
    let mut reader = MultiGzDecoder::new(bytes);
    loop {
        let step = UNPACKED_AT_ONCE.min(limit + 1 - unpacked.len());
        if !has_room(unpacked.len() + step) {
            let message = "the server holds as many request bodies as it may";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message));
        }
        let read = (&mut reader).take(step as u64).read_to_end(&mut unpacked);
        let read =
            read.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, format!("the body is not gzip: {error}")))?;
        if unpacked.len() > limit {
            let message = format!("the body is larger than the {limit} bytes that are accepted after decompression");
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        if read < step {
            return Ok(unpacked);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_unpacked_up_to_its_limit() {
        let packed = [gzip(&[7; 60]), gzip(&[8; 40])].concat();
        let unpacked = gunzip(&packed, 100, |_| true).unwrap();
        assert_eq!((unpacked.len(), unpacked[59], unpacked[60]), (100, 7, 8));
        assert_eq!(gunzip(&packed, 99, |_| true).unwrap_err().status, 413);
        assert_eq!(gunzip(&gzip(&vec![0; 100 << 20]), 1 << 20, |_| true).unwrap_err().status, 413);
        let mut asked = 0;
        let refused = gunzip(&gzip(&vec![0; 8 << 20]), 32 << 20, |bytes| {
            asked = bytes;
            bytes <= 3 << 20
        });
        assert_eq!(
            (refused.unwrap_err().status.as_u16(), asked),
            (503, 4 << 20),
            "memory is asked for before it is taken"
        );
        for broken in [&packed[..packed.len() - 1], b"", b"not gzip"] {
            assert_eq!(gunzip(broken, 100, |_| true).unwrap_err().status, 400);
        }
    }
}
