//! Backup and restore, whole and cut off.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::hook_io::{Effect, HookIo};
use super::*;
use crate::engine::{backup, backup_with, restore, restore_with};
use crate::io::sim::CrashModel;
use crate::io::{Io, OpenMode};
use crate::types::Lsn;

type Found = Vec<(String, i64, Option<i64>)>;

const DIR: &str = "/db";
const BACKUP: &str = "/backup";
const RESTORED: &str = "/restored";

fn shared(io: &SimIo) -> Arc<dyn Io> {
    Arc::new(io.clone())
}

/// A database with rows in segments, in the log, and a table without rows.
fn filled(io: Arc<dyn Io>, dir: &Path) -> Engine {
    let engine = Engine::open_with(io, dir, options()).unwrap();
    engine.create_table(&spec(Dedup::Off)).unwrap();
    engine.create_table(&TableSpec::new("empty")).unwrap();
    for row in 0..6 {
        write(&engine, &[("a", row, Some(row)), ("b", row, None)]);
        if row % 2 == 1 {
            engine.flush().unwrap();
        }
    }
    write(&engine, &[("a", 100, Some(100))]);
    engine
}

fn rows_in(io: &SimIo, dir: &str) -> Result<Found, Error> {
    let engine = Engine::open_with(shared(io), Path::new(dir), options())?;
    assert!(!engine.recovery_report().found_damage());
    assert_eq!(engine.tables().len(), 2);
    Ok(read(&engine.snapshot()))
}

#[test]
fn a_backup_is_a_database_and_restores_to_the_same_rows() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name);
    let engine = filled(Arc::new(crate::io::RealIo), &path("db"));
    let rows = read(&engine.snapshot());
    let stats = engine.backup(&path("backup")).unwrap();
    assert_eq!((stats.lsn, stats.linked_files, stats.copied_files, stats.reused_files), (Lsn(7), 3, 2, 0));
    let restored = restore(&path("backup"), &path("restored")).unwrap();
    assert_eq!((restored.lsn, restored.copied_files), (Lsn(7), 5));
    assert_eq!(restored.copied_bytes, stats.linked_bytes + stats.copied_bytes);
    for name in ["restored", "backup"] {
        let attached = Engine::open_read_only(&path(name), options()).unwrap();
        assert_eq!(read(&attached.snapshot()), rows, "{name}");
        drop(attached);
        assert_eq!(read(&open(&path(name)).snapshot()), rows, "{name}");
    }
    // The backup was opened for writing, so it is not what was backed up any more.
    assert!(matches!(restore(&path("backup"), &path("again")), Err(Error::Corruption { .. })));
    assert!(!path("again").exists());
    engine.close().unwrap();
    let rows = read(&open(&path("db")).snapshot());
    backup(&path("db"), &path("backup")).unwrap();
    restore(&path("backup"), &path("again")).unwrap();
    assert_eq!(read(&open(&path("again")).snapshot()), rows);
}

#[test]
fn a_second_backup_takes_only_what_is_new_and_removes_what_is_old() {
    let io = SimIo::new();
    let engine = filled(shared(&io), Path::new(DIR));
    engine.backup(Path::new(BACKUP)).unwrap();
    write(&engine, &[("c", 1, Some(1))]);
    engine.flush().unwrap();
    let rows = read(&engine.snapshot());
    let stats = engine.backup(Path::new(BACKUP)).unwrap();
    assert_eq!((stats.linked_files, stats.copied_files, stats.reused_files), (1, 1, 3));
    assert!(stats.removed_files > 0, "the log of the first backup: {stats:?}");
    assert_eq!(rows_in(&io, BACKUP).unwrap(), rows);

    engine.drop_table("public", "cpu").unwrap();
    let stats = engine.backup(Path::new(BACKUP)).unwrap();
    assert_eq!((stats.linked_files, stats.reused_files), (0, 0));
    assert!(stats.removed_files >= 4, "{stats:?}");
}

#[test]
fn files_are_copied_where_they_cannot_be_linked() {
    let io = SimIo::new();
    let engine = filled(shared(&io), Path::new(DIR));
    let apart = HookIo::over(shared(&io), |effect, path| match effect {
        Effect::Link => Err(Error::invalid(path.display().to_string())),
        Effect::Read | Effect::Write => Ok(()),
    });
    let stats = backup_with(&apart, Path::new(DIR), Path::new(BACKUP)).unwrap();
    assert_eq!((stats.linked_files, stats.copied_files), (0, 5));
    assert_eq!(rows_in(&io, BACKUP).unwrap(), read(&engine.snapshot()));
}

