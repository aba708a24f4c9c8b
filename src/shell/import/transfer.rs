//! The import itself: one thread reads and converts, this one writes, a bounded channel lies between them.
//!
//! Memory: the batches in the channel plus those in hand, and what the engine's budget allows for unflushed rows. Rows are
//! written without the log and flushed at the end: until then they are not promised to anyone. A failed import drops the
//! table that it created.

use std::io::{self, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use arrow::array::RecordBatch;

use super::convert::Converter;
use super::epoch::TimeReader;
use super::exposition;
use super::layout::{Layout, find_table};
use super::progress::{Progress, Summary};
use super::source::{SourceFile, Sources, row_count};
use crate::shell::catalog::quote_name;
use crate::shell::cli::{DedupRule, EpochUnit, ImportArgs};
use crate::shell::error::{CommandError, Result};
use crate::shell::output::plural;
use crate::{Ack, Database, Dedup};

/// Converted batches that may wait for the writer.
const BATCHES_WAITING: usize = 3;

/// A batch on its way to the table.
struct Parcel {
    batch: RecordBatch,
    /// Position of its file.
    file: usize,
    /// Number of its first row in that file, from 1.
    first_row: u64,
    /// Bytes of all files that were read when it was made.
    read_bytes: u64,
}

/// Imports the files.
pub(in crate::shell) fn run(args: &ImportArgs) -> Result<()> {
    if args.files.iter().any(|file| exposition::time_form(file).is_some()) {
        return exposition::run(args);
    }
    let start = Instant::now();
    let Some(table_name) = &args.table else {
        return Err(CommandError::input("name the table that the rows go into: --table TABLE"));
    };
    let database = Database::open(&args.directory)?;
    let rows = import(&database, table_name, args)?;
    // Closing flushes, so that the command's word stands for rows on disk.
    let bytes = database.engine().stats().segment_bytes;
    database.close()?;
    Summary { rows, elapsed: start.elapsed(), bytes }.print("imported", table_name)
}

fn import(database: &Database, table_name: &str, args: &ImportArgs) -> Result<u64> {
    let table = find_table(database, table_name)?;
    let sources = Sources::open(args, table.as_deref())?;
    let guesses = if args.tags.is_some() { Default::default() } else { sources.tag_guesses()? };
    let looks_like_tag = |column: &arrow::datatypes::Field| guesses.get(column.name()).copied().unwrap_or(false);
    let layout = Layout::choose(args, &sources.columns, table.as_deref(), looks_like_tag)?;
    let dedup = match args.dedup {
        DedupRule::Off => Dedup::Off,
        DedupRule::Last => Dedup::Last,
        DedupRule::First => Dedup::First,
    };
    let (_, is_created) = layout.apply(database, table_name, dedup)?;
    if is_created {
        tell(&format!("created table {table_name}: {}", layout.describe()));
    }
    let rows = match transfer(database, table_name, args, &sources, &layout) {
        Ok(rows) => rows,
        Err(error) if is_created => {
            // Part of the files in a table of its own helps no one, and would be there twice after the next attempt.
            database.drop_table(table_name)?;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    database.flush()?;
    if is_created && dedup != Dedup::Off {
        tell_about_replaced_rows(database, table_name, rows)?;
    }
    Ok(rows)
}

fn transfer(
    database: &Database,
    table_name: &str,
    args: &ImportArgs,
    sources: &Sources,
    layout: &Layout,
) -> Result<u64> {
    let progress = Progress::bytes(sources.total_bytes);
    let (sender, receiver) = mpsc::sync_channel(BATCHES_WAITING);
    let rows = thread::scope(|scope| {
        scope.spawn(|| {
            let result = read_all(&sources.files, layout, args.time_unit, &sender);
            if let Err(error) = result {
                // When the writer is gone it has an error of its own to tell.
                let _ = sender.send(Err(error));
            }
            drop(sender);
        });
        let result = write_all(database, table_name, sources, receiver, &progress);
        progress.finish();
        result
    })?;
    Ok(rows)
}

fn read_all(
    files: &[SourceFile],
    layout: &Layout,
    unit: Option<EpochUnit>,
    sender: &mpsc::SyncSender<Result<Parcel>>,
) -> Result<()> {
    let mut times = TimeReader::new(unit);
    let mut bytes_before = 0;
    for (index, file) in files.iter().enumerate() {
        let mut converter = Converter::new(layout, file)?;
        let names: Vec<&str> = converter.source_columns.iter().map(String::as_str).collect();
        let mut batches = file.batches(&names)?;
        let mut first_row = 1;
        while let Some(batch) = batches.next() {
            let batch =
                converter.convert(&batch?, &mut times).map_err(|error| error.at(file.path.display().to_string()))?;
            let rows = row_count(&batch);
            let read_bytes = bytes_before + batches.read_bytes();
            if sender.send(Ok(Parcel { batch, file: index, first_row, read_bytes })).is_err() {
                return Ok(());
            }
            first_row += rows;
        }
        bytes_before += batches.total_bytes();
    }
    Ok(())
}

fn write_all(
    database: &Database,
    table: &str,
    sources: &Sources,
    parcels: mpsc::Receiver<Result<Parcel>>,
    progress: &Progress,
) -> Result<u64> {
    let mut rows = 0;
    for parcel in parcels {
        let parcel = parcel?;
        let count = row_count(&parcel.batch);
        database.write_with(table, &parcel.batch, Ack::Volatile).map_err(|error| {
            let last_row = parcel.first_row + count - 1;
            let path = sources.files[parcel.file].path.display();
            CommandError::from(error).at(format!("{path}: rows {} to {last_row}", parcel.first_row))
        })?;
        rows += count;
        progress.set(parcel.read_bytes, rows);
    }
    Ok(rows)
}

/// With a rule for duplicates, whoever forgot a tag should hear of it now.
fn tell_about_replaced_rows(database: &Database, table: &str, imported: u64) -> Result<()> {
    let output = database.query(&format!("SELECT count(*) FROM {}", quote_name(table)))?;
    let stored = output.batches.first().and_then(|batch| {
        use arrow::array::cast::AsArray;
        batch.column(0).as_primitive_opt::<arrow::datatypes::Int64Type>().map(|counts| counts.value(0))
    });
    if let Some(stored) = stored.and_then(|count| u64::try_from(count).ok())
        && stored < imported
    {
        tell(&format!(
            "note: {} had the tags and time of another row, which stands for both; a column that tells them apart \
             should be a tag (--tags)",
            plural(imported - stored, "row")
        ));
    }
    Ok(())
}

/// Prints a note, on standard error.
fn tell(text: &str) {
    // A note that cannot be printed is no reason to fail.
    let _ = writeln!(io::stderr(), "{text}");
}
