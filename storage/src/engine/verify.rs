//! Checks a whole database directory that nobody has open, and changes nothing in it.
//!
//! Every byte that a checksum covers is read: the manifest record by record, the log record by record, every segment with
//! its invariants. What recovery would find is found by the code of recovery, on a file system that forgets its changes
//! ([`DryIo`]). Each finding says what it means and what [`repair`](super::repair) would do.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::database_dir::DatabaseDir;
use super::recovery_report::{RecoveryEvent, RecoveryKind, RecoveryReport, Severity};
use super::salvage::{needs_salvage, rebuild, segment_files};
use super::scrub::unreadable_part;
use crate::error::{Error, Result};
use crate::io::{DryIo, Io, IoLock, OpenMode};
use crate::manifest::{FILE_NAME, ManifestCondition, ManifestState, SegmentMeta, survey};
use crate::segment::Segment;
use crate::types::{Lsn, SegmentId, TableId, TimeRange};
use crate::wal::replay;

/// What a repair does about a finding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RepairStep {
    /// Nothing: it needs a person, or nothing needs to be done.
    None,
    /// Writes the manifest anew from its valid records, the segments and the log.
    RewriteManifest,
    /// Cuts an end that is not whole, which is copied first.
    CutTail,
    /// Replays what is valid of the log and writes it to a segment; the damaged file stays in `quarantine/`.
    ReplayLog,
    /// Moves a segment to `quarantine/` and writes its readable rows to a new file in its place.
    RescueSegment(SegmentId),
    /// Moves a segment to `quarantine/` and removes it from the manifest: its rows are lost.
    QuarantineSegment(SegmentId),
    /// Removes a segment without a file from the manifest: its rows are lost.
    ForgetSegment(SegmentId),
    /// Corrects what the manifest says of a sound segment.
    CorrectManifest(SegmentId),
    /// Moves a file that belongs to nothing to `quarantine/`.
    SetAside(PathBuf),
}

impl RepairStep {
    /// The step in words.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::None => "nothing is done",
            Self::RewriteManifest => "the manifest is copied to quarantine and written anew",
            Self::CutTail => "the file is copied to quarantine and its end cut",
            Self::ReplayLog => "the valid commits are written to a segment; the file stays in quarantine",
            Self::RescueSegment(_) => "the segment is moved to quarantine; its readable rows are written anew",
            Self::QuarantineSegment(_) => "the segment is moved to quarantine and its rows are given up",
            Self::ForgetSegment(_) => "the segment is removed from the manifest and its rows are given up",
            Self::CorrectManifest(_) => "the manifest takes what the segment says",
            Self::SetAside(_) => "the file is moved to quarantine",
        }
    }
}

/// Something that is not as it was written, or not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub kind: RecoveryKind,
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// The bytes concerned, where the whole file is not.
    pub bytes: Option<Range<u64>>,
    /// Commits that are lost, first and last.
    pub lsn_gap: Option<RangeInclusive<Lsn>>,
    /// Tables concerned, where known.
    pub tables: Vec<TableId>,
    /// Times of the rows concerned, where known.
    pub time_range: Option<TimeRange>,
    /// Rows concerned, where known.
    pub rows: Option<u64>,
    /// What it means.
    pub meaning: String,
    /// What a repair does about it.
    pub repair: RepairStep,
}

impl Finding {
    fn of_event(event: &RecoveryEvent, repair: RepairStep) -> Self {
        Self {
            kind: event.kind,
            severity: event.severity,
            file: event.file.clone(),
            bytes: event.bytes.clone(),
            lsn_gap: event.lsn_gap.clone(),
            tables: event.tables.clone(),
            time_range: event.time_range,
            rows: event.rows,
            meaning: event.found.clone(),
            repair,
        }
    }

    fn new(kind: RecoveryKind, severity: Severity, file: &Path, meaning: String, repair: RepairStep) -> Self {
        Self::of_event(&RecoveryEvent::new(kind, severity, file, meaning), repair)
    }

    fn at(self, offset: u64) -> Self {
        Self { bytes: Some(offset..offset + 1), ..self }
    }

    fn of_segment(self, meta: &SegmentMeta) -> Self {
        let event = RecoveryEvent::new(self.kind, self.severity, &self.file, "").of_segment(meta);
        Self { tables: event.tables, time_range: event.time_range, rows: event.rows, ..self }
    }
}

