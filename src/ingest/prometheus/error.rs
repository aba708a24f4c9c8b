//! Why a request is refused as a whole.

/// A request of which nothing is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// More bytes or elements than a request may have.
    #[error("the request has {found} {what}, at most {limit} are accepted: send smaller requests")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// How many the request has, or how many were counted before the scan stopped.
        found: u64,
        /// The bound.
        limit: u64,
    },
    /// The body is not a snappy block.
    #[error("the body is not a valid snappy block: {reason}")]
    Snappy {
        /// What is wrong with it.
        reason: String,
    },
    /// Version 2 without a sound table of symbols.
    #[error("the table of symbols is not valid: {reason}")]
    Symbols {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The decompressed body is not the protobuf message that it should be.
    #[error("the message is not the protobuf message of its content type: {reason} at byte {offset}")]
    Protobuf {
        /// What is wrong with it.
        reason: &'static str,
        /// Offset of the field within the message that holds it.
        offset: usize,
    },
}

impl DecodeError {
    /// Refuses `found` when it is over `limit`.
    pub(super) fn check(what: &'static str, found: usize, limit: usize) -> Result<(), Self> {
        if found > limit {
            return Err(Self::TooLarge { what, found: found as u64, limit: limit as u64 });
        }
        Ok(())
    }
}
