//! The formats that tables are read from and written to.

use std::path::Path;

use super::FileError;

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// Comma-separated (or otherwise delimited) text.
    Csv,
    /// Tab-separated text.
    Tsv,
    /// Apache Parquet.
    Parquet,
}

impl FileFormat {
    /// The format that the extension of a path stands for.
    ///
    /// # Errors
    /// `Compressed` for a compressed container such as `.csv.gz`, `UnknownFormat` for every other extension.
    pub fn from_path(path: &Path) -> Result<Self, FileError> {
        let extension = path.extension().and_then(|text| text.to_str()).unwrap_or("").to_ascii_lowercase();
        match extension.as_str() {
            "csv" => Ok(Self::Csv),
            "tsv" | "tab" => Ok(Self::Tsv),
            "parquet" | "pq" => Ok(Self::Parquet),
            "gz" | "gzip" | "zst" | "bz2" | "xz" | "lz4" | "zip" => {
                Err(FileError::Compressed { path: path.to_path_buf() })
            }
            _ => Err(FileError::UnknownFormat { path: path.to_path_buf() }),
        }
    }

    /// The format of a name as it stands in `COPY ... (FORMAT name)`, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}
