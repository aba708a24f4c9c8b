//! Compaction: the runs of a partition become fewer, in the end one, without duplicates and without deleted rows.
//!
//! A strategy looks at the manifest and returns a choice; a worker carries it out beside reads and writes, verifies the
//! output against its inputs and publishes it. A move to another tier is such a choice too, made by another strategy. One
//! compaction and one move at a time, in different partitions.

mod claims;
mod fingerprint;
mod job;
mod move_choice;
mod move_job;
mod strategy;
mod target;
mod tombstones;

pub(super) use claims::PartitionClaims;
pub(super) use move_choice::Mover;
pub(super) use strategy::{Compactor, Effort};
pub(super) use tombstones::settled_tombstones;
