//! The command line of `tsq`.
//!
//! `tsq [DIR]` and the subcommands share the first word: a directory that bears the name of a subcommand is written
//! `./import`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::output::Format;

const EXAMPLES: &str = "\
Examples:
  tsq demo                                     sample data and three queries, in a temporary database
  tsq metrics                                  a shell on the database in ./metrics
  tsq metrics -c \"SELECT count(*) FROM cpu\"    one statement, its rows to standard output
  tsq -c \"SELECT * FROM 'readings.csv'\"        a file as a table, without a database
  tsq import metrics cpu.parquet --table cpu   a file into a table
  tsq backup metrics /mnt/metrics-backup       a copy, while others write; again: only what is new
  tsq serve metrics --listen 127.0.0.1:9393    remote write and SQL over HTTP";

/// LynxStore shell: time series in a directory, SQL on top
///
/// Opens an interactive shell on the database in DIR, which is created when absent. While
/// another process has it open for writing, it is opened read-only.
/// Without DIR the database is a temporary one that is removed at exit: for querying files.
///
/// With -c, -f or input from a pipe, statements are run and their rows printed: as a table
/// on a terminal, as CSV otherwise. Rows go to standard output, everything else to standard
/// error, and the first error ends the run with exit code 1.
#[derive(Debug, Parser)]
#[command(name = "tsq", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
#[command(verbatim_doc_comment)]
#[command(subcommand_help_heading = "Subcommands", disable_help_subcommand = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Subcommands>,

    #[command(flatten)]
    pub(super) shell: ShellArgs,
}

/// `tsq [DIR]`.
#[derive(Debug, Args)]
pub(super) struct ShellArgs {
    /// Directory of the database; a temporary one when absent
    #[arg(value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,

    /// Open the database read-only, also while another process writes it
    #[arg(long, requires = "directory")]
    pub(super) read_only: bool,

    /// Answer from what can be read where segments are damaged, instead of failing
    #[arg(long, requires = "directory")]
    pub(super) allow_partial: bool,

    /// Run these statements and exit; may be given several times
    #[arg(short, long, value_name = "SQL")]
    pub(super) command: Vec<String>,

    /// Run the statements and dot commands of this file and exit, after those of -c
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Vec<PathBuf>,

    /// How rows are printed [default: table on a terminal, csv otherwise]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(super) format: Option<Format>,

    /// Print the time of each statement to standard error
    #[arg(long)]
    pub(super) timer: bool,

    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

/// Bounds of each statement.
#[derive(Debug, Args)]
pub(super) struct LimitArgs {
    /// Memory for the groups, sorted rows and result of a statement
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub(super) statement_memory: Option<u64>,

    /// End statements that take longer
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) statement_timeout: Option<u64>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum Subcommands {
    /// Import CSV and Parquet files into a table
    Import(ImportArgs),
    /// Serve Prometheus remote write and SQL over HTTP
    Serve(ServeArgs),
    /// Make a hash for the credentials file of a server, of a password or of a new token
    HashPassword(HashPasswordArgs),
    /// Time each statement of a file
    Bench(BenchArgs),
    /// Generate a deterministic data set
    #[command(subcommand)]
    Generate(GenerateSubject),
    /// Show what the store does: sample data, three queries
    Demo(DemoArgs),
    /// Back a database up, also while another process writes it
    Backup(BackupArgs),
    /// Make a database from a backup
    Restore(RestoreArgs),
    /// Check every checksum and invariant of a database that nobody has open
    Verify(VerifyArgs),
    /// Say what would mend a damaged database, and do it with --apply
    Repair(RepairArgs),
}

/// `tsq verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Directory of the database
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
}

/// `tsq repair`.
#[derive(Debug, Args)]
pub(super) struct RepairArgs {
    /// Directory of the database
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,

    /// Do it; without, it is only said
    #[arg(long)]
    pub(super) apply: bool,
}

/// `tsq backup`.
#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// Directory of the database
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,

    /// Directory of the backup: absent, empty, or an earlier backup, which is brought up to date
    #[arg(value_name = "DEST")]
    pub(super) destination: PathBuf,
}

/// `tsq restore`.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// Directory of the backup
    #[arg(value_name = "BACKUP")]
    pub(super) backup: PathBuf,

    /// Directory of the database to make: absent or empty
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
}

