//! Answers that are not results: refusals in text and in JSON, and when to come back.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// Prometheus reads this much of the text of a refusal.
const TEXT_BYTES_MAX: usize = 1024;

/// Seconds after which an overloaded server is tried again: between the two, at random, so that senders that were
/// refused together do not come back together.
const RETRY_SECONDS: std::ops::RangeInclusive<u64> = 1..=5;

/// A refusal in plain text.
pub(super) fn text(status: StatusCode, message: &str) -> Response {
    let end = message.floor_char_boundary(TEXT_BYTES_MAX - 1);
    let response = (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{}\n", &message[..end]));
    with_retry(status, response.into_response())
}

/// A refusal as JSON, in the form of the SQL endpoint.
pub(super) fn json_error(status: StatusCode, kind: &str, message: &str) -> Response {
    let end = message.floor_char_boundary(TEXT_BYTES_MAX - 1);
    let body = serde_json::json!({ "error": { "kind": kind, "message": &message[..end] } }).to_string();
    with_retry(status, (status, [(CONTENT_TYPE, "application/json")], body).into_response())
}

/// A refusal of what a tenant may not bring yet: it says when, and not to all at once.
pub(super) fn too_many(message: &str, retry_after: Duration) -> Response {
    later(text(StatusCode::TOO_MANY_REQUESTS, message), retry_after)
}

/// An answer that says when to come back.
pub(super) fn later(mut response: Response, retry_after: Duration) -> Response {
    let seconds = retry_after.as_secs() + 1;
    // Up to half as long again.
    let jitter = RandomState::new().build_hasher().finish() % (seconds / 2 + 1);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds + jitter));
    response
}

/// Says when to come back, when the status means that.
pub(super) fn with_retry(status: StatusCode, mut response: Response) -> Response {
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let width = RETRY_SECONDS.end() - RETRY_SECONDS.start() + 1;
        // Every `RandomState` has keys of its own, which is all the randomness that this needs.
        let seconds = RETRY_SECONDS.start() + RandomState::new().build_hasher().finish() % width;
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_503_says_when_to_come_back_and_not_always_the_same() {
        assert!(!text(StatusCode::BAD_REQUEST, "no").headers().contains_key(RETRY_AFTER));
        let seconds: std::collections::BTreeSet<u64> = (0..200)
            .map(|_| json_error(StatusCode::SERVICE_UNAVAILABLE, "busy", "later"))
            .map(|response| response.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap())
            .collect();
        assert!(seconds.len() > 1 && seconds.iter().all(|second| RETRY_SECONDS.contains(second)), "{seconds:?}");
    }

    #[tokio::test]
    async fn long_texts_are_cut_to_what_senders_read() {
        let response = text(StatusCode::BAD_REQUEST, &"\u{1F41F}".repeat(1000));
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        assert!(body.len() <= TEXT_BYTES_MAX);
        assert!(std::str::from_utf8(&body).is_ok());
    }
}
