//! The engine: tables, commits, flushes and snapshots of one database directory.
//!
//! Locks, in the order in which they are taken: `closed`, `widening` (shared by writes), `maintenance` (one compaction or
//! retention run at a time), `flush` (one flush at a time), the WAL's own, `manifest`, `apply` (one commit at a time goes
//! into the memtable), `state` (which version and memtables are current; held for a pointer swap). `retired` is taken
//! under any of them and takes none; it is held while files are removed. Readers take `state` alone, and only to clone two
//! pointers.
//!
//! An engine that is open read-only has none of these: see `attachment`.

mod allocator;
mod alter;
mod attachment;
mod background;
mod backup;
mod backup_marker;
#[cfg(test)]
mod bad_sector_tests;
mod batch_check;
#[cfg(test)]
mod budget_tests;
mod catalog;
mod compaction;
#[cfg(test)]
mod compaction_tests;
mod copy;
mod core;
mod database_dir;
mod delete;
mod directory_lock;
mod flush;
mod follower;
mod handle;
mod inventory;
mod lease;
#[cfg(test)]
mod log_bound_tests;
#[cfg(test)]
mod log_damage_tests;
mod log_reader;
mod maintenance;
mod memory;
mod memtable_set;
#[cfg(any(test, feature = "testing"))]
#[allow(clippy::unwrap_used, reason = "a model that fails must say so")]
pub mod model;
#[cfg(test)]
mod move_fault_tests;
#[cfg(test)]
mod move_tests;
mod mover;
mod open;
mod options;
mod pacer;
mod pinned_manifest;
mod publication;
mod quarantine;
mod recovered_table;
mod recovery_history;
mod recovery_report;
#[cfg(test)]
mod recovery_tests;
mod repair;
#[cfg(test)]
mod repair_tests;
mod rescue;
mod restore;
mod retention;
#[cfg(test)]
mod retention_tests;
mod retired;
mod salvage;
mod scrub;
mod signal;
mod stats;
mod store;
#[cfg(test)]
mod stress;
mod task_log;
#[cfg(test)]
mod tests;
mod tier_info;
mod verify;
mod write;

pub use alter::TableChange;
pub use attachment::Refresh;
pub use backup::{BackupStats, backup, backup_with};
pub use delete::DeleteReceipt;
pub use handle::Engine;
pub use inventory::SegmentInfo;
pub use mover::MoveReceipt;
pub use options::{Ack, Background, EngineOptions, SegmentReads, WriteReceipt};
pub use recovery_history::PastRecovery;
pub use recovery_report::{RecoveryEvent, RecoveryKind, RecoveryReport, Severity};
pub use repair::{RepairMode, RepairReport, repair};
pub use restore::{RestoreStats, restore, restore_with};
pub use scrub::{Corruption, ScrubReport};
pub use stats::EngineStats;
pub use task_log::{TaskKind, TaskRecord};
pub use tier_info::TierInfo;
pub use verify::{Finding, RepairStep, VerifyReport, verify};
