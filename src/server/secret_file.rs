//! Files that hold secrets: read whole, bounded, and only when other users of the machine cannot get at them.

use std::io::Read;
use std::path::Path;

/// Bytes of such a file.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Reads a file of secrets.
///
/// # Errors
/// When it cannot be read, or other users may read or change it.
pub(super) fn read_secret_file(path: &Path) -> Result<String, String> {
    let fail = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let file = std::fs::File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    check_mode(path, &metadata)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(fail)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("{} is larger than {FILE_BYTES_MAX} bytes", path.display()));
    }
    Ok(text)
}

/// The group may read: a service commonly runs as a user of its own, in the group of a file that root owns.
#[cfg(unix)]
fn check_mode(path: &Path, metadata: &std::fs::Metadata) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;

    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o027 != 0 {
        return Err(format!(
            "{} holds secrets and has the mode {mode:04o}, so that others can read or change it: chmod 600 it",
            path.display()
        ));
    }
    if mode & 0o040 != 0 {
        tracing::debug!(path = %path.display(), "the group may read this file of secrets");
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &std::fs::Metadata) -> Result<(), String> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_others_can_read_or_change_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets.toml");
        assert!(read_secret_file(&path).is_err());
        std::fs::write(&path, "x").unwrap();
        for (mode, is_fine) in [
            (0o600, true),
            (0o400, true),
            (0o640, true),
            (0o644, false),
            (0o620, false),
            (0o604, false),
            (0o602, false),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_secret_file(&path).is_ok(), is_fine, "{mode:o}");
        }
    }
}
