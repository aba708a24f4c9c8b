//! What a long transfer shows while it runs and when it is done.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::shell::error::{CommandError, Result};
use crate::shell::output::{bytes, count, duration, plural};

/// A bar on standard error, when that is a terminal; silent otherwise.
pub(in crate::shell) struct Progress {
    bar: ProgressBar,
    unit: Unit,
    start: Instant,
}

/// What the length of the bar stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Rows,
    Bytes,
}

impl Progress {
    /// Progress over a known number of rows.
    pub(in crate::shell) fn rows(total: u64) -> Self {
        Self::new(total, Unit::Rows)
    }

    /// Progress over the bytes of files, whose number of rows is not known.
    pub(in crate::shell) fn bytes(total: u64) -> Self {
        Self::new(total, Unit::Bytes)
    }

    fn new(total: u64, unit: Unit) -> Self {
        const REDRAWS_PER_SECOND: u8 = 10;
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let style = ProgressStyle::with_template("{bar:30.cyan/dim} {percent:>3}%  {msg}  {eta} left");
        bar.set_style(style.expect("the template is a constant and valid").progress_chars("━╸─"));
        Self { bar, unit, start: Instant::now() }
    }

    /// Rows went by.
    pub(in crate::shell) fn add_rows(&self, rows: u64) {
        debug_assert!(self.unit == Unit::Rows, "a bar of bytes is moved by `set`");
        self.bar.inc(rows);
        self.show(self.bar.position());
    }

    /// So many bytes were read and so many rows written.
    pub(in crate::shell) fn set(&self, read_bytes: u64, rows: u64) {
        debug_assert!(self.unit == Unit::Bytes, "a bar of rows is moved by `add_rows`");
        self.bar.set_position(read_bytes);
        self.show(rows);
    }

    fn show(&self, rows: u64) {
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{}  {}", plural(rows, "row"), rate(rows, self.start.elapsed())));
        }
    }

    /// Removes the bar; what follows says the result.
    pub(in crate::shell) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn rate(rows: u64, elapsed: Duration) -> String {
    let per_second = rows as f64 / elapsed.as_secs_f64().max(1e-9);
    format!("{} rows/s", count(per_second as u64))
}

/// The figures of a finished transfer.
pub(in crate::shell) struct Summary {
    /// Rows transferred.
    pub(in crate::shell) rows: u64,
    /// From the first byte read until everything was durable.
    pub(in crate::shell) elapsed: Duration,
    /// Size of what was made: a file, or the segments of a database.
    pub(in crate::shell) bytes: u64,
}

impl Summary {
    /// Prints the figures on one line, on standard output: they are what the command gives.
    pub(in crate::shell) fn print(&self, verb: &str, target: &str) -> Result<()> {
        let (rows, rate) = (plural(self.rows, "row"), rate(self.rows, self.elapsed));
        let (elapsed, size) = (duration(self.elapsed), bytes(self.bytes));
        writeln!(io::stdout(), "{verb} {rows} into {target} in {elapsed} ({rate}), {size}")
            .map_err(CommandError::Output)
    }
}
