//! Whether the disk of the database has room for more.
//!
//! Writes are refused before the disk is full, while there is still room for what must not fail: flushes, the manifest,
//! compactions and deletes. They are taken again when there is somewhat more room than the bound, so that a disk at the
//! bound is not refused and taken by turns. The free bytes are asked of the system every second and not per request.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How often the system is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// Writes are taken again with this part of the bound on top.
const RESUME_PART: u64 = 8;

/// The disk of a database.
#[derive(Debug)]
pub(super) struct Disk {
    directory: PathBuf,
    free_bytes_min: u64,
    free_bytes: AtomicU64,
    is_low: AtomicBool,
}

impl Disk {
    /// The disk of a directory, looked at now; `free_bytes_min` is where writes end, 0 never.
    pub(super) fn new(directory: &Path, free_bytes_min: u64) -> Self {
        let disk = Self {
            directory: directory.to_owned(),
            free_bytes_min,
            free_bytes: AtomicU64::new(0),
            is_low: AtomicBool::new(false),
        };
        disk.look();
        disk
    }

    /// Whether writes are to be refused.
    pub(super) fn is_low(&self) -> bool {
        self.is_low.load(Ordering::Relaxed)
    }

    /// Bytes that are free, as of the last look; 0 where the system does not say.
    pub(super) fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }

    fn look(&self) {
        let Some(free_bytes) = free_bytes(&self.directory) else { return };
        self.free_bytes.store(free_bytes, Ordering::Relaxed);
        let was_low = self.is_low();
        let is_low = is_low(free_bytes, self.free_bytes_min, was_low);
        self.is_low.store(is_low, Ordering::Relaxed);
        if is_low && !was_low {
            tracing::error!(
                free_bytes,
                min = self.free_bytes_min,
                "the disk is low: writes are refused until there is room"
            );
        } else if was_low && !is_low {
            tracing::info!(free_bytes, "the disk has room again: writes are taken");
        }
    }
}

/// Looks at the disk until it is dropped.
pub(super) async fn watch_disk(disk: Arc<Disk>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let disk = Arc::clone(&disk);
        // A network disk may take its time to answer.
        let _ = tokio::task::spawn_blocking(move || disk.look()).await;
    }
}

fn is_low(free_bytes: u64, min: u64, was_low: bool) -> bool {
    let bound = if was_low { min.saturating_add(min / RESUME_PART) } else { min };
    free_bytes < bound
}

#[cfg(unix)]
fn free_bytes(directory: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_end_below_the_bound_and_begin_again_above_it() {
        assert!(!is_low(800, 800, false));
        assert!(is_low(799, 800, false));
        assert!(is_low(899, 800, true));
        assert!(!is_low(900, 800, true));
        assert!(!is_low(0, 0, false));
        assert!(is_low(u64::MAX - 1, u64::MAX, true));
    }

    #[test]
    fn the_system_says_how_much_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path(), u64::MAX);
        assert!(disk.is_low() && disk.free_bytes() > 0);
        assert!(!Disk::new(dir.path(), 0).is_low());
    }
}
