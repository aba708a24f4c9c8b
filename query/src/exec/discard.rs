//! Gives large memory back on a thread of its own.
//!
//! Unmapping memory that was touched takes a tenth of a second per GiB, which a statement that was cancelled has not got,
//! and which one that ended need not wait for. The account of the statement is settled before.

/// What is smaller is gone faster than a thread is started.
const DISCARD_BYTES_MIN: u64 = 16 << 20;

/// Drops `value`, which takes about this much.
pub(crate) fn discard<T: Send + 'static>(value: T, bytes: u64) {
    if bytes >= DISCARD_BYTES_MIN {
        // Where no thread can be had, it is dropped with the closure.
        let _ = std::thread::Builder::new().name("query-discard".into()).spawn(move || drop(value));
    }
}
