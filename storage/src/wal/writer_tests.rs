use std::sync::Barrier;
use std::sync::mpsc;

use super::super::file::SealedFile;
use super::*;
use crate::error::Error;
use crate::io::RealIo;
use crate::io::sim::{FaultAt, FaultKind, Operation, SimIo};
use crate::types::{SeriesBatch, SeriesKey, SeriesRows, TableId, WalFileId};
use crate::wal::{encode_commit, replay};

const DIR: &str = "/db/wal";

fn commit_of(number: u64) -> EncodedCommit {
    let batch = SeriesBatch {
        table: TableId(number),
        series: vec![SeriesRows { key: SeriesKey::from_tags([]), rows: 0..1 }],
        times: vec![7].into(),
        fields: Vec::new(),
    };
    encode_commit(&[batch]).unwrap()
}

fn open(io: Arc<dyn Io>, dir: &Path, file_bytes_max: u64) -> WalWriter {
    let report = replay(&*io, dir, Lsn(0), |_, _| Ok(())).unwrap();
    WalWriter::open(io, dir, &report, Lsn(0), WalOptions { file_bytes_max, ..WalOptions::default() }).unwrap()
}

fn open_sim(io: &SimIo) -> WalWriter {
    open(Arc::new(io.clone()), Path::new(DIR), 4096)
}

fn write(wal: &WalWriter, sync: SyncMode) -> Result<Lsn> {
    wal.commit(commit_of(1), sync, |_| {})
}

fn replayed(io: &dyn Io, dir: &Path) -> Vec<u64> {
    let mut lsns = Vec::new();
    replay(io, dir, Lsn(0), |lsn, _| {
        lsns.push(lsn.0);
        Ok(())
    })
    .unwrap();
    lsns
}

#[test]
fn writers_that_come_together_share_a_write_and_a_sync() {
    let io = SimIo::new();
    let wal = open_sim(&io);
    let path = file::path_of(Path::new(DIR), WalFileId(1));
    let counts = || (io.count(Operation::Write, &path), io.count(Operation::Sync, &path));
    let (writes, syncs) = counts();
    let applied = Arc::new(Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        wal.rotate(|_| {
            for _ in 0..8 {
                let applied = applied.clone();
                let wal = &wal;
                scope.spawn(move || {
                    let lsn = wal.commit(commit_of(1), SyncMode::Sync, move |lsn| applied.lock().push(lsn)).unwrap();
                    assert!((1..=8).contains(&lsn.0));
                });
            }
            while wal.group.queue_len() < 8 {
                std::thread::yield_now();
            }
        })
        .unwrap();
    });
    assert_eq!(counts(), (writes + 1, syncs + 1));
    assert_eq!(wal.sync_count(), 1);
    assert_eq!(*applied.lock(), (1..=8).map(Lsn).collect::<Vec<_>>());
}

