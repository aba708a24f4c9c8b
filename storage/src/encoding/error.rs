//! Why bytes are not a vector, or values not encodable.

/// Bytes that are not what an encoder wrote. The segment reader adds the file and the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DecodeError {
    /// What does not fit.
    pub reason: &'static str,
}

impl DecodeError {
    pub(super) fn new(reason: &'static str) -> Self {
        Self { reason }
    }
}

/// Values beyond what the format can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct EncodeError {
    /// What is too large, and the limit.
    pub reason: &'static str,
}
