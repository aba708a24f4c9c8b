//! Integration tests: the whole engine from outside, through the library, the server and the `tsq` binary.
//!
//! One binary, because each further one would link DataFusion again. A module is a topic; `support` holds what several
//! of them need. Tests that want data or programs from outside the repository say that they were skipped, and why.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod concurrency;
mod crash;
mod embed;
mod fuzz_corpus;
mod kill9;
mod nab;
mod prometheus;
mod resend;
mod senders;
mod server;
#[cfg(feature = "datafusion")]
mod slt;
mod support;
mod tidy;
mod tsq;
