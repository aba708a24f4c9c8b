//! From the command line to the command that it names, and from its result to the exit code.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use super::serve::Serving;
use super::{backup, bench, check, demo, generate, generate_iot, hash_password, interactive};
#[cfg(feature = "otel")]
use crate::server::TraceExport;
use crate::server::config::LogFormat;
use crate::shell::cli::{Cli, GenerateSubject, Subcommands};
use crate::shell::{import, terminal};

/// Carries out the command line of this process. Wrong usage and `--help` end the process.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    // How a server writes its log stands in its configuration; what is wrong with that is said when it is run.
    let serving = match &cli.command {
        Some(Subcommands::Serve(args)) => Serving::read(args).ok(),
        _ => None,
    };
    let (level, format) = serving.as_ref().map_or(("warn", LogFormat::Text), Serving::log);
    #[cfg(feature = "otel")]
    let export = match (&serving, &cli.command) {
        (Some(serving), Some(Subcommands::Serve(args))) => match serving.trace_export(args) {
            Ok(export) => export,
            Err(error) => return error.report(terminal::stderr_has_color()),
        },
        _ => None,
    };
    #[cfg(feature = "otel")]
    match &export {
        Some(export) => log_and_export(level, format, export),
        None => log_to_stderr(level, format),
    }
    #[cfg(not(feature = "otel"))]
    log_to_stderr(level, format);
    let result = match &cli.command {
        None => interactive::run(&cli.shell),
        Some(Subcommands::Serve(args)) => Serving::read(args).and_then(|serving| serving.run(args)),
        Some(Subcommands::Import(args)) => import::run(args),
        Some(Subcommands::HashPassword(args)) => hash_password::run(args),
        Some(Subcommands::Bench(args)) => bench::run(args),
        Some(Subcommands::Generate(GenerateSubject::Cpu(args))) => generate::run_cpu(args),
        Some(Subcommands::Generate(GenerateSubject::Iot(args))) => generate_iot::run(args),
        Some(Subcommands::Demo(args)) => demo::run(args),
        Some(Subcommands::Backup(args)) => backup::run_backup(args),
        Some(Subcommands::Restore(args)) => backup::run_restore(args),
        Some(Subcommands::Verify(args)) => check::run_verify(args),
        Some(Subcommands::Repair(args)) => check::run_repair(args),
    };
    #[cfg(feature = "otel")]
    if let Some(export) = &export {
        export.shutdown();
    }
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(terminal::stderr_has_color()),
    }
}

/// Messages from `level` on, or what the variable `TSQ_LOG` asks for, such as `lynxstore_storage=debug`.
fn log_to_stderr(level: &str, format: LogFormat) {
    let messages = tracing_subscriber::fmt().with_env_filter(log_filter(level)).with_writer(io::stderr);
    match format {
        LogFormat::Text => messages.with_ansi(terminal::stderr_has_color()).init(),
        LogFormat::Json => messages.json().flatten_event(true).with_current_span(true).with_span_list(false).init(),
    }
}

fn log_filter(level: &str) -> EnvFilter {
    EnvFilter::try_from_env("TSQ_LOG").unwrap_or_else(|_| EnvFilter::new(level))
}

/// The same, and spans to a collector, whatever the log shows of them.
#[cfg(feature = "otel")]
fn log_and_export(level: &str, format: LogFormat, export: &TraceExport) {
    use tracing_subscriber::layer::{Layer, SubscriberExt};
    use tracing_subscriber::util::SubscriberInitExt;

    let messages = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let messages = match format {
        LogFormat::Text => messages.with_ansi(terminal::stderr_has_color()).boxed(),
        LogFormat::Json => messages.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(messages.with_filter(log_filter(level))).with(export.layer()).init();
}
