//! Opens the manifest, and rebuilds it when records of it are lost.
//!
//! What the valid records say is kept. What the lost ones said is taken from where else it stands: segments describe
//! themselves (tables, schemas, times), the log has the rows of tables that were never flushed, and its oldest file says
//! up to where commits were flushed at least. Invariant: no row is lost by it. Where it is not known whether a segment
//! was removed or a table dropped, it is there again: rows that are there twice or are back can be removed by an
//! operator, lost ones not. The report says which.
//!
//! Order of steps: read everything; move unknown damaged segments to `quarantine/`; keep the old manifest there; put the
//! new one in its place. Each step can be repeated: a crash or a full disk between two leaves what the next open
//! salvages in the same way.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::database_dir::DatabaseDir;
use super::quarantine::set_aside;
use super::recovered_table::recovered_schema;
use super::recovery_report::{RecoveryEvent, RecoveryKind, RecoveryReport, Severity};
use crate::error::{Error, Result};
use crate::io::{Io, OpenMode};
use crate::manifest::{
    Manifest, ManifestCondition, ManifestState, ManifestSurvey, SegmentMeta, replace_salvaged, survey,
};
use crate::segment::Segment;
use crate::types::{SegmentId, TableId, TableSchema};
use crate::wal::{last_lsn_before_log, read_commits};

/// What becomes of files in `segments/` that the manifest does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeftoverFate {
    /// Those that it named once are removed.
    Remove,
    /// All are moved to `quarantine/`: the manifest was rebuilt, and may err.
    SetAside,
}

/// Opens the manifest of a directory; salvages it when records of it are lost.
pub(super) fn open_manifest(
    io: &Arc<dyn Io>,
    dir: &DatabaseDir,
    report: &mut RecoveryReport,
) -> Result<(Manifest, ManifestState, LeftoverFate)> {
    let survey = survey(io.as_ref(), &dir.root)?;
    let mut fate = LeftoverFate::Remove;
    if needs_salvage(io, dir, &survey)? {
        let mut events = Vec::new();
        let state = rebuild(io, dir, &survey, &mut events)?;
        let kept = replace_salvaged(io.as_ref(), &dir.root, &dir.quarantine(), &survey, &state)?;
        report_damage(dir, &survey, kept.as_ref(), report);
        events.into_iter().for_each(|event| report.add(event));
        fate = LeftoverFate::SetAside;
    } else if survey.condition == ManifestCondition::Torn {
        let found = "the last record is not whole, as a crash leaves it";
        let event = RecoveryEvent::new(RecoveryKind::ManifestTorn, Severity::Note, &dir.manifest(), found);
        let bytes = survey.damages.first().map(|damage| damage.start..damage.end);
        report.add(RecoveryEvent { bytes, ..event.done("it was cut: its change had not been acknowledged") });
    }
    let (manifest, state) = Manifest::open(Arc::clone(io), &dir.root)?;
    Ok((manifest, state, fate))
}

/// Whether records of the manifest are lost that had been acknowledged.
pub(super) fn needs_salvage(io: &Arc<dyn Io>, dir: &DatabaseDir, survey: &ManifestSurvey) -> Result<bool> {
    match survey.condition {
        ManifestCondition::Damaged => Ok(true),
        // A directory with data is not a new database.
        ManifestCondition::Missing => {
            let (segments, log) = (list(io, &dir.segments())?, list(io, &dir.wal())?);
            Ok(!segments.is_empty() || !log.is_empty() || !survey.state.segments.is_empty())
        }
        // A torn append was not acknowledged. But damage of the last record looks alike, and so does a manifest that is
        // older than its directory. Then there are segments that it never named, and what they replace is gone: the
        // files of the log, or the segments that they were made from.
        ManifestCondition::Sound | ManifestCondition::Torn => {
            let is_unnamed = |id: &SegmentId| *id >= survey.state.next_segment_id;
            let files = segment_files(io, dir)?;
            if !files.iter().any(is_unnamed) {
                return Ok(false);
            }
            let flushed = last_lsn_before_log(io.as_ref(), &dir.wal())?.unwrap_or_default();
            let is_gone = |id: &SegmentId| files.binary_search(id).is_err();
            Ok(flushed > survey.state.flushed_lsn || survey.state.segments.keys().any(is_gone))
        }
    }
}

fn list(io: &Arc<dyn Io>, dir: &std::path::Path) -> Result<Vec<String>> {
    if io.exists(dir)? { io.list(dir) } else { Ok(Vec::new()) }
}

/// Ids of the segment files of a directory, in order.
pub(super) fn segment_files(io: &Arc<dyn Io>, dir: &DatabaseDir) -> Result<Vec<SegmentId>> {
    let id_of = |name: &String| {
        let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 16)?;
        u64::from_str_radix(digits, 16).ok().map(SegmentId)
    };
    let mut ids: Vec<SegmentId> = list(io, &dir.segments())?.iter().filter_map(id_of).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// The state that records, segments and log give together.
