//! Mends a database directory that nobody has open, or explains how it would.
//!
//! Invariant: nothing is deleted of which there is no copy in `quarantine/`. Damaged segments, leftovers and a log file
//! without a whole copy are moved there; the manifest and torn files are copied there before they are written.
//!
//! Order of steps: leftovers; copies of torn ends; the manifest; per damaged segment the move, the new file with its
//! readable rows, and one manifest record for all; then the database is opened and closed, which replays and flushes the
//! log. Each step can be repeated, so a repair that was cut off is begun again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::database_dir::DatabaseDir;
use super::handle::Engine;
use super::options::{Background, EngineOptions};
use super::quarantine::{copy, last_set_aside, set_aside};
use super::recovery_history::RecoveryHistory;
use super::recovery_report::{RecoveryEvent, RecoveryKind, RecoveryReport, Severity};
use super::rescue::rescue;
use super::salvage::open_manifest;
use super::scrub::unreadable_part;
use super::verify::{RepairStep, VerifyReport, check, corrected, lock};
use crate::error::{Error, Result};
use crate::io::{Io, OpenMode};
use crate::manifest::{ManifestEdit, SegmentMeta};
use crate::segment::Segment;
use crate::types::SegmentId;

/// Memory for replaying the log.
const MEMORY_BYTES: u64 = 256 << 20;

/// The log that the repair leaves behind is empty, so no space need be reserved for it.
const WAL_FILE_BYTES: u64 = 4 << 10;

/// Whether a repair mends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairMode {
    /// It only says what it would do.
    Explain,
    /// It does it.
    Apply,
}

/// What a repair found and did.
#[derive(Debug, Clone, Default)]
pub struct RepairReport {
    /// What was found before anything was changed, each with the step that mends it.
    pub before: VerifyReport,
    /// What was done; empty when nothing was to be.
    pub events: Vec<RecoveryEvent>,
}

/// Mends the database in `dir`.
///
/// # Errors
/// As of [`verify`](super::verify), and `Io` when the disk is full or fails: a second repair goes on from there.
pub fn repair(io: Arc<dyn Io>, dir: &Path, mode: RepairMode) -> Result<RepairReport> {
    let dir = DatabaseDir::new(dir);
    let lock = lock(io.as_ref(), &dir)?;
    let before = check(&io, &dir)?;
    let is_mendable = before.findings.iter().any(|finding| finding.repair != RepairStep::None);
    if mode == RepairMode::Explain || !is_mendable {
        return Ok(RepairReport { before, events: Vec::new() });
    }
    let history = RecoveryHistory::read(io.as_ref(), &dir)?;
    let mut report = RecoveryReport::default();
    // First, for the steps that follow write under temporary names.
    for finding in &before.findings {
        if let RepairStep::SetAside(path) = &finding.repair
            && io.exists(path)?
        {
            let event = RecoveryEvent::new(finding.kind, Severity::Note, path, &finding.meaning);
            let kept = Some(set_aside(io.as_ref(), &dir, path)?);
            report.add(RecoveryEvent { kept, ..event.done("it was moved") });
        }
    }
    keep_torn_files(&io, &dir, &before, &mut report)?;
    mend_segments(&io, &dir, &before, &mut report)?;
    history.record(io.as_ref(), &dir, (EngineOptions::default().clock)(), &mut report);
    drop(lock);
    // What is left to do is what an open does: it replays the log, and its close writes the rows to a segment.
    let options = EngineOptions {
        background: Background::Caller,
        wal_file_bytes_max: WAL_FILE_BYTES,
        ..EngineOptions::with_memory_budget(MEMORY_BYTES)
    };
    let engine = Engine::open_with(io, &dir.root, options)?;
    report.events.extend_from_slice(engine.recovery_events());
    engine.close()?;
    Ok(RepairReport { before, events: report.events })
}

/// Copies what the open will cut.
fn keep_torn_files(
    io: &Arc<dyn Io>,
    dir: &DatabaseDir,
    before: &VerifyReport,
    report: &mut RecoveryReport,
) -> Result<()> {
    for finding in before.findings.iter().filter(|finding| finding.repair == RepairStep::CutTail) {
        let event = RecoveryEvent::new(finding.kind, Severity::Note, &finding.file, &finding.meaning);
        let kept = Some(copy(io.as_ref(), dir, &finding.file)?);
        report.add(RecoveryEvent { kept, bytes: finding.bytes.clone(), ..event.done("the file was copied") });
    }
    Ok(())
}

