//! What the headers of a request say about its body and about the answer.

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HOST, ORIGIN};

use crate::ingest::prometheus::Version;

/// The form of an SQL result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResultFormat {
    /// One JSON object with columns and rows.
    Json,
    /// One JSON object per row, one per line.
    NdJson,
    /// Comma-separated values with a header line.
    Csv,
}

/// A type that is not spoken here, in words for the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnsupportedMedia(pub(super) String);

/// Which message a remote-write body holds, by its content type alone. The body is a snappy block; missing headers mean
/// that, and version 1: early senders left them out.
pub(super) fn check_remote_write(headers: &HeaderMap) -> Result<Version, UnsupportedMedia> {
    if let Some(encoding) = header(headers, &CONTENT_ENCODING)? {
        let encoding = encoding.trim();
        if !encoding.eq_ignore_ascii_case("snappy") {
            return Err(UnsupportedMedia(format!(
                "content encoding {} is not supported, only snappy",
                quoted(encoding)
            )));
        }
    }
    let Some(content_type) = header(headers, &CONTENT_TYPE)? else { return Ok(Version::V1) };
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if !media_type.eq_ignore_ascii_case("application/x-protobuf") {
        let text = format!("content type {} is not supported, only application/x-protobuf", quoted(media_type));
        return Err(UnsupportedMedia(text));
    }
    let mut version = None;
    for parameter in parts {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        if !name.trim().eq_ignore_ascii_case("proto") {
            continue;
        }
        let value = value.trim().trim_matches('"');
        let found = match value {
            "prometheus.WriteRequest" => Version::V1,
            "io.prometheus.write.v2.Request" => Version::V2,
            _ => {
                let known = "only prometheus.WriteRequest and io.prometheus.write.v2.Request";
                return Err(UnsupportedMedia(format!("message {} is not supported, {known}", quoted(value))));
            }
        };
        if version.replace(found).is_some_and(|other| other != found) {
            return Err(UnsupportedMedia("the content type names two messages".to_owned()));
        }
    }
    Ok(version.unwrap_or_default())
}

/// A header as text; one that is not text, or stands twice, is not a type that is spoken here.
fn header<'h>(headers: &'h HeaderMap, name: &axum::http::HeaderName) -> Result<Option<&'h str>, UnsupportedMedia> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text)),
        _ => Err(UnsupportedMedia(format!("header {name} is not one plain text"))),
    }
}

/// A bounded quote of what came.
fn quoted(text: &str) -> String {
    let end = text.floor_char_boundary(100);
    format!("{:?}", &text[..end])
}

/// The form of the result: `?format=` first, then the first type of `Accept` that is known, else JSON.
pub(super) fn result_format(format: Option<&str>, headers: &HeaderMap) -> Result<ResultFormat, String> {
    if let Some(format) = format {
        return match format.to_ascii_lowercase().as_str() {
            "json" => Ok(ResultFormat::Json),
            "ndjson" | "jsonl" => Ok(ResultFormat::NdJson),
            "csv" => Ok(ResultFormat::Csv),
            _ => Err(format!("format {} is unknown: use json, ndjson or csv", quoted(format))),
        };
    }
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let known = accepted.flat_map(|list| list.split(',')).find_map(|item| {
        match item.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/json" | "*/*" | "application/*" => Some(ResultFormat::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(ResultFormat::NdJson),
            "text/csv" | "text/*" => Some(ResultFormat::Csv),
            _ => None,
        }
    });
    Ok(known.unwrap_or(ResultFormat::Json))
}

/// Whether a browser sent the request from a page of another site. Such a page can reach a server on the user's own
/// machine, and nothing else tells it from the user; programs send no `Origin`.
pub(super) fn is_cross_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let origin_host = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    host.is_none() || host != origin_host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let mut headers = HeaderMap::new();
        pairs.for_each(|(name, value): (axum::http::HeaderName, _)| _ = headers.append(name, value));
        headers
    }

    #[test]
    fn snappy_and_the_messages_of_both_versions_are_accepted_in_every_spelling() {
        for pairs in [
            &[][..],
            &[("content-encoding", "snappy")],
            &[("content-encoding", "Snappy"), ("content-type", "application/x-protobuf")],
            &[("content-type", "application/x-protobuf;proto=prometheus.WriteRequest")],
            &[("content-type", "Application/X-Protobuf; charset=x ; proto=\"prometheus.WriteRequest\"")],
        ] {
            assert_eq!(check_remote_write(&headers(pairs)), Ok(Version::V1), "{pairs:?}");
        }
        let v2 = headers(&[("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")]);
        assert_eq!(check_remote_write(&v2), Ok(Version::V2));
    }

    #[test]
    fn other_encodings_types_and_messages_are_refused() {
        for pairs in [
            &[("content-encoding", "gzip")][..],
            &[("content-encoding", "zstd")],
            &[("content-encoding", "")],
            &[("content-encoding", "snappy"), ("content-encoding", "snappy")],
            &[("content-type", "application/json")],
            &[("content-type", "")],
            &[("content-type", "application/x-protobuf;proto=io.prometheus.write.v3.Request")],
            &[("content-type", "application/x-protobuf;proto=prometheus.WriteRequest;proto=x")],
            &[(
                "content-type",
                "application/x-protobuf;proto=prometheus.WriteRequest;proto=io.prometheus.write.v2.Request",
            )],
            &[("content-type", "application/x-protobuf; proto=")],
        ] {
            assert!(check_remote_write(&headers(pairs)).is_err(), "{pairs:?}");
        }
    }

    #[test]
    fn the_parameter_wins_over_accept_and_json_is_the_default() {
        let csv = headers(&[("accept", "text/html, text/csv;q=0.9, application/json")]);
        assert_eq!(result_format(None, &csv), Ok(ResultFormat::Csv));
        assert_eq!(result_format(Some("ndjson"), &csv), Ok(ResultFormat::NdJson));
        assert_eq!(result_format(None, &headers(&[("accept", "text/html,*/*")])), Ok(ResultFormat::Json));
        assert_eq!(result_format(None, &headers(&[])), Ok(ResultFormat::Json));
        assert!(result_format(Some("xml"), &csv).is_err());
    }

    #[test]
    fn pages_of_other_sites_are_told_apart() {
        assert!(!is_cross_origin(&headers(&[("host", "localhost:1")])));
        assert!(!is_cross_origin(&headers(&[("host", "localhost:1"), ("origin", "http://localhost:1")])));
        assert!(is_cross_origin(&headers(&[("host", "localhost:1"), ("origin", "http://evil.example")])));
        assert!(is_cross_origin(&headers(&[("host", "localhost:1"), ("origin", "null")])));
        assert!(is_cross_origin(&headers(&[("origin", "http://localhost:1")])));
    }
}
