//! The write-ahead log: commits become durable here before anybody is told so.
//!
//! - `commit` turns the rows of a commit into the payload of a record and back, `block` its columns;
//! - `file` knows names, headers and the making of files;
//! - `writer` writes groups of records, rotates and removes files;
//! - `replay` reads everything back after a restart, cuts what was torn and salvages what surrounds damage;
//! - `tail` follows a log that another process writes.
//!
//! Format: `docs/format/wal.md`.

mod block;
mod commit;
mod file;
mod replay;
mod tail;
mod writer;

pub use commit::{COMMIT_RAW_BYTES_MAX, CommitError, EncodedCommit, decode_commit, encode_commit};
pub(crate) use file::wal_file_name;
pub use replay::{ReplayReport, WalDamage, replay};
pub(crate) use replay::{WalPosition, replay_read_only};
pub(crate) use tail::{Followed, follow, sync_up_to};
pub use writer::{SyncMode, WalOptions, WalWriter};
