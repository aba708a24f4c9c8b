//! Which files a path or glob in SQL means.

use std::path::{Path, PathBuf};

use super::{FileError, FileFormat};

/// Whether a quoted name in FROM means a file: it has an extension of a known or a compressed format.
pub fn looks_like_file(name: &str) -> bool {
    !matches!(FileFormat::from_path(Path::new(name)), Err(FileError::UnknownFormat { .. }))
}

/// The files that `pattern` means, sorted by name. A file whose very name is `pattern` wins over the glob.
pub(super) fn expand(pattern: &str) -> Result<Vec<PathBuf>, FileError> {
    let literal = Path::new(pattern);
    if literal.is_file() {
        return Ok(vec![literal.to_path_buf()]);
    }
    if literal.is_dir() {
        return Err(FileError::invalid(literal, "this is a directory: name its files, for example with /*.parquet"));
    }
    if !pattern.contains(['*', '?', '[']) {
        return Err(FileError::NotFound { pattern: pattern.to_owned() });
    }
    let matches = glob::glob(pattern)
        .map_err(|error| FileError::Pattern { pattern: pattern.to_owned(), reason: error.to_string() })?;
    let mut paths = Vec::new();
    for found in matches {
        let path = found.map_err(|error| {
            let path = error.path().to_path_buf();
            FileError::io("list", &path, error.into())
        })?;
        if path.is_file() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(FileError::NotFound { pattern: pattern.to_owned() });
    }
    paths.sort();
    Ok(paths)
}