/// `tsq import`.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// Directory of the database, created when absent
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,

    /// CSV, TSV and Parquet files, quoted patterns such as 'logs/*.csv' too; or .prom and .om files with metrics as
    /// targets show them to Prometheus, each of which goes into the table of its name
    #[arg(value_name = "FILE", required = true)]
    pub(super) files: Vec<String>,

    /// The table, created when absent; needed for all but .prom and .om files
    #[arg(short, long, value_name = "TABLE")]
    pub(super) table: Option<String>,

    /// The time column [default: the first timestamp column, else one called time, timestamp, ts, datetime or date]
    #[arg(long, value_name = "COLUMN")]
    pub(super) time: Option<String>,

    /// The unit of a numeric time column [default: by the size of the numbers]
    #[arg(long, value_enum, value_name = "UNIT")]
    pub(super) time_unit: Option<EpochUnit>,

    /// The tag columns, which with the time identify a row; an empty list means none [default: text columns with few
    /// distinct values: dictionary-encoded ones in Parquet, by a look at the first rows in CSV]
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    pub(super) tags: Option<Vec<String>>,

    /// What happens to rows with the same tags and time in a table that the import creates
    #[arg(long, value_enum, value_name = "RULE", default_value_t = DedupRule::Off)]
    pub(super) dedup: DedupRule,

    /// Import only these field columns [default: all that are neither time nor tag]
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    pub(super) fields: Option<Vec<String>>,

    /// A tag with the same value in every row; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_assignment)]
    pub(super) tag: Vec<(String, String)>,

    /// Tags from the path of each file, such as category=parent,dataset=stem: `stem` is the file's name without its
    /// extension, `name` its whole name, `parent` and `grandparent` the folders it lies in
    #[arg(long, value_name = "NAME=PART,...", value_delimiter = ',', value_parser = parse_path_tag)]
    pub(super) tag_from_path: Vec<(String, PathPart)>,
}

/// The rule for duplicates of a new table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DedupRule {
    /// Every row is kept
    Off,
    /// The later row replaces the earlier one, so that importing again changes nothing
    Last,
    /// The earliest row stays
    First,
}

/// The unit of epoch numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum EpochUnit {
    /// Seconds
    S,
    /// Milliseconds
    Ms,
    /// Microseconds
    Us,
    /// Nanoseconds
    Ns,
}

/// A part of a file's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathPart {
    /// The file's name without its extension.
    Stem,
    /// The file's name.
    Name,
    /// The folder of the file.
    Parent,
    /// The folder of that folder.
    Grandparent,
}

/// `tsq serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Directory of the database, created when absent
    #[arg(value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,

    /// Configuration, see docs/configuration.md; variables LYNX_SECTION_KEY and flags win over it
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Print the configuration with who set what, check the files that it names, and exit
    #[arg(long)]
    pub(super) check_config: bool,

    /// Address and port [default: 127.0.0.1:9393]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<std::net::SocketAddr>,

    /// Allow an address that other machines can reach, though the server asks for no credentials
    #[arg(long)]
    pub(super) insecure: bool,

    /// File that declares users; without one everybody who reaches the port may do everything
    #[arg(long, value_name = "FILE")]
    pub(super) credentials: Option<PathBuf>,

    /// Which messages are written: error, warn, info, debug, trace, or a filter
    #[arg(long, value_name = "LEVEL")]
    pub(super) log_level: Option<String>,

    /// How messages are written: text or json
    #[arg(long, value_name = "FORMAT")]
    pub(super) log_format: Option<String>,

    /// Any key of the configuration, such as limits.body_bytes=8MiB; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_assignment)]
    pub(super) set: Vec<(String, String)>,

    #[command(flatten)]
    pub(super) limits: LimitArgs,
}

/// `tsq hash-password`.
#[derive(Debug, Args)]
pub(super) struct HashPasswordArgs {
    /// Make a new token and its hash, instead of the hash of a password from standard input
    #[arg(long)]
    pub(super) token: bool,
}

/// `tsq bench`.
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// Directory of the database
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,

    /// Statements; a line `-- name: X` before a statement names it
    #[arg(value_name = "FILE.sql", required_unless_present = "lines")]
    pub(super) file: Option<PathBuf>,

    /// Take requests as JSON lines from standard input and answer each with a line, see docs/tsq.md
    #[arg(long, conflicts_with_all = ["file", "runs", "json"])]
    pub(super) lines: bool,

    /// Timed runs of each statement, after one that is not counted
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) runs: u32,

    /// Read the rows of whole hours too, instead of what segments keep of them
    #[arg(long)]
    pub(super) no_rollups: bool,

    /// Prepare each statement once, and time its runs without parsing
    #[arg(long)]
    pub(super) prepared: bool,

    /// Print a JSON array of objects with the keys name, median_ms, min_ms, rows
    #[arg(long)]
    pub(super) json: bool,
}

/// `tsq generate`.
#[derive(Debug, Subcommand)]
pub(super) enum GenerateSubject {
    /// CPU usage of many hosts, shaped as the `cpu` table of the Time Series Benchmark Suite
    Cpu(GenerateCpuArgs),
    /// Trucks: the tables `readings` and `diagnostics` of the same suite, with late and missing rows and values
    Iot(GenerateIotArgs),
}

/// `tsq generate cpu`.
#[derive(Debug, Args)]
pub(super) struct GenerateCpuArgs {
    /// Number of hosts
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(super) hosts: u32,

    /// Length of the data set
    #[arg(long, default_value_t = 24.0, value_name = "HOURS")]
    pub(super) hours: f64,

    /// Time between two rows of a host: a number with ns, us, ms, s, m, h or d
    #[arg(long, default_value = "10s", value_parser = parse_interval)]
    pub(super) interval: i64,

    /// Selects the data set
    #[arg(long, default_value_t = 123)]
    pub(super) seed: u64,

