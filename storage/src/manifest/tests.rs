use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::io::RealIo;
use crate::io::sim::{CrashModel, FaultAt, FaultKind, Operation, SimIo};
use crate::manifest::{SectionMeta, SegmentMeta};
use crate::types::{
    ColumnId, Dedup, FieldType, Lsn, SchemaMode, SegmentId, Setting, TableId, TableOptions, TableSchema, TableSpec,
    TagCondition, Tier, TierPolicy, TimeRange, Tombstone, TombstoneCause, TombstoneId,
};

const DIR: &str = "/db";

fn table(id: u64, name: &str) -> TableSchema {
    let spec = TableSpec::new(name).tag("host").tag("ré\0gion");
    let mut spec = spec.field("value", FieldType::F64).field("note", FieldType::String);
    spec.options = TableOptions {
        dedup: Dedup::First,
        schema_mode: SchemaMode::Strict,
        partition_ns: 5,
        ..TableOptions::default()
    };
    TableSchema::from_spec(TableId(id), &spec).unwrap()
}

fn section(table: u64, partition_start_ns: i64) -> SectionMeta {
    let time_range = TimeRange { start_ns: i64::MIN, end_ns: i64::MAX };
    SectionMeta { table: TableId(table), partition_start_ns, row_count: 10, byte_len: 100, time_range }
}

fn tombstone(id: u64) -> Tombstone {
    let condition =
        TagCondition { tag: ColumnId(1), values: vec!["".into(), "é".into()], accepts_null: id.is_multiple_of(2) };
    Tombstone {
        id: TombstoneId(id),
        table: TableId(id),
        commit_order: 3,
        range: TimeRange { start_ns: -1, end_ns: i64::MAX },
        conditions: vec![condition],
        cause: if id == 1 { TombstoneCause::Delete } else { TombstoneCause::Retention },
    }
}

fn segment(id: u64) -> SegmentMeta {
    SegmentMeta {
        id: SegmentId(id),
        file_len: id * 1000,
        commit_order: id,
        deletes_applied: TombstoneId(id + 1),
        tier: Tier::Hot,
        sections: (1..=2).map(|table| section(table, 5)).chain([section(2, 10)]).collect(),
    }
}

/// A life of a database, one group after the other.
fn groups() -> Vec<Vec<ManifestEdit>> {
    let mut altered = table(2, "mem");
    altered.add_field("used", FieldType::U64).unwrap();
    vec![
        vec![ManifestEdit::CreateTable(table(1, "cpu")), ManifestEdit::CreateTable(table(2, "mem"))],
        vec![ManifestEdit::AddSegment(segment(1)), ManifestEdit::FlushedLsn(Lsn(10))],
        vec![ManifestEdit::AlterTable(altered)],
        vec![ManifestEdit::AddSegment(segment(3)), ManifestEdit::FlushedLsn(Lsn(20))],
        vec![ManifestEdit::AddSegment(segment(2))],
        vec![ManifestEdit::RemoveSegment(SegmentId(1)), ManifestEdit::RemoveSegment(SegmentId(3))],
        vec![ManifestEdit::AddTombstone(tombstone(1)), ManifestEdit::AddTombstone(tombstone(2))],
        vec![ManifestEdit::AddSegment(segment(5))],
        vec![ManifestEdit::RemoveSections(SegmentId(2), vec![(TableId(2), 5)])],
        vec![ManifestEdit::RemoveTombstone(TombstoneId(1))],
        vec![ManifestEdit::RemoveSections(SegmentId(5), vec![(TableId(1), 5), (TableId(2), 5), (TableId(2), 10)])],
        vec![ManifestEdit::DropTable(TableId(2))],
    ]
}

/// The states before the first group, after it, after the second and so on.
fn states() -> Vec<ManifestState> {
    let mut states = vec![ManifestState::default()];
    for group in groups() {
        let mut state = states[states.len() - 1].clone();
        group.into_iter().for_each(|edit| state.apply(&Entry::Edit(edit)).unwrap());
        states.push(state);
    }
    states
}

