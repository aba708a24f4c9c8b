//! The engine: tables, commits, flushes and snapshots of one database directory.
//!
//! Locks, in the order in which they are taken: `flush` (one flush at a time), the WAL's own, `manifest`, `apply` (one
//! commit at a time goes into the memtable), `state` (which version and memtables are current; held for a pointer
//! swap). `retired` is taken under any of them and takes none; it is held while files are removed. Readers take `state`
//! alone, and only to clone two pointers.
//!
//! An engine that is open read-only has none of these: see `attachment`.

mod attachment;
mod background;
mod backup;
mod backup_marker;
mod batch_check;
mod catalog;
mod copy;
mod core;
mod database_dir;
mod directory_lock;
mod flush;
mod follower;
mod handle;
mod lease;
mod log_reader;
mod memory;
mod memtable_set;
mod open;
mod options;
mod pinned_manifest;
mod restore;
mod retired;
mod stats;
mod store;
#[cfg(test)]
mod tests;
mod write;

pub use attachment::Refresh;
pub use backup::{BackupStats, backup, backup_with};
pub use handle::Engine;
pub use open::RecoveryReport;
pub use options::{Ack, Background, EngineOptions, WriteReceipt};
pub use restore::{RestoreStats, restore, restore_with};
pub use stats::EngineStats;
