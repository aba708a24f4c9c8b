//! Runs statements and dot commands and prints what they give: the part that every way into the shell shares.
//!
//! Rows go to standard output; counts, times and notes go to standard error.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::time::Instant;

use arrow::array::RecordBatch;

use super::catalog;
use super::dot::{DOT_COMMANDS, DotCommand};
use super::error::{CommandError, Result};
use super::interrupt::Interrupt;
use super::output::{Format, Rows, TableStyle, count, duration, plural};
use super::script::{Command, Script};
use super::terminal;
use crate::{Database, QueryOutput, Refresh};

/// Rows of a table that a terminal shows unless told otherwise.
const ROWS_SHOWN: usize = 40;
/// Scripts may read scripts, this deep; a script that reads itself ends here.
const READ_DEPTH_MAX: usize = 16;

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// A person at the prompt, who wants to see what each statement did.
    Person,
    /// A program or a pipe, which wants the rows.
    Program,
}

/// What to do after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Go on.
    Continue,
    /// Leave the shell.
    Quit,
}

/// A database and how its rows are shown.
pub(super) struct Session {
    database: Database,
    audience: Audience,
    format: Format,
    rows_max: Option<usize>,
    timer: bool,
    types: bool,
    interrupt: Interrupt,
}

impl Session {
    /// A session with the defaults for its audience.
    pub(super) fn new(database: Database, audience: Audience) -> Self {
        let is_terminal = io::stdout().is_terminal();
        Self {
            database,
            audience,
            format: if is_terminal || audience == Audience::Person { Format::Table } else { Format::Csv },
            // What a pipe asked for must arrive whole.
            rows_max: is_terminal.then_some(ROWS_SHOWN),
            timer: audience == Audience::Person,
            types: false,
            interrupt: Interrupt::default(),
        }
    }

    /// Lets Ctrl-C cancel the running statement in place of the process.
    pub(super) fn cancel_by_interrupt(&self) {
        self.interrupt.listen();
    }

    /// Chooses the format of rows.
    pub(super) fn set_format(&mut self, format: Format) {
        self.format = format;
    }

    /// Switches the timer.
    pub(super) fn set_timer(&mut self, timer: bool) {
        self.timer = timer;
    }

    /// The database.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// Runs every command of a script up to the first error, whose text begins with `name` and the line.
    pub(super) fn run_script(&mut self, name: Option<&str>, text: &str) -> Result<Flow> {
        self.run_nested(name, text, 0)
    }

    /// Runs a file.
    pub(super) fn run_file(&mut self, path: &Path) -> Result<Flow> {
        self.read_file(path, 0)
    }