/// Makes the manifest whole, and lets it name sound segments only.
fn mend_segments(
    io: &Arc<dyn Io>,
    dir: &DatabaseDir,
    before: &VerifyReport,
    report: &mut RecoveryReport,
) -> Result<()> {
    let (mut manifest, state, _) = open_manifest(io, dir, report)?;
    let mut edits: BTreeMap<SegmentId, Vec<ManifestEdit>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for finding in &before.findings {
        let (id, change) = match &finding.repair {
            RepairStep::RescueSegment(id) => (*id, Change::Rescue),
            RepairStep::QuarantineSegment(id) => (*id, Change::GiveUp),
            RepairStep::ForgetSegment(id) => (*id, Change::Forget),
            RepairStep::CorrectManifest(id) => (*id, Change::Correct),
            _ => continue,
        };
        // A damaged segment has a finding for each of its damages.
        let Some(meta) = state.segments.get(&id).filter(|_| seen.insert(id)) else { continue };
        let (event, kept) = mend_segment(io, dir, meta, change, &finding.meaning)?;
        report.add(event);
        let edits = edits.entry(id).or_default();
        edits.push(ManifestEdit::RemoveSegment(id));
        edits.extend(kept.map(ManifestEdit::AddSegment));
    }
    let edits: Vec<ManifestEdit> = edits.into_values().flatten().collect();
    if edits.is_empty() { Ok(()) } else { manifest.append(&edits) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Rescue,
    GiveUp,
    Forget,
    Correct,
}

/// Mends one segment; returns what is left of it.
fn mend_segment(
    io: &Arc<dyn Io>,
    dir: &DatabaseDir,
    meta: &SegmentMeta,
    change: Change,
    meaning: &str,
) -> Result<(RecoveryEvent, Option<SegmentMeta>)> {
    let path = dir.segment(meta.id);
    let event = RecoveryEvent::new(RecoveryKind::SegmentDamaged, Severity::Loss, &path, meaning);
    let event = RecoveryEvent { rows: None, ..event.of_segment(meta) };
    let open = || {
        let file_len = io.open(&path, OpenMode::Read)?.len()?;
        Segment::open(Arc::clone(io), &path, meta.id, file_len)
    };
    Ok(match change {
        Change::Forget => match open_in_quarantine(io, dir, meta.id)? {
            // A repair that was cut off has moved it.
            Some(damaged) => rescued(event, rescue(io, &path, meta, &damaged)?, meta),
            None => {
                let event = RecoveryEvent { rows: Some(meta.row_count()), ..event };
                (event.done("it was removed from the manifest; its rows are lost"), None)
            }
        },
        Change::Correct => {
            let event = RecoveryEvent { severity: Severity::Warning, ..event };
            let corrected = Some(corrected(meta, &open()?)).filter(|meta| !meta.sections.is_empty());
            (event.done("the manifest has what the segment says"), corrected)
        }
        Change::GiveUp => {
            let kept = Some(set_aside(io.as_ref(), dir, &path)?);
            let event = RecoveryEvent { rows: Some(meta.row_count()), kept, ..event };
            (event.done("it was moved; its rows are lost"), None)
        }
        Change::Rescue => {
            let damaged = open()?;
            let kept = set_aside(io.as_ref(), dir, &path)?;
            let event = RecoveryEvent { kept: Some(kept), ..event };
            // The open file is still there, under its new name.
            rescued(event, rescue(io, &path, meta, &damaged)?, meta)
        }
    })
}

/// The event of a segment whose readable rows were written anew.
fn rescued(
    event: RecoveryEvent,
    rescued: Option<SegmentMeta>,
    before: &SegmentMeta,
) -> (RecoveryEvent, Option<SegmentMeta>) {
    let rows = rescued.as_ref().map_or(0, SegmentMeta::row_count);
    let lost = before.row_count().saturating_sub(rows);
    let severity = if lost > 0 { Severity::Loss } else { Severity::Warning };
    let done = format!("it was moved; {rows} of its rows were written anew, {lost} are lost");
    (RecoveryEvent { severity, rows: Some(lost), ..event.done(done) }, rescued)
}

/// The segment as it was moved last, when it can be opened.
fn open_in_quarantine(io: &Arc<dyn Io>, dir: &DatabaseDir, id: SegmentId) -> Result<Option<Segment>> {
    let Some(path) = last_set_aside(io.as_ref(), dir, &dir.segment(id))? else { return Ok(None) };
    let file_len = io.open(&path, OpenMode::Read)?.len()?;
    if unreadable_part(io, &path, file_len)?.is_some() {
        return Ok(None);
    }
    match Segment::open(Arc::clone(io), &path, id, file_len) {
        Ok(segment) => Ok(Some(segment)),
        Err(Error::Corruption { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
