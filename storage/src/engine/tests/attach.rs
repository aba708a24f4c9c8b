//! Engines that are open read-only beside the one that writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::hook_io::HookIo;
use super::*;
use crate::io::sim::{CrashModel, Operation};
use crate::io::{Io, RealIo};
use crate::types::Lsn;

const DIR: &str = "/db";

fn writer(io: &SimIo) -> Engine {
    Engine::open_with(Arc::new(io.clone()), Path::new(DIR), options()).unwrap()
}

fn reader(io: &SimIo) -> Engine {
    Engine::open_read_only_with(Arc::new(io.clone()), Path::new(DIR), options()).unwrap()
}

fn segment_files(io: &SimIo) -> Vec<PathBuf> {
    let segments = Path::new(DIR).join("segments");
    io.paths().into_iter().filter(|path| path.starts_with(&segments)).collect()
}

#[test]
fn a_reader_shows_what_was_there_and_moves_forward_when_asked() {
    let scratch = tempfile::tempdir().unwrap();
    let real = scratch.path().join("db");
    for (io, dir) in [(Arc::new(SimIo::new()) as Arc<dyn Io>, Path::new(DIR)), (Arc::new(RealIo), &real)] {
        let engine = Engine::open_with(Arc::clone(&io), dir, options()).unwrap();
        engine.create_table(&spec(Dedup::Off)).unwrap();
        let mut rows: Vec<Row> = vec![("a", 0, Some(0))];
        write(&engine, &rows);
        let reader = Engine::open_read_only_with(Arc::clone(&io), dir, options()).unwrap();
        assert!(reader.is_read_only() && reader.is_leased());
        for step in 1..60 {
            let before = reader.snapshot();
            let row = ("a", step, Some(step));
            write(&engine, &[row]);
            if step % 7 == 0 {
                engine.flush().unwrap();
            }
            if step % 20 == 0 {
                engine.create_table(&TableSpec::new(format!("other{step}"))).unwrap();
            }
            assert_eq!(read(&reader.snapshot()), expected(&rows), "step {step}, before the refresh");
            let refresh = reader.refresh().unwrap().unwrap();
            assert_eq!((refresh.from, refresh.to), (Lsn(step as u64), Lsn(step as u64 + 1)));
            assert_eq!(read(&before), expected(&rows), "step {step}, of the snapshot before");
            rows.push(row);
            assert_eq!(read(&reader.snapshot()), expected(&rows), "step {step}");
            assert_eq!(reader.tables(), engine.tables());
        }
        engine.close().unwrap();
        assert_eq!(engine.refresh().unwrap(), None);
        reader.refresh().unwrap();
        assert_eq!(read(&reader.snapshot()), expected(&rows), "nobody writes any more");
        assert!(!reader.recovery_report().found_damage());
    }
}

#[test]
fn every_change_is_refused_and_the_writer_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let table = engine.create_table(&spec(Dedup::Last)).unwrap();
    let process = std::process::id();
    match Engine::open(dir.path(), options()) {
        Err(Error::Locked { holder, .. }) => assert_eq!(holder, Some(process)),
        other => panic!("{other:?}"),
    }
    let reader = Engine::open_read_only(dir.path(), options()).unwrap();
    let rows = group_rows(&table, &batch(&[("a", 1, Some(1))])).unwrap();
    let refusals = [
        reader.write(vec![rows], Ack::Durable).map(drop),
        reader.create_table(&TableSpec::new("t")).map(drop),
        reader.ensure_tables(&[TableSpec::new("t")]).map(drop),
        reader.add_columns(table.id, &["x".into()], &[]).map(drop),
        reader.delete(table.id, &TagFilter::all(), TimeRange::ALL).map(drop),
        reader.compact(),
        reader.maintain(),
        reader.drop_table("public", "cpu"),
        reader.flush(),
    ];
    for refusal in refusals {
        match refusal {
            Err(error @ Error::ReadOnly { holder: Some(holder), .. }) => {
                assert_eq!(holder, process);
                assert!(error.to_string().contains(&process.to_string()));
            }
            other => panic!("{other:?}"),
        }
    }
    engine.close().unwrap();
    let reader = Engine::open_read_only(dir.path(), options()).unwrap();
    assert!(matches!(reader.flush(), Err(Error::ReadOnly { holder: None, .. })));
    reader.close().unwrap();
}

