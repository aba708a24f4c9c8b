//! `tsq verify` and `tsq repair`.

use std::io::{self, Write};

use lynxstore_storage::engine::{Finding, RepairMode, RepairStep, Severity, VerifyReport};

use crate::shell::cli::{RepairArgs, VerifyArgs};
use crate::shell::error::{CommandError, Result};
use crate::shell::output::{bytes, count, plural};

/// Checks a database.
pub(super) fn run_verify(args: &VerifyArgs) -> Result<()> {
    let report = crate::verify(&args.directory)?;
    let mut out = io::stdout().lock();
    print_findings(&mut out, &report.findings)
        .and_then(|()| print_summary(&mut out, &report))
        .map_err(CommandError::Output)?;
    match report.is_sound() {
        true => Ok(()),
        false => Err(CommandError::input(format!(
            "{} is damaged: see the findings; 'tsq repair {}' says what can be done",
            args.directory.display(),
            args.directory.display()
        ))),
    }
}

/// Says what would mend a database, or mends it.
pub(super) fn run_repair(args: &RepairArgs) -> Result<()> {
    let mode = if args.apply { RepairMode::Apply } else { RepairMode::Explain };
    let report = crate::repair(&args.directory, mode)?;
    let mut out = io::stdout().lock();
    let mut print = || -> io::Result<()> {
        print_findings(&mut out, &report.before.findings)?;
        let is_mendable = report.before.findings.iter().any(|finding| finding.repair != RepairStep::None);
        match mode {
            _ if !is_mendable => writeln!(out, "There is nothing to repair."),
            RepairMode::Explain => {
                writeln!(out, "Nothing was changed. To do this: tsq repair {} --apply", args.directory.display())
            }
            RepairMode::Apply => {
                for event in &report.events {
                    writeln!(out, "{}: {}; {}", event.file.display(), event.found, event.done)?;
                }
                writeln!(out, "Repaired. What was removed is in {}.", args.directory.join("quarantine").display())
            }
        }
    };
    print().map_err(CommandError::Output)
}

fn print_findings(out: &mut impl Write, findings: &[Finding]) -> io::Result<()> {
    for finding in findings {
        let severity = match finding.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Loss => "LOSS",
        };
        let place = match &finding.bytes {
            Some(bytes) => format!(" bytes {} to {}", bytes.start, bytes.end),
            None => String::new(),
        };
        writeln!(out, "{severity}: {}{place}: {}", finding.file.display(), finding.meaning)?;
        let rows = finding.rows.map(|rows| plural(rows, "row"));
        let tables = (!finding.tables.is_empty()).then(|| {
            let ids: Vec<String> = finding.tables.iter().map(ToString::to_string).collect();
            format!("tables with the ids {}", ids.join(", "))
        });
        let concerned: Vec<String> = [rows, tables].into_iter().flatten().collect();
        if !concerned.is_empty() {
            writeln!(out, "  concerns {}", concerned.join(" of "))?;
        }
        writeln!(out, "  repair: {}", finding.repair.describe())?;
    }
    Ok(())
}

fn print_summary(out: &mut impl Write, report: &VerifyReport) -> io::Result<()> {
    writeln!(
        out,
        "Checked {} ({}, {} rows) and {} of the log with {} rows: {}.",
        plural(report.segments, "segment"),
        bytes(report.segment_bytes),
        count(report.segment_rows),
        plural(report.commits, "commit"),
        count(report.log_rows),
        if report.is_sound() { "everything is as it was written" } else { "there is damage" }
    )
}
