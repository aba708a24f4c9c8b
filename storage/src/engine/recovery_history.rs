//! What past openings found, in the file `RECOVERY`: it outlives the next open.
//!
//! Invariant: the file is replaced whole, so it is the history of before or of after an opening. It is for people: nothing
//! is recovered from it, and an open goes on when it cannot be read or written. A damaged one is kept in `quarantine/`.
//! Only the holder of the directory's lock writes it.
//!
//! Bytes: `docs/format/recovery.md`. Decoding is for untrusted bytes.

use std::path::{Path, PathBuf};

use super::database_dir::DatabaseDir;
use super::quarantine::set_aside;
use super::recovery_report::{RecoveryEvent, RecoveryKind, RecoveryReport, Severity};
use crate::error::{Error, Result};
use crate::framing::{ByteReader, ByteWriter};
use crate::io::{Io, OpenMode, replace_file};
use crate::types::{Lsn, TableId, TimeRange};

const MAGIC: [u8; 8] = *b"LYNXREC\0";
const VERSION: u32 = 1;

/// Events that are kept. Beyond it notes go first, then warnings, of each the oldest.
const EVENTS_MAX: usize = 256;
/// A longer text is cut.
const TEXT_BYTES_MAX: usize = 1_000;
/// More tables of one event are left out.
const TABLES_MAX: usize = 64;
/// No history of this build is longer: 256 events of four texts each.
const BYTES_MAX: u64 = 2 << 20;

const HAS_BYTES: u8 = 1;
const HAS_LSN_GAP: u8 = 2;
const HAS_TIME_RANGE: u8 = 4;
const HAS_ROWS: u8 = 8;
const HAS_KEPT: u8 = 16;

/// An event of an opening or a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastRecovery {
    /// When the database was opened or repaired, in nanoseconds since the epoch.
    pub time_ns: i64,
    /// What was found and done.
    pub event: RecoveryEvent,
}

/// The events of the file.
#[derive(Debug)]
pub(super) struct RecoveryHistory {
    past: Vec<PastRecovery>,
    /// Why the file could not be read.
    damage: Option<String>,
}

impl RecoveryHistory {
    /// Reads the history of a database. One that is missing or damaged is empty.
    ///
    /// # Errors
    /// `UnsupportedVersion`: a newer build wrote it.
    pub(super) fn read(io: &dyn Io, dir: &DatabaseDir) -> Result<Self> {
        match read(io, dir) {
            Ok(past) => Ok(Self { past, damage: None }),
            Err(error @ Error::UnsupportedVersion { .. }) => Err(error),
            Err(error) => Ok(Self { past: Vec::new(), damage: Some(error.to_string()) }),
        }
    }

    /// Adds what an opening found and makes it durable. Returns the history with it.
    pub(super) fn record(
        mut self,
        io: &dyn Io,
        dir: &DatabaseDir,
        time_ns: i64,
        report: &mut RecoveryReport,
    ) -> Vec<PastRecovery> {
        if let Some(found) = self.damage.take() {
            let path = dir.recovery_history();
            let event = RecoveryEvent::new(RecoveryKind::HistoryDamaged, Severity::Note, &path, found);
            match set_aside(io, dir, &path) {
                Ok(kept) => {
                    report.add(RecoveryEvent { kept: Some(kept), ..event.done("it was moved, and another begun") })
                }
                Err(error) => {
                    tracing::warn!(%error, "a damaged history of recovery cannot be moved; nothing is added to it");
                    report.add(event.done("it stays where it is"));
                    return self.with(time_ns, report).past;
                }
            }
        }
        if report.events.is_empty() {
            return self.past;
        }
        let all = self.with(time_ns, report);
        if let Err(error) = replace_file(io, &dir.recovery_history(), &to_bytes(&all.past, &dir.root)) {
            tracing::warn!(%error, "what the open found is not kept for later");
        }
        all.past
    }

    /// The history with the events of an opening, of which every one is kept.
    pub(super) fn with(mut self, time_ns: i64, report: &RecoveryReport) -> Self {
        let new = report.events.iter().map(|event| PastRecovery { time_ns, event: event.clone() });
        let begin = self.past.len();
        self.past.extend(new);
        let mut old = begin;
        while self.past.len() > EVENTS_MAX && old > 0 {
            let least = (0..old).min_by_key(|&position| self.past[position].event.severity).unwrap_or_default();
            self.past.remove(least);
            old -= 1;
        }
        self
    }

    pub(super) fn into_events(self) -> Vec<PastRecovery> {
        self.past
    }
}

