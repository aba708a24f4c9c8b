//! Reads a request body within its bounds: bytes of this one, bytes of all together and of what they are unpacked to, time,
//! and a least speed.
//!
//! `Content-Length` is an attacker's word: it can refuse a request early, but memory grows only with what has arrived.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use futures::StreamExt;
use tokio::time::Instant;

use super::in_flight::{InFlight, Share};

/// A body may be slow for this long before its speed counts.
const SPEED_GRACE: Duration = Duration::from_secs(10);
/// Room that is made for a body by its declared length.
const EXPECTED_BYTES_MAX: usize = 64 << 10;
/// How long the rest of a body that is refused is read and thrown away, so that its sender reads the answer instead of
/// finding the connection reset.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Why a body was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is larger than the {limit} bytes that are accepted")]
    TooLarge { limit: usize },
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the server holds as many request bodies as it may")]
    Overloaded,
    #[error("the connection broke while the body was read")]
    Broken,
}

/// Bounds on bodies.
#[derive(Debug)]
pub(super) struct BodyReader {
    in_flight: InFlight,
    timeout: Duration,
    /// The least speed; slower senders hold memory and a connection for nothing.
    bytes_per_second_min: u64,
}

/// A body in memory, and its share of the pool.
#[derive(Debug)]
pub(super) struct ReadBody {
    pub(super) bytes: Vec<u8>,
    share: Share,
}

impl BodyReader {
    pub(super) fn new(in_flight_bytes_max: usize, timeout: Duration, bytes_per_second_min: u64) -> Self {
        let bytes_per_second_min = bytes_per_second_min.max(1);
        Self { in_flight: InFlight::new(in_flight_bytes_max), timeout, bytes_per_second_min }
    }

    /// The bytes of all bodies in memory.
    pub(super) fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// Takes the memory for what a body is unpacked to, beside that for the body, for as long as the body lives.
    pub(super) fn reserve_decoded(&self, read: &mut ReadBody, decoded_bytes: usize) -> Result<(), BodyError> {
        let bytes = read.bytes.len().saturating_add(decoded_bytes);
        if self.in_flight.grow(&mut read.share, bytes) { Ok(()) } else { Err(BodyError::Overloaded) }
    }

    /// Reads a whole body of at most `limit` bytes.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Body, limit: usize) -> Result<ReadBody, BodyError> {
        let start = Instant::now();
        let mut stream = body.into_data_stream();
        let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|declared| declared > limit as u64) {
            return Err(BodyError::TooLarge { limit });
        }
        // The declared length is the word of a stranger: it saves growing step by step up to a bound only.
        let expected = declared.map_or(0, |declared| declared.min(EXPECTED_BYTES_MAX as u64) as usize);
        let mut read = ReadBody { bytes: Vec::with_capacity(expected), share: Share::default() };
        loop {
            let earned = Duration::from_secs(read.bytes.len() as u64 / self.bytes_per_second_min);
            let deadline = start + (SPEED_GRACE + earned).min(self.timeout);
            let chunk: Bytes = match tokio::time::timeout_at(deadline, stream.next()).await {
                Err(_) => return Err(BodyError::TooSlow),
                Ok(None) => return Ok(read),
                Ok(Some(Err(_))) => return Err(BodyError::Broken),
                Ok(Some(Ok(chunk))) => chunk,
            };
            if read.bytes.len() + chunk.len() > limit {
                return Err(BodyError::TooLarge { limit });
            }
            if !self.in_flight.grow(&mut read.share, read.bytes.len() + chunk.len()) {
                return Err(BodyError::Overloaded);
            }
            read.bytes.extend_from_slice(&chunk);
        }
    }
}

/// Reads the rest of a body and throws it away.
pub(super) async fn discard_body(body: Body) {
    let mut stream = body.into_data_stream();
    let rest = async { while let Some(Ok(_)) = stream.next().await {} };
    // Whether it ended or not, the answer is the same.
    let _ = tokio::time::timeout(DISCARD_TIME, rest).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(sizes: &[usize]) -> Body {
        let chunks: Vec<_> = sizes.iter().map(|&size| Ok::<_, std::io::Error>(vec![7_u8; size])).collect();
        Body::from_stream(futures::stream::iter(chunks))
    }

    #[tokio::test]
    async fn a_body_is_read_whole_up_to_its_limit() {
        let reader = BodyReader::new(1 << 20, Duration::from_secs(60), 1 << 10);
        let read = reader.read(&HeaderMap::new(), chunks(&[10, 0, 5000]), 5010).await.unwrap();
        assert_eq!(read.bytes, vec![7; 5010]);
        assert_eq!(reader.in_flight.bytes(), 5 << 10);
        drop(read);
        assert_eq!(reader.in_flight.bytes(), 0);
        let error = reader.read(&HeaderMap::new(), chunks(&[10, 5001]), 5010).await.unwrap_err();
        assert_eq!(error, BodyError::TooLarge { limit: 5010 });
        assert_eq!(reader.in_flight.bytes(), 0);
    }

    #[tokio::test]
    async fn a_declared_length_over_the_limit_is_refused_before_the_body() {
        let reader = BodyReader::new(1 << 20, Duration::from_secs(60), 1 << 10);
        let headers = HeaderMap::from_iter([(CONTENT_LENGTH, "11".parse().unwrap())]);
        let error = reader.read(&headers, chunks(&[]), 10).await.unwrap_err();
        assert_eq!(error, BodyError::TooLarge { limit: 10 });
    }

    #[tokio::test]
    async fn bodies_share_one_bound() {
        let reader = BodyReader::new(4 << 10, Duration::from_secs(60), 1 << 10);
        let first = reader.read(&HeaderMap::new(), chunks(&[3 << 10]), 1 << 20).await.unwrap();
        let error = reader.read(&HeaderMap::new(), chunks(&[1 << 10, 1]), 1 << 20).await.unwrap_err();
        assert_eq!(error, BodyError::Overloaded);
        drop(first);
        assert!(reader.read(&HeaderMap::new(), chunks(&[4 << 10]), 1 << 20).await.is_ok());
    }

    #[tokio::test]
    async fn what_a_body_is_unpacked_to_counts_as_well() {
        let reader = BodyReader::new(4 << 10, Duration::from_secs(60), 1 << 10);
        let mut read = reader.read(&HeaderMap::new(), chunks(&[1 << 10]), 1 << 20).await.unwrap();
        assert_eq!(reader.reserve_decoded(&mut read, (3 << 10) + 1), Err(BodyError::Overloaded));
        assert_eq!(reader.reserve_decoded(&mut read, 3 << 10), Ok(()));
        assert_eq!(reader.in_flight.bytes(), 4 << 10);
        drop(read);
        assert_eq!(reader.in_flight.bytes(), 0);
    }

    #[tokio::test]
    async fn a_body_that_never_comes_and_one_that_breaks_are_errors() {
        let reader = BodyReader::new(4 << 10, Duration::ZERO, 1 << 10);
        let never = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        assert_eq!(reader.read(&HeaderMap::new(), never, 10).await.unwrap_err(), BodyError::TooSlow);
        let reader = BodyReader::new(4 << 10, Duration::from_secs(60), 1 << 10);
        let broken = futures::stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("reset"))]);
        let error = reader.read(&HeaderMap::new(), Body::from_stream(broken), 10).await.unwrap_err();
        assert_eq!(error, BodyError::Broken);
    }
}