#[test]
fn a_segment_that_rotted_in_the_backup_is_taken_again() {
    let io = SimIo::new();
    let engine = filled(shared(&io), Path::new(DIR));
    let apart = HookIo::over(shared(&io), |effect, path| match effect {
        Effect::Link => Err(Error::invalid(path.display().to_string())),
        Effect::Read | Effect::Write => Ok(()),
    });
    backup_with(&apart, Path::new(DIR), Path::new(BACKUP)).unwrap();
    io.damage(Path::new("/backup/segments/0000000000000002.seg"), |bytes| bytes[70] ^= 1);
    assert!(restore_with(&shared(&io), Path::new(BACKUP), Path::new(RESTORED)).is_err());
    let stats = backup_with(&apart, Path::new(DIR), Path::new(BACKUP)).unwrap();
    assert_eq!((stats.reused_files, stats.copied_files), (2, 3));
    restore_with(&shared(&io), Path::new(BACKUP), Path::new(RESTORED)).unwrap();
    assert_eq!(rows_in(&io, RESTORED).unwrap(), read(&engine.snapshot()));
}

#[test]
fn a_damaged_source_is_not_backed_up() {
    let io = SimIo::new();
    drop(filled(shared(&io), Path::new(DIR)));
    io.damage(Path::new("/db/segments/0000000000000002.seg"), |bytes| bytes[70] ^= 1);
    let refused = backup_with(&shared(&io), Path::new(DIR), Path::new(BACKUP));
    assert!(matches!(refused, Err(Error::Corruption { .. })), "{refused:?}");
    assert!(restore_with(&shared(&io), Path::new(BACKUP), Path::new(RESTORED)).is_err());
}

#[test]
fn directories_that_hold_something_else_are_left_alone() {
    let io = SimIo::new();
    let engine = filled(shared(&io), Path::new(DIR));
    io.create_dir_all(Path::new("/photos")).unwrap();
    io.open(Path::new("/photos/cat"), OpenMode::CreateNew).unwrap();
    let before = io.paths();
    for taken in ["/photos", DIR] {
        assert!(matches!(engine.backup(Path::new(taken)), Err(Error::InvalidInput { .. })));
        let restored = restore_with(&shared(&io), Path::new(DIR), Path::new(taken));
        assert!(matches!(restored, Err(Error::InvalidInput { .. })), "a database is no backup");
    }
    assert_eq!(io.paths(), before);
    engine.backup(Path::new(BACKUP)).unwrap();
    for taken in ["/photos", DIR] {
        let restored = restore_with(&shared(&io), Path::new(BACKUP), Path::new(taken));
        assert!(matches!(restored, Err(Error::InvalidInput { .. })));
    }
}

#[test]
fn every_damaged_or_missing_file_of_a_backup_is_found_before_anything_is_made() {
    let io = SimIo::new();
    let engine = filled(shared(&io), Path::new(DIR));
    engine.close().unwrap();
    drop(engine);
    backup_with(&shared(&io), Path::new(DIR), Path::new(BACKUP)).unwrap();
    let files: Vec<PathBuf> = io.paths().into_iter().filter(|path| path.starts_with(BACKUP)).collect();
    let of_backup = files.iter().filter(|path| !path.ends_with("LOCK"));
    for path in of_backup {
        let whole = io.content(path).unwrap();
        for len in [whole.len(), whole.len() - 1] {
            io.damage(path, |bytes| {
                bytes[9] ^= 4;
                bytes.truncate(len);
            });
            let restored = restore_with(&shared(&io), Path::new(BACKUP), Path::new(RESTORED));
            assert!(matches!(restored, Err(Error::Corruption { .. })), "{}: {restored:?}", path.display());
            io.damage(path, |bytes| *bytes = whole.clone());
        }
        let aside = Path::new("/aside");
        io.rename(path, aside).unwrap();
        assert!(restore_with(&shared(&io), Path::new(BACKUP), Path::new(RESTORED)).is_err());
        io.rename(aside, path).unwrap();
    }
    assert!(!io.exists(Path::new(RESTORED)).unwrap());
    restore_with(&shared(&io), Path::new(BACKUP), Path::new(RESTORED)).unwrap();
}

/// Cuts the power at every operation of `work` on a disk that `prepare` made, and checks what is left.
fn at_every_crash(prepare: impl Fn() -> SimIo, work: impl Fn(&SimIo) -> bool, check: impl Fn(&SimIo, u64)) {
    let mut crashes = 0;
    for operation in 1.. {
        let io = prepare();
        io.set_crash_at(io.operations() + operation);
        if work(&io) {
            break;
        }
        crashes += 1;
        for (seed, model) in [(0, CrashModel::LoseAll), (0, CrashModel::KeepAll)]
            .into_iter()
            .chain((0..4).map(|seed| (seed, CrashModel::Random)))
        {
            check(&io.after_crash(operation * 10 + seed, model), operation);
        }
    }
    assert!(crashes > 40, "every operation is reached: {crashes}");
}

