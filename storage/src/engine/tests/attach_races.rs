//! Readers against a writer that flushes, makes and drops tables and removes files at the worst moment.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::hook_io::HookIo;
use super::*;
use crate::engine::backup_with;
use crate::io::Io;

const DIR: &str = "/db";

/// Times of the rows; they are written in order, so a state is right when it has the first so many.
fn prefix(snapshot: &Snapshot) -> i64 {
    let times: Vec<i64> = read(snapshot).into_iter().map(|(_, time, _)| time).collect();
    assert_eq!(times, (0..times.len() as i64).collect::<Vec<_>>(), "a commit is missing, or shown twice");
    times.len() as i64
}

/// A writer whose next steps are one row each, with a flush, a compaction, a table and a drop now and then.
struct Script {
    engine: Engine,
    next: AtomicU64,
}

impl Script {
    fn new(io: &SimIo) -> Arc<Self> {
        let engine = Engine::open_with(Arc::new(io.clone()), Path::new(DIR), options()).unwrap();
        engine.create_table(&spec(Dedup::Off)).unwrap();
        Arc::new(Self { engine, next: AtomicU64::new(0) })
    }

    fn step(&self) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let time = i64::try_from(number).unwrap();
        write(&self.engine, &[("a", time, Some(time))]);
        match number % 4 {
            1 if number % 8 == 5 => self.engine.compact().unwrap(),
            1 => self.engine.flush().unwrap(),
            2 => drop(self.engine.create_table(&TableSpec::new(format!("t{number}"))).unwrap()),
            3 => self.engine.drop_table("public", &format!("t{}", number - 1)).unwrap(),
            _ => {}
        }
    }

    fn written(&self) -> i64 {
        self.next.load(Ordering::Relaxed) as i64
    }
}

/// Runs `steps` steps of the writer before the operation `at` of the reader. Says whether that operation came.
fn interrupted(io: &SimIo, script: &Arc<Script>, at: u64, steps: u32) -> (Arc<dyn Io>, Arc<AtomicBool>) {
    let (script, operations, was_hit) = (Arc::clone(script), AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
    let hit = Arc::clone(&was_hit);
    let io = HookIo::over(Arc::new(io.clone()), move |_, _| {
        if operations.fetch_add(1, Ordering::Relaxed) == at {
            hit.store(true, Ordering::Relaxed);
            (0..steps).for_each(|_| script.step());
        }
        Ok(())
    });
    (io, was_hit)
}

#[test]
fn an_attach_that_is_interrupted_anywhere_shows_a_state_that_was() {
    for steps in [1, 2, 6] {
        for first in 0..4 {
            let mut at = 0;
            loop {
                let io = SimIo::new();
                let script = Script::new(&io);
                (0..first + 3).for_each(|_| script.step());
                let before = script.written();
                let (hooked, was_hit) = interrupted(&io, &script, at, steps);
                let reader = Engine::open_read_only_with(hooked, Path::new(DIR), options()).unwrap();
                let shown = prefix(&reader.snapshot());
                assert!((before..=script.written()).contains(&shown), "{shown} rows, operation {at}");
                assert!(!reader.recovery_report().found_damage(), "operation {at}");
                if !was_hit.load(Ordering::Relaxed) {
                    assert!(at > 20, "the loop must reach every operation: {at}");
                    break;
                }
                at += 1;
            }
        }
    }
}

#[test]
fn a_refresh_that_is_interrupted_anywhere_shows_a_state_that_was() {
    for steps in [1, 2, 6] {
        for ahead in 0..5 {
            let mut hits = 0;
            for at in 0..200 {
                let io = SimIo::new();
                let script = Script::new(&io);
                (0..3).for_each(|_| script.step());
                // Operations until the writer runs, and the steps that it runs then.
                let plan = Arc::new(Mutex::new(None::<(u64, u32)>));
                let (planned, writer) = (Arc::clone(&plan), Arc::clone(&script));
                let hooked = HookIo::over(Arc::new(io.clone()), move |_, _| {
                    let due = match &mut *planned.lock() {
                        Some((0, steps)) => std::mem::take(steps),
                        Some((left, _)) => {
                            *left -= 1;
                            0
                        }
                        None => 0,
                    };
                    (0..due).for_each(|_| writer.step());
                    Ok(())
                });
                let reader = Engine::open_read_only_with(hooked, Path::new(DIR), options()).unwrap();
                (0..ahead).for_each(|_| script.step());
                let before = script.written();
                *plan.lock() = Some((at, steps));
                reader.refresh().unwrap();
                let was_hit = plan.lock().take().is_some_and(|(_, left)| left == 0);
                let shown = prefix(&reader.snapshot());
                assert!((before..=script.written()).contains(&shown), "{shown} rows, operation {at}");
                reader.refresh().unwrap();
                assert_eq!(prefix(&reader.snapshot()), script.written());
                if !was_hit {
                    break;
                }
                hits += 1;
            }
            assert!(hits > 8, "the loop must reach every operation of a refresh: {hits}");
        }
    }
}

#[test]
fn a_backup_that_is_interrupted_anywhere_holds_a_state_that_was() {
    for first in 0..4 {
        let mut at = 0;
        loop {
            let io = SimIo::new();
            let script = Script::new(&io);
            (0..first + 3).for_each(|_| script.step());
            let before = script.written();
            let (hooked, was_hit) = interrupted(&io, &script, at, 5);
            backup_with(&hooked, Path::new(DIR), Path::new("/backup")).unwrap();
            let backup = Engine::open_with(Arc::new(io.clone()), Path::new("/backup"), options()).unwrap();
            let shown = prefix(&backup.snapshot());
            assert!((before..=script.written()).contains(&shown), "{shown} rows, operation {at}");
            assert!(!backup.recovery_report().found_damage(), "operation {at}");
            if !was_hit.load(Ordering::Relaxed) {
                assert!(at > 40, "the loop must reach every operation: {at}");
                break;
            }
            at += 1;
        }
    }
}

#[test]
fn readers_beside_a_busy_writer_see_exact_prefixes() {
    const ROWS: i64 = 4_000;
    let dir = tempfile::tempdir().unwrap();
    let tiny = EngineOptions {
        flush_bytes_max: 8_000,
        memtable_bytes_max: 1 << 20,
        wal_file_bytes_max: 16 << 10,
        background: Background::Thread,
        ..options()
    };
    let engine = Engine::open(dir.path(), tiny).unwrap();
    engine.create_table(&spec(Dedup::Off)).unwrap();
    let acknowledged = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|number| {
                let (dir, acknowledged) = (dir.path(), &acknowledged);
                scope.spawn(move || {
                    let mut states = 0;
                    loop {
                        let reader = Engine::open_read_only(dir, tiny).unwrap();
                        for _ in 0..20 * number {
                            let before = acknowledged.load(Ordering::Acquire) as i64;
                            reader.refresh().unwrap();
                            let shown = prefix(&reader.snapshot());
                            assert!(shown >= before, "{shown} rows, {before} were acknowledged before");
                            states += 1;
                            if shown == ROWS {
                                return states;
                            }
                        }
                        assert!(!reader.recovery_report().found_damage());
                        states += 1;
                        if prefix(&reader.snapshot()) == ROWS {
                            return states;
                        }
                    }
                })
            })
            .collect();
        for row in 0..ROWS {
            let schema = engine.table("public", "cpu").unwrap();
            let rows = group_rows(&schema, &batch(&[("a", row, Some(row))])).unwrap();
            let ack = if row % 16 == 0 { Ack::Durable } else { Ack::Logged };
            engine.write(vec![rows], ack).unwrap();
            acknowledged.store(row as u64 + 1, Ordering::Release);
        }
        for reader in readers {
            assert!(reader.join().unwrap() > 1);
        }
    });
    assert!(engine.stats().flushes > 5, "{:?}", engine.stats());
}