fn policy(hot_for_ns: i64) -> TierPolicy {
    let cold = Setting::Set("s3://bucket/é".into());
    TierPolicy { hot_for_ns: Setting::Set(hot_for_ns), warm_for_ns: Setting::Off, cold }
}

fn table_with_policy() -> TableSchema {
    let mut schema = table(1, "cpu");
    schema.options.tiers = TierPolicy { warm_for_ns: Setting::Set(90), ..TierPolicy::default() };
    schema
}

/// What moves and cold stubs add to it.
fn tiered_groups() -> Vec<Vec<ManifestEdit>> {
    let warm = SegmentMeta { commit_order: 2, tier: Tier::Warm, ..segment(6) };
    let place = vec![(TableId(1), 5)];
    vec![
        vec![ManifestEdit::RemoveSections(SegmentId(2), place), ManifestEdit::AddSegment(warm)],
        vec![ManifestEdit::AddSegment(SegmentMeta { tier: Tier::Cold, ..segment(7) })],
        vec![
            ManifestEdit::SetTierDefaults(None, policy(7)),
            ManifestEdit::SetTierDefaults(Some("a".into()), policy(3)),
        ],
        vec![ManifestEdit::AlterTable(table_with_policy())],
        vec![ManifestEdit::SetTierDefaults(Some("a".into()), TierPolicy::default())],
    ]
}

fn open(io: &SimIo) -> Result<(Manifest, ManifestState)> {
    Manifest::open(Arc::new(io.clone()), Path::new(DIR))
}

fn path() -> PathBuf {
    Path::new(DIR).join(FILE_NAME)
}

fn written() -> SimIo {
    let io = SimIo::new();
    let (mut manifest, _) = open(&io).unwrap();
    groups().iter().for_each(|group| manifest.append(group).unwrap());
    io
}

#[test]
fn what_was_appended_is_found_by_every_later_open() {
    let dir = tempfile::tempdir().unwrap();
    let (mut manifest, state) = Manifest::open(Arc::new(RealIo), dir.path()).unwrap();
    assert_eq!(state, ManifestState::default());
    for (group, expected) in groups().iter().zip(&states()[1..]) {
        manifest.append(group).unwrap();
        assert_eq!(manifest.state(), expected);
    }
    drop(manifest);
    for _ in 0..3 {
        let (_, state) = Manifest::open(Arc::new(RealIo), dir.path()).unwrap();
        assert_eq!(&state, states().last().unwrap());
    }
}

fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/compat/v1").join(name)
}

/// The life of a database as every build of version 1 wrote it, before there were tiers and since.
#[test]
fn a_manifest_of_version_1_stays_as_it_is_and_its_segments_are_hot() {
    let content = written().content(&path()).unwrap();
    assert_eq!(content, std::fs::read(golden_path("MANIFEST")).unwrap());
    let io = written();
    let (_, state) = open(&io).unwrap();
    assert_eq!(state.segments[&SegmentId(2)].tier, Tier::Hot);
}

#[test]
fn tiers_of_segments_are_written_as_in_version_1_and_read_back() {
    let io = written();
    let (mut manifest, _) = open(&io).unwrap();
    tiered_groups().iter().for_each(|group| manifest.append(group).unwrap());
    assert_eq!(io.content(&path()).unwrap(), std::fs::read(golden_path("MANIFEST.tiers")).unwrap());
    let (_, state) = open(&io).unwrap();
    assert_eq!(&state, manifest.state());
    let effective = state.tier_policy(&state.tables[&TableId(1)]);
    assert_eq!((effective.hot_for_ns, effective.warm_for_ns), (Setting::Set(7), Setting::Set(90)));
    assert_eq!([6, 7].map(|id| state.segments[&SegmentId(id)].tier), [Tier::Warm, Tier::Cold]);
}

