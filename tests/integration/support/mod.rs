//! What several integration tests need: places for files, data from outside the repository, reports of skipped tests.

mod child;
mod rng;
mod server_process;

use std::io::Write;
use std::path::{Path, PathBuf};

pub use child::{KillOnDrop, free_port, tsq_binary};
pub use rng::Rng;
pub use server_process::{kill_times, start_server, stop_gracefully, wait_until_up};

/// The root of the project.
pub fn project_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A fresh directory that is removed with its value.
pub fn scratch_dir() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("lynxstore-test-").tempdir().expect("the temporary directory is writable")
}

/// Real data that is kept beside the project, `../shared/data/NAME`, or under the directory `LYNX_TEST_DATA`.
///
/// `None`, after a note on standard error, when it is not there: a clone by itself must still pass its tests.
pub fn shared_data(test: &str, name: &str) -> Option<PathBuf> {
    let base = match std::env::var_os("LYNX_TEST_DATA") {
        Some(dir) => PathBuf::from(dir),
        None => project_root().join("../shared/data"),
    };
    let path = base.join(name);
    if path.exists() {
        return Some(path);
    }
    report_skipped(test, &format!("{} is not there (LYNX_TEST_DATA names another place)", path.display()));
    None
}

/// Says on standard error that a test did nothing. Written past the capture of the test harness, so that it is seen.
pub fn report_skipped(test: &str, reason: &str) {
    // A closed standard error is no reason to fail a test.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
}

/// Copies a directory with everything below it.
pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