const CHILD_DIR: &str = "LYNX_TEST_CHILD_DIR";

fn tiny() -> EngineOptions {
    EngineOptions { flush_bytes_max: 8_000, wal_file_bytes_max: 16 << 10, ..options() }
}

#[test]
#[ignore = "the child of `readers_beside_a_process_that_is_killed_see_exact_prefixes`"]
fn child_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let engine = Engine::open(Path::new(&dir), tiny()).unwrap();
    engine.ensure_tables(&[spec(Dedup::Off)]).unwrap();
    let table = engine.table("public", "cpu").unwrap();
    for row in prefix(&engine.snapshot()).. {
        let ack = if row % 16 == 0 { Ack::Durable } else { Ack::Logged };
        engine.write(vec![group_rows(&table, &batch(&[("a", row, Some(row))])).unwrap()], ack).unwrap();
    }
}

fn start_child(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "engine::tests::attach_races::child_writes_until_it_is_killed", "--ignored"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn readers_beside_a_process_that_is_killed_see_exact_prefixes() {
    let dir = tempfile::tempdir().unwrap();
    let attach = || Engine::open_read_only(dir.path(), tiny()).unwrap();
    open(dir.path()).create_table(&spec(Dedup::Off)).unwrap();
    // Lives as long as all writers together.
    let veteran = attach();
    let mut rows_seen = 0;
    for round in 0..8 {
        let mut child = start_child(dir.path());
        // It holds the lock from its first moment on, so it has begun when the database has more than before.
        let reader = attach();
        let mut ended = None;
        while prefix(&reader.snapshot()) == rows_seen && ended.is_none() {
            std::thread::sleep(Duration::from_millis(1));
            ended = child.try_wait().unwrap();
            reader.refresh().unwrap();
        }
        assert_eq!(ended, None, "the child of round {round} ended by itself");
        match Engine::open(dir.path(), options()) {
            Err(Error::Locked { holder, .. }) => assert_eq!(holder, Some(child.id())),
            other => panic!("{other:?}"),
        }
        for _ in 0..20 {
            let before = prefix(&reader.snapshot());
            reader.refresh().unwrap();
            assert!(prefix(&reader.snapshot()) >= before);
            let another = attach();
            assert!(prefix(&another.snapshot()) >= prefix(&reader.snapshot()));
            assert!(!another.recovery_report().found_damage() && another.is_leased());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let shown = prefix(&reader.snapshot());
        let after = prefix(&attach().snapshot());
        assert!(after >= shown, "{after} rows, {shown} were shown before the kill");
        reader.refresh().unwrap();
        assert_eq!(prefix(&reader.snapshot()), after);
        veteran.refresh().unwrap();
        assert_eq!(prefix(&veteran.snapshot()), after);
        rows_seen = prefix(&open(dir.path()).snapshot());
        assert_eq!(rows_seen, after);
    }
    assert!(rows_seen > 100, "{rows_seen}");
}
