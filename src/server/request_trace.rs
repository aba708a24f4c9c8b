//! The name of a request in the log and in the traces of those who sent it.
//!
//! A request has an id: that of its `X-Request-Id`, else a new one; the answer bears it. Where it comes with the trace
//! context of the W3C (`traceparent`), the span of the request bears the ids of the trace and of the caller's span, so that
//! messages of this server are found by them; an export to a collector makes the span a child of the caller's.

use std::hash::{BuildHasher, Hasher, RandomState};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tracing::Span;
use tracing::field::Empty;

/// The header of the id, in requests and answers.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Whether spans may be exported.
const EXPORTED: bool = cfg!(feature = "otel");

/// Characters of an id that is taken from a request: it goes into the log.
const ID_BYTES_MAX: usize = 64;

/// The id of a request.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_fine = |id: &&HeaderValue| {
        let id = id.as_bytes();
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        (1..=ID_BYTES_MAX).contains(&id.len()) && id.iter().all(is_plain)
    };
    if let Some(id) = headers.get(REQUEST_ID).filter(is_fine) {
        return id.clone();
    }
    // Unique is enough, secret it is not.
    let id = format!("{:016x}", RandomState::new().build_hasher().finish());
    HeaderValue::try_from(id).expect("hexadecimal digits are a value of a header")
}

/// The ids of the trace and of the caller's span in a `traceparent`; `None` for what the recommendation has receivers
/// ignore.
fn trace_context(headers: &HeaderMap) -> Option<(&str, &str)> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let mut parts = value.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let has_form = [(version, 2), (trace, 32), (span, 16), (flags, 2)]
        .iter()
        .all(|(text, len)| text.len() == *len && is_hex(text));
    // Later versions may have more parts; the first has four.
    let has_more = parts.next().is_some();
    let is_zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let is_valid = has_form && version != "ff" && !(version == "00" && has_more) && !is_zero(trace) && !is_zero(span);
    is_valid.then_some((trace, span))
}

/// The span of a request. Tenant and user are filled in when they are known.
pub(super) fn request_span(method: &str, path: &str, id: &HeaderValue, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        "request",
        method,
        path,
        request_id = id.to_str().unwrap_or_default(),
        trace_id = Empty,
        parent_span_id = Empty,
        tenant = Empty,
        user = Empty,
        // For collectors. Without them they stay out of the log.
        otel.kind = EXPORTED.then_some("server"),
        otel.name = EXPORTED.then(|| display(format!("{method} {path}"))),
        otel.status_code = Empty,
        http.response.status_code = Empty
    );
    if let Some((trace, parent)) = trace_context(headers) {
        span.record("trace_id", trace);
        span.record("parent_span_id", parent);
        #[cfg(feature = "otel")]
        {
            use tracing_opentelemetry::OpenTelemetrySpanExt;

            // An error says that nothing is exported.
            let _ = span.set_parent(super::trace_export::remote_context(headers));
        }
    }
    span
}

/// Notes the answer in the span of its request.
pub(super) fn record_status(span: &Span, status: StatusCode) {
    if EXPORTED {
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect()
    }

    #[test]
    fn an_id_is_kept_when_it_is_plain_and_made_otherwise() {
        assert_eq!(request_id(&headers(&REQUEST_ID, &["a-B_9.x"])), "a-B_9.x");
        let long = "x".repeat(ID_BYTES_MAX + 1);
        for odd in ["", "a b", "a\"b", "\u{e9}", &long] {
            let id = request_id(&headers(&REQUEST_ID, &[odd]));
            assert_eq!(id.len(), 16, "{odd:?}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }

    #[test]
    fn a_trace_context_is_taken_when_it_has_the_form_of_the_recommendation() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let of = |values: &[&str]| {
            trace_context(&headers(&TRACEPARENT, values)).map(|(trace, span)| (trace.to_owned(), span.to_owned()))
        };
        let expected = Some((trace.to_owned(), span.to_owned()));
        assert_eq!(of(&[&format!("00-{trace}-{span}-01")]), expected);
        assert_eq!(of(&[&format!("01-{trace}-{span}-01-more")]), expected);
        for odd in [
            String::new(),
            "00".into(),
            format!("ff-{trace}-{span}-01"),
            format!("00-{trace}-{span}-01-more"),
            format!("00-{trace}-{span}"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
        ] {
            assert_eq!(of(&[&odd]), None, "{odd}");
        }
        let fine = format!("00-{trace}-{span}-01");
        assert_eq!(of(&[&fine, &fine]), None);
    }
}
