//! `tsq serve`: the HTTP server on a database.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::Database;
#[cfg(feature = "otel")]
use crate::server::TraceExport;
use crate::server::config::{ConfigSource, LogFormat, ServeConfig, describe, load_config};
use crate::server::{Credentials, Server, shutdown_signal};
use crate::shell::cli::ServeArgs;
use crate::shell::error::{CommandError, Result};

/// A configuration that was read, before anything was opened.
pub(super) struct Serving {
    config: ServeConfig,
    sources: BTreeMap<&'static str, ConfigSource>,
}

impl Serving {
    /// Reads the configuration: file, environment, flags.
    pub(super) fn read(args: &ServeArgs) -> Result<Self> {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            // What is no text is none of ours.
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let (config, sources) =
            load_config(args.config.as_deref(), variables, &flags(args)).map_err(CommandError::Input)?;
        Ok(Self { config, sources })
    }

    /// How and which messages are to be written.
    pub(super) fn log(&self) -> (&str, LogFormat) {
        (&self.config.log_level, self.config.log_format)
    }

    /// The export of traces that this server is to have; none where only the configuration is checked.
    #[cfg(feature = "otel")]
    pub(super) fn trace_export(&self, args: &ServeArgs) -> Result<Option<TraceExport>> {
        if args.check_config {
            return Ok(None);
        }
        TraceExport::start(&self.config.traces).map_err(CommandError::Input)
    }

    /// Serves until Ctrl-C or SIGTERM; or, when asked, only shows and checks the configuration.
    pub(super) fn run(self, args: &ServeArgs) -> Result<()> {
        let Self { config, sources } = self;
        if args.check_config {
            return check(&config, &sources);
        }
        let Some(directory) = &config.directory else {
            return Err(CommandError::input(
                "there is no directory to serve: tsq serve DIR, or the key database.directory of the configuration",
            ));
        };
        // Before the database is opened: what is wrong with the options should not wait for a recovery.
        Server::check(&config.server)?;
        let database = Database::open_with(directory, config.database_options())?;
        let scheme = if config.server.tls.is_some() { "https" } else { "http" };
        let server = Server::bind(database, config.server.clone())?;
        // Nobody may be reading; the server serves all the same.
        let _ = writeln!(
            io::stderr(),
            "Serving {directory} on {scheme}://{address}: remote write at /api/v1/write, SQL at /api/v1/sql. Ctrl-C stops it.",
            directory = directory.display(),
            address = server.local_addr(),
        );
        Ok(server.run(shutdown_signal())?)
    }
}

/// What was given as flags, as pairs of key and text. Later ones win, so `--set` wins over the others.
fn flags(args: &ServeArgs) -> Vec<(String, String)> {
    let mut flags = Vec::new();
    let mut push = |key: &str, value: Option<String>| flags.extend(value.map(|value| (key.to_owned(), value)));
    push("database.directory", args.directory.as_ref().map(|path| path.display().to_string()));
    push("server.listen", args.listen.map(|address| address.to_string()));
    push("server.insecure", args.insecure.then(|| "true".to_owned()));
    push("server.credentials_file", args.credentials.as_ref().map(|path| path.display().to_string()));
    push("sql.memory", args.limits.statement_memory.map(|mib| format!("{mib}MiB")));
    push("sql.timeout", args.limits.statement_timeout.map(|seconds| format!("{seconds}s")));
    push("log.level", args.log_level.clone());
    push("log.format", args.log_format.clone());
    flags.extend(args.set.iter().cloned());
    flags
}

/// Prints the configuration, and fails when the server could not start with it.
fn check(config: &ServeConfig, sources: &BTreeMap<&'static str, ConfigSource>) -> Result<()> {
    io::stdout().write_all(describe(config, sources).as_bytes()).map_err(CommandError::Output)?;
    Server::check(&config.server)?;
    let users = match &config.server.credentials_file {
        Some(path) => format!("{} users", Credentials::load(path).map_err(CommandError::Input)?.len()),
        None => "no credentials".to_owned(),
    };
    let _ = writeln!(io::stderr(), "The configuration is sound: {users}.");
    Ok(())
}