/// What a check of a directory found.
#[derive(Debug, Clone, Default)]
pub struct VerifyReport {
    /// What is not as it should be, in the order of manifest, segments, log and other files.
    pub findings: Vec<Finding>,
    /// Segments that were checked.
    pub segments: u64,
    /// Bytes of them.
    pub segment_bytes: u64,
    /// Rows in them, before duplicates are resolved.
    pub segment_rows: u64,
    /// Commits of the log that are in no segment yet.
    pub commits: u64,
    /// Rows in them.
    pub log_rows: u64,
}

impl VerifyReport {
    /// Whether nothing is damaged: what a crash leaves is no damage.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Note)
    }
}

/// Checks the database in `dir` from the first byte to the last.
///
/// # Errors
/// `Locked` when it is open; `InvalidInput` when there is no database; `UnsupportedVersion`; `Io` for errors that say
/// nothing about the bytes.
pub fn verify(io: Arc<dyn Io>, dir: &Path) -> Result<VerifyReport> {
    let dir = DatabaseDir::new(dir);
    let _lock = lock(io.as_ref(), &dir)?;
    check(&io, &dir)
}

/// Takes the lock of a directory that holds a database.
pub(super) fn lock(io: &dyn Io, dir: &DatabaseDir) -> Result<Box<dyn IoLock>> {
    if !io.exists(&dir.manifest())? && !io.exists(&dir.segments())? && !io.exists(&dir.wal())? {
        return Err(Error::invalid(format!("there is no database in {}", dir.root.display())));
    }
    io.lock(&dir.lock_file())
}

/// Checks a directory whose lock the caller holds.
pub(super) fn check(io: &Arc<dyn Io>, dir: &DatabaseDir) -> Result<VerifyReport> {
    let dry: Arc<dyn Io> = Arc::new(DryIo::new(Arc::clone(io)));
    let mut report = VerifyReport::default();
    let state = match check_manifest(&dry, dir, &mut report) {
        Err(Error::Corruption { path, offset, reason }) if path == dir.manifest() => {
            let meaning = format!("{reason}: a newer build wrote it; open it with that one");
            let kind = RecoveryKind::ManifestDamaged;
            let finding = Finding::new(kind, Severity::Loss, &path, meaning, RepairStep::None).at(offset);
            report.findings.push(finding);
            return Ok(report);
        }
        other => other?,
    };
    for meta in state.segments.values() {
        check_segment(&dry, dir, meta, &mut report)?;
    }
    check_log(&dry, dir, &state, &mut report)?;
    check_leftovers(&dry, dir, &state, &mut report)?;
    Ok(report)
}

fn check_manifest(io: &Arc<dyn Io>, dir: &DatabaseDir, report: &mut VerifyReport) -> Result<ManifestState> {
    let survey = survey(io.as_ref(), &dir.root)?;
    if !needs_salvage(io, dir, &survey)? {
        if survey.condition == ManifestCondition::Torn {
            let meaning = "the last record is not whole, as a crash leaves it".to_owned();
            let (kind, step) = (RecoveryKind::ManifestTorn, RepairStep::CutTail);
            let finding = Finding::new(kind, Severity::Note, &dir.manifest(), meaning, step);
            let bytes = survey.damages.first().map(|damage| damage.start..damage.end);
            report.findings.push(Finding { bytes, ..finding });
        }
        return Ok(survey.state);
    }
    let mut events = Vec::new();
    let state = rebuild(io, dir, &survey, &mut events)?;
    let mut found = RecoveryReport::default();
    super::salvage::report_damage(dir, &survey, None, &mut found);
    let findings = found.events.iter().chain(&events);
    report.findings.extend(findings.map(|event| Finding::of_event(event, RepairStep::RewriteManifest)));
    Ok(state)
}

