use super::*;
use crate::io::sim::{CrashModel, FaultAt, FaultKind, Operation, SimIo};
use crate::manifest::{Manifest, SegmentMeta};
use crate::types::{FieldType, Lsn, TableSchema, TableSpec, TimeRange};

const DIR: &str = "/db";

fn path() -> PathBuf {
    Path::new(DIR).join(FILE_NAME)
}

fn quarantine() -> PathBuf {
    Path::new(DIR).join("quarantine")
}

fn table(id: u64) -> TableSchema {
    TableSchema::from_spec(TableId(id), &TableSpec::new(format!("t{id}")).field("v", FieldType::I64)).unwrap()
}

fn segment(id: u64) -> ManifestEdit {
    let time_range = TimeRange { start_ns: 0, end_ns: 9 };
    let section = SectionMeta { table: TableId(id), partition_start_ns: 0, row_count: 1, byte_len: 1, time_range };
    ManifestEdit::AddSegment(SegmentMeta {
        id: SegmentId(id),
        file_len: 1,
        commit_order: id,
        deletes_applied: crate::types::TombstoneId::default(),
        tier: crate::types::Tier::Hot,
        sections: vec![section],
    })
}

/// Six records after the first: tables 1 to 3 with a segment each.
fn written() -> SimIo {
    let io = SimIo::new();
    let (mut manifest, _) = Manifest::open(Arc::new(io.clone()), Path::new(DIR)).unwrap();
    for id in 1..=3 {
        manifest.append(&[ManifestEdit::CreateTable(table(id))]).unwrap();
        manifest.append(&[segment(id), ManifestEdit::FlushedLsn(Lsn(id * 10))]).unwrap();
    }
    io
}

fn survey_of(io: &SimIo) -> ManifestSurvey {
    survey(io, Path::new(DIR)).unwrap()
}

fn ids(survey: &ManifestSurvey) -> (Vec<u64>, Vec<u64>) {
    (survey.state.tables.keys().map(|id| id.0).collect(), survey.state.segments.keys().map(|id| id.0).collect())
}

#[test]
fn a_flipped_byte_costs_one_record_at_most() {
    let whole = written().content(&path()).unwrap();
    let mut torn = 0;
    for position in 0..whole.len() {
        let io = written();
        io.damage(&path(), |bytes| bytes[position] ^= 0x20);
        let survey = survey_of(&io);
        let (tables, segments) = ids(&survey);
        let lost = 6 - tables.len() - segments.len();
        match survey.condition {
            ManifestCondition::Torn => torn += 1,
            ManifestCondition::Damaged => {
                assert!(survey.damages[0].start <= position as u64 && (position as u64) < survey.damages[0].end);
                let expected = u64::from(position >= FileHeader::BYTES);
                assert_eq!(survey.damages[0].lost_records, Some(expected), "byte {position}");
            }
            other => panic!("byte {position}: {other:?}"),
        }
        assert!(lost <= 1, "byte {position}: {tables:?} {segments:?}");
        assert!(position >= FileHeader::BYTES || lost == 0, "the header holds no record: byte {position}");
        assert_eq!(survey.generation, 1, "byte {position}");
    }
    assert!(torn > 0 && torn < whole.len() / 4, "only damage of the last record looks torn: {torn}");
}

#[test]
fn edits_behind_damage_count_as_far_as_they_make_sense() {
    let io = written();
    let (mut manifest, _) = Manifest::open(Arc::new(io.clone()), Path::new(DIR)).unwrap();
    let mut altered = table(2);
    altered.add_field("w", FieldType::F64).unwrap();
    manifest.append(&[ManifestEdit::CreateTable(table(4))]).unwrap();
    let lost_from = io.content(&path()).unwrap().len();
    manifest.append(&[ManifestEdit::CreateTable(table(5)), segment(5)]).unwrap();
    let lost_to = io.content(&path()).unwrap().len();
    manifest.append(&[ManifestEdit::AlterTable(altered), ManifestEdit::RemoveSegment(SegmentId(5))]).unwrap();
    manifest.append(&[ManifestEdit::DropTable(TableId(5)), ManifestEdit::FlushedLsn(Lsn(70))]).unwrap();
    io.damage(&path(), |bytes| bytes[(lost_from + lost_to) / 2] ^= 1);
    let survey = survey_of(&io);
    assert_eq!(survey.condition, ManifestCondition::Damaged);
    assert_eq!(ids(&survey), (vec![1, 2, 3, 4], vec![1, 2, 3]));
    assert_eq!(survey.state.tables[&TableId(2)].fields.len(), 2);
    assert_eq!(survey.state.flushed_lsn, Lsn(70));
    assert!(survey.is_dropped(TableId(5)) && survey.removed_segments.contains(&SegmentId(5)));
    assert!(!survey.is_dropped(TableId(6)) && !survey.is_dropped(TableId(4)));
}