    /// Floats with two decimals in place of whole numbers
    #[arg(long)]
    pub(super) floats: bool,

    /// Order of rows
    #[arg(long, value_enum, default_value_t = Order::Time)]
    pub(super) order: Order,

    #[command(flatten)]
    pub(super) target: GenerateTarget,

    /// Name of the table in the database
    #[arg(long, default_value = "cpu", conflicts_with = "out")]
    pub(super) table: String,
}

/// `tsq generate iot`.
#[derive(Debug, Args)]
pub(super) struct GenerateIotArgs {
    /// Number of trucks
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(super) trucks: u32,

    /// Length of the data set
    #[arg(long, default_value_t = 24.0, value_name = "HOURS")]
    pub(super) hours: f64,

    /// Time between two reports of a truck: a number with ns, us, ms, s, m, h or d
    #[arg(long, default_value = "10s", value_parser = parse_interval)]
    pub(super) interval: i64,

    /// Selects the data set
    #[arg(long, default_value_t = 123)]
    pub(super) seed: u64,

    #[command(flatten)]
    pub(super) target: GenerateIotTarget,
}

/// Where generated tables go.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct GenerateIotTarget {
    /// Write readings.parquet and diagnostics.parquet into a directory, created when absent
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,

    /// Write both tables into a database, created when absent
    #[arg(long, value_name = "DIR")]
    pub(super) database: Option<PathBuf>,
}

/// Where generated rows go.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct GenerateTarget {
    /// Write a file, .parquet or .csv
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,

    /// Write into a database, created when absent
    #[arg(long, value_name = "DIR")]
    pub(super) database: Option<PathBuf>,
}

/// The order of generated rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Order {
    /// By time, then host: as measurements arrive
    Time,
    /// By host, then time
    Host,
}

/// `tsq demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Directory of the database, which is kept; a temporary one when absent
    #[arg(value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,
}

fn parse_assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".into()),
    }
}

fn parse_path_tag(text: &str) -> Result<(String, PathPart), String> {
    let (name, part) = parse_assignment(text)?;
    let part = match part.as_str() {
        "stem" => PathPart::Stem,
        "name" => PathPart::Name,
        "parent" => PathPart::Parent,
        "grandparent" => PathPart::Grandparent,
        other => return Err(format!("'{other}' is no part of a path: use stem, name, parent or grandparent")),
    };
    Ok((name, part))
}

/// Nanoseconds of a text such as `10s`.
fn parse_interval(text: &str) -> Result<i64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit_ns: i64 = match &text[digits..] {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return Err("expected a number with a unit: ns, us, ms, s, m, h or d".into()),
    };
    text[..digits]
        .parse::<i64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_ns))
        .filter(|ns| *ns > 0)
        .ok_or_else(|| "expected a positive number below 292 years".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_directory_and_a_subcommand_share_the_first_word() {
        let shell = parse("tsq metrics -c SELECT -c INSERT --format jsonl").unwrap();
        assert!(shell.command.is_none());
        assert_eq!(shell.shell.directory, Some("metrics".into()));
        assert_eq!(shell.shell.command, ["SELECT", "INSERT"]);
        assert_eq!(shell.shell.format, Some(Format::Jsonl));
        let import = parse("tsq import metrics a.csv b.csv --table t --tags x,y").unwrap();
        assert!(matches!(import.command, Some(Subcommands::Import(args)) if args.files.len() == 2));
        assert_eq!(parse("tsq ./import").unwrap().shell.directory, Some("./import".into()));
        assert!(parse("tsq").unwrap().shell.directory.is_none());
        assert!(parse("tsq metrics import a.csv").is_err());
    }

    #[test]
    fn tags_from_paths_are_named_parts() {
        let cli = parse("tsq import d f --table t --tag-from-path category=parent,dataset=stem").unwrap();
        let Some(Subcommands::Import(args)) = cli.command else { panic!("not an import") };
        assert_eq!(args.tag_from_path, [("category".into(), PathPart::Parent), ("dataset".into(), PathPart::Stem)]);
        assert!(parse("tsq import d f --table t --tag-from-path a=folder").is_err());
    }

    #[test]
    fn intervals_have_units() {
        assert_eq!(parse_interval("10s"), Ok(10_000_000_000));
        assert_eq!(parse_interval("1500us"), Ok(1_500_000));
        for wrong in ["10", "s", "0s", "-1s", "99999999999d", "1 s"] {
            assert!(parse_interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn generated_rows_need_exactly_one_target() {
        assert!(parse("tsq generate cpu").is_err());
        assert!(parse("tsq generate cpu --out a.csv --database d").is_err());
        assert!(parse("tsq generate cpu --hosts 5 --hours 0.5 --out a.csv").is_ok());
    }

    #[test]
    fn statements_to_time_come_from_one_place() {
        assert!(parse("tsq bench db").is_err());
        assert!(parse("tsq bench db a.sql --lines").is_err());
        assert!(parse("tsq bench db --lines --no-rollups").is_ok());
    }
}
