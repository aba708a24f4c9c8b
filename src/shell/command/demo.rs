//! `tsq demo`: a first look at what the store does.

use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use clap::CommandFactory;

use super::generate::fill;
use crate::Database;
use crate::generate::CpuOptions;
use crate::shell::cli::{Cli, DemoArgs};
use crate::shell::error::{CommandError, Result};
use crate::shell::output::{Format, bytes, duration, plural};
use crate::shell::scratch::ScratchDirectory;
use crate::shell::session::{Audience, Session};

const HOSTS: u32 = 20;
const INTERVAL_NS: i64 = 10_000_000_000;
const ROWS_PER_HOST: u32 = 6 * 360;

/// Each with what it shows.
const QUERIES: [(&str, &str); 3] = [
    (
        "The busiest hosts, by the mean of one field over all their rows",
        "SELECT hostname, region, avg(usage_user) AS mean, max(usage_user) AS peak\n\
         FROM cpu GROUP BY hostname, region ORDER BY mean DESC LIMIT 5",
    ),
    (
        "One host in time buckets",
        "SELECT time_bucket('1 hour', time) AS hour, min(usage_user), avg(usage_user), max(usage_user)\n\
         FROM cpu WHERE hostname = 'host_7' GROUP BY hour ORDER BY hour",
    ),
    (
        "Rows that a condition on a field picks out, newest first",
        "SELECT time, hostname, usage_user, usage_system FROM cpu\n\
         WHERE usage_user > 90 AND region LIKE 'eu-%' ORDER BY time DESC LIMIT 5",
    ),
];

/// Fills a database and queries it.
pub(super) fn run(args: &DemoArgs) -> Result<()> {
    match &args.directory {
        Some(directory) => show(directory, Some(directory)),
        None => show(ScratchDirectory::create()?.path(), None),
    }
}

fn show(directory: &Path, kept: Option<&Path>) -> Result<()> {
    let database = Database::open(directory)?;
    if database.tables().iter().any(|table| table.name == "cpu") {
        say(&format!("{} has a table cpu already; it is used as it is.", directory.display()))?;
    } else {
        let options = CpuOptions {
            hosts: HOSTS,
            interval_ns: INTERVAL_NS,
            rows_per_host: ROWS_PER_HOST,
            ..CpuOptions::default()
        };
        let start = Instant::now();
        fill(&database, "cpu", &options)?;
        say(&format!(
            "{} of CPU usage from {}, written and flushed to disk in {}: {}.",
            plural(options.row_count(), "row"),
            plural(u64::from(HOSTS), "host"),
            duration(start.elapsed()),
            bytes(database.engine().stats().segment_bytes),
        ))?;
    }
    let mut session = Session::new(database.clone(), Audience::Person);
    session.set_format(Format::Table);
    for (purpose, sql) in QUERIES {
        say(&format!("\n-- {purpose}\n{sql};"))?;
        session.run_sql(sql)?;
    }
    database.close()?;
    say(&match kept {
        Some(directory) => format!(
            "\nThe database stays in {0}. Go on with:\n  tsq {0}\n  tsq {0} -c \"SELECT count(*) FROM cpu\"",
            as_argument(directory)
        ),
        None => {
            "\nThat was a temporary database. To keep one and go on in the shell:\n  tsq demo demo.db\n  tsq demo.db"
                .into()
        }
    })
}

/// The directory as the first word of a command line, where the name of a subcommand would be taken for it.
fn as_argument(directory: &Path) -> String {
    let text = directory.display().to_string();
    if Cli::command().find_subcommand(&text).is_some() { format!("./{text}") } else { text }
}

fn say(text: &str) -> Result<()> {
    writeln!(io::stdout(), "{text}").map_err(CommandError::Output)
}
