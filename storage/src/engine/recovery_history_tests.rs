//! The history of recovery: its bytes, what becomes of damage, and what an open adds to it.

use std::sync::Arc;

use super::*;
use crate::engine::tests::{Row, expected, options, read as rows, spec, write};
use crate::engine::{Engine, EngineOptions};
use crate::io::sim::{CrashModel, FaultAt, FaultKind, Operation, SimIo};
use crate::types::Dedup;

fn dir() -> DatabaseDir {
    DatabaseDir::new(Path::new("/db"))
}

fn event(severity: Severity, number: u64) -> RecoveryEvent {
    RecoveryEvent {
        rows: Some(number),
        ..RecoveryEvent::new(RecoveryKind::WalTorn, severity, Path::new("/db/wal"), "x")
    }
}

fn report(events: Vec<RecoveryEvent>) -> RecoveryReport {
    RecoveryReport { events, ..RecoveryReport::default() }
}

/// Two events, of which one has every part and the other none.
fn sample() -> Vec<PastRecovery> {
    let bare = RecoveryEvent::new(RecoveryKind::ManifestMissing, Severity::Warning, Path::new("/db/MANIFEST"), "gone");
    let whole = RecoveryEvent {
        bytes: Some(3..9),
        lsn_gap: Some(Lsn(4)..=Lsn(6)),
        tables: vec![TableId(1), TableId(7)],
        time_range: Some(TimeRange { start_ns: i64::MIN, end_ns: 5 }),
        rows: Some(12),
        kept: Some("/db/quarantine/0000000000000001.wal".into()),
        ..event(Severity::Loss, 0).done("it was copied")
    };
    vec![PastRecovery { time_ns: -1, event: bare }, PastRecovery { time_ns: 1_700_000_000_000_000_000, event: whole }]
}

fn with_file(bytes: &[u8]) -> SimIo {
    let io = SimIo::new();
    io.create_dir_all(Path::new("/db")).unwrap();
    replace_file(&io, &dir().recovery_history(), bytes).unwrap();
    io
}

