//! `tsq backup` and `tsq restore`.

use std::io::{self, Write};

use crate::shell::cli::{BackupArgs, RestoreArgs};
use crate::shell::error::{CommandError, Result};
use crate::shell::output::{bytes, count, plural};

/// Backs a database up, whoever has it open.
pub(super) fn run_backup(args: &BackupArgs) -> Result<()> {
    let stats = crate::backup(&args.directory, &args.destination)?;
    let part = |files: u64, size: u64, what: &str| match files {
        0 => None,
        files => Some(format!("{} {what} ({})", plural(files, "file"), bytes(size))),
    };
    let parts = [
        part(stats.linked_files, stats.linked_bytes, "linked"),
        part(stats.copied_files, stats.copied_bytes, "copied"),
        part(stats.reused_files, stats.reused_bytes, "kept"),
        (stats.removed_files > 0).then(|| format!("{} removed", count(stats.removed_files))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    print_line(&format!(
        "Backed up {} to {} up to commit {}: {}",
        args.directory.display(),
        args.destination.display(),
        stats.lsn,
        parts.join(", ")
    ))
}

/// Makes a database from a backup.
pub(super) fn run_restore(args: &RestoreArgs) -> Result<()> {
    let stats = crate::restore(&args.backup, &args.directory)?;
    print_line(&format!(
        "Restored {} from {} up to commit {}: {} ({})",
        args.directory.display(),
        args.backup.display(),
        stats.lsn,
        plural(stats.copied_files, "file"),
        bytes(stats.copied_bytes)
    ))
}

fn print_line(text: &str) -> Result<()> {
    writeln!(io::stdout(), "{text}").map_err(CommandError::Output)
}
