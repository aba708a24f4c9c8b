//! What a check finds and a repair mends, on directories so small that every byte of them can be damaged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::tests::{Row, batch, options, read, spec, write};
use super::*;
use crate::error::Error;
use crate::ingest::group_rows;
use crate::io::Io;
use crate::io::sim::{CrashModel, FaultAt, FaultKind, SimIo};
use crate::snapshot::TagFilter;
use crate::types::{Dedup, TableSpec, TimeRange};

const DIR: &str = "/db";

fn open(io: &SimIo) -> Engine {
    let options = EngineOptions { wal_file_bytes_max: 4 << 10, ..options() };
    Engine::open_with(Arc::new(io.clone()), Path::new(DIR), options).unwrap()
}

fn file(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn dyn_io(io: &SimIo) -> Arc<dyn Io> {
    Arc::new(io.clone())
}

fn verified(io: &SimIo) -> VerifyReport {
    verify(dyn_io(io), Path::new(DIR)).unwrap()
}

fn repaired(io: &SimIo, mode: RepairMode) -> RepairReport {
    repair(dyn_io(io), Path::new(DIR), mode).unwrap()
}

/// Two segments with two tables each, and three commits in the log.
fn killed() -> SimIo {
    let io = SimIo::new();
    let engine = open(&io);
    engine.create_table(&spec(Dedup::Last)).unwrap();
    let other = engine.create_table(&TableSpec { name: "other".into(), ..spec(Dedup::Last) }).unwrap();
    for part in 0..2_i64 {
        write(&engine, &[("a", part * 10, Some(part)), ("b", part * 10 + 1, None)]);
        engine.write(vec![group_rows(&other, &batch(&[("x", part, Some(1))])).unwrap()], Ack::Durable).unwrap();
        engine.flush().unwrap();
    }
    for row in 0..3 {
        write(&engine, &[("c", 100 + row, Some(row))]);
    }
    io.after_crash(0, CrashModel::LoseAll)
}

fn row_counts(engine: &Engine) -> (usize, u64) {
    let other = engine.snapshot().table("public", "other").unwrap();
    let set = other.series(&TagFilter::all(), TimeRange::ALL).unwrap();
    (read(&engine.snapshot()).len(), set.row_count_estimate())
}

fn contents(io: &SimIo) -> Vec<(PathBuf, Vec<u8>)> {
    io.paths().into_iter().map(|path| (path.clone(), io.content(&path).unwrap())).collect()
}

fn is_kept(io: &SimIo, content: &[u8]) -> bool {
    io.paths().iter().any(|path| path.starts_with(file("quarantine")) && io.content(path).unwrap() == content)
}

#[test]
fn a_directory_that_a_crash_left_is_sound() {
    let io = killed();
    let before = contents(&io);
    let report = verified(&io);
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!((report.segments, report.segment_rows, report.commits, report.log_rows), (2, 6, 3, 3));
    // The lock file is the only thing that a check may make.
    let after: Vec<_> = contents(&io).into_iter().filter(|(path, _)| *path != file("LOCK")).collect();
    assert_eq!(after, before.into_iter().filter(|(path, _)| *path != file("LOCK")).collect::<Vec<_>>());
    let engine = open(&io);
    assert!(matches!(verify(dyn_io(&io), Path::new(DIR)), Err(Error::Locked { .. })));
    drop(engine);
    assert!(matches!(verify(dyn_io(&io), Path::new("/else")), Err(Error::InvalidInput { .. })));
    assert!(repaired(&io, RepairMode::Apply).events.is_empty());
}

/// Damages one byte, looks, explains, mends and looks again. Returns the findings and what the mended database holds.
fn mend(name: &Path, position: usize) -> (VerifyReport, RepairReport, (usize, u64), SimIo) {
    let io = killed();
    io.damage(name, |bytes| bytes[position] ^= 0x04);
    let damaged = io.content(name).unwrap();
    let context = format!("{} byte {position}", name.display());
    let found = verified(&io);
    assert!(!found.findings.is_empty(), "{context}");
    let before = contents(&io);
    let explained = repaired(&io, RepairMode::Explain);
    assert_eq!(explained.before.findings, found.findings, "{context}");
    assert!(explained.events.is_empty() && contents(&io) == before, "{context}: an explanation changes nothing");
    let done = repaired(&io, RepairMode::Apply);
    assert_eq!(done.before.findings, found.findings, "{context}");
    assert!(is_kept(&io, &damaged), "{context}: the damaged file is kept");
    let again = verified(&io);
    assert_eq!(again.findings, [], "{context}");
    assert!(repaired(&io, RepairMode::Apply).events.is_empty(), "{context}: there is nothing left to mend");
    let engine = open(&io);
    assert_eq!(engine.recovery_events(), [], "{context}");
    let rows = row_counts(&engine);
    drop(engine);
    (found, done, rows, io)
}

#[test]
fn any_damaged_byte_of_a_segment_is_found_and_mended_with_the_rows_that_can_be_read() {
    let segment = file("segments/0000000000000001.seg");
    let (mut given_up, mut rescued) = (0, 0);
    for position in 0..killed().content(&segment).unwrap().len() {
        let (found, done, (rows, other), _) = mend(&segment, position);
        let [finding] = &found.findings[..] else { panic!("byte {position}: {:?}", found.findings) };
        assert!(finding.bytes.is_some() && !finding.tables.is_empty() && finding.time_range.is_some());
        let lost: u64 = done.events.iter().filter_map(|event| event.rows).sum();
        match finding.repair {
            RepairStep::QuarantineSegment(_) => {
                given_up += 1;
                assert_eq!((rows, other, lost), (5, 1, 3), "byte {position}");
            }
            RepairStep::RescueSegment(_) => {
                rescued += 1;
                // Its table loses the vector, the other table nothing.
                assert!(rows == 7 || other == 2, "byte {position}");
                assert_eq!(rows as u64 + other + lost, 9, "byte {position}");
            }
            ref other => panic!("byte {position}: {other:?}"),
        }
    }
    assert!(given_up > 0 && rescued > 0);
}

#[test]
fn any_damaged_byte_of_the_log_is_found_and_mended() {
    let log = killed().paths().into_iter().filter(|path| path.starts_with(file("wal"))).max().unwrap();
    let content = killed().content(&log).unwrap();
    let end = content.iter().rposition(|byte| *byte != 0).unwrap();
    for position in 0..=end {
        let (found, _, (rows, other), _) = mend(&log, position);
        let [finding] = &found.findings[..] else { panic!("byte {position}: {:?}", found.findings) };
        let is_last = finding.kind == RecoveryKind::WalTorn;
        let severity = match position {
            _ if is_last => Severity::Note,
            0..64 => Severity::Warning,
            _ => Severity::Loss,
        };
        assert_eq!(finding.severity, severity, "byte {position}");
        assert_eq!(finding.lsn_gap.is_some(), !is_last && position >= 64, "byte {position}");
        let expected = if position < 64 { 7 } else { 6 };
        assert_eq!((rows, other), (expected, 2), "byte {position}");
    }
}

#[test]
fn any_damaged_byte_of_the_manifest_is_found_and_mended() {
    for position in 0..killed().content(&file("MANIFEST")).unwrap().len() {
        let (_, _, rows, _) = mend(&file("MANIFEST"), position);
        assert_eq!(rows, (7, 2), "byte {position}");
    }
}

#[test]
fn leftovers_and_a_sound_file_that_the_manifest_does_not_expect_are_put_right() {
    let io = killed();
    let segment = file("segments/0000000000000001.seg");
    let content = io.content(&segment).unwrap();
    for (name, bytes) in [("segments/0000000000000001.seg.tmp", &content[..9]), ("MANIFEST.tmp", b"half")] {
        let left = io.open(&file(name), crate::io::OpenMode::CreateNew).unwrap();
        left.write_all_at(0, bytes).unwrap();
    }
    io.remove(&file("segments/0000000000000002.seg")).unwrap();
    let report = repaired(&io, RepairMode::Apply);
    let steps: Vec<_> = report.before.findings.iter().map(|finding| finding.repair.clone()).collect();
    assert_eq!(steps.len(), 3, "{steps:?}");
    assert_eq!(steps[0], RepairStep::ForgetSegment(crate::types::SegmentId(2)));
    assert!(is_kept(&io, &content[..9]) && is_kept(&io, b"half"));
    assert_eq!(verified(&io).findings, []);
    assert_eq!(row_counts(&open(&io)), (5, 1));
}

#[test]
fn a_repair_that_is_cut_off_anywhere_is_begun_again_without_further_loss() {
    let segment = file("segments/0000000000000001.seg");
    // A byte of a vector: the other table's rows can be rescued.
    let position = (0..killed().content(&segment).unwrap().len())
        .find(|position| {
            let io = killed();
            io.damage(&segment, |bytes| bytes[*position] ^= 0x04);
            let found = verified(&io).findings;
            matches!(found[0].repair, RepairStep::RescueSegment(_)) && found[0].bytes.as_ref().unwrap().start > 64
        })
        .unwrap();
    let damaged = || {
        let io = killed();
        io.damage(&segment, |bytes| bytes[position] ^= 0x04);
        io
    };
    let whole = damaged();
    repaired(&whole, RepairMode::Apply);
    let expected = row_counts(&open(&whole));
    for at in 1.. {
        let io = damaged();
        io.set_crash_at(io.operations() + at);
        let done = repair(dyn_io(&io), Path::new(DIR), RepairMode::Apply).is_ok();
        for seed in 0..3 {
            for model in [CrashModel::LoseAll, CrashModel::KeepAll, CrashModel::Random] {
                let after = io.after_crash(seed, model);
                repaired(&after, RepairMode::Apply);
                let context = format!("crash at {at}, seed {seed}, {model:?}");
                assert_eq!(verified(&after).findings, [], "{context}");
                assert_eq!(row_counts(&open(&after)), expected, "{context}");
                let kept = after.paths().into_iter().filter(|path| path.starts_with(file("quarantine")));
                assert!(kept.count() > 0, "{context}");
            }
        }
        if done {
            break;
        }
    }
    for at in 1.. {
        let io = damaged();
        let number = io.operations() + at;
        io.fail(FaultAt::From(number), FaultKind::Enospc);
        let _disk_full = repair(dyn_io(&io), Path::new(DIR), RepairMode::Apply);
        let is_reached = io.operations() >= number;
        io.clear_faults();
        repaired(&io, RepairMode::Apply);
        assert_eq!(row_counts(&open(&io)), expected, "full at {at}");
        if !is_reached {
            break;
        }
    }
}

#[test]
fn a_segment_that_the_disk_does_not_give_back_is_moved_and_not_touched() {
    let io = killed();
    let segment = file("segments/0000000000000001.seg");
    io.make_unreadable(&segment, 100..101);
    let report = repaired(&io, RepairMode::Apply);
    let [finding] = &report.before.findings[..] else { panic!("{:?}", report.before.findings) };
    assert_eq!(finding.repair, RepairStep::QuarantineSegment(crate::types::SegmentId(1)));
    assert!(!io.paths().contains(&segment) && io.paths().contains(&file("quarantine/0000000000000001.seg")));
    assert_eq!(row_counts(&open(&io)), (5, 1));
    let rows: [Row; 1] = [("a", 1, Some(1))];
    write(&open(&io), &rows);
}
