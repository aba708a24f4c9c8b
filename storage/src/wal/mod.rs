//! The write-ahead log: commits become durable here before anybody is told so.
//!
//! - `commit` turns the rows of a commit into the payload of a record and back, `block` its columns;
//! - `file` knows names, headers and the making of files;
//! - `group_commit` says who writes which records when, without doing so itself;
//! - `active` is the file that takes records;
//! - `writer` puts both together, rotates and removes files;
//! - `damage` says what a damaged part held;
//! - `survey` looks into a log without changing it;
//! - `replay` reads everything back after a restart, cuts what was torn and salvages what surrounds damage;
//! - `tail` follows a log that another process writes.
//!
//! Format: `docs/format/wal.md`.

mod active;
mod block;
mod commit;
mod damage;
mod file;
mod group_commit;
mod keys;
mod replay;
mod survey;
mod tail;
mod writer;

pub use commit::{COMMIT_RAW_BYTES_MAX, CommitError, EncodedCommit, decode_commit, encode_commit};
pub use damage::{Contents, Loss, WalDamage};
pub(crate) use file::wal_file_name;
pub use group_commit::SyncMode;
pub use replay::{ReplayReport, replay};
pub(crate) use replay::{WalPosition, replay_read_only};
pub(crate) use survey::{last_lsn_before_log, read_commits};
pub(crate) use tail::{Followed, follow, sync_up_to};
pub use writer::{WalOptions, WalWriter};
