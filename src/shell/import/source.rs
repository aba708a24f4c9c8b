//! The files of an import: found, opened for their columns, and read one after the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use lynxstore_query::files::{FileBatches, FileSet, ParquetStrings, ReadOptions};
use std::collections::{HashMap, HashSet};

use super::layout::is_text;
use crate::TableSchema;
use crate::shell::cli::{ImportArgs, PathPart};
use crate::shell::error::{CommandError, Result};

/// Rows that are decoded, grouped and logged at a time: large enough that the cost per batch vanishes.
const BATCH_ROWS: usize = 65_536;
/// A text column with at most this many distinct values in the first batch is a tag in any case.
const TAG_DISTINCT_MAX: usize = 1_024;
/// Above that it is a tag when its values repeat this often on average.
const TAG_REPEATS_MIN: usize = 4;

/// One file.
pub(super) struct SourceFile {
    set: FileSet,
    index: usize,
    /// Its path.
    pub(super) path: PathBuf,
    /// Values of the tags that are the same in every row, in the order of the layout's constants.
    pub(super) constants: Vec<String>,
}

impl SourceFile {
    /// Reads these of its columns.
    pub(super) fn batches(&self, names: &[&str]) -> Result<FileBatches> {
        let schema = self.set.schema();
        let columns: Option<Vec<usize>> = names.iter().map(|name| schema.index_of(name).ok()).collect();
        let columns =
            columns.ok_or_else(|| CommandError::input("a column vanished from the file while it was read"))?;
        Ok(self.set.batches_of(self.index, &columns))
    }

    /// Whether the file has the column.
    pub(super) fn has_column(&self, name: &str) -> bool {
        self.set.schema().index_of(name).is_ok()
    }
}

/// All files.
pub(super) struct Sources {
    /// In the order in which they were given.
    pub(super) files: Vec<SourceFile>,
    /// The union of their columns.
    pub(super) columns: Vec<Arc<Field>>,
    /// Their size.
    pub(super) total_bytes: u64,
}

impl Sources {
    /// Finds and opens the files; an existing table tells the types of CSV columns that it has.
    pub(super) fn open(args: &ImportArgs, table: Option<&TableSchema>) -> Result<Self> {
        let mut types: HashMap<String, DataType> = HashMap::new();
        for field in table.into_iter().flat_map(|table| &table.fields) {
            types.insert(field.name.clone(), field.field_type.arrow_type());
        }
        // A tag is text even where its values look like numbers, or `007` would become `7`.
        let known_tags = table.into_iter().flat_map(|table| table.tags.iter().map(|tag| &tag.name));
        for name in args.tags.iter().flatten().chain(known_tags) {
            types.insert(name.clone(), DataType::Utf8);
        }
        let options = ReadOptions {
            batch_rows: BATCH_ROWS,
            types,
            parquet_strings: ParquetStrings::DictionaryWhereEncoded,
            ..ReadOptions::default()
        };
        let mut sources = Self { files: Vec::new(), columns: Vec::new(), total_bytes: 0 };
        for pattern in &args.files {
            let set = FileSet::open(pattern, None, &options)?;
            sources.total_bytes += set.total_bytes();
            for column in set.schema().fields() {
                sources.add_column(column).map_err(|error| error.at(pattern))?;
            }
            for (index, path) in set.paths().map(Path::to_path_buf).enumerate() {
                let constants = constants(args, &path)?;
                sources.files.push(SourceFile { set: set.clone(), index, path, constants });
            }
        }
        Ok(sources)
    }

    fn add_column(&mut self, column: &Arc<Field>) -> Result<()> {
        let Some(known) = self.columns.iter_mut().find(|known| known.name() == column.name()) else {
            self.columns.push(column.clone());
            return Ok(());
        };
        let (before, now) = (known.data_type(), column.data_type());
        let settled = if before == now || *now == DataType::Null || (is_text(before) && is_text(now)) {
            before.clone()
        } else if *before == DataType::Null {
            now.clone()
        } else if before.is_numeric() && now.is_numeric() {
            if before.is_integer() && now.is_integer() { DataType::Int64 } else { DataType::Float64 }
        } else if matches!((before, now), (DataType::Timestamp(_, _), DataType::Timestamp(_, _))) {
            before.clone()
        } else {
            return Err(CommandError::input(format!(
                "column '{}' is {now} here and {before} in a file before: import them into different tables",
                column.name()
            )));
        };
        *known = Arc::new(Field::new(column.name(), settled, true));
        Ok(())
    }

