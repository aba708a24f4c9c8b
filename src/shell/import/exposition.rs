//! Import of what targets show to Prometheus: `.prom` (text format) and `.om` (OpenMetrics) files.
//!
//! Each metric goes into the table of its name, as in remote write, through the log: such files are small, and lines of
//! one file belong to many tables. A commit holds [`COMMIT_LINES`] lines at most.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::progress::Summary;
use crate::Database;
use crate::ingest::exposition::{TimeForm, write};
use crate::ingest::rows::{RowLimits, RowWriter, RowsError};
use crate::shell::cli::ImportArgs;
use crate::shell::error::{CommandError, Result};

/// Lines of one commit.
const COMMIT_LINES: usize = 50_000;
/// Bytes of the series that are remembered between commits.
const SERIES_BYTES_MAX: usize = 64 << 20;

/// How the times of a file are written; `None` when it is not of this kind.
pub(super) fn time_form(file: &str) -> Option<TimeForm> {
    match Path::new(file).extension()?.to_str()? {
        "prom" => Some(TimeForm::Milliseconds),
        "om" => Some(TimeForm::Seconds),
        _ => None,
    }
}

/// Imports the files, all of them of this kind.
pub(super) fn run(args: &ImportArgs) -> Result<()> {
    let start = Instant::now();
    let has_columns = args.table.is_some() || args.time.is_some() || args.time_unit.is_some();
    if has_columns || args.tags.is_some() || args.fields.is_some() || !args.tag_from_path.is_empty() {
        return Err(CommandError::input(
            "metrics name their tables and labels themselves: of the options only --tag NAME=VALUE is for .prom and .om",
        ));
    }
    let database = Database::open(&args.directory)?;
    let namespace = database.query_options().namespace.clone();
    let writer = RowWriter::new(Arc::clone(database.engine()), namespace, RowLimits::default(), SERIES_BYTES_MAX);
    // One time for all samples that have none: those of one scrape belong together.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ns = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
    let mut rows = 0;
    for file in &args.files {
        let times = time_form(file).ok_or_else(|| {
            CommandError::input(format!("{file}: import .prom and .om files apart from those of other kinds"))
        })?;
        rows += import(&writer, Path::new(file), times, &args.tag, now_ns)?;
    }
    let bytes = database.engine().stats().wal_bytes;
    database.close()?;
    Summary { rows, elapsed: start.elapsed(), bytes }.print("imported", "the tables of their metrics")
}

fn import(
    writer: &RowWriter,
    path: &Path,
    times: TimeForm,
    constants: &[(String, String)],
    now_ns: i64,
) -> Result<u64> {
    let io = |error| CommandError::io("read", path, error);
    let mut reader = BufReader::new(File::open(path).map_err(io)?);
    let (mut rows, mut first_line) = (0, 1);
    loop {
        let (mut text, mut lines) = (String::new(), 0);
        while lines < COMMIT_LINES && reader.read_line(&mut text).map_err(io)? > 0 {
            lines += 1;
        }
        if lines == 0 {
            return Ok(rows);
        }
        let place = || path.display().to_string();
        let outcome = write(writer, &text, first_line, times, constants, now_ns).map_err(|error| match error {
            RowsError::Store(error) => CommandError::from(crate::Error::from(error)).at(place()),
            other => CommandError::input(other.to_string()).at(place()),
        })?;
        if let Some(first) = outcome.rejected.shown().first() {
            let text = format!(
                "{} lines cannot be read, the others up to there are imported; the first: {}",
                outcome.rejected.count(),
                first.fault.detail
            );
            return Err(CommandError::input(text).at(format!("{}:{}", path.display(), first.line)));
        }
        rows += outcome.written;
        first_line += lines;
    }
}