pub(super) fn rebuild(
    io: &Arc<dyn Io>,
    dir: &DatabaseDir,
    survey: &ManifestSurvey,
    events: &mut Vec<RecoveryEvent>,
) -> Result<ManifestState> {
    let mut rebuilt = Rebuilt { io, dir, survey, state: survey.state.clone(), events, damaged: Vec::new() };
    let files = segment_files(io, dir)?;
    for id in &files {
        rebuilt.segment(*id)?;
    }
    rebuilt.forget_gone_segments(&files);
    rebuilt.tables_of_the_log()?;
    rebuilt.make_names_distinct();
    let state = &mut rebuilt.state;
    state.tombstones.retain(|_, tombstone| state.tables.contains_key(&tombstone.table));
    // A file of the log goes only when its commits are in segments.
    let flushed = last_lsn_before_log(io.as_ref(), &dir.wal())?.unwrap_or_default();
    rebuilt.state.flushed_lsn = rebuilt.state.flushed_lsn.max(flushed);
    let (state, damaged) = (rebuilt.state, rebuilt.damaged);
    // Last, for only now is it known that nothing else fails before the new manifest is written.
    for (id, error) in damaged {
        let path = dir.segment(id);
        let kept = set_aside(io.as_ref(), dir, &path)?;
        let found = format!("no surviving record names the segment, and it cannot be opened: {error}");
        let event = RecoveryEvent::new(RecoveryKind::SegmentSetAside, Severity::Loss, &path, found);
        events.push(RecoveryEvent { kept: Some(kept), ..event.done("it was moved; its tables are not known") });
    }
    Ok(state)
}

struct Rebuilt<'a> {
    io: &'a Arc<dyn Io>,
    dir: &'a DatabaseDir,
    survey: &'a ManifestSurvey,
    state: ManifestState,
    events: &'a mut Vec<RecoveryEvent>,
    /// Segments that no record names and that cannot be opened.
    damaged: Vec<(SegmentId, Error)>,
}

