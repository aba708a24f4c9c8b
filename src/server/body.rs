//! Reads a request body within its bounds: bytes of this one, bytes of all together, time, and a least speed.
//!
//! `Content-Length` is an attacker's word: it can refuse a request early, but memory grows only with what has arrived.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Bytes of one permit of the pool.
const PERMIT_BYTES: usize = 1 << 10;
/// A body may be slow for this long before its speed counts.
const SPEED_GRACE: Duration = Duration::from_secs(10);
/// The least speed; slower senders hold memory and a connection for nothing.
const BYTES_PER_SECOND_MIN: u64 = 1 << 10;
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
    in_flight: Arc<Semaphore>,
    timeout: Duration,
}

/// A body in memory, and its share of the pool.
#[derive(Debug)]
pub(super) struct ReadBody {
    pub(super) bytes: Vec<u8>,
    _share: Option<OwnedSemaphorePermit>,
}

impl BodyReader {
    pub(super) fn new(in_flight_bytes_max: usize, timeout: Duration) -> Self {
        let permits = (in_flight_bytes_max / PERMIT_BYTES).min(Semaphore::MAX_PERMITS);
        Self { in_flight: Arc::new(Semaphore::new(permits)), timeout }
    }

    /// Reads a whole body of at most `limit` bytes.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Body, limit: usize) -> Result<ReadBody, BodyError> {
        let start = Instant::now();
        let mut stream = body.into_data_stream();
        let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|declared| declared > limit as u64) {
            discard(&mut stream).await;
            return Err(BodyError::TooLarge { limit });
        }
        // The declared length is the word of a stranger: it saves growing step by step up to a bound only.
        let expected = declared.map_or(0, |declared| declared.min(EXPECTED_BYTES_MAX as u64) as usize);
        let mut read = ReadBody { bytes: Vec::with_capacity(expected), _share: None };
        loop {
            let earned = Duration::from_secs(read.bytes.len() as u64 / BYTES_PER_SECOND_MIN);
            let deadline = start + (SPEED_GRACE + earned).min(self.timeout);
            let chunk: Bytes = match tokio::time::timeout_at(deadline, stream.next()).await {
                Err(_) => return Err(BodyError::TooSlow),
                Ok(None) => return Ok(read),
                Ok(Some(Err(_))) => return Err(BodyError::Broken),
                Ok(Some(Ok(chunk))) => chunk,
            };
            if read.bytes.len() + chunk.len() > limit {
                discard(&mut stream).await;
                return Err(BodyError::TooLarge { limit });
            }
            if let Err(overloaded) = self.reserve(&mut read, chunk.len()) {
                discard(&mut stream).await;
                return Err(overloaded);
            }
            read.bytes.extend_from_slice(&chunk);
        }
    }

    /// Takes permits for what `additional` bytes add to a body, whole permits at a time.
    fn reserve(&self, read: &mut ReadBody, additional: usize) -> Result<(), BodyError> {
        let wanted = (read.bytes.len() + additional).div_ceil(PERMIT_BYTES);
        let held = read._share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(wanted - held).map_err(|_| BodyError::Overloaded)?;
        let permits = Arc::clone(&self.in_flight).try_acquire_many_owned(more).map_err(|_| BodyError::Overloaded)?;
        match &mut read._share {
            Some(share) => share.merge(permits),
            share => *share = Some(permits),
        }
        Ok(())
    }
}

/// Throws away the body of a request that is refused for what its head says.
pub(super) async fn discard_body(body: Body) {
    discard(&mut body.into_data_stream()).await;
}

async fn discard(stream: &mut axum::body::BodyDataStream) {
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
        let reader = BodyReader::new(1 << 20, Duration::from_secs(60));
        let read = reader.read(&HeaderMap::new(), chunks(&[10, 0, 5000]), 5010).await.unwrap();
        assert_eq!(read.bytes, vec![7; 5010]);
        assert_eq!(reader.in_flight.available_permits(), 1024 - 5);
        drop(read);
        assert_eq!(reader.in_flight.available_permits(), 1024);
        let error = reader.read(&HeaderMap::new(), chunks(&[10, 5001]), 5010).await.unwrap_err();
        assert_eq!(error, BodyError::TooLarge { limit: 5010 });
        assert_eq!(reader.in_flight.available_permits(), 1024);
    }

    #[tokio::test]
    async fn a_declared_length_over_the_limit_is_refused_before_the_body() {
        let reader = BodyReader::new(1 << 20, Duration::from_secs(60));
        let headers = HeaderMap::from_iter([(CONTENT_LENGTH, "11".parse().unwrap())]);
        let error = reader.read(&headers, chunks(&[]), 10).await.unwrap_err();
        assert_eq!(error, BodyError::TooLarge { limit: 10 });
    }

    #[tokio::test]
    async fn bodies_share_one_bound() {
        let reader = BodyReader::new(4 << 10, Duration::from_secs(60));
        let first = reader.read(&HeaderMap::new(), chunks(&[3 << 10]), 1 << 20).await.unwrap();
        let error = reader.read(&HeaderMap::new(), chunks(&[1 << 10, 1]), 1 << 20).await.unwrap_err();
        assert_eq!(error, BodyError::Overloaded);
        drop(first);
        assert!(reader.read(&HeaderMap::new(), chunks(&[4 << 10]), 1 << 20).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_that_never_comes_and_one_that_breaks_are_errors() {
        let reader = BodyReader::new(4 << 10, Duration::ZERO);
        let never = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        assert_eq!(reader.read(&HeaderMap::new(), never, 10).await.unwrap_err(), BodyError::TooSlow);
        let reader = BodyReader::new(4 << 10, Duration::from_secs(60));
        let broken = futures::stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("reset"))]);
        let error = reader.read(&HeaderMap::new(), Body::from_stream(broken), 10).await.unwrap_err();
        assert_eq!(error, BodyError::Broken);
    }
}