fn check_segment(io: &Arc<dyn Io>, dir: &DatabaseDir, meta: &SegmentMeta, report: &mut VerifyReport) -> Result<()> {
    let path = dir.segment(meta.id);
    let finding = |meaning: String, repair: RepairStep| {
        Finding::new(RecoveryKind::SegmentDamaged, Severity::Loss, &path, meaning, repair).of_segment(meta)
    };
    if !io.exists(&path)? {
        let step = RepairStep::ForgetSegment(meta.id);
        report.findings.push(finding("the manifest names the segment, and its file is gone".to_owned(), step));
        return Ok(());
    }
    let file_len = io.open(&path, OpenMode::Read)?.len()?;
    if let Some((offset, error)) = unreadable_part(io, &path, file_len)? {
        let meaning = format!("the disk does not give a part back: {error}");
        report.findings.push(finding(meaning, RepairStep::QuarantineSegment(meta.id)).at(offset));
        return Ok(());
    }
    // By its own length: a repair that was cut off leaves a sound file of another one.
    let segment = match Segment::open(Arc::clone(io), &path, meta.id, file_len) {
        Ok(segment) => segment,
        Err(error @ Error::Corruption { offset, .. }) => {
            let step = RepairStep::QuarantineSegment(meta.id);
            report.findings.push(finding(format!("the segment cannot be opened: {error}"), step).at(offset));
            return Ok(());
        }
        Err(error @ Error::UnsupportedVersion { .. }) => {
            report.findings.push(finding(error.to_string(), RepairStep::None));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    report.segments += 1;
    report.segment_bytes += file_len;
    report.segment_rows += segment.row_count();
    segment.scrub()?;
    for damage in segment.known_damages() {
        let rows = segment.rows_at(damage.offset);
        let finding = finding(damage.reason, RepairStep::RescueSegment(meta.id)).at(damage.offset);
        report.findings.push(Finding { tables: rows.tables, time_range: Some(rows.time_range), rows: None, ..finding });
    }
    if let Some(meaning) = disagreement(meta, &segment) {
        let finding = finding(meaning, RepairStep::CorrectManifest(meta.id));
        report.findings.push(Finding { severity: Severity::Warning, ..finding });
    }
    Ok(())
}

/// What the manifest says of a segment and the segment does not.
fn disagreement(meta: &SegmentMeta, segment: &Segment) -> Option<String> {
    let corrected = corrected(meta, segment);
    (corrected != *meta).then(|| {
        format!(
            "the manifest says {} bytes and {} rows in {} sections, the segment has {} bytes and {} rows in {}",
            meta.file_len,
            meta.row_count(),
            meta.sections.len(),
            corrected.file_len,
            corrected.row_count(),
            corrected.sections.len()
        )
    })
}

/// What a segment says of the sections that the manifest names; others of its file were removed.
pub(super) fn corrected(meta: &SegmentMeta, segment: &Segment) -> SegmentMeta {
    let mut own = segment.meta();
    own.sections.retain(|section| meta.sections.iter().any(|one| one.is_at(section.table, section.partition_start_ns)));
    own
}

fn check_log(io: &Arc<dyn Io>, dir: &DatabaseDir, state: &ManifestState, report: &mut VerifyReport) -> Result<()> {
    let mut rows = 0;
    let replayed = replay(io.as_ref(), &dir.wal(), state.flushed_lsn, |_lsn, batches| {
        rows += batches.iter().map(|batch| batch.row_count() as u64).sum::<u64>();
        Ok(())
    })?;
    report.commits = replayed.commits;
    report.log_rows = rows;
    let damages = replayed.damages.iter().map(RecoveryEvent::of_wal_damage);
    report.findings.extend(damages.map(|event| Finding::of_event(&event, RepairStep::ReplayLog)));
    if let Some(file) = &replayed.torn_file {
        let meaning = "the last records are not whole, as a crash leaves them".to_owned();
        let finding = Finding::new(RecoveryKind::WalTorn, Severity::Note, file, meaning, RepairStep::CutTail);
        let bytes = Some(replayed.torn_at..replayed.torn_at + replayed.torn_bytes);
        report.findings.push(Finding { bytes, ..finding });
    }
    Ok(())
}

/// Files that belong to nothing.
fn check_leftovers(
    io: &Arc<dyn Io>,
    dir: &DatabaseDir,
    state: &ManifestState,
    report: &mut VerifyReport,
) -> Result<()> {
    let mut leftovers: Vec<(PathBuf, &str)> = Vec::new();
    let files = segment_files(io, dir)?;
    let segments = if io.exists(&dir.segments())? { io.list(&dir.segments())? } else { Vec::new() };
    for name in segments {
        let path = dir.segments().join(name);
        if !files.iter().any(|id| dir.segment(*id) == path) {
            leftovers.push((path, "the file of a write that did not end"));
        }
    }
    let unnamed = files.iter().filter(|id| !state.segments.contains_key(id));
    leftovers.extend(unnamed.map(|id| (dir.segment(*id), "a segment that is not part of the database")));
    let temporary = dir.root.join(format!("{FILE_NAME}.tmp"));
    // Without a manifest it is what is left of one.
    if io.exists(&temporary)? && io.exists(&dir.manifest())? {
        leftovers.push((temporary, "the file of a write that did not end"));
    }
    leftovers.sort();
    for (path, meaning) in leftovers {
        // A salvage of the manifest decided on it already.
        if report.findings.iter().all(|finding| finding.file != path) {
            let step = RepairStep::SetAside(path.clone());
            let kind = RecoveryKind::SegmentSetAside;
            report.findings.push(Finding::new(kind, Severity::Note, &path, meaning.to_owned(), step));
        }
    }
    Ok(())
}