    fn read_file(&mut self, path: &Path, depth: usize) -> Result<Flow> {
        if depth > READ_DEPTH_MAX {
            return Err(CommandError::input(format!("scripts read each other more than {READ_DEPTH_MAX} deep")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| CommandError::io("read", path, error))?;
        // `.quit` in a script that was read ends that script, not the shell.
        self.run_nested(Some(&path.display().to_string()), &text, depth)?;
        Ok(Flow::Continue)
    }

    fn run_nested(&mut self, name: Option<&str>, text: &str, depth: usize) -> Result<Flow> {
        for command in Script::new(text) {
            let flow = self.run_command(&command, depth).map_err(|error| match name {
                Some(name) => error.at(format!("{name}:{}", command.line)),
                None => error,
            })?;
            if flow == Flow::Quit {
                return Ok(Flow::Quit);
            }
        }
        Ok(Flow::Continue)
    }

    fn run_command(&mut self, command: &Command<'_>, depth: usize) -> Result<Flow> {
        if command.is_dot() {
            return self.run_dot(command.text, depth);
        }
        self.run_sql(command.text)?;
        Ok(Flow::Continue)
    }

    /// Runs one statement and prints its rows.
    pub(super) fn run_sql(&self, sql: &str) -> Result<()> {
        let cancellation = self.interrupt.start_statement();
        let start = Instant::now();
        let output = self.database.query_cancellable(sql, &cancellation)?;
        let elapsed = start.elapsed();
        let summary = self.print(&output)?;
        let time = self.timer.then(|| duration(elapsed));
        match self.audience {
            Audience::Person => note(&[Some(summary), time]),
            Audience::Program => note(&[time]),
        }
        Ok(())
    }

    /// Prints the rows of a result and says in words what it held.
    fn print(&self, output: &QueryOutput) -> Result<String> {
        if output.schema.fields().is_empty() {
            return Ok(match output.rows_affected {
                Some(rows) => format!("{} written", plural(rows, "row")),
                None => "done".into(),
            });
        }
        let rows = Rows { schema: &output.schema, batches: &output.batches };
        let total = plural(rows.count() as u64, "row");
        let mut out = BufWriter::new(self.interrupt.stop_writing(io::stdout().lock()));
        let shown = rows
            .print(self.format, &self.style(), &mut out)
            .and_then(|shown| out.flush().map(|()| shown))
            .map_err(CommandError::Output)?;
        let mut left_out = Vec::new();
        if shown.rows < rows.count() {
            left_out.push(format!("{} shown", count(shown.rows as u64)));
        }
        let columns = output.schema.fields().len();
        if shown.columns < columns {
            left_out.push(format!("{} of {columns} columns", shown.columns));
        }
        Ok(if left_out.is_empty() { total } else { format!("{total} ({})", left_out.join(", ")) })
    }

    fn style(&self) -> TableStyle {
        TableStyle {
            rows_max: self.rows_max,
            width_max: terminal::width(),
            types: self.types,
            color: terminal::stdout_has_color(),
        }
    }

    fn run_dot(&mut self, line: &str, depth: usize) -> Result<Flow> {
        match DotCommand::parse(line).map_err(CommandError::Input)? {
            DotCommand::Help => self.print_help()?,
            DotCommand::Tables => {
                self.print_list(&catalog::table_list(&self.database.tables()))?;
            }
            DotCommand::Tiers => {
                self.print_list(&catalog::tier_list(&self.database.tables(), &self.database.engine().tiers()))?
            }
            DotCommand::Schema(name) => {
                let tables = match name {
                    Some(name) => vec![self.database.table(&name)?],
                    None => self.database.tables(),
                };
                for table in tables {
                    print_line(&catalog::create_statement(&table))?;
                }
            }
            DotCommand::Mode(Some(format)) => self.format = format,
            DotCommand::Mode(None) => print_line(self.format.name())?,
            DotCommand::Timer(timer) => self.timer = timer,
            DotCommand::Types(types) => self.types = types,
            DotCommand::MaxRows(rows_max) => self.rows_max = rows_max,
            DotCommand::Read(path) => return self.read_file(Path::new(&path), depth + 1),
            DotCommand::Refresh => self.refresh()?,
            DotCommand::Quit => return Ok(Flow::Quit),
        }
        Ok(Flow::Continue)
    }

    fn print_list(&self, list: &RecordBatch) -> Result<()> {
        let rows = Rows { schema: &list.schema(), batches: std::slice::from_ref(list) };
        rows.print(self.format, &self.style(), &mut io::stdout()).map_err(CommandError::Output)?;
        Ok(())
    }

    /// Moves to the newest state and says how far that was.
    fn refresh(&self) -> Result<()> {
        let moved = match self.database.refresh()? {
            None => "nothing to do: the database is open for writing here".into(),
            Some(Refresh { from, to, .. }) if from < to => {
                format!("{} more, up to commit {to}", plural(to.0 - from.0, "commit"))
            }
            Some(Refresh { to, has_other_version: true, .. }) => format!("tables or segments changed, at commit {to}"),
            Some(Refresh { to, .. }) => format!("nothing new since commit {to}"),
        };
        note(&[Some(moved)]);
        Ok(())
    }

    fn print_help(&self) -> Result<()> {
        for (name, arguments, purpose) in DOT_COMMANDS {
            print_line(&format!("{:<18}{purpose}", format!("{name} {arguments}")))?;
        }
        print_line("Statements end with ';'. Files are tables: SELECT * FROM 'readings.csv';")
    }
}

fn print_line(text: &str) -> Result<()> {
    writeln!(io::stdout(), "{text}").map_err(CommandError::Output)
}

/// Prints the parts that there are to standard error, on one line.
fn note(parts: &[Option<String>]) {
    let parts: Vec<&str> = parts.iter().flatten().map(String::as_str).collect();
    if !parts.is_empty() {
        let text = parts.join(" · ");
        let dimmed = if terminal::stderr_has_color() { format!("\u{1b}[2m{text}\u{1b}[0m") } else { text };
        // A note that cannot be printed is no reason to fail.
        let _ = writeln!(io::stderr(), "{dimmed}");
    }
}