#[test]
fn many_threads_commit_in_the_order_in_which_their_closures_run() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("wal");
    let wal = open(Arc::new(RealIo), &dir, 20_000);
    let applied = Arc::new(Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (wal, applied) = (&wal, applied.clone());
            scope.spawn(move || {
                for number in 0..100 {
                    let order = applied.clone();
                    let sync = if number % 10 == thread { SyncMode::Sync } else { SyncMode::Write };
                    wal.commit(commit_of(1), sync, move |lsn| order.lock().push(lsn.0)).unwrap();
                    if number % 25 == 0 {
                        wal.rotate(|last| assert_eq!(last.0, applied.lock().len() as u64)).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(*applied.lock(), (1..=800).collect::<Vec<_>>());
    drop(wal);
    assert_eq!(replayed(&RealIo, &dir), (1..=800).collect::<Vec<_>>());
}

#[test]
fn the_log_is_closed_after_a_failed_write_or_sync_and_never_synced_again() {
    for operation in [Operation::Write, Operation::Sync] {
        for kind in [FaultKind::Eio, FaultKind::Enospc, FaultKind::ShortWrite] {
            let io = SimIo::new();
            let wal = open_sim(&io);
            write(&wal, SyncMode::Sync).unwrap();
            io.fail(FaultAt::Next(operation), kind);
            let (send, receive) = mpsc::channel();
            let failed = wal.commit(commit_of(1), SyncMode::Sync, move |_| send.send(()).unwrap());
            assert!(matches!(failed, Err(Error::WalPoisoned { .. })));
            assert!(receive.recv().is_err(), "a commit that failed is not applied");
            let before = io.operations();
            for sync in [SyncMode::Sync, SyncMode::Write] {
                assert!(matches!(write(&wal, sync), Err(Error::WalPoisoned { .. })));
            }
            assert!(matches!(wal.sync(), Err(Error::WalPoisoned { .. })));
            assert!(matches!(wal.rotate(|_| ()), Err(Error::WalPoisoned { .. })));
            drop(wal);
            assert_eq!(io.operations(), before, "nothing touches the disk any more");
        }
    }
}

#[test]
fn every_writer_of_a_failed_group_is_told() {
    let io = SimIo::new();
    let wal = open_sim(&io);
    let failures = std::thread::scope(|scope| {
        let threads = wal
            .rotate(|_| {
                let threads: Vec<_> =
                    (0..6).map(|_| scope.spawn(|| write(&wal, SyncMode::Sync).unwrap_err())).collect();
                while wal.group.queue_len() < 6 {
                    std::thread::yield_now();
                }
                io.fail(FaultAt::Next(Operation::Sync), FaultKind::Eio);
                threads
            })
            .unwrap();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(failures.iter().all(|error| matches!(error, Error::WalPoisoned { operation: "sync", .. })));
}

#[test]
fn a_full_disk_at_rotation_fails_commits_until_there_is_space() {
    let io = SimIo::new();
    let wal = open_sim(&io);
    let mut lsn = Lsn(0);
    let mut failures = 0;
    for number in 0..200 {
        if number % 20 == 0 {
            io.fail(FaultAt::Next(Operation::Resize), FaultKind::Enospc);
        }
        match write(&wal, SyncMode::Sync) {
            Ok(next) => {
                assert_eq!(next, lsn.next());
                lsn = next;
            }
            Err(error) => {
                assert!(matches!(error, Error::Io { .. }), "{error}");
                failures += 1;
            }
        }
    }
    assert!(failures > 1);
    io.clear_faults();
    drop(wal);
    assert_eq!(replayed(&io, Path::new(DIR)), (1..=lsn.0).collect::<Vec<_>>());
}

#[test]
fn files_rotate_by_size_and_go_when_they_are_flushed() {
    let io = SimIo::new();
    let wal = open_sim(&io);
    for _ in 0..200 {
        write(&wal, SyncMode::Write).unwrap();
    }
    let sealed: Vec<SealedFile> = wal.files.sealed.lock().clone();
    assert!(sealed.len() > 2);
    assert!(sealed.iter().all(|file| file.byte_len <= 4096));
    let before = wal.total_bytes();
    wal.remove_up_to(Lsn(sealed[1].last_lsn.0 - 1)).unwrap();
    assert_eq!(wal.files.sealed.lock().len(), sealed.len() - 1);
    assert_eq!(wal.total_bytes(), before - sealed[0].byte_len);
    wal.rotate(|last| assert_eq!(last, Lsn(200))).unwrap();
    wal.remove_up_to(Lsn(200)).unwrap();
    assert_eq!(wal.total_bytes(), HEADER_BYTES);
    assert_eq!(file::list(&io, Path::new(DIR)).unwrap().len(), 1);
    let id = || wal.group.exclusively(|active| Ok(active.id())).unwrap();
    let before = id();
    wal.rotate(|_| ()).unwrap();
    assert_eq!(id(), before, "a file without records stays");
}

#[test]
fn a_record_longer_than_a_file_gets_one_of_its_own() {
    let io = SimIo::new();
    let wal = open_sim(&io);
    let long = SeriesBatch {
        table: TableId(1),
        series: vec![SeriesRows { key: SeriesKey::from_tags([]), rows: 0..5000 }],
        times: (0..5000).map(|i: i64| i * i * i).collect(),
        fields: Vec::new(),
    };
    for _ in 0..3 {
        write(&wal, SyncMode::Sync).unwrap();
        let record = encode_commit(std::slice::from_ref(&long)).unwrap();
        wal.commit(record, SyncMode::Sync, |_| {}).unwrap();
    }
    drop(wal);
    assert_eq!(replayed(&io, Path::new(DIR)), (1..=6).collect::<Vec<_>>());
}

#[test]
fn a_closure_that_panics_closes_the_log_and_leaves_nobody_waiting() {
    let io = SimIo::new();
    let wal = open_sim(&io);
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        let panicking = scope.spawn(|| {
            barrier.wait();
            wal.commit(commit_of(1), SyncMode::Sync, |_| panic!("expected by the test"))
        });
        let other = scope.spawn(|| {
            barrier.wait();
            write(&wal, SyncMode::Sync)
        });
        // Whichever thread led the group panicked; the other one got an answer.
        let outcomes = [panicking.join(), other.join()];
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1);
    });
    assert!(matches!(write(&wal, SyncMode::Sync), Err(Error::WalPoisoned { .. })));
}