#[test]
fn a_backup_that_power_cuts_off_is_the_one_before_or_recognised_and_can_be_completed() {
    let prepare = || {
        let io = SimIo::new();
        let engine = filled(shared(&io), Path::new(DIR));
        engine.backup(Path::new(BACKUP)).unwrap();
        write(&engine, &[("c", 1, Some(1))]);
        engine.flush().unwrap();
        write(&engine, &[("c", 2, Some(2))]);
        engine.close().unwrap();
        io
    };
    let before = {
        let io = SimIo::new();
        read(&filled(shared(&io), Path::new(DIR)).snapshot())
    };
    let after = rows_in(&prepare(), DIR).unwrap();
    let seen = std::cell::RefCell::new([0; 3]);
    at_every_crash(
        prepare,
        |io| backup_with(&shared(io), Path::new(DIR), Path::new(BACKUP)).is_ok(),
        |io, operation| {
            let found = restore_with(&shared(io), Path::new(BACKUP), Path::new(RESTORED));
            let outcome = match found {
                Err(_) => {
                    // Neither is it taken for a database, unless all of it is there.
                    match rows_in(io, BACKUP) {
                        Ok(rows) => assert!(rows == before || rows == after, "operation {operation}"),
                        Err(error) => assert!(matches!(error, Error::Corruption { .. }), "{error}"),
                    }
                    0
                }
                Ok(_) => {
                    let rows = rows_in(io, RESTORED).unwrap();
                    assert!(rows == before || rows == after, "operation {operation}");
                    1 + usize::from(rows == after)
                }
            };
            seen.borrow_mut()[outcome] += 1;
            backup_with(&shared(io), Path::new(DIR), Path::new(BACKUP)).unwrap();
            restore_with(&shared(io), Path::new(BACKUP), Path::new("/second")).unwrap();
            assert_eq!(rows_in(io, "/second").unwrap(), after, "operation {operation}");
        },
    );
    assert!(seen.borrow().iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn a_first_backup_that_power_cuts_off_is_recognised_and_can_be_completed() {
    let prepare = || {
        let io = SimIo::new();
        filled(shared(&io), Path::new(DIR)).close().unwrap();
        io
    };
    let rows = rows_in(&prepare(), DIR).unwrap();
    at_every_crash(
        prepare,
        |io| backup_with(&shared(io), Path::new(DIR), Path::new(BACKUP)).is_ok(),
        |io, operation| {
            if restore_with(&shared(io), Path::new(BACKUP), Path::new(RESTORED)).is_ok() {
                assert_eq!(rows_in(io, RESTORED).unwrap(), rows, "operation {operation}");
            }
            backup_with(&shared(io), Path::new(DIR), Path::new(BACKUP)).unwrap();
            assert_eq!(rows_in(io, BACKUP).unwrap(), rows, "operation {operation}");
        },
    );
}

#[test]
fn a_restore_that_power_cuts_off_is_complete_or_recognised() {
    let prepare = || {
        let io = SimIo::new();
        filled(shared(&io), Path::new(DIR)).backup(Path::new(BACKUP)).unwrap();
        io
    };
    let rows = {
        let io = SimIo::new();
        read(&filled(shared(&io), Path::new(DIR)).snapshot())
    };
    at_every_crash(
        prepare,
        |io| restore_with(&shared(io), Path::new(BACKUP), Path::new(RESTORED)).is_ok(),
        |io, operation| {
            let attached = Engine::open_read_only_with(shared(io), Path::new(RESTORED), options());
            match attached {
                Ok(attached) => assert_eq!(read(&attached.snapshot()), rows, "operation {operation}"),
                // The mark is there, or nothing is yet.
                Err(Error::Corruption { .. }) => {
                    let refused = Engine::open_with(shared(io), Path::new(RESTORED), options());
                    assert!(matches!(refused, Err(Error::Corruption { .. })), "operation {operation}");
                }
                Err(error) => {
                    assert!(matches!(error, Error::InvalidInput { .. }), "{error}");
                    restore_with(&shared(io), Path::new(BACKUP), Path::new(RESTORED)).unwrap();
                    assert_eq!(rows_in(io, RESTORED).unwrap(), rows, "operation {operation}");
                }
            }
        },
    );
}