fn read(io: &dyn Io, dir: &DatabaseDir) -> Result<Vec<PastRecovery>> {
    let path = dir.recovery_history();
    if !io.exists(&path)? {
        return Ok(Vec::new());
    }
    let file = io.open(&path, OpenMode::Read)?;
    let damaged = |reason: &str| Error::corruption(&path, 0, reason);
    let len = file.len()?;
    if len > BYTES_MAX {
        return Err(damaged("the file is longer than any history"));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    file.read_exact_at(0, &mut bytes)?;
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged("the file is cut"))?;
    if u32::from_le_bytes(*crc) != crc32c::crc32c(body) {
        return Err(damaged("the file does not match its checksum"));
    }
    let mut reader = ByteReader::new(body);
    if reader.take(8) != Some(&MAGIC[..]) {
        return Err(damaged("the file is no history of recovery"));
    }
    let version = reader.u32().ok_or_else(|| damaged("the file is cut"))?;
    if version != VERSION {
        return Err(Error::UnsupportedVersion { path, found: version, supported: VERSION });
    }
    let mut past = Vec::new();
    while reader.remaining() > 0 {
        past.push(decode(&mut reader, &dir.root).ok_or_else(|| damaged("an event is malformed"))?);
    }
    Ok(past)
}

/// The file that holds these events; the newest `EVENTS_MAX` when there are more.
fn to_bytes(past: &[PastRecovery], root: &Path) -> Vec<u8> {
    let mut out = ByteWriter::default();
    out.bytes.extend_from_slice(&MAGIC);
    out.u32(VERSION);
    past[past.len().saturating_sub(EVENTS_MAX)..].iter().for_each(|past| encode(past, root, &mut out));
    out.u32(crc32c::crc32c(&out.bytes));
    out.bytes
}

fn encode(PastRecovery { time_ns, event }: &PastRecovery, root: &Path, out: &mut ByteWriter) {
    // Paths within the database are relative to it, so that they hold when it is moved.
    let path = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
    out.i64(*time_ns);
    out.u8(event.kind.code());
    out.u8(event.severity.code());
    let flags = [
        (event.bytes.is_some(), HAS_BYTES),
        (event.lsn_gap.is_some(), HAS_LSN_GAP),
        (event.time_range.is_some(), HAS_TIME_RANGE),
        (event.rows.is_some(), HAS_ROWS),
        (event.kept.is_some(), HAS_KEPT),
    ];
    out.u8(flags.into_iter().filter_map(|(is_there, flag)| is_there.then_some(flag)).sum());
    text(&path(&event.file), out);
    if let Some(bytes) = &event.bytes {
        out.u64(bytes.start);
        out.u64(bytes.end);
    }
    if let Some(gap) = &event.lsn_gap {
        out.u64(gap.start().0);
        out.u64(gap.end().0);
    }
    let tables = &event.tables[..event.tables.len().min(TABLES_MAX)];
    out.u32(tables.len() as u32);
    tables.iter().for_each(|table| out.u64(table.0));
    if let Some(range) = event.time_range {
        out.i64(range.start_ns);
        out.i64(range.end_ns);
    }
    if let Some(rows) = event.rows {
        out.u64(rows);
    }
    text(&event.found, out);
    text(&event.done, out);
    if let Some(kept) = &event.kept {
        text(&path(kept), out);
    }
}

fn text(text: &str, out: &mut ByteWriter) {
    out.text(&text[..text.floor_char_boundary(TEXT_BYTES_MAX)]);
}

fn decode(reader: &mut ByteReader<'_>, root: &Path) -> Option<PastRecovery> {
    let path = |text: &str| -> PathBuf { if text.is_empty() { root.to_path_buf() } else { root.join(text) } };
    let time_ns = reader.i64()?;
    let (kind, severity) = (RecoveryKind::from_code(reader.u8()?)?, Severity::from_code(reader.u8()?)?);
    let flags = reader.u8()?;
    if flags >= 2 * HAS_KEPT {
        return None;
    }
    let has = |flag: u8| flags & flag != 0;
    let mut event = RecoveryEvent::new(kind, severity, &path(reader.text()?), "");
    if has(HAS_BYTES) {
        event.bytes = Some(reader.u64()?..reader.u64()?);
    }
    if has(HAS_LSN_GAP) {
        event.lsn_gap = Some(Lsn(reader.u64()?)..=Lsn(reader.u64()?));
    }
    for _ in 0..reader.u32()? {
        event.tables.push(TableId(reader.u64()?));
    }
    if has(HAS_TIME_RANGE) {
        event.time_range = Some(TimeRange { start_ns: reader.i64()?, end_ns: reader.i64()? });
    }
    if has(HAS_ROWS) {
        event.rows = Some(reader.u64()?);
    }
    event.found = reader.text()?.to_owned();
    event.done = reader.text()?.to_owned();
    if has(HAS_KEPT) {
        event.kept = Some(path(reader.text()?));
    }
    Some(PastRecovery { time_ns, event })
}

#[cfg(test)]
#[path = "recovery_history_tests.rs"]
mod tests;
