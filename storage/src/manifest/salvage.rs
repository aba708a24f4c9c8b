//! Reads what is left of a manifest, and puts a new one in its place.
//!
//! [`survey`] changes nothing and gives up only what is damaged: every valid record is applied, those behind the damage
//! too, as far as they still make sense. What the lost records said is not known; the caller rebuilds it from the segments
//! and the log. [`replace_salvaged`] keeps the damaged file in `quarantine/` before the new one takes its name.
//!
//! A record that is whole but cannot be understood is no damage: a newer build wrote it. It is refused, so that an older
//! build does not salvage away what it does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::edit::{Entry, ManifestEdit, SectionMeta, decode_entries};
use super::log::{FILE_MAGIC, FILE_NAME, FORMAT, VERSION, encode_file};
use super::state::ManifestState;
use crate::error::{Error, Result};
use crate::framing::{FileHeader, Found, RecordScanner};
use crate::io::{Io, IoFile, MediaError, OpenMode, copy_file, create_dir_synced, free_name, replace_file};
use crate::types::{SegmentId, TableId};

/// Where the generation stands in the header.
const GENERATION_OFFSET: usize = 16;

/// Generations that are tried when the header does not say which one it is; each rewriting takes one.
const GENERATIONS_TRIED: u64 = 1 << 20;

/// Records that are tried for it: the first ones may be damaged too.
const RECORDS_TRIED: usize = 16;

/// A damaged part of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestDamage {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Records that stood there; `None` when none stands behind that would tell.
    pub(crate) lost_records: Option<u64>,
    pub(crate) reason: String,
}

/// How a manifest was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ManifestCondition {
    /// There is no file.
    Missing,
    /// Every byte is as it was written.
    Sound,
    /// The last record is not whole: a torn append, or the damaged record of an append that returned.
    Torn,
    /// There is damage that no crash explains.
    Damaged,
}

/// What is left of a manifest.
#[derive(Debug)]
pub(crate) struct ManifestSurvey {
    pub(crate) condition: ManifestCondition,
    /// What the valid records add up to.
    pub(crate) state: ManifestState,
    pub(crate) generation: u64,
    pub(crate) damages: Vec<ManifestDamage>,
    /// Tables of which a record says that they were dropped.
    dropped_tables: BTreeSet<TableId>,
    /// Ids below this one had been given out when the first record was written, which holds every table of then.
    given_out_at_first: TableId,
    /// Segments that are known to be removed.
    pub(crate) removed_segments: BTreeSet<SegmentId>,
    /// Sections that are known to be removed, by table and partition.
    removed_sections: BTreeMap<SegmentId, BTreeSet<(TableId, i64)>>,
    /// A part of the file cannot be read, so that it cannot be copied.
    pub(crate) is_unreadable: bool,
}

/// Reads the manifest of a directory as far as it can be read.
///
/// Without a file, a temporary one that is whole is read in its place: a crash while a manifest that cannot be read was
/// replaced leaves one.
///
/// # Errors
/// `Io`; `UnsupportedVersion`; `Corruption` for a record that is whole but of an unknown kind.
pub(crate) fn survey(io: &dyn Io, dir: &Path) -> Result<ManifestSurvey> {
    let path = dir.join(FILE_NAME);
    if io.exists(&path)? {
        return read(io.open(&path, OpenMode::Read)?);
    }
    let temporary = temporary_of(&path);
    if io.exists(&temporary)?
        && let Ok(found) = read(io.open(&temporary, OpenMode::Read)?)
        && found.condition == ManifestCondition::Sound
    {
        return Ok(ManifestSurvey { condition: ManifestCondition::Missing, ..found });
    }
    Ok(ManifestSurvey::new(ManifestCondition::Missing, 0))
}

/// Puts a manifest that holds `state` in the place of what was surveyed; returns where the old file is kept.
///
/// A crash leaves the old file, the new one, or (when the old one cannot be read) the new one under its temporary name.
///
/// # Errors
/// `Io`; then the old file is as it was, or in quarantine.
pub(crate) fn replace_salvaged(
    io: &dyn Io,
    dir: &Path,
    quarantine: &Path,
    survey: &ManifestSurvey,
    state: &ManifestState,
) -> Result<Option<PathBuf>> {
    let path = dir.join(FILE_NAME);
    let bytes = encode_file(state, survey.generation + 1)?;
    if !io.exists(&path)? {
        replace_file(io, &path, &bytes)?;
        return Ok(None);
    }
    if survey.is_unreadable {
        let temporary = temporary_of(&path);
        if io.exists(&temporary)? {
            io.remove(&temporary)?;
        }
        let file = io.open(&temporary, OpenMode::CreateNew)?;
        file.write_all_at(0, &bytes)?;
        file.sync()?;
        // The name of the new file must be there before that of the old one goes.
        io.sync_dir(dir)?;
        create_dir_synced(io, quarantine)?;
        let kept = free_name(io, quarantine, "MANIFEST.unreadable")?;
        io.rename(&path, &kept)?;
        io.sync_dir(quarantine)?;
        io.sync_dir(dir)?;
        io.rename(&temporary, &path)?;
        io.sync_dir(dir)?;
        return Ok(Some(kept));
    }
    let kept = copy_to_quarantine(io, &path, quarantine)?;
    replace_file(io, &path, &bytes)?;
    Ok(Some(kept))
}

