//! What an open makes of a damaged log, and what becomes of its files.

use std::path::PathBuf;

use super::recovery_tests::{MODELS, all_rows, file, killed, open, rows_of, try_open};
use super::tests::{read, spec, write};
use super::*;
use crate::io::sim::{CrashModel, FaultAt, FaultKind, Operation, SimIo};
use crate::types::Dedup;

#[test]
fn a_damaged_log_file_leaves_the_log_as_a_copy_only() {
    let io = killed(Dedup::Last);
    let engine = open(&io);
    write(&engine, &[("d", 30, Some(6))]);
    write(&engine, &[("e", 31, Some(7))]);
    drop(engine);
    let io = killed(Dedup::Last);
    let engine = open(&io);
    for row in 0..4 {
        write(&engine, &[("d", 30 + row, Some(6))]);
    }
    let io = io.after_crash(0, CrashModel::LoseAll);
    let newest = io.paths().into_iter().filter(|path| path.starts_with(file("wal"))).max().unwrap();
    io.damage(&newest, |bytes| bytes[64 + 40 + 3] ^= 1);
    let damaged = io.content(&newest).unwrap();
    for with_copy in [true, false] {
        let io = io.after_crash(0, CrashModel::KeepAll);
        if !with_copy {
            // No space for a copy: the write that makes it fails, as another open of the same disk shows.
            let other = io.after_crash(0, CrashModel::KeepAll);
            drop(open(&other));
            let is_copy = |(operation, path): &(Operation, PathBuf)| {
                *operation == Operation::Write && path.starts_with(file("quarantine"))
            };
            let copy = other.trace().iter().position(is_copy).unwrap() as u64 + 1;
            io.fail(FaultAt::Once(copy), FaultKind::Enospc);
        }
        let engine = open(&io);
        let event = engine.recovery_events().iter().find(|event| event.kind == RecoveryKind::WalDamaged).unwrap();
        assert_eq!(event.kept.is_some(), with_copy);
        assert_eq!(event.severity, Severity::Loss);
        assert_eq!(event.lsn_gap.as_ref().map(|gap| gap.end().0 - gap.start().0), Some(0), "{event:?}");
        assert_eq!(rows_of(&engine).len(), all_rows().len() + 3);
        engine.close().unwrap();
        assert!(!io.paths().contains(&newest), "its commits are in a segment");
        // Without the reserved zeros at the end, which a copy may or may not have.
        let start = &damaged[..300];
        let is_kept = io
            .paths()
            .iter()
            .any(|path| path.starts_with(file("quarantine")) && io.content(path).unwrap().get(..300) == Some(start));
        assert!(is_kept, "with a copy: {with_copy}");
    }
}

#[test]
fn a_part_of_the_log_that_cannot_be_read_is_damage_and_the_file_is_kept() {
    let lives = || {
        let io = SimIo::new();
        let engine = open(&io);
        engine.create_table(&spec(Dedup::Last)).unwrap();
        for row in 0..200 {
            write(&engine, &[("a", row, Some(row))]);
        }
        io.after_crash(0, CrashModel::LoseAll)
    };
    let logs: Vec<PathBuf> = lives().paths().into_iter().filter(|path| path.starts_with(file("wal"))).collect();
    assert!(logs.len() > 3);
    for log in &logs {
        let io = lives();
        let len = io.content(log).unwrap().len();
        io.make_unreadable(log, 1000..1001);
        let engine = open(&io);
        let lost: u64 = engine.recovery_report().wal_damage.iter().map(|damage| damage.lost_commits()).sum();
        assert!(engine.recovery_report().found_damage(), "{}", log.display());
        let found = rows_of(&engine).len() as u64;
        assert!(found < 200 && (found + lost == 200 || Some(log) == logs.last()), "{found} {lost}");
        engine.close().unwrap();
        assert!(!io.paths().contains(log));
        let moved = file("quarantine").join(log.file_name().unwrap());
        assert_eq!(io.content(&moved).map(|content| content.len()), Some(len), "the file itself was moved");
        assert_eq!(rows_of(&open(&io)).len() as u64, found);
    }
}

#[test]
fn a_flipped_byte_of_the_log_costs_one_commit_at_most() {
    let lives = || {
        let io = SimIo::new();
        let engine = open(&io);
        engine.create_table(&spec(Dedup::Last)).unwrap();
        for row in 0..4 {
            write(&engine, &[("a", row, Some(row))]);
        }
        io.after_crash(0, CrashModel::LoseAll)
    };
    let log = lives().paths().into_iter().find(|path| path.starts_with(file("wal"))).unwrap();
    let end = lives().content(&log).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    let mut told = 0;
    for position in 0..end {
        let io = lives();
        io.damage(&log, |bytes| bytes[position] ^= 0x80);
        let engine = open(&io);
        let times: Vec<i64> = read(&engine.snapshot()).iter().map(|row| row.1).collect();
        let lost: Vec<i64> = (0..4).filter(|time| !times.contains(time)).collect();
        assert!(lost.len() <= 1, "byte {position}: {lost:?}");
        let event = &engine.recovery_events()[0];
        match event.kind {
            RecoveryKind::WalTorn => assert_eq!(lost, [3], "byte {position}"),
            RecoveryKind::WalDamaged => {
                assert_eq!(event.file, log, "byte {position}");
                assert!(event.bytes.as_ref().unwrap().contains(&(position as u64)), "byte {position}");
                assert_eq!(event.lsn_gap.as_ref().map(|gap| gap.start().0 as i64 - 1), lost.first().copied());
                // What the damaged bytes still say is said.
                told += usize::from(event.rows == Some(1) && event.tables == [crate::types::TableId(1)]);
            }
            other => panic!("byte {position}: {other:?}"),
        }
    }
    assert!(told > 50, "{told}");
}

#[test]
fn a_crash_anywhere_leaves_a_damaged_file_in_the_log_or_in_quarantine() {
    // One that cannot be copied whole, and is moved when its commits are in a segment.
    let lives = || {
        let io = SimIo::new();
        let engine = open(&io);
        engine.create_table(&spec(Dedup::Last)).unwrap();
        for row in 0..60 {
            write(&engine, &[("a", row, Some(row))]);
        }
        io.after_crash(0, CrashModel::LoseAll)
    };
    let log = lives().paths().into_iter().find(|path| path.starts_with(file("wal"))).unwrap();
    let content = lives().content(&log).unwrap();
    let damaged = || {
        let io = lives();
        io.make_unreadable(&log, 1000..1001);
        io
    };
    let expected = rows_of(&open(&damaged()));
    assert!(expected.len() < 60);
    for at in 1.. {
        let io = damaged();
        io.set_crash_at(io.operations() + at);
        let done = try_open(&io).and_then(|engine| engine.close()).is_ok();
        for seed in 0..4 {
            for model in MODELS {
                let after = io.after_crash(seed, model);
                let context = format!("crash at {at}, seed {seed}, {model:?}");
                let is_there = after.paths().iter().any(|path| after.content(path).unwrap() == content);
                assert!(is_there, "{context}");
                let engine = open(&after);
                assert_eq!(rows_of(&engine), expected, "{context}");
                engine.close().unwrap();
                let moved = file("quarantine").join(log.file_name().unwrap());
                assert_eq!(after.content(&moved).as_ref(), Some(&content), "{context}");
            }
        }
        if done {
            break;
        }
    }
}