#[test]
fn a_history_round_trips_and_every_flipped_bit_and_cut_is_found() {
    let bytes = to_bytes(&sample(), Path::new("/db"));
    assert_eq!(bytes, include_bytes!("../../../testdata/compat/v1/RECOVERY"), "version 1 stays as it is");
    let io = with_file(&bytes);
    assert_eq!(RecoveryHistory::read(&io, &dir()).unwrap().past, sample());
    let path = dir().recovery_history();
    let is_damaged = || matches!(RecoveryHistory::read(&io, &dir()), Ok(history) if history.damage.is_some());
    for bit in 0..bytes.len() * 8 {
        io.damage(&path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        assert!(is_damaged(), "bit {bit}");
        io.damage(&path, |found| *found = bytes.clone());
    }
    for len in 0..bytes.len() {
        io.damage(&path, |bytes| bytes.truncate(len));
        assert!(is_damaged(), "{len}");
        io.damage(&path, |found| *found = bytes.clone());
    }
    // A database that was moved finds its files where they are now.
    let moved = sample_in(&io, "/moved");
    assert_eq!(moved[1].event.kept.as_deref(), Some(Path::new("/moved/quarantine/0000000000000001.wal")));
}

fn sample_in(io: &SimIo, to: &str) -> Vec<PastRecovery> {
    io.rename(&dir().recovery_history(), Path::new("/db/RECOVERY.moved")).unwrap();
    io.create_dir_all(Path::new(to)).unwrap();
    io.rename(Path::new("/db/RECOVERY.moved"), &Path::new(to).join("RECOVERY")).unwrap();
    RecoveryHistory::read(io, &DatabaseDir::new(Path::new(to))).unwrap().past
}

#[test]
fn malformed_events_under_a_right_checksum_are_damage_and_a_newer_version_is_refused() {
    let bytes = to_bytes(&sample(), Path::new("/db"));
    for byte in 8..bytes.len() - 4 {
        for value in [0, 0x7F, 0xFF] {
            let mut changed = bytes.clone();
            changed[byte] = value;
            let body = changed.len() - 4;
            let crc = crc32c::crc32c(&changed[..body]);
            changed[body..].copy_from_slice(&crc.to_le_bytes());
            let found = RecoveryHistory::read(&with_file(&changed), &dir());
            let is_version = (8..12).contains(&byte) && changed != bytes;
            assert_eq!(matches!(found, Err(Error::UnsupportedVersion { .. })), is_version, "{byte} {value}");
        }
    }
}

#[test]
fn the_oldest_notes_go_first_and_nothing_of_the_last_opening() {
    let mut history = RecoveryHistory { past: Vec::new(), damage: None };
    history = history.with(1, &report(vec![event(Severity::Loss, 0), event(Severity::Note, 1)]));
    for number in 0..EVENTS_MAX as u64 {
        history = history.with(2, &report(vec![event(Severity::Note, 100 + number)]));
    }
    assert_eq!(history.past.len(), EVENTS_MAX);
    assert_eq!(history.past[0].event, event(Severity::Loss, 0));
    assert_eq!(history.past[1].event, event(Severity::Note, 101));
    let many = (0..2 * EVENTS_MAX as u64).map(|number| event(Severity::Note, number)).collect();
    let history = history.with(3, &report(many));
    assert_eq!(history.past.len(), 2 * EVENTS_MAX);
    let io = with_file(&to_bytes(&history.past, Path::new("/db")));
    let kept = RecoveryHistory::read(&io, &dir()).unwrap().past;
    assert_eq!(kept, history.past[EVENTS_MAX..]);
}

#[test]
fn long_texts_and_many_tables_are_cut() {
    let text = "é".repeat(TEXT_BYTES_MAX);
    let tables = (0..1_000).map(TableId).collect();
    let long = RecoveryEvent { found: text.clone(), tables, ..event(Severity::Loss, 0) };
    let past: Vec<_> = (0..EVENTS_MAX).map(|_| PastRecovery { time_ns: 0, event: long.clone() }).collect();
    let bytes = to_bytes(&past, Path::new("/db"));
    assert!((bytes.len() as u64) < BYTES_MAX, "{}", bytes.len());
    let found = RecoveryHistory::read(&with_file(&bytes), &dir()).unwrap().past;
    assert_eq!(found[0].event.found, text[..TEXT_BYTES_MAX]);
    assert_eq!(found[0].event.tables.len(), TABLES_MAX);
}

const ROWS: [Row; 2] = [("a", 1, Some(1)), ("b", 2, Some(2))];

fn open_at(io: &SimIo, clock: fn() -> i64) -> Engine {
    let options = EngineOptions { wal_file_bytes_max: 4 << 10, clock, ..options() };
    Engine::open_with(Arc::new(io.clone()), Path::new("/db"), options).unwrap()
}

/// A database whose manifest is damaged.
fn damaged() -> SimIo {
    let io = SimIo::new();
    let engine = open_at(&io, || 1);
    engine.create_table(&spec(Dedup::Last)).unwrap();
    write(&engine, &ROWS);
    engine.close().unwrap();
    let io = io.after_crash(0, CrashModel::KeepAll);
    io.damage(&dir().manifest(), |bytes| bytes[70] ^= 1);
    io
}

#[test]
fn events_of_past_openings_are_there_after_many_sound_ones() {
    let io = damaged();
    assert_eq!(open_at(&SimIo::new(), || 1).recovery_history(), []);
    let engine = open_at(&io, || 10);
    let events = engine.recovery_events().to_vec();
    assert!(events.iter().any(|event| event.kind == RecoveryKind::ManifestDamaged), "{events:?}");
    let of_this_open: Vec<_> = events.into_iter().map(|event| PastRecovery { time_ns: 10, event }).collect();
    assert_eq!(engine.recovery_history(), of_this_open);
    drop(engine);
    for time in 0..3 {
        let io = io.after_crash(time, CrashModel::LoseAll);
        let engine = open_at(&io, || 20);
        assert!(!engine.recovery_report().found_damage());
        assert_eq!(engine.recovery_history()[..of_this_open.len()], of_this_open);
        drop(engine);
        let reader = Engine::open_read_only_with(Arc::new(io), Path::new("/db"), options()).unwrap();
        assert_eq!(reader.recovery_history()[..of_this_open.len()], of_this_open);
    }
}

#[test]
fn a_history_that_cannot_be_read_or_written_keeps_no_database_from_opening() {
    let io = damaged();
    drop(open_at(&io, || 10));
    let io = io.after_crash(0, CrashModel::KeepAll);
    io.damage(&dir().recovery_history(), |bytes| bytes[20] ^= 1);
    let engine = open_at(&io, || 20);
    let events = engine.recovery_events().to_vec();
    let kept = events.iter().find(|event| event.kind == RecoveryKind::HistoryDamaged).unwrap().kept.clone();
    assert_eq!(kept.as_deref(), Some(Path::new("/db/quarantine/RECOVERY")));
    assert_eq!(rows(&engine.snapshot()), expected(&ROWS));
    assert!(engine.recovery_history().iter().all(|past| past.time_ns == 20));
    drop(engine);
    assert!(open_at(&io, || 30).recovery_history().iter().any(|past| past.event.kind == RecoveryKind::HistoryDamaged));

    // The disk is full for the history alone.
    let io = damaged();
    let opened = io.after_crash(0, CrashModel::KeepAll);
    drop(open_at(&opened, || 10));
    let history = dir().recovery_history().with_extension("tmp");
    let step = opened.trace().iter().position(|(kind, at)| *kind == Operation::Create && *at == history).unwrap();
    io.fail(FaultAt::Once(step as u64 + 1), FaultKind::Enospc);
    let engine = open_at(&io, || 10);
    assert!(!io.exists(&dir().recovery_history()).unwrap());
    assert!(!engine.recovery_history().is_empty());
    assert_eq!(rows(&engine.snapshot()), expected(&ROWS));
}