/// Copies the manifest under a name that its content gives: a salvage that is repeated makes no second copy.
fn copy_to_quarantine(io: &dyn Io, path: &Path, quarantine: &Path) -> Result<PathBuf> {
    let file = io.open(path, OpenMode::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(|_| Error::corruption(path, 0, "too long"))?];
    file.read_exact_at(0, &mut bytes)?;
    let kept = quarantine.join(format!("MANIFEST.{:08x}", crc32c::crc32c(&bytes)));
    if !io.exists(&kept)? {
        copy_file(io, path, &kept)?;
    }
    Ok(kept)
}

fn temporary_of(path: &Path) -> PathBuf {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    PathBuf::from(temporary)
}

impl ManifestSurvey {
    fn new(condition: ManifestCondition, generation: u64) -> Self {
        Self {
            condition,
            state: ManifestState::default(),
            generation,
            damages: Vec::new(),
            dropped_tables: BTreeSet::new(),
            given_out_at_first: TableId(0),
            removed_segments: BTreeSet::new(),
            removed_sections: BTreeMap::new(),
            is_unreadable: false,
        }
    }

    fn damage(&mut self, start: u64, end: u64, lost_records: Option<u64>, reason: &str) {
        self.damages.push(ManifestDamage { start, end, lost_records, reason: reason.to_owned() });
    }

    /// Applies an entry as far as it makes sense when records before it are lost; the error says why it does not.
    fn apply(&mut self, entry: &Entry) -> Result<(), String> {
        if let Entry::Edit(edit) = entry {
            match edit {
                ManifestEdit::DropTable(id) => _ = self.dropped_tables.insert(*id),
                ManifestEdit::RemoveSegment(id) => _ = self.removed_segments.insert(*id),
                ManifestEdit::AddSegment(segment) => {
                    self.removed_segments.remove(&segment.id);
                    self.removed_sections.remove(&segment.id);
                }
                ManifestEdit::RemoveSections(id, places) => {
                    self.removed_sections.entry(*id).or_default().extend(places.iter().copied());
                }
                _ => {}
            }
        }
        let Err(reason) = self.state.apply(entry) else { return Ok(()) };
        match entry {
            // The whole schema stands in the edit, so what it changes need not be known.
            Entry::Edit(ManifestEdit::CreateTable(schema) | ManifestEdit::AlterTable(schema))
                if schema.id.0 < u64::MAX =>
            {
                self.state.next_table_id = self.state.next_table_id.max(schema.id.next());
                self.state.tables.insert(schema.id, Arc::new(schema.clone()));
            }
            Entry::Edit(ManifestEdit::AddTombstone(tombstone)) if tombstone.id.0 < u64::MAX => {
                self.state.next_tombstone_id = self.state.next_tombstone_id.max(tombstone.id.next());
                self.state.tombstones.insert(tombstone.id, Arc::new(tombstone.clone()));
            }
            Entry::Edit(ManifestEdit::RemoveSections(id, places)) => {
                if let Some(segment) = self.state.segments.get_mut(id) {
                    segment.sections.retain(|section| !places.iter().any(|place| section.is_at(place.0, place.1)));
                    if segment.sections.is_empty() {
                        self.state.segments.remove(id);
                    }
                }
            }
            // The others say something of what is not known: that a table is dropped was noted above.
            _ => {}
        }
        Err(reason)
    }

    /// Whether a section is known to be removed, or its table dropped.
    pub(crate) fn is_section_gone(&self, segment: SegmentId, section: &SectionMeta) -> bool {
        let places = self.removed_sections.get(&segment);
        let is_removed = places.is_some_and(|places| places.contains(&(section.table, section.partition_start_ns)));
        is_removed || self.is_dropped(section.table)
    }

    /// Whether a table is known to be dropped. Ids of tables grow, so one that the first record gave out and does not
    /// hold was dropped before it was written. (Segments are added in any order: this does not hold for them.)
    pub(crate) fn is_dropped(&self, id: TableId) -> bool {
        let is_gone = self.dropped_tables.contains(&id) || id < self.given_out_at_first;
        is_gone && !self.state.tables.contains_key(&id)
    }
}

