//! The messages of an answer.

use super::histogram::{push_bytes, push_varint};

/// An `ExportMetricsServiceResponse` that says how many points were left out, and why.
pub fn partial_success(rejected_points: u64, message: &str) -> Vec<u8> {
    let (mut partial, mut response) = (Vec::new(), Vec::new());
    push_varint(&mut partial, 1, rejected_points);
    push_bytes(&mut partial, 2, message.as_bytes());
    push_bytes(&mut response, 1, &partial);
    response
}

/// A `google.rpc.Status`.
pub fn status(code: u32, message: &str) -> Vec<u8> {
    let mut status = Vec::new();
    push_varint(&mut status, 1, u64::from(code));
    push_bytes(&mut status, 2, message.as_bytes());
    status
}