    /// Whether each text column of the first file looks like a tag.
    pub(super) fn tag_guesses(&self) -> Result<HashMap<String, bool>> {
        let mut guesses = HashMap::new();
        for column in self.columns.iter().filter(|column| is_text(column.data_type())) {
            let is_dictionary = matches!(column.data_type(), DataType::Dictionary(_, _));
            guesses.insert(column.name().clone(), is_dictionary);
        }
        for file in &self.files {
            // Parquet says by its encoding what repeats; CSV must be looked at.
            let unknown: Vec<&str> = self
                .columns
                .iter()
                .filter(|column| *column.data_type() == DataType::Utf8 && file.has_column(column.name()))
                .map(|column| column.name().as_str())
                .collect();
            if unknown.is_empty() || is_parquet(&file.path) {
                continue;
            }
            if let Some(batch) = file.batches(&unknown)?.next().transpose()? {
                for (name, column) in unknown.iter().zip(batch.columns()) {
                    guesses.insert((*name).to_owned(), repeats(column));
                }
            }
            break;
        }
        Ok(guesses)
    }
}

fn is_parquet(path: &Path) -> bool {
    use lynxstore_query::files::FileFormat;
    FileFormat::from_path(path).is_ok_and(|format| format == FileFormat::Parquet)
}

/// Whether the values of a text column repeat as those of a tag do.
fn repeats(column: &ArrayRef) -> bool {
    let Ok(text) = cast(column, &DataType::Utf8) else { return false };
    let text = text.as_string::<i32>();
    let distinct = text.iter().flatten().collect::<HashSet<_>>().len();
    distinct > 0 && (distinct <= TAG_DISTINCT_MAX || distinct * TAG_REPEATS_MIN <= text.len() - text.null_count())
}

/// The constant tags of a file, in the order of the layout.
fn constants(args: &ImportArgs, path: &Path) -> Result<Vec<String>> {
    let parts = args.tag_from_path.iter().map(|(name, part)| {
        path_part(path, *part)
            .ok_or_else(|| CommandError::input(format!("{}: the path has no part for tag '{name}'", path.display())))
    });
    parts.chain(args.tag.iter().map(|(_, value)| Ok(value.clone()))).collect()
}

fn path_part(path: &Path, part: PathPart) -> Option<String> {
    let absolute = std::path::absolute(path).ok()?;
    let text = match part {
        PathPart::Stem => absolute.file_stem(),
        PathPart::Name => absolute.file_name(),
        PathPart::Parent => absolute.parent()?.file_name(),
        PathPart::Grandparent => absolute.parent()?.parent()?.file_name(),
    };
    Some(text?.to_string_lossy().into_owned())
}

/// Number of rows of a batch, as the counters of the import have it.
pub(super) fn row_count(batch: &RecordBatch) -> u64 {
    batch.num_rows() as u64
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::*;

    #[test]
    fn parts_of_a_path_are_found() {
        let path = Path::new("/data/nab/realTraffic/speed_7578.csv");
        let part = |part| path_part(path, part).unwrap();
        assert_eq!(part(PathPart::Stem), "speed_7578");
        assert_eq!(part(PathPart::Name), "speed_7578.csv");
        assert_eq!(part(PathPart::Parent), "realTraffic");
        assert_eq!(part(PathPart::Grandparent), "nab");
        assert_eq!(path_part(Path::new("/a.csv"), PathPart::Parent), None);
    }

    #[test]
    fn text_that_repeats_looks_like_a_tag() {
        let column = |count: usize, distinct: usize| -> ArrayRef {
            Arc::new(StringArray::from_iter_values((0..count).map(|i| format!("v{}", i % distinct))))
        };
        assert!(repeats(&column(65_536, 1_000)));
        assert!(repeats(&column(65_536, 16_000)));
        assert!(!repeats(&column(65_536, 30_000)));
        assert!(repeats(&column(10, 10)));
    }
}