/// Reads a file to its end.
fn read(file: Arc<dyn IoFile>) -> Result<ManifestSurvey> {
    let path = file.path().to_path_buf();
    let (header, raw_generation) = read_header(&*file)?;
    let generation = match header {
        Some(header) if header.version != VERSION => {
            return Err(Error::UnsupportedVersion { path, found: header.version, supported: VERSION });
        }
        Some(header) => header.file,
        None => find_generation(&file, raw_generation)?,
    };
    let mut survey = ManifestSurvey::new(ManifestCondition::Sound, generation);
    let mut scanner = RecordScanner::new(file, FORMAT, generation)?;
    let header_end = FileHeader::BYTES as u64;
    if header.is_none() {
        survey.condition = ManifestCondition::Damaged;
        survey.damage(0, header_end.min(scanner.file_len()), Some(0), "the header is damaged");
    }
    let mut end = header_end;
    let mut last_sequence = 0;
    // Since this damage the number of lost records is open.
    let mut open_damage: Option<usize> = None;
    loop {
        let (resume_at, reason) = match scanner.at(end)? {
            Found::Record(record, payload) => {
                let entries = decode_entries(payload).map_err(|reason| Error::corruption(&path, end, reason))?;
                let lost = record.sequence.saturating_sub(last_sequence + 1);
                match open_damage.take() {
                    Some(damage) => survey.damages[damage].lost_records = Some(lost),
                    None if record.sequence != last_sequence + 1 => {
                        survey.condition = ManifestCondition::Damaged;
                        survey.damage(end, end, Some(lost), "records that stood before are missing");
                    }
                    None => {}
                }
                // One that stands behind its successors was written to a wrong place.
                if record.sequence > last_sequence {
                    let misfit = entries.iter().filter_map(|entry| survey.apply(entry).err()).last();
                    if let Some(reason) = misfit.filter(|_| survey.condition == ManifestCondition::Sound) {
                        survey.condition = ManifestCondition::Damaged;
                        survey.damage(
                            end,
                            end,
                            None,
                            &format!("an edit does not follow from those before it: {reason}"),
                        );
                    }
                }
                if record.sequence == 1 {
                    survey.given_out_at_first = survey.state.next_table_id;
                }
                last_sequence = last_sequence.max(record.sequence);
                end += record.record_len();
                continue;
            }
            Found::End => break,
            Found::DamagedPayload(record) => {
                (end + record.record_len(), "the payload of a record does not match its checksum")
            }
            Found::Damage => (end + 8, "not a record"),
        };
        let next = scanner.next_valid(resume_at)?.map(|(offset, _)| offset);
        let damaged_end = next.unwrap_or(scanner.file_len());
        let is_unreadable = scanner.unreadable().iter().any(|part| part.start < damaged_end && end < part.end);
        // Every append is synced before the next, so only the last record can be torn. The first was never appended.
        let is_torn = next.is_none() && last_sequence > 0 && !is_unreadable;
        if !is_torn {
            survey.condition = ManifestCondition::Damaged;
        } else if survey.condition == ManifestCondition::Sound {
            survey.condition = ManifestCondition::Torn;
        }
        open_damage = Some(survey.damages.len());
        survey.damage(
            end,
            damaged_end,
            None,
            if is_unreadable { "the disk does not give a part back" } else { reason },
        );
        end = damaged_end;
    }
    if last_sequence == 0 {
        survey.condition = ManifestCondition::Damaged;
        if survey.damages.is_empty() {
            survey.damage(end, end, None, "the first record is missing");
        }
    }
    survey.is_unreadable = !scanner.unreadable().is_empty();
    Ok(survey)
}

/// The header, and the generation that stands in it, sound or not.
fn read_header(file: &dyn IoFile) -> Result<(Option<FileHeader>, u64)> {
    let mut bytes = [0; FileHeader::BYTES];
    if file.len()? < bytes.len() as u64 {
        return Ok((None, 0));
    }
    match file.read_exact_at(0, &mut bytes) {
        Err(error) if error.is_media_error() => return Ok((None, 0)),
        other => other?,
    }
    let generation = bytes[GENERATION_OFFSET..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    Ok((FileHeader::from_bytes(&bytes, FILE_MAGIC), generation))
}

/// The generation of a file whose header is damaged: the checksum of a record's header starts from it.
fn find_generation(file: &Arc<dyn IoFile>, raw: u64) -> Result<u64> {
    use crate::framing::{RECORD_HEADER_BYTES, RecordHeader};
    let mut scanner = RecordScanner::new(Arc::clone(file), FORMAT, raw)?;
    let mut offset = FileHeader::BYTES as u64;
    for _ in 0..RECORDS_TRIED {
        let Some(start) = scanner.next_magic(offset)? else { break };
        let Some(bytes) = scanner.bytes(start, RECORD_HEADER_BYTES)? else { break };
        let Some(bytes) = bytes.first_chunk::<RECORD_HEADER_BYTES>().copied() else { break };
        let fits = |generation: &u64| RecordHeader::from_bytes(&bytes, FORMAT, *generation).is_some();
        let candidates = std::iter::once(raw).chain(1..GENERATIONS_TRIED);
        if let Some(generation) = candidates.into_iter().find(fits) {
            return Ok(generation);
        }
        offset = start + 8;
    }
    // No record will be found, under whatever generation.
    Ok(raw)
}

#[cfg(test)]
#[path = "salvage_tests.rs"]
mod tests;
