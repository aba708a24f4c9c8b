//! Runs all of it at once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::history::{self, Before, History};
use super::ledger::{self, WRITERS};
use crate::engine::{Ack, Engine, EngineOptions, TaskKind};
use crate::snapshot::{Snapshot, TagFilter, TagTerm};
use crate::types::{SegmentId, Tier, TimeRange};

const READERS: u64 = 2;

/// Snapshots that a reader holds.
const HELD_MAX: usize = 6;

/// A delete leaves this many batches.
const BATCHES_LEFT: u64 = 40;

const BATCHES: u64 = 200;

struct Round<'a> {
    engine: &'a Engine,
    history: &'a History,
    is_over: &'a AtomicBool,
    rechecks: &'a AtomicU64,
    deletes: &'a AtomicU64,
}

/// Ends the round when the thread that holds it panics: what the others do then shows nothing more.
struct EndOnPanic<'a>(&'a AtomicBool);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

/// Pseudo-random numbers, by the splitmix64 of Steele, Lea and Flood.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }

    fn pause(&mut self, micros_max: u64) {
        std::thread::sleep(Duration::from_micros(self.below(micros_max)));
    }
}

fn options() -> EngineOptions {
    EngineOptions {
        memtable_bytes_max: 192 << 10,
        flush_bytes_max: 96 << 10,
        wal_bytes_max: 96 << 10,
        wal_file_bytes_max: 32 << 10,
        clock: history::clock,
        ..EngineOptions::with_memory_budget(8 << 20)
    }
}

/// `LYNX_STRESS_SECONDS` goes on with further seeds for so long; `LYNX_STRESS_SEED` is the first one.
#[test]
fn snapshots_hold_while_everything_goes_on_at_once() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let (begin, duration) = (Instant::now(), Duration::from_secs(number("LYNX_STRESS_SECONDS").unwrap_or(0)));
    let mut seed = number("LYNX_STRESS_SEED").unwrap_or(1);
    loop {
        round(seed);
        if begin.elapsed() >= duration {
            break;
        }
        seed += 1;
    }
}

fn round(seed: u64) {
    eprintln!("stress: LYNX_STRESS_SEED={seed}");
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), options()).unwrap();
    ledger::create_tables(&engine);
    let (history, is_over) = (History::begin(), AtomicBool::new(false));
    let (rechecks, deletes) = (AtomicU64::new(0), AtomicU64::new(0));
    let round = Round { engine: &engine, history: &history, is_over: &is_over, rechecks: &rechecks, deletes: &deletes };
    let mut seeds = Rng(seed);
    std::thread::scope(|scope| {
        let round = &round;
        let mut rng = || Rng(seeds.below(u64::MAX));
        let writers: Vec<_> = (0..WRITERS).map(|writer| (writer, rng())).collect();
        let writers: Vec<_> =
            writers.into_iter().map(|(writer, rng)| scope.spawn(move || round.write(writer, rng))).collect();
        for _ in 0..READERS {
            let rng = rng();
            scope.spawn(move || round.read(rng));
        }
        let (flushing, maintaining, deleting, moving) = (rng(), rng(), rng(), rng());
        scope.spawn(move || round.flush(flushing));
        scope.spawn(move || round.maintain(maintaining));
        scope.spawn(move || round.delete(deleting));
        scope.spawn(move || round.move_partitions(moving));
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        is_over.store(true, Ordering::SeqCst);
        written.into_iter().for_each(|written| written.unwrap());
    });
    // A canary: a round in which little happened proves little.
    let stats = engine.stats();
    let did = |kind: TaskKind| engine.tasks().iter().any(|task| task.kind == kind && task.error.is_none());
    assert!(stats.flushes > 3 && stats.compactions > 0 && did(TaskKind::Retention), "{stats:?}");
    assert!(did(TaskKind::Move), "{stats:?}");
    assert!(rechecks.load(Ordering::SeqCst) > 3 && deletes.load(Ordering::SeqCst) > 3);
    settle(engine, &history, dir.path());
}

/// What is left when nobody works any more: all that was acknowledged, also after a reopen, and no file beside it.
fn settle(engine: Engine, history: &History, dir: &std::path::Path) {
    engine.compact().unwrap();
    let before = history.before();
    let last = ledger::contents(&engine.snapshot());
    assert_eq!(ledger::check(&last, history, &before), [BATCHES; WRITERS]);
    engine.close().unwrap();
    let files = std::fs::read_dir(dir.join("segments")).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect::<BTreeSet<_>>();
    let named = engine.segments().iter().map(|segment| file_name(segment.id)).collect::<BTreeSet<_>>();
    assert_eq!(files, named, "files of segments that nobody reads are still there");
    drop(engine);
    let engine = Engine::open(dir, options()).unwrap();
    assert!(ledger::contents(&engine.snapshot()) == last, "a reopen changed what is there");
}

