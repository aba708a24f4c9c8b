//! The storage engine of LynxStore.
//!
//! It knows no SQL, no HTTP and no DataFusion. From the bottom up: [`io`] touches files, [`encoding`] packs vectors,
//! [`wal`] makes commits durable, `memtable` holds rows that are not flushed, [`segment`] holds those that are,
//! [`manifest`] says which segments make up the database, [`snapshot`] is what a query sees, [`engine`] ties them
//! together.

pub mod encoding;
pub mod engine;
pub mod error;
mod framing;
pub mod ingest;
pub mod io;
pub mod manifest;
mod memtable;
pub mod segment;
pub mod snapshot;
mod sync;
pub mod types;
pub mod wal;

pub use error::{Error, Result};