#[test]
fn a_table_that_was_dropped_before_the_file_was_written_is_known_to_be() {
    let io = written();
    let (mut manifest, _) = Manifest::open(Arc::new(io.clone()), Path::new(DIR)).unwrap();
    manifest.append(&[ManifestEdit::DropTable(TableId(2))]).unwrap();
    drop(manifest);
    // The open writes the file anew.
    let (mut manifest, _) = Manifest::open(Arc::new(io.clone()), Path::new(DIR)).unwrap();
    manifest.append(&[ManifestEdit::FlushedLsn(Lsn(70))]).unwrap();
    let survey = survey_of(&io);
    assert_eq!(survey.condition, ManifestCondition::Sound);
    assert!(survey.is_dropped(TableId(2)) && !survey.is_dropped(TableId(1)) && !survey.is_dropped(TableId(9)));
}

#[test]
fn a_record_of_an_unknown_kind_is_refused_and_left_alone() {
    use crate::framing::RecordHeader;
    for (generation, is_of_this_file) in [(1, true), (2, false)] {
        let io = written();
        let header = RecordHeader { payload_len: 8, sequence: 8, synced: 7, payload_crc: crc32c::crc32c(&[200; 8]) };
        io.damage(&path(), |bytes| {
            bytes.extend_from_slice(&header.to_bytes(FORMAT, generation));
            bytes.extend_from_slice(&[200; 8]);
        });
        let before = io.content(&path());
        match survey(&io, Path::new(DIR)) {
            Ok(survey) => assert!(!is_of_this_file && survey.condition == ManifestCondition::Torn),
            Err(error) => assert!(is_of_this_file && matches!(error, Error::Corruption { .. })),
        }
        assert_eq!(io.content(&path()), before);
    }
}

/// What is read of a disk that was salvaged or not.
fn state_of(io: &SimIo) -> ManifestState {
    survey_of(io).state
}

#[test]
fn a_crash_anywhere_in_the_replacing_leaves_a_manifest_and_the_old_file() {
    for is_unreadable in [false, true] {
        let damaged = || {
            let io = written();
            let at = io.content(&path()).unwrap().len() / 2;
            if is_unreadable {
                io.make_unreadable(&path(), at..at + 1);
            } else {
                io.damage(&path(), |bytes| bytes[at] ^= 1);
            }
            io
        };
        let state = ManifestState { flushed_lsn: Lsn(77), ..state_of(&written()) };
        for at in 1.. {
            let io = damaged();
            let old = io.content(&path()).unwrap();
            let found = survey_of(&io);
            assert_eq!((found.condition, found.is_unreadable), (ManifestCondition::Damaged, is_unreadable));
            io.set_crash_at(io.operations() + at);
            let done = replace_salvaged(&io, Path::new(DIR), &quarantine(), &found, &state).is_ok();
            for seed in 0..8 {
                for model in [CrashModel::LoseAll, CrashModel::KeepAll, CrashModel::Random] {
                    let after = io.after_crash(seed, model);
                    let found = survey_of(&after);
                    let is_new = found.state == state;
                    assert!(is_new || found.condition == ManifestCondition::Damaged, "{is_unreadable} at {at}");
                    let keeps_old = after.paths().iter().any(|path| after.content(path).unwrap() == old);
                    assert!(keeps_old, "{is_unreadable} at {at}: the damaged file is somewhere");
                    // Again, to the end.
                    if found.condition != ManifestCondition::Sound {
                        replace_salvaged(&after, Path::new(DIR), &quarantine(), &found, &state).unwrap();
                    }
                    let (_, opened) = Manifest::open(Arc::new(after.clone()), Path::new(DIR)).unwrap();
                    assert_eq!(opened, state);
                }
            }
            if done {
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_changes_nothing_until_there_is_space() {
    for at in 1..40 {
        let io = written();
        io.damage(&path(), |bytes| bytes[100] ^= 1);
        let damaged = io.content(&path());
        let found = survey_of(&io);
        let state = ManifestState { flushed_lsn: Lsn(77), ..found.state.clone() };
        io.fail(FaultAt::From(io.operations() + at), FaultKind::Enospc);
        let done = replace_salvaged(&io, Path::new(DIR), &quarantine(), &found, &state);
        io.clear_faults();
        if done.is_err() {
            // Only the directory sync after the rename may fail with the new file in place.
            assert!(io.content(&path()) == damaged || state_of(&io) == state, "operation {at}");
            if io.content(&path()) == damaged {
                replace_salvaged(&io, Path::new(DIR), &quarantine(), &found, &state).unwrap();
            }
        }
        assert_eq!(state_of(&io), state);
        assert!(io.count(Operation::Remove, &path()) == 0);
    }
}
