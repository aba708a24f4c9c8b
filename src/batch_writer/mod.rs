//! Many producers, few commits: rows are queued, and a thread of its own writes them together.
//!
//! A batch is one atomic, durable commit, as a request of a protocol is, and missing tables and columns are created the same
//! way. The queue is bounded. Order: the rows of one producer are committed in the order in which it sent them. Producers
//! may be async tasks or threads; the writing thread never runs on an async worker.

mod handle;
mod options;
mod row;
#[cfg(test)]
mod tests;
mod worker;

pub use handle::BatchWriter;
pub use options::{BatchWriterOptions, Retry, WhenFull};
pub use row::{BatchRow, OwnedValue};
pub use worker::BatchReport;
