//! A temporary directory for a database that no one wants to keep.

use std::path::{Path, PathBuf};

use super::error::{CommandError, Result};

/// A directory that is removed with everything in it when the value is dropped.
pub(super) struct ScratchDirectory {
    path: PathBuf,
}

impl ScratchDirectory {
    /// Creates an empty directory that only its owner can read.
    pub(super) fn create() -> Result<Self> {
        let parent = std::env::temp_dir();
        let mut attempt = 0_u32;
        loop {
            let path = parent.join(format!("tsq-{}-{attempt}", std::process::id()));
            match create_private(&path) {
                Ok(()) => return Ok(Self { path }),
                // A process of the same id may have been killed here before.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && attempt < 1_000 => attempt += 1,
                Err(error) => return Err(CommandError::io("create", &path, error)),
            }
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchDirectory {
    fn drop(&mut self) {
        // What cannot be removed stays for the system's own cleaning of temporary files.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn create_private(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_apart_and_vanish() {
        let first = ScratchDirectory::create().unwrap();
        let second = ScratchDirectory::create().unwrap();
        assert_ne!(first.path(), second.path());
        std::fs::write(first.path().join("file"), "x").unwrap();
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists());
        assert!(second.path().exists());
    }
}