impl Rebuilt<'_> {
    /// Takes what one segment file says of itself.
    ///
    /// # Errors
    /// `Io` and `UnsupportedVersion` for a file that no record names: whether it is damaged is not known then.
    fn segment(&mut self, id: SegmentId) -> Result<()> {
        // The id of a removed segment is given to no other.
        self.state.next_segment_id = self.state.next_segment_id.max(SegmentId(id.0.saturating_add(1)));
        let path = self.dir.segment(id);
        let is_named = self.state.segments.contains_key(&id);
        if !is_named && (self.survey.removed_segments.contains(&id) || id.0 == u64::MAX) {
            return Ok(());
        }
        let file_len = self.io.open(&path, OpenMode::Read)?.len()?;
        let segment = match Segment::open(Arc::clone(self.io), &path, id, file_len) {
            Ok(segment) => segment,
            // The open of the database sets it aside with the tables and times of its record.
            Err(_) if is_named => return Ok(()),
            Err(error @ Error::Corruption { .. }) => {
                self.damaged.push((id, error));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for section in segment.sections() {
            match section.written_schema() {
                Ok(schema) if !self.survey.is_dropped(schema.id) => self.table_of_segment(&path, schema),
                Ok(_) => {}
                Err(error) if is_named => tracing::warn!(%error, "a section does not say its schema"),
                Err(error) => {
                    self.damaged.push((id, error));
                    return Ok(());
                }
            }
        }
        let mut meta = segment.meta();
        // New deletes must not have ids that count as applied.
        self.state.next_tombstone_id = self.state.next_tombstone_id.max(meta.deletes_applied);
        if !is_named {
            meta.sections.retain(|section| !self.survey.is_section_gone(id, section));
            self.adopt(&path, meta);
        }
        Ok(())
    }

    fn adopt(&mut self, path: &std::path::Path, meta: SegmentMeta) {
        // One whose sections are all removed holds nothing that anybody asks for.
        if meta.sections.is_empty() {
            return;
        }
        let found = "no surviving record names the segment, nor says that it was removed";
        let event = RecoveryEvent::new(RecoveryKind::SegmentAdopted, Severity::Warning, path, found);
        let event = event.done(
            "it is part of the database again. If a lost record had removed it, rows that were deleted are back, and in \
             tables that keep duplicates rows may be there twice",
        );
        self.events.push(event.of_segment(&meta));
        self.state.segments.insert(meta.id, meta);
    }

    /// Takes a schema from a segment when it is newer than what the records say.
    fn table_of_segment(&mut self, path: &std::path::Path, schema: TableSchema) {
        if schema.id.0 == u64::MAX {
            return;
        }
        let known = self.state.tables.get(&schema.id);
        if known.is_some_and(|known| known.version >= schema.version) {
            return;
        }
        let done = if known.is_some() {
            "the table has the columns that it had when the segment was written"
        } else {
            "the table is there again; if a lost record had dropped it, drop it again"
        };
        let found = format!("no surviving record says how table '{}' looks in this segment", schema.name);
        let event = RecoveryEvent::new(RecoveryKind::TableRecovered, Severity::Warning, path, found).done(done);
        self.events.push(RecoveryEvent { tables: vec![schema.id], ..event });
        self.put_table(schema);
    }

    fn put_table(&mut self, schema: TableSchema) {
        self.state.next_table_id = self.state.next_table_id.max(schema.id.next());
        self.state.tables.insert(schema.id, Arc::new(schema));
    }

    /// A segment that a surviving record names and whose file is gone was most likely removed by a lost record: files
    /// are only unlinked after that.
    fn forget_gone_segments(&mut self, files: &[SegmentId]) {
        let is_gone = |id: &SegmentId| files.binary_search(id).is_err();
        let gone: Vec<SegmentId> = self.state.segments.keys().copied().filter(is_gone).collect();
        for id in gone {
            let Some(meta) = self.state.segments.remove(&id) else { continue };
            let found = "a surviving record names the segment, and its file is gone";
            let path = self.dir.segment(id);
            let event = RecoveryEvent::new(RecoveryKind::SegmentGone, Severity::Warning, &path, found);
            let event = event.done("it is taken for removed by a lost record; if the file was lost, its rows are");
            self.events.push(event.of_segment(&meta));
        }
    }

    /// Makes up tables for rows in the log that have none, and columns for values that have none.
    fn tables_of_the_log(&mut self) -> Result<()> {
        let mut made_up: BTreeMap<TableId, TableSchema> = BTreeMap::new();
        let (state, survey) = (&self.state, self.survey);
        read_commits(self.io.as_ref(), &self.dir.wal(), |lsn, batches| {
            for batch in batches.iter().filter(|_| lsn > state.flushed_lsn) {
                let id = batch.table;
                if id.0 == u64::MAX || survey.is_dropped(id) {
                    continue;
                }
                let known = made_up.get(&id).or_else(|| state.tables.get(&id).map(Arc::as_ref));
                if let Some(schema) = recovered_schema(known, batch) {
                    made_up.insert(id, schema);
                }
            }
        })?;
        for schema in made_up.into_values() {
            self.events.push(made_up_table(&self.dir.wal(), &schema));
            self.put_table(schema);
        }
        Ok(())
    }

    /// A table that is back may have the name of a later one; the later one keeps it.
    fn make_names_distinct(&mut self) {
        let mut taken: BTreeMap<(String, String), TableId> = BTreeMap::new();
        for (id, schema) in self.state.tables.iter().rev() {
            taken.entry((schema.namespace.clone(), schema.name.clone())).or_insert(*id);
        }
        for (id, schema) in &mut self.state.tables {
            let name = (schema.namespace.clone(), schema.name.clone());
            if taken.get(&name) == Some(id) {
                continue;
            }
            let mut renamed = (name.0, format!("{}_recovered_{id}", name.1));
            while taken.contains_key(&renamed) {
                renamed.1.push('_');
            }
            Arc::make_mut(schema).name.clone_from(&renamed.1);
            taken.insert(renamed, *id);
        }
    }
}

/// Says that a table or some of its columns have made-up names.
pub(super) fn made_up_table(log: &std::path::Path, schema: &TableSchema) -> RecoveryEvent {
    let found = format!("the log has rows of table {}, of which the manifest does not say the columns", schema.id);
    let event = RecoveryEvent::new(RecoveryKind::TableRecovered, Severity::Warning, log, found);
    let done = format!("they are in table '{}', whose unknown columns are named after their numbers", schema.name);
    RecoveryEvent { tables: vec![schema.id], ..event.done(done) }
}

/// Says what is damaged in the manifest.
pub(super) fn report_damage(
    dir: &DatabaseDir,
    survey: &ManifestSurvey,
    kept: Option<&std::path::PathBuf>,
    report: &mut RecoveryReport,
) {
    let kind = match survey.condition {
        ManifestCondition::Missing => RecoveryKind::ManifestMissing,
        ManifestCondition::Damaged | ManifestCondition::Sound => RecoveryKind::ManifestDamaged,
        ManifestCondition::Torn => RecoveryKind::ManifestTorn,
    };
    let done = "it was written anew from its valid records, the segments and the log, which is replayed from the last \
                flush that is known: tables that were dropped may be back, deleted rows too, and in tables that keep \
                duplicates rows may be there twice";
    let event = |found: String| {
        let event = RecoveryEvent::new(kind, Severity::Warning, &dir.manifest(), found);
        RecoveryEvent { kept: kept.cloned(), ..event.done(done) }
    };
    for damage in &survey.damages {
        let lost = match damage.lost_records {
            Some(lost) => format!("{lost} records are lost"),
            None => "an unknown number of records is lost".to_owned(),
        };
        let bytes = Some(damage.start..damage.end);
        report.add(RecoveryEvent { bytes, ..event(format!("{}: {lost}", damage.reason)) });
    }
    if survey.damages.is_empty() {
        let found = match survey.condition {
            ManifestCondition::Missing => "the file is missing, though there are segments or log files beside it",
            _ => "the manifest is older than the segments and the log beside it",
        };
        report.add(event(found.to_owned()));
    }
}