#[test]
fn a_directory_without_a_database_is_refused_and_nothing_is_made_in_it() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Engine::open_read_only(dir.path(), options()), Err(Error::InvalidInput { .. })));
    assert!(matches!(Engine::open_read_only(&dir.path().join("absent"), options()), Err(Error::InvalidInput { .. })));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_a_crash_left_is_read_as_recovery_would_and_stays_as_it_is() {
    let io = SimIo::new();
    let engine = writer(&io);
    engine.create_table(&spec(Dedup::Off)).unwrap();
    for row in 0..40 {
        let rows = [("a", row, Some(row))];
        let schema = engine.table("public", "cpu").unwrap();
        let ack = if row % 5 == 0 { Ack::Durable } else { Ack::Logged };
        engine.write(vec![group_rows(&schema, &batch(&rows)).unwrap()], ack).unwrap();
        if row == 20 {
            engine.flush().unwrap();
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let crashed = io.after_crash(seed, CrashModel::Random);
        let files = |io: &SimIo| -> Vec<_> {
            let of_the_database = |path: &PathBuf| !path.starts_with("/db/leases");
            let paths = io.paths().into_iter().filter(of_the_database);
            paths.map(|path| (io.content(&path).unwrap(), path)).collect()
        };
        let before = files(&crashed);
        let attached = reader(&crashed);
        let shown = read(&attached.snapshot());
        assert_eq!(files(&crashed), before, "seed {seed}");
        let recovered = writer(&crashed);
        assert_eq!(read(&recovered.snapshot()), shown, "seed {seed}");
        assert_eq!(recovered.recovery_report().torn_bytes, attached.recovery_report().torn_bytes, "seed {seed}");
        seen.insert(shown.len());
    }
    assert!(seen.len() > 2, "crashes must leave different states: {seen:?}");
}

#[test]
fn what_a_reader_has_shown_survives_a_power_cut() {
    let io = SimIo::new();
    let engine = writer(&io);
    let table = engine.create_table(&spec(Dedup::Off)).unwrap();
    let log = |rows: &[Row]| engine.write(vec![group_rows(&table, &batch(rows)).unwrap()], Ack::Logged).unwrap();
    let rows = [("a", 1, Some(1)), ("a", 2, Some(2))];
    log(&rows[..1]);
    let after_power_cut = || read(&writer(&io.after_crash(0, CrashModel::LoseAll)).snapshot());
    assert_eq!(after_power_cut(), expected(&[]), "the writer has synced nothing");
    let attached = reader(&io);
    assert_eq!(after_power_cut(), expected(&rows[..1]));
    log(&rows[1..]);
    attached.refresh().unwrap();
    assert_eq!(after_power_cut(), expected(&rows));
    assert_eq!(read(&attached.snapshot()), expected(&rows));
}

#[test]
fn damage_is_reported_as_recovery_does_and_what_surrounds_it_is_shown() {
    let io = SimIo::new();
    let engine = writer(&io);
    engine.create_table(&spec(Dedup::Off)).unwrap();
    for row in 0..10 {
        write(&engine, &[("a", row, Some(row))]);
    }
    let crashed = io.after_crash(0, CrashModel::KeepAll);
    let log = crashed.paths().into_iter().find(|path| path.starts_with("/db/wal")).unwrap();
    crashed.damage(&log, |bytes| bytes[64 + 41] ^= 1);
    let attached = reader(&crashed);
    let shown = read(&attached.snapshot());
    assert_eq!(shown.len(), 9);
    let reported = attached.recovery_report().wal_damage.clone();
    drop(attached);
    let recovered = writer(&crashed);
    assert_eq!(read(&recovered.snapshot()), shown);
    let mut expected = recovered.recovery_report().wal_damage.clone();
    // Only the writer copies the damaged file away.
    expected.iter_mut().for_each(|damage| damage.quarantined = None);
    assert_eq!(reported, expected);
}

#[test]
fn another_database_in_the_same_place_is_shown_as_it_is() {
    let io = SimIo::new();
    let engine = writer(&io);
    engine.create_table(&spec(Dedup::Off)).unwrap();
    for row in 0..6 {
        write(&engine, &[("a", row, Some(row))]);
        if row % 2 == 1 {
            engine.flush().unwrap();
        }
    }
    let attached = reader(&io);
    let before = attached.snapshot();
    drop(engine);
    io.paths().iter().for_each(|path| io.remove(path).unwrap());
    assert!(attached.refresh().is_err(), "there is no database");
    let engine = writer(&io);
    engine.create_table(&spec(Dedup::Off)).unwrap();
    write(&engine, &[("b", 1, Some(1))]);
    engine.flush().unwrap();
    let refresh = attached.refresh().unwrap().unwrap();
    assert_eq!((refresh.from, refresh.to), (Lsn(6), Lsn(1)));
    assert_eq!(read(&attached.snapshot()), expected(&[("b", 1, Some(1))]));
    assert_eq!(read(&before).len(), 6);
}

#[test]
fn a_pinned_segment_stays_until_its_reader_goes() {
    let io = SimIo::new();
    let engine = writer(&io);
    engine.create_table(&spec(Dedup::Off)).unwrap();
    write(&engine, &[("a", 1, Some(1))]);
    engine.flush().unwrap();
    let attached = reader(&io);
    engine.drop_table("public", "cpu").unwrap();
    assert_eq!(segment_files(&io).len(), 1, "the lease pins it");
    drop(engine);
    let engine = writer(&io);
    assert_eq!(segment_files(&io).len(), 1, "also for the next writer");
    assert_eq!(read(&attached.snapshot()), expected(&[("a", 1, Some(1))]));
    drop(attached);
    engine.flush().unwrap();
    assert_eq!(segment_files(&io), Vec::<PathBuf>::new());
    assert!(io.paths().iter().all(|path| !path.starts_with("/db/leases")));
}

#[test]
fn a_maintenance_turn_unlinks_what_a_reader_has_pinned_and_left() {
    let io = SimIo::new();
    let engine = writer(&io);
    engine.create_table(&spec(Dedup::Off)).unwrap();
    write(&engine, &[("a", 1, Some(1))]);
    engine.flush().unwrap();
    let attached = reader(&io);
    engine.drop_table("public", "cpu").unwrap();
    engine.maintain().unwrap();
    assert_eq!(segment_files(&io).len(), 1, "the lease pins it");
    drop(attached);
    engine.maintain().unwrap();
    assert_eq!(segment_files(&io), Vec::<PathBuf>::new());
}

#[test]
fn a_compaction_leaves_what_a_reader_has_pinned() {
    let io = SimIo::new();
    let engine = writer(&io);
    engine.create_table(&spec(Dedup::Off)).unwrap();
    for row in 0..4 {
        write(&engine, &[("a", row, Some(row))]);
        engine.flush().unwrap();
    }
    let attached = reader(&io);
    engine.compact().unwrap();
    assert_eq!((engine.stats().segments, segment_files(&io).len()), (1, 5));
    assert_eq!((attached.segments().len(), read(&attached.snapshot()).len()), (4, 4));
    let table = engine.table("public", "cpu").unwrap().id;
    let first_two = TimeRange { start_ns: 0, end_ns: 1 };
    assert_eq!(engine.delete(table, &TagFilter::all(), first_two).unwrap().rows, 2);
    assert_eq!(read(&attached.snapshot()).len(), 4);
    attached.refresh().unwrap();
    assert_eq!(attached.segments(), engine.segments());
    assert_eq!(attached.tombstones(), engine.tombstones());
    assert_eq!(read(&attached.snapshot()), expected(&[("a", 2, Some(2)), ("a", 3, Some(3))]));
    engine.flush().unwrap();
    assert_eq!(segment_files(&io).len(), 1);
}

#[test]
fn a_refresh_gives_segments_free_that_are_not_part_of_the_new_state() {
    let io = SimIo::new();
    let engine = writer(&io);
    engine.create_table(&spec(Dedup::Off)).unwrap();
    write(&engine, &[("a", 1, Some(1))]);
    engine.flush().unwrap();
    let attached = reader(&io);
    engine.drop_table("public", "cpu").unwrap();
    attached.refresh().unwrap();
    assert!(attached.tables().is_empty());
    engine.flush().unwrap();
    assert_eq!(segment_files(&io), Vec::<PathBuf>::new());
}

#[test]
fn the_lease_of_a_crashed_reader_pins_nothing() {
    let io = SimIo::new();
    let engine = writer(&io);
    engine.create_table(&spec(Dedup::Off)).unwrap();
    write(&engine, &[("a", 1, Some(1))]);
    engine.flush().unwrap();
    let _attached = reader(&io);
    let later = io.after_crash(0, CrashModel::KeepAll);
    assert!(later.paths().iter().any(|path| path.starts_with("/db/leases")));
    let engine = writer(&later);
    engine.drop_table("public", "cpu").unwrap();
    assert_eq!(segment_files(&later), Vec::<PathBuf>::new());
    assert!(later.paths().iter().all(|path| !path.starts_with("/db/leases")));
}

#[test]
fn a_read_only_file_system_is_read_without_a_lease() {
    let io = SimIo::new();
    let engine = writer(&io);
    engine.create_table(&spec(Dedup::Off)).unwrap();
    write(&engine, &[("a", 1, Some(1))]);
    engine.flush().unwrap();
    write(&engine, &[("a", 2, Some(2))]);
    let mounted = HookIo::read_only(Arc::new(io.clone()));
    let attached = Engine::open_read_only_with(mounted, Path::new(DIR), options()).unwrap();
    assert!(!attached.is_leased());
    let rows = [("a", 1, Some(1)), ("a", 2, Some(2))];
    assert_eq!(read(&attached.snapshot()), expected(&rows));
    engine.drop_table("public", "cpu").unwrap();
    assert_eq!(read(&attached.snapshot()), expected(&rows), "mapped files stay readable");
    attached.refresh().unwrap();
    assert!(attached.tables().is_empty());
}

#[test]
fn unflushed_rows_beyond_the_memory_of_the_reader_are_an_error() {
    let io = SimIo::new();
    let engine = writer(&io);
    engine.create_table(&spec(Dedup::Off)).unwrap();
    let rows: Vec<Row> = (0..1_000).map(|row| ("a", row, Some(row))).collect();
    let write_all = || {
        for rows in rows.chunks(100) {
            write(&engine, rows);
        }
    };
    write_all();
    let small = EngineOptions { memtable_bytes_max: 4_000, ..options() };
    let open = || Engine::open_read_only_with(Arc::new(io.clone()), Path::new(DIR), small);
    assert!(matches!(open(), Err(Error::Backpressure { .. })));
    engine.flush().unwrap();
    let attached = open().unwrap();
    write_all();
    assert!(matches!(attached.refresh(), Err(Error::Backpressure { .. })));
    assert_eq!(read(&attached.snapshot()).len(), 1_000, "the state before stays");
    engine.flush().unwrap();
    attached.refresh().unwrap();
    assert_eq!(read(&attached.snapshot()).len(), 2_000);
    // A commit that alone is more than the memory, beside nothing.
    write(&engine, &rows);
    let Err(Error::Backpressure { used_bytes, limit_bytes }) = attached.refresh() else { panic!("it does not fit") };
    assert_eq!((used_bytes, limit_bytes), (16_000, 4_000));
}

#[test]
fn a_refresh_reads_neither_old_segments_nor_old_records() {
    let io = SimIo::new();
    let engine = writer(&io);
    engine.create_table(&spec(Dedup::Off)).unwrap();
    for row in 0..5 {
        write(&engine, &[("a", row, Some(row))]);
        engine.flush().unwrap();
    }
    let attached = reader(&io);
    let maps = |io: &SimIo| {
        let count = |path: &PathBuf| io.count(Operation::Read, path);
        segment_files(io).iter().map(count).collect::<Vec<_>>()
    };
    let directory = |engine: &Engine| Arc::clone(&engine.version().table("public", "cpu").unwrap().sections);
    let first_directory = directory(&attached);
    let before = maps(&io);
    write(&engine, &[("a", 5, Some(5))]);
    attached.refresh().unwrap();
    assert_eq!(maps(&io), before);
    assert!(Arc::ptr_eq(&directory(&attached), &first_directory));
    engine.flush().unwrap();
    attached.refresh().unwrap();
    assert_eq!(maps(&io)[..5], before[..]);
    assert_eq!(read(&attached.snapshot()).len(), 6);
}