#[test]
fn ids_are_not_reused_after_drop_and_reopen() {
    let io = written();
    for _ in 0..2 {
        let (mut manifest, state) = open(&io).unwrap();
        assert_eq!(state.next_table_id, TableId(3));
        assert_eq!(state.next_segment_id, SegmentId(6));
        assert_eq!(state.next_tombstone_id, TombstoneId(3));
        let again = manifest.append(&[ManifestEdit::CreateTable(table(2, "mem"))]);
        assert!(matches!(again, Err(Error::InvalidInput { .. })));
    }
}

#[test]
fn edits_that_do_not_fit_are_refused_whole() {
    let io = written();
    let (mut manifest, before) = open(&io).unwrap();
    let content = io.content(&path());
    for bad in [
        ManifestEdit::AlterTable(table(7, "x")),
        ManifestEdit::DropTable(TableId(2)),
        ManifestEdit::AddSegment(segment(2)),
        ManifestEdit::RemoveSegment(SegmentId(1)),
        ManifestEdit::RemoveSections(SegmentId(2), vec![(TableId(1), 5), (TableId(2), 5)]),
        ManifestEdit::AddTombstone(tombstone(1)),
        ManifestEdit::AddTombstone(Tombstone { id: TombstoneId(9), ..tombstone(2) }),
        ManifestEdit::RemoveTombstone(TombstoneId(2)),
        ManifestEdit::FlushedLsn(Lsn(19)),
    ] {
        manifest.append(&[ManifestEdit::FlushedLsn(Lsn(30)), bad]).unwrap_err();
    }
    assert_eq!(manifest.state(), &before);
    assert_eq!(io.content(&path()), content);
}

fn last_record_len() -> usize {
    let groups = groups();
    let last = Entry::Edit(groups[groups.len() - 1][0].clone());
    encode_record(&encode_entries([&last]), groups.len() as u64 + 1, 1).unwrap().len()
}

#[test]
fn torn_tail_is_cut_wherever_it_tears() {
    let io = written();
    let whole = io.content(&path()).unwrap();
    let last = last_record_len();
    let groups = groups().len();
    for len in whole.len() - last + 1..whole.len() {
        io.damage(&path(), |bytes| {
            bytes.clear();
            bytes.extend_from_slice(&whole[..len]);
            bytes.resize(whole.len() + len % 3, 0);
        });
        // Zeros of the lost part may be what the record holds there.
        let is_whole = io.content(&path()).unwrap()[..whole.len()] == whole;
        let (_, state) = open(&io).unwrap();
        assert_eq!(&state, &states()[if is_whole { groups } else { groups - 1 }]);
    }
}

#[test]
fn damage_before_the_last_record_is_refused() {
    let whole = written().content(&path()).unwrap();
    let last = last_record_len();
    for offset in 0..whole.len() - last {
        let io = written();
        io.damage(&path(), |bytes| bytes[offset] ^= 0x10);
        assert!(matches!(open(&io), Err(Error::Corruption { .. })), "byte {offset}");
    }
}

#[test]
fn an_unknown_version_is_refused_and_left_alone() {
    let io = written();
    let header = FileHeader { version: 2, file: 9, predecessor: 0, first: 1 }.to_bytes(FILE_MAGIC);
    io.damage(&path(), |bytes| bytes[..64].copy_from_slice(&header));
    let before = io.content(&path());
    assert!(matches!(open(&io), Err(Error::UnsupportedVersion { found: 2, supported: 1, .. })));
    assert_eq!(io.content(&path()), before);
}

