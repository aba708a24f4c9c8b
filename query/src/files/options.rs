//! How files are read.

use std::collections::HashMap;

use arrow::datatypes::DataType;

/// Whether the first line of a CSV file names the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Header {
    /// It does unless one of its cells is a number, a time or a truth value.
    #[default]
    Detect,
    /// It does.
    Present,
    /// It is data; the columns are called `column_1`, `column_2` and so on.
    Absent,
}

/// The type that string columns of Parquet files get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParquetStrings {
    /// What the file's own Arrow schema says, plain strings when it says nothing.
    #[default]
    AsDeclared,
    /// Dictionary-encoded arrays also for columns whose every page the writer dictionary-encoded: few distinct
    /// values, that is what a tag looks like.
    DictionaryWhereEncoded,
}

/// Options of reading; the default suits a file of unknown origin.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Rows per batch, at most.
    pub batch_rows: usize,
    /// CSV: whether there is a header line.
    pub header: Header,
    /// CSV: the delimiter; `None` detects `,`, `;`, tab or `|` from the first line.
    pub delimiter: Option<u8>,
    /// CSV: a text that stands for NULL besides the empty cell.
    pub null_text: Option<String>,
    /// CSV: types are inferred from this many bytes at the start of each file.
    pub sample_bytes: u64,
    /// CSV: types of columns by name, which are then not inferred.
    pub types: HashMap<String, DataType>,
    /// Parquet: the type of string columns.
    pub parquet_strings: ParquetStrings,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            batch_rows: 8_192,
            header: Header::Detect,
            delimiter: None,
            null_text: None,
            // About 0.2 s of tokenising: most files are seen whole, so that a late wider value does not surprise.
            sample_bytes: 64 << 20,
            types: HashMap::new(),
            parquet_strings: ParquetStrings::AsDeclared,
        }
    }
}
