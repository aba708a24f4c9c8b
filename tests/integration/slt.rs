//! Replays `testdata/slt/*.slt`: SQL in, expected rows out, each file on a database of its own.
//!
//! Every file runs three times: rows left in the memtable, a flush after each statement, a close and reopen after each
//! statement. The answers must be the same, wherever the rows are.
//!
//! `LYNX_SLT_COMPLETE=1 cargo test --test integration slt` writes the answers of the first way into the files instead of
//! comparing them; look at the difference before you commit it. `$__TEST_DIR__` in a file that says `control
//! substitution on` is a scratch directory.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use lynxstore::Database;
use sqllogictest::{DBOutput, DefaultColumnType, Runner};

use crate::support::{project_root, scratch_dir};

/// Where the rows of a statement go before the next statement runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placement {
    Memtable,
    Segments,
    Reopened,
}

struct Session {
    dir: PathBuf,
    database: Option<Database>,
    placement: Placement,
}

impl Session {
    fn open(dir: &Path, placement: Placement) -> Result<Self, lynxstore::Error> {
        Ok(Self { dir: dir.to_owned(), database: Some(Database::open(dir)?), placement })
    }

    fn database(&self) -> &Database {
        self.database.as_ref().expect("it is only absent while it is being reopened")
    }

    fn settle(&mut self) -> Result<(), lynxstore::Error> {
        match self.placement {
            Placement::Memtable => Ok(()),
            Placement::Segments => self.database().flush(),
            Placement::Reopened => {
                if let Some(database) = self.database.take() {
                    database.close()?;
                }
                self.database = Some(Database::open(&self.dir)?);
                Ok(())
            }
        }
    }
}

impl sqllogictest::DB for Session {
    type Error = lynxstore::Error;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, lynxstore::Error> {
        let output = self.database().query(sql)?;
        if output.schema.fields().is_empty() {
            self.settle()?;
            return Ok(DBOutput::StatementComplete(output.rows_affected.unwrap_or(0)));
        }
        let types = output.schema.fields().iter().map(|field| column_type(field.data_type())).collect();
        let mut rows = Vec::new();
        for batch in &output.batches {
            for row in 0..batch.num_rows() {
                rows.push(batch.columns().iter().map(|column| cell(column, row)).collect());
            }
        }
        Ok(DBOutput::Rows { types, rows })
    }

    fn engine_name(&self) -> &str {
        "lynxstore"
    }
}

fn column_type(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        _ if data_type.is_integer() => DefaultColumnType::Integer,
        _ if data_type.is_floating() => DefaultColumnType::FloatingPoint,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => DefaultColumnType::Text,
        _ => DefaultColumnType::Any,
    }
}

/// One value as text: `NULL`, `(empty)`, else as Arrow prints it, floats with all the digits that tell them apart.
fn cell(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) || column.logical_nulls().is_some_and(|nulls| nulls.is_null(row)) {
        return "NULL".into();
    }
    let formatter = ArrayFormatter::try_new(column.as_ref(), &FormatOptions::default()).unwrap();
    let text = formatter.value(row).to_string();
    if text.is_empty() { "(empty)".into() } else { text }
}

fn slt_files() -> Vec<PathBuf> {
    let dir = project_root().join("testdata/slt");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "slt"));
    files.sort();
    assert!(!files.is_empty(), "testdata/slt holds no .slt files");
    files
}

fn run_files(placement: Placement) {
    let complete = std::env::var_os("LYNX_SLT_COMPLETE").is_some();
    if complete && placement != Placement::Memtable {
        return;
    }
    let mut failures = Vec::new();
    for file in slt_files() {
        let scratch = scratch_dir();
        let files_dir = scratch.path().join("files");
        std::fs::create_dir(&files_dir).unwrap();
        let dir = scratch.path().join("database");
        let mut runner = Runner::new(|| {
            let session = Session::open(&dir, placement);
            async move { session }
        });
        runner.set_var("__TEST_DIR__".into(), files_dir.to_str().expect("scratch paths are UTF-8").into());
        runner.with_column_validator(sqllogictest::strict_column_validator);
        let result = if complete {
            let updated = runner.update_test_file(
                &file,
                " ",
                sqllogictest::default_validator,
                sqllogictest::default_normalizer,
                sqllogictest::strict_column_validator,
            );
            block_on(updated).map_err(|error| error.to_string())
        } else {
            runner.run_file(&file).map_err(|error| error.display(false).to_string())
        };
        if let Err(error) = result {
            failures.push(format!("{} ({placement:?}): {error}", file.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Drives a future that never waits for anything outside of itself.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

#[test]
fn sql_files_hold_with_rows_in_the_memtable() {
    run_files(Placement::Memtable);
}

#[test]
fn sql_files_hold_with_rows_in_segments() {
    run_files(Placement::Segments);
}

#[test]
fn sql_files_hold_when_reopened_after_each_statement() {
    run_files(Placement::Reopened);
}