fn file_name(id: SegmentId) -> String {
    crate::segment::segment_file_name(id)
}

impl Round<'_> {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::SeqCst)
    }

    fn write(&self, writer: usize, mut rng: Rng) {
        let _end = EndOnPanic(self.is_over);
        for number in 0..BATCHES {
            if !self.goes_on() {
                return;
            }
            let ack = [Ack::Durable, Ack::Logged, Ack::Logged, Ack::Volatile][rng.below(4) as usize];
            self.history.begin_batch(writer, number);
            self.engine.write(ledger::batches(self.engine, writer, number), ack).unwrap();
            self.history.ack_batch(writer, number);
            rng.pause(4_000);
        }
    }

    fn read(&self, mut rng: Rng) {
        let _end = EndOnPanic(self.is_over);
        let mut held: Vec<(Snapshot, [Vec<ledger::Row>; 3])> = Vec::new();
        let mut seen = [0; WRITERS];
        while self.goes_on() {
            let before: Before = self.history.before();
            let snapshot = self.engine.snapshot();
            let contents = ledger::contents(&snapshot);
            let counts = ledger::check(&contents, self.history, &before);
            assert!(counts.iter().zip(&seen).all(|(now, then)| now >= then), "{counts:?} after {seen:?}");
            seen = counts;
            held.push((snapshot, contents));
            let (snapshot, contents) = &held[rng.below(held.len() as u64) as usize];
            assert!(ledger::contents(snapshot) == *contents, "a snapshot changed while it was held");
            self.rechecks.fetch_add(1, Ordering::SeqCst);
            if held.len() > HELD_MAX {
                held.swap_remove(rng.below(held.len() as u64) as usize);
            }
            rng.pause(2_000);
        }
        for (snapshot, contents) in &held {
            assert!(ledger::contents(snapshot) == *contents, "a snapshot changed until the end");
        }
    }

    fn flush(&self, mut rng: Rng) {
        let _end = EndOnPanic(self.is_over);
        while self.goes_on() {
            self.engine.flush().unwrap();
            rng.pause(20_000);
        }
    }

    fn maintain(&self, mut rng: Rng) {
        let _end = EndOnPanic(self.is_over);
        while self.goes_on() {
            match rng.below(3) {
                0 => self.engine.compact().unwrap(),
                _ => self.engine.maintain().unwrap(),
            }
            rng.pause(20_000);
        }
    }

    fn move_partitions(&self, mut rng: Rng) {
        let _end = EndOnPanic(self.is_over);
        while self.goes_on() {
            let sections: Vec<_> = self.engine.segments().into_iter().flat_map(|segment| segment.sections).collect();
            if !sections.is_empty() {
                let section = sections[rng.below(sections.len() as u64) as usize];
                let tier = [Tier::Warm, Tier::Hot][rng.below(2) as usize];
                match self.engine.move_partition(section.table, section.partition_start_ns, tier) {
                    Ok(_) => {}
                    // Its rows expired, or were deleted, meanwhile.
                    Err(error) => assert!(error.to_string().contains("no rows"), "{error}"),
                }
            }
            rng.pause(20_000);
        }
    }

    fn delete(&self, mut rng: Rng) {
        let _end = EndOnPanic(self.is_over);
        let table = self.engine.table("public", "ledger").unwrap().id;
        while self.goes_on() {
            let writer = rng.below(WRITERS as u64) as usize;
            let (deleted, acked) = (self.history.deleted(writer), self.history.acked(writer));
            let up_to = acked.saturating_sub(rng.below(2 * BATCHES_LEFT));
            if up_to > deleted {
                let filter = TagFilter { terms: vec![TagTerm::one_of(0, vec![writer.to_string()])] };
                let range = TimeRange { start_ns: i64::MIN, end_ns: ledger::time_of(up_to) - 1 };
                self.history.begin_delete(writer, up_to);
                let receipt = self.engine.delete(table, &filter, range).unwrap();
                let expected: u64 = (deleted..up_to).map(ledger::ledger_rows).sum();
                assert_eq!(receipt.rows, expected, "a delete counts other rows than there were");
                self.history.ack_delete(writer, up_to);
                self.deletes.fetch_add(1, Ordering::SeqCst);
            }
            rng.pause(10_000);
        }
    }
}
