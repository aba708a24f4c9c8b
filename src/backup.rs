//! Backup and restore of database directories.

use std::path::Path;

use lynxstore_storage::engine::{self, BackupStats, RestoreStats};

use crate::error::Result;

/// Backs the database in a directory up into another one, which is made when absent; a later backup into the same
/// directory takes only what is new. The database may be closed, or open in this or another process, also for writing.
///
/// The backup is a database directory itself, with one file more that makes it complete.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) when there is no database, or the destination holds something else;
/// [`Damaged`](crate::ErrorKind::Damaged) when the database is; [`Busy`](crate::ErrorKind::Busy) when the destination is
/// open; [`Io`](crate::ErrorKind::Io).
pub fn backup(database: impl AsRef<Path>, destination: impl AsRef<Path>) -> Result<BackupStats> {
    Ok(engine::backup(database.as_ref(), destination.as_ref())?)
}

/// Makes a database from a backup, in a directory that is absent or empty. Every file of the backup is verified first.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) when the backup did not end or is none, or the destination is not
/// empty; [`Damaged`](crate::ErrorKind::Damaged) names the file of the backup that is not what it was;
/// [`Io`](crate::ErrorKind::Io).
pub fn restore(backup: impl AsRef<Path>, destination: impl AsRef<Path>) -> Result<RestoreStats> {
    Ok(engine::restore(backup.as_ref(), destination.as_ref())?)
}
