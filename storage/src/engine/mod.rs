//! The engine: tables, commits, flushes and snapshots of one database directory.
//!
//! Locks, in the order in which they are taken: `flush` (one flush at a time), the WAL's own, `manifest`, `apply` (one
//! commit at a time goes into the memtable), `state` (which version and memtables are current; held for a pointer
//! swap). Readers take `state` alone, and only to clone two pointers.

mod background;
mod batch_check;
mod catalog;
mod core;
mod database_dir;
mod flush;
mod handle;
#[cfg(test)]
mod log_bound_tests;
#[cfg(test)]
mod log_damage_tests;
mod memory;
mod memtable_set;
mod open;
mod options;
mod quarantine;
mod recovered_table;
mod recovery_report;
#[cfg(test)]
mod recovery_tests;
mod repair;
#[cfg(test)]
mod repair_tests;
mod rescue;
mod salvage;
mod scrub;
mod stats;
mod store;
#[cfg(test)]
mod tests;
mod verify;
mod write;

pub use handle::Engine;
pub use options::{Ack, Background, EngineOptions, WriteReceipt};
pub use recovery_report::{RecoveryEvent, RecoveryKind, RecoveryReport, Severity};
pub use repair::{RepairMode, RepairReport, repair};
pub use scrub::{Corruption, ScrubReport};
pub use stats::EngineStats;
pub use verify::{Finding, RepairStep, VerifyReport, verify};
