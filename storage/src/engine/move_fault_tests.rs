//! Random sequences of late rows, deletes and moves on a disk that fails or loses power somewhere within a move.
//!
//! `LYNX_MOVE_SEQUENCES` is how many; `LYNX_MOVE_SEED` is the first one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::move_tests::{ROWS, filled, layout, set_hot_for, set_now_ns, table, try_open};
use super::recovery_tests::MODELS;
use super::tests::{read, write};
use super::*;
use crate::io::Io;
use crate::io::sim::{CrashModel, FaultAt, FaultKind, SimIo};
use crate::segment::segment_file_name;
use crate::types::{Tier, TimeRange};

const SEQUENCES: u64 = 100;

/// Calls to the disk of a move and what goes before it; a fault beyond them finds nothing to do.
const CALLS: u64 = 45;

const HOSTS: [&str; 3] = ["a", "b", "c"];

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

    fn one_of<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices[self.below(N as u64) as usize]
    }
}

type Rows = BTreeMap<(&'static str, i64), Option<i64>>;

fn listed(rows: &Rows) -> Vec<(String, i64, Option<i64>)> {
    rows.iter().map(|((host, time), value)| ((*host).to_owned(), *time, *value)).collect()
}

/// Late rows, a delete, a flush, a compaction or a move, all of which go well.
fn prepare(engine: &Engine, rows: &mut Rows, rng: &mut Rng) {
    let id = table(engine).id;
    match rng.below(5) {
        0 | 1 => {
            let row = (rng.one_of(HOSTS), rng.below(300).cast_signed(), Some(rng.below(100).cast_signed()));
            write(engine, &[row]);
            rows.insert((row.0, row.1), row.2);
        }
        2 => {
            let start_ns = rng.below(300).cast_signed();
            let range = TimeRange { start_ns, end_ns: start_ns + rng.below(60).cast_signed() };
            engine.delete(id, &crate::snapshot::TagFilter::all(), range).unwrap();
            rows.retain(|(_, time), _| !range.contains(*time));
        }
        3 => engine.flush().unwrap(),
        _ => move_one(engine, rng).unwrap(),
    }
}

fn move_one(engine: &Engine, rng: &mut Rng) -> crate::error::Result<()> {
    let (time_ns, tier) = (rng.below(300).cast_signed(), rng.one_of([Tier::Warm, Tier::Warm, Tier::Hot]));
    match engine.move_partition(table(engine).id, time_ns, tier) {
        Err(error) if error.to_string().contains("no rows") => Ok(()),
        moved => moved.map(drop),
    }
}

/// Returns whether the fault came while something was done.
fn sequence(begin: &SimIo, seed: u64) -> bool {
    let mut rng = Rng(seed);
    let io = begin.after_crash(0, CrashModel::KeepAll);
    let mut rows: Rows = ROWS.into_iter().map(|(host, time, value)| ((host, time), value)).collect();
    set_now_ns(rng.one_of([100, 150, 250, 350]));
    let engine = try_open(&io).unwrap();
    for _ in 0..rng.below(5) {
        prepare(&engine, &mut rows, &mut rng);
    }
    let at = io.operations() + 1 + rng.below(CALLS);
    let kind = rng.one_of([FaultKind::Eio, FaultKind::Enospc, FaultKind::ShortWrite]);
    match rng.below(4) {
        0 | 1 => io.set_crash_at(at),
        2 => io.fail(FaultAt::Once(at), kind),
        _ => io.fail(FaultAt::From(at), kind),
    }
    let done = if rng.below(2) == 0 { engine.maintain() } else { move_one(&engine, &mut rng) };
    let was_hit = io.is_off() || done.is_err();
    if !io.is_off() {
        io.clear_faults();
        assert_eq!(read(&engine.snapshot()), listed(&rows), "seed {seed}, after {done:?}");
    }
    let io = io.after_crash(seed, rng.one_of(MODELS));
    drop(engine);
    let engine = try_open(&io).unwrap();
    assert_eq!(read(&engine.snapshot()), listed(&rows), "seed {seed}, after the power cut");
    assert!(engine.corruption().is_empty(), "seed {seed}: {:?}", engine.corruption());
    // What was cut off is done, and nothing lies about.
    set_now_ns(1_000);
    engine.compact().unwrap();
    engine.maintain().unwrap();
    assert_eq!(read(&engine.snapshot()), listed(&rows), "seed {seed}, after the next turn");
    assert!(layout(&engine).iter().all(|place| place.1 == Tier::Warm), "seed {seed}: {:?}", layout(&engine));
    let named: BTreeSet<String> = engine.segments().iter().map(|segment| segment_file_name(segment.id)).collect();
    let files: BTreeSet<String> = io.list(Path::new("/db/segments")).unwrap().into_iter().collect();
    assert_eq!(files, named, "seed {seed}");
    was_hit
}

#[test]
fn whatever_fails_within_a_move_nothing_is_lost_and_nothing_lies_about() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let sequences = number("LYNX_MOVE_SEQUENCES").unwrap_or(SEQUENCES);
    let first = number("LYNX_MOVE_SEED").unwrap_or(1);
    let begin = SimIo::new();
    let engine = filled(&begin);
    set_hot_for(&engine, 50);
    drop(engine);
    let begin = begin.after_crash(0, CrashModel::KeepAll);
    let hits = (first..first + sequences).filter(|seed| sequence(&begin, *seed)).count() as u64;
    assert!(hits * 4 > sequences, "{hits} of {sequences} faults came while something was done: raise or lower CALLS");
}
