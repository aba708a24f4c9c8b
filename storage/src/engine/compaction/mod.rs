//! Compaction: the runs of a partition become fewer, in the end one, without duplicates and without deleted rows.
//!
//! A strategy looks at the manifest and returns a choice; a worker carries it out beside reads and writes, verifies the
//! output against its inputs and publishes it. One worker at a time.

mod fingerprint;
mod job;
mod strategy;
mod tombstones;

pub(super) use strategy::{Compactor, Effort};
pub(super) use tombstones::settled_tombstones;
