//! `tsq [DIR]`: the prompt, or statements from the command line, from files or from a pipe.

use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::time::Duration;

use crate::shell::cli::ShellArgs;
use crate::shell::editor;
use crate::shell::error::{CommandError, Result};
use crate::shell::scratch::ScratchDirectory;
use crate::shell::session::{Audience, Flow, Session};
use crate::{DamagePolicy, Database, ErrorKind, Options};

/// Memory for rows of a temporary database.
const SCRATCH_MEMORY_BYTES: u64 = 1 << 30;

/// Runs what the arguments ask for.
pub(super) fn run(args: &ShellArgs) -> Result<()> {
    let is_batch = !args.command.is_empty() || !args.file.is_empty() || !io::stdin().is_terminal();
    let audience = if is_batch { Audience::Program } else { Audience::Person };
    // The directory must outlive the database: it is declared first, hence dropped last.
    let scratch = if args.directory.is_none() { Some(ScratchDirectory::create()?) } else { None };
    let database = match (&args.directory, &scratch) {
        (Some(directory), _) if args.read_only => Database::open_read_only(directory)?,
        (Some(directory), _) => open(directory, audience)?,
        (None, Some(scratch)) => {
            Database::open_with(scratch.path(), Options::default().memory_budget_bytes(SCRATCH_MEMORY_BYTES))?
        }
        (None, None) => return Err(CommandError::input("no directory")),
    };
    let mut options = database.query_options().clone();
    if args.allow_partial {
        options.on_damage = DamagePolicy::Skip;
    }
    if let Some(mib) = args.limits.statement_memory {
        options.memory_bytes_max = mib << 20;
    }
    options.time_max = args.limits.statement_timeout.map(Duration::from_secs).or(options.time_max);
    let database = database.with_query_options(options);
    let mut session = Session::new(database.clone(), audience);
    session.cancel_by_interrupt();
    if let Some(format) = args.format {
        session.set_format(format);
    }
    if args.timer {
        session.set_timer(true);
    }
    let result = if is_batch { run_batch(args, &mut session) } else { run_prompt(args, &mut session) };
    // Rows that were written are flushed also when a later statement failed; that failure is the one to tell.
    let closed = if scratch.is_some() { Ok(()) } else { database.close() };
    result.and(closed.map_err(CommandError::from))
}

/// Opens a database for writing, or read-only when another process writes it.
fn open(directory: &Path, audience: Audience) -> Result<Database> {
    let is_new = !directory.exists();
    let database = match Database::open(directory) {
        Err(error) if error.kind() == ErrorKind::Busy => {
            let database = Database::open_read_only(directory)?;
            let writer = match database.engine().writer_process() {
                Some(process) => format!("process {process}"),
                None => "another process".into(),
            };
            let directory = directory.display();
            eprint_line(&format!(
                "{directory} is open for writing by {writer}: read-only here, .refresh moves forward"
            ));
            return Ok(database);
        }
        opened => opened?,
    };
    if is_new && audience == Audience::Person {
        eprint_line(&format!("A new database in {}.", directory.display()));
    }
    Ok(database)
}

fn run_batch(args: &ShellArgs, session: &mut Session) -> Result<()> {
    for text in &args.command {
        if session.run_script(None, text)? == Flow::Quit {
            return Ok(());
        }
    }
    for path in &args.file {
        if path.as_os_str() == "-" {
            run_stdin(session)?;
        } else {
            session.run_file(path)?;
        }
    }
    if args.command.is_empty() && args.file.is_empty() { run_stdin(session) } else { Ok(()) }
}

fn run_stdin(session: &mut Session) -> Result<()> {
    let mut text = String::new();
    io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| CommandError::io("read", Path::new("standard input"), error))?;
    session.run_script(Some("stdin"), &text).map(|_| ())
}

fn run_prompt(args: &ShellArgs, session: &mut Session) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let place = match &args.directory {
        Some(directory) => format!("database {}", directory.display()),
        None => "a temporary database that is removed at exit; name a directory to keep one".into(),
    };
    eprint_line(&format!("LynxStore {version}, {place}"));
    eprint_line("Statements end with ';'. Type .help for commands, Tab to complete, Ctrl-D to leave.");
    editor::run(session)
}

fn eprint_line(text: &str) {
    // A greeting that cannot be printed is no reason to fail.
    let _ = writeln!(io::stderr(), "{text}");
}
