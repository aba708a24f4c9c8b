//! A table into one file, batch by batch.
//!
//! Steps: write `path.tmp`, sync it, rename it to `path`, sync the directory. A reader of `path` sees the old file or
//! the whole new one; a writer that is dropped before it has finished removes the temporary file. In memory are a batch and
//! what a format buffers: of Parquet a row group, encoded.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::csv::{Writer, WriterBuilder};
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::{FileError, FileFormat, Header};

const WRITE_BUFFER_BYTES: usize = 1 << 20;
/// A row group is buffered encoded until it is complete; this bounds it for wide rows.
const ROW_GROUP_BYTES_MAX: usize = 128 << 20;

/// Options of writing; they matter to delimited text only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteOptions {
    /// Whether the first line names the columns; it does unless this is [`Header::Absent`].
    pub header: Header,
    /// The delimiter; `None` is a comma, or a tab for TSV.
    pub delimiter: Option<u8>,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteSummary {
    /// Rows in the file.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
}

/// Writes `batches`, all of `schema`, to `path`, as a [`FileWriter`] does.
///
/// # Errors
/// What the batches fail with, or a [`FileError`] for this file.
pub fn write<E: From<FileError>>(
    path: &Path,
    format: FileFormat,
    options: WriteOptions,
    schema: &SchemaRef,
    batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
) -> Result<WriteSummary, E> {
    let mut writer = FileWriter::create(path, format, options, schema)?;
    for batch in batches {
        writer.write(&batch?)?;
    }
    Ok(writer.finish()?)
}

/// Writes a file that replaces one of its name once everything is on disk.
///
/// CSV gets a header, ISO 8601 times in UTC without a zone, and quotes where needed; NULL is the empty cell. Parquet
/// gets ZSTD; dictionary arrays become string columns in Parquet's own dictionary encoding, which every engine reads.
#[derive(Debug)]
pub struct FileWriter {
    output: Output,
    rows: u64,
    target: PathBuf,
    temporary: TemporaryFile,
}

#[derive(Debug)]
enum Output {
    Text(Box<Writer<BufWriter<File>>>),
    Parquet(Box<ArrowWriter<BufWriter<File>>>),
}

impl FileWriter {
    /// A writer of batches of `schema` to `path`.
    ///
    /// # Errors
    /// When the temporary file cannot be written, or the format has no such columns.
    pub fn create(
        path: &Path,
        format: FileFormat,
        options: WriteOptions,
        schema: &SchemaRef,
    ) -> Result<Self, FileError> {
        let temporary = TemporaryFile::create(path)?;
        let file = temporary.file.try_clone().map_err(|error| FileError::io("open", &temporary.path, error))?;
        let buffered = BufWriter::with_capacity(WRITE_BUFFER_BYTES, file);
        let invalid = |reason: String| FileError::invalid(&temporary.path, reason);
        let output = match format {
            FileFormat::Csv | FileFormat::Tsv => {
                let usual = if format == FileFormat::Tsv { b'\t' } else { b',' };
                let mut writer = WriterBuilder::new()
                    .with_delimiter(options.delimiter.unwrap_or(usual))
                    .with_header(options.header != Header::Absent)
                    .build(buffered);
                // The header is written with the first batch, so that there must be one.
                writer.write(&RecordBatch::new_empty(schema.clone())).map_err(|error| invalid(error.to_string()))?;
                Output::Text(Box::new(writer))
            }
            FileFormat::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_created_by(concat!("lynxstore ", env!("CARGO_PKG_VERSION")).to_owned())
                    .build();
                let writer = ArrowWriter::try_new(buffered, schema.clone(), Some(properties));
                Output::Parquet(Box::new(writer.map_err(|error| invalid(error.to_string()))?))
            }
        };
        Ok(Self { output, rows: 0, target: path.to_owned(), temporary })
    }

    /// Writes the rows of a batch.
    ///
    /// # Errors
    /// When they cannot be written; the file is no use then.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), FileError> {
        let invalid = |reason: String| FileError::invalid(&self.temporary.path, reason);
        match &mut self.output {
            Output::Text(writer) => writer.write(batch).map_err(|error| invalid(error.to_string()))?,
            Output::Parquet(writer) => {
                writer.write(batch).map_err(|error| invalid(error.to_string()))?;
                if writer.in_progress_size() > ROW_GROUP_BYTES_MAX {
                    writer.flush().map_err(|error| invalid(error.to_string()))?;
                }
            }
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Makes the file durable under its name.
    ///
    /// # Errors
    /// When that fails; a file that was there stays.
    pub fn finish(self) -> Result<WriteSummary, FileError> {
        let Self { output, rows, target, temporary } = self;
        let mut buffered = match output {
            Output::Text(writer) => writer.into_inner(),
            Output::Parquet(writer) => {
                writer.into_inner().map_err(|error| FileError::invalid(&temporary.path, error.to_string()))?
            }
        };
        buffered.flush().map_err(|error| FileError::io("write", &temporary.path, error))?;
        let bytes = temporary.publish(&target)?;
        Ok(WriteSummary { rows, bytes })
    }
}

/// A file that is removed unless it was published.
#[derive(Debug)]
struct TemporaryFile {
    path: PathBuf,
    file: File,
    is_published: bool,
}

impl TemporaryFile {
    fn create(target: &Path) -> Result<Self, FileError> {
        let mut name = target.as_os_str().to_owned();
        name.push(".tmp");
        let path = PathBuf::from(name);
        let file = File::create(&path).map_err(|error| FileError::io("create", &path, error))?;
        Ok(Self { path, file, is_published: false })
    }

    /// Makes the file durable under its final name and returns its size.
    fn publish(mut self, target: &Path) -> Result<u64, FileError> {
        self.file.sync_all().map_err(|error| FileError::io("sync", &self.path, error))?;
        let metadata = self.file.metadata().map_err(|error| FileError::io("inspect", &self.path, error))?;
        std::fs::rename(&self.path, target).map_err(|error| FileError::io("rename", &self.path, error))?;
        self.is_published = true;
        sync_directory(target)?;
        Ok(metadata.len())
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.is_published {
            // Nothing more can be done about a file that cannot be removed; its name says what it is.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Makes the rename durable where directories can be synced.
fn sync_directory(target: &Path) -> Result<(), FileError> {
    if cfg!(unix) {
        let directory = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let handle = File::open(directory).map_err(|error| FileError::io("open", directory, error))?;
        handle.sync_all().map_err(|error| FileError::io("sync", directory, error))?;
    }
    Ok(())
}
