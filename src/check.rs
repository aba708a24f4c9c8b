//! Verify and repair of database directories that nobody has open.

use std::path::Path;
use std::sync::Arc;

use lynxstore_storage::engine::{self, RepairMode, RepairReport, VerifyReport};
use lynxstore_storage::io::RealIo;

use crate::error::Result;

/// Checks every byte of a database that nobody has open, and changes nothing. What it finds is no error.
///
/// # Errors
/// [`Busy`](crate::ErrorKind::Busy) when it is open; [`InvalidInput`](crate::ErrorKind::InvalidInput) when there is no
/// database; [`Io`](crate::ErrorKind::Io).
pub fn verify(database: impl AsRef<Path>) -> Result<VerifyReport> {
    Ok(engine::verify(Arc::new(RealIo), database.as_ref())?)
}

/// Mends a database that nobody has open, or says what it would do. What it removes stays in `quarantine/`.
///
/// # Errors
/// As of [`verify`]; after [`Io`](crate::ErrorKind::Io) a second repair goes on.
pub fn repair(database: impl AsRef<Path>, mode: RepairMode) -> Result<RepairReport> {
    Ok(engine::repair(Arc::new(RealIo), database.as_ref(), mode)?)
}