#[test]
fn every_crash_point_leaves_a_prefix_with_all_that_was_acknowledged() {
    let states = states();
    for at in 1.. {
        let io = SimIo::new();
        io.set_crash_at(at);
        let mut done = 0;
        if let Ok((mut manifest, _)) = open(&io) {
            done = groups().iter().take_while(|group| manifest.append(group).is_ok()).count();
        }
        for seed in 0..40 {
            for model in [CrashModel::LoseAll, CrashModel::KeepAll, CrashModel::Random] {
                let after = io.after_crash(seed, model);
                let (mut manifest, state) = open(&after).unwrap();
                assert!(state == states[done] || Some(&state) == states.get(done + 1), "crash at {at}, seed {seed}");
                // What the recovered manifest then takes is as safe.
                manifest.append(&[ManifestEdit::FlushedLsn(Lsn(99))]).unwrap();
                let (_, again) = open(&after.after_crash(seed, CrashModel::LoseAll)).unwrap();
                assert_eq!(again, ManifestState { flushed_lsn: Lsn(99), ..state });
            }
        }
        if !io.is_off() {
            assert_eq!(done, groups().len());
            break;
        }
    }
}

#[test]
fn a_crash_during_recovery_loses_nothing() {
    let io = written();
    io.damage(&path(), |bytes| bytes.truncate(bytes.len() - 3));
    for at in 1.. {
        let first = io.after_crash(0, CrashModel::KeepAll);
        first.set_crash_at(at);
        let done = open(&first).is_ok();
        for seed in 0..20 {
            let (_, state) = open(&first.after_crash(seed, CrashModel::Random)).unwrap();
            assert_eq!(&state, &states()[groups().len() - 1]);
        }
        if done {
            break;
        }
    }
}

#[test]
fn after_a_failed_operation_the_next_append_writes_a_new_file() {
    for kind in [FaultKind::Eio, FaultKind::Enospc, FaultKind::ShortWrite] {
        for operation in [Operation::Write, Operation::Sync] {
            let io = written();
            let (mut manifest, before) = open(&io).unwrap();
            io.fail(FaultAt::Next(operation), kind);
            manifest.append(&[ManifestEdit::FlushedLsn(Lsn(50))]).unwrap_err();
            assert_eq!(manifest.state(), &before);
            let syncs = io.count(Operation::Sync, &path());
            manifest.append(&[ManifestEdit::FlushedLsn(Lsn(40))]).unwrap();
            assert_eq!(io.count(Operation::Sync, &path()), syncs, "the failed descriptor is not synced again");
            let (_, state) = open(&io.after_crash(0, CrashModel::LoseAll)).unwrap();
            assert_eq!(state, ManifestState { flushed_lsn: Lsn(40), ..before });
        }
    }
}

#[test]
fn a_record_whose_sync_failed_is_durable_once_an_open_returned_it() {
    let io = written();
    let (mut manifest, _) = open(&io).unwrap();
    io.fail(FaultAt::Next(Operation::Sync), FaultKind::Eio);
    manifest.append(&[ManifestEdit::FlushedLsn(Lsn(50))]).unwrap_err();
    drop(manifest);
    let (_, seen) = open(&io).unwrap();
    let (_, after) = open(&io.after_crash(0, CrashModel::LoseAll)).unwrap();
    assert_eq!(seen, after);
}

#[test]
fn a_long_file_of_obsolete_edits_is_written_anew() {
    let io = SimIo::new();
    let (mut manifest, _) = open(&io).unwrap();
    let mut longest = 0;
    for id in 1..2000 {
        let obsolete = SegmentMeta { id: SegmentId(id), ..segment(20) };
        manifest.append(&[ManifestEdit::AddSegment(obsolete)]).unwrap();
        manifest.append(&[ManifestEdit::RemoveSegment(SegmentId(id))]).unwrap();
        longest = longest.max(manifest.active.as_ref().unwrap().len);
    }
    assert!(longest <= REWRITE_BYTES_MIN + (64 << 10), "{longest}");
    assert!(manifest.generation > 1);
    assert_eq!(&open(&io).unwrap().1, manifest.state());
}

proptest! {
    #[test]
    fn mutated_entries_never_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let entries: Vec<Entry> = groups().into_iter().chain(tiered_groups()).flatten().map(Entry::Edit).collect();
        let mut bytes = encode_entries(&entries);
        prop_assert_eq!(decode_entries(&bytes).unwrap(), entries);
        for (index, value) in flips {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let _outcome = decode_entries(&bytes);
    }
}
