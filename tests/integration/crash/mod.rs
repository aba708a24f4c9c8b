//! The whole engine on a simulated disk that loses power, or fails an operation, at every step of a workload.
//!
//! For each operation of the disk in turn: the workload runs until the power is cut there, the disk keeps what the crash
//! model says, the engine opens what is left. Every row that was acknowledged as Durable must be there, every commit
//! whole, no row that was not written, no later commit of the log without an earlier one. A database that has come back
//! must also work: it takes a write, is flushed, closed and opened again. Recovery itself is interrupted as well.

mod workload;

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;

use lynxstore_storage::Result;
use lynxstore_storage::engine::{Ack, Background, Engine, EngineOptions};
use lynxstore_storage::io::sim::{CrashModel, FaultAt, FaultKind, SimIo};
use workload::{AfterFailure, Oracle};

/// What a crash may leave; the random model is tried with several seeds.
const MODELS: &[(CrashModel, u64)] = &[
    (CrashModel::LoseAll, 0),
    (CrashModel::KeepAll, 0),
    (CrashModel::Random, 1),
    (CrashModel::Random, 2),
    (CrashModel::Random, 3),
    (CrashModel::Random, 4),
];

fn open(disk: &SimIo) -> Result<Arc<Engine>> {
    // Flushes on the caller's thread: the same seed gives the same order of operations.
    let options =
        EngineOptions { wal_file_bytes_max: 4 << 10, background: Background::Caller, ..EngineOptions::default() };
    Engine::open_with(Arc::new(disk.clone()), Path::new("/db"), options).map(Arc::new)
}

/// Number of disk operations of an undisturbed run, which itself must satisfy the oracle.
fn undisturbed_operations() -> u64 {
    let disk = SimIo::new();
    let engine = open(&disk).unwrap();
    let oracle = workload::run(&engine, AfterFailure::Stop);
    engine.close().unwrap();
    drop(engine);
    let operations = disk.operations();
    assert_eq!(oracle.commit_count(), 12);
    let engine = open(&disk).unwrap();
    oracle.check(&engine, "undisturbed");
    operations
}

/// Runs the workload as far as the disk lets it; nothing is known when not even the open succeeds.
fn run_on(disk: &SimIo, after_failure: AfterFailure) -> Oracle {
    let Ok(engine) = open(disk) else { return Oracle::default() };
    let oracle = workload::run(&engine, after_failure);
    // Closes as the end of a handle does; on a disk without power nothing of that succeeds.
    drop(engine);
    oracle
}

/// Opens what a crash left, checks it, and checks that the database goes on working.
fn recover_and_use(disk: &SimIo, oracle: &Oracle, at: &str) {
    let engine = open(disk).unwrap_or_else(|error| panic!("{at}: recovery failed: {error}"));
    oracle.check(&engine, at);
    engine.flush().unwrap_or_else(|error| panic!("{at}: flush after recovery failed: {error}"));
    oracle.check(&engine, &format!("{at}, then flushed"));
    engine.close().unwrap();
    drop(engine);
    let engine = open(disk).unwrap_or_else(|error| panic!("{at}: second open failed: {error}"));
    oracle.check(&engine, &format!("{at}, then flushed and reopened"));
}

#[test]
fn no_crash_point_loses_a_durable_commit_or_invents_a_row() {
    let operations = undisturbed_operations();
    assert!(operations > 50, "the workload has only {operations} operations");
    for operation in 1..=operations {
        let disk = SimIo::new();
        disk.set_crash_at(operation);
        let oracle = run_on(&disk, AfterFailure::Stop);
        for (model, seed) in MODELS {
            let left = disk.after_crash(*seed, *model);
            recover_and_use(&left, &oracle, &format!("crash at operation {operation}, {model:?} {seed}"));
        }
    }
}

#[test]
fn a_crash_during_recovery_is_a_crash_like_any_other() {
    let operations = undisturbed_operations();
    // Every crash point of recovery after every crash point of the workload would be quadratic: take a stride that is
    // not a divisor of anything in the workload.
    for operation in (1..=operations).step_by(7) {
        let disk = SimIo::new();
        disk.set_crash_at(operation);
        let oracle = run_on(&disk, AfterFailure::Stop);
        for (model, seed) in [(CrashModel::LoseAll, 0), (CrashModel::Random, operation)] {
            let probe = disk.after_crash(seed, model);
            drop(open(&probe).unwrap());
            for recovery_operation in 1..=probe.operations() {
                let again = disk.after_crash(seed, model);
                again.set_crash_at(recovery_operation);
                drop(open(&again));
                let left = again.after_crash(recovery_operation, CrashModel::Random);
                let at = format!("crash at {operation} ({model:?}), then at {recovery_operation} of recovery");
                recover_and_use(&left, &oracle, &at);
            }
        }
    }
}

#[test]
fn a_failed_operation_loses_nothing_that_is_acknowledged() {
    let operations = undisturbed_operations();
    for operation in 1..=operations {
        let faults = [
            (FaultAt::Once(operation), FaultKind::Eio),
            (FaultAt::Once(operation), FaultKind::Enospc),
            (FaultAt::Once(operation), FaultKind::ShortWrite),
            (FaultAt::From(operation), FaultKind::Eio),
            (FaultAt::From(operation), FaultKind::Enospc),
        ];
        for (at, kind) in faults {
            let disk = SimIo::new();
            disk.fail(at, kind);
            let oracle = run_on(&disk, AfterFailure::GoOn);
            for model in [CrashModel::LoseAll, CrashModel::KeepAll] {
                let left = disk.after_crash(operation, model);
                recover_and_use(&left, &oracle, &format!("{kind:?} at {at:?}, then {model:?}"));
            }
        }
    }
}

/// The oracle can fail: a database that lost a file does not pass.
#[test]
fn a_lost_segment_is_noticed() {
    let disk = SimIo::new();
    let engine = open(&disk).unwrap();
    let oracle = workload::run(&engine, AfterFailure::Stop);
    engine.flush().unwrap();
    engine.close().unwrap();
    drop(engine);
    for path in disk.paths().iter().filter(|path| path.extension().is_some_and(|extension| extension == "seg")) {
        disk.damage(path, Vec::clear);
    }
    let checked = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let engine = open(&disk).unwrap();
        oracle.check(&engine, "segments lost");
    }));
    assert!(checked.is_err(), "the oracle accepts a database without its segments");
}

/// A write that the disk refuses is not acknowledged, and neither is any later one.
#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_the_database_is_reopened() {
    use lynxstore_storage::io::sim::Operation;

    let disk = SimIo::new();
    let engine = open(&disk).unwrap();
    let oracle = workload::run(&engine, AfterFailure::Stop);
    disk.fail(FaultAt::Next(Operation::Sync), FaultKind::Eio);
    let batch = || vec![workload::one_batch(&engine, 100)];
    assert!(engine.write(batch(), Ack::Durable).is_err());
    assert!(engine.write(batch(), Ack::Durable).is_err(), "the log took a commit after a failed sync");
    assert!(engine.write(batch(), Ack::Logged).is_err(), "the log took a commit after a failed sync");
    drop(engine);
    let left = disk.after_crash(1, CrashModel::LoseAll);
    recover_and_use(&left, &oracle, "after a failed sync");
}
