//! Models of group commit over a log in memory; see `docs/testing.md` for what each of them was seen to catch.
//!
//! Loom reports a lost wake-up as a deadlock: a model ends only when all of its writers have returned.

use std::path::Path;
use std::sync::Arc;

use loom::thread;

use super::{Failure, GroupCommit, GroupLog, Queued, SyncMode};
use crate::error::{Error, Result};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, check_model};
use crate::types::Lsn;

/// What the writers of a model can look at.
struct Shared {
    /// The last LSN that is on the disk for good.
    synced: AtomicU64,
    groups: AtomicU64,
    /// LSNs in the order in which their closures ran.
    applied: Mutex<Vec<u64>>,
}

/// Which group fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The group of this number, before anything is written.
    Clean(u64),
    /// The sync of the group of this number.
    Sync(u64),
}

struct ModelLog {
    shared: Arc<Shared>,
    last_lsn: Lsn,
    fault: Fault,
}

impl GroupLog for ModelLog {
    type Record = ();

    fn byte_len(_: &()) -> usize {
        1
    }

    fn write_group(&mut self, group: &mut [Queued<()>]) -> Result<Lsn, Failure> {
        let number = self.shared.groups.fetch_add(1, Ordering::Relaxed);
        if self.fault == Fault::Clean(number) {
            let full = std::io::ErrorKind::StorageFull.into();
            return Err(Failure::Clean(Error::io("reserve", Path::new("/db/wal"), full)));
        }
        let first = self.last_lsn.next();
        self.last_lsn = Lsn(self.last_lsn.0 + group.len() as u64);
        if self.fault == Fault::Sync(number) {
            return Err(Failure::Poisoning(Error::invalid("the sync failed")));
        }
        if group.iter().any(|queued| queued.sync == SyncMode::Sync) {
            self.shared.synced.store(self.last_lsn.0, Ordering::Relaxed);
        }
        Ok(first)
    }
}

#[derive(Clone)]
struct Model {
    commits: Arc<GroupCommit<ModelLog>>,
    shared: Arc<Shared>,
}

impl Model {
    fn new(fault: Fault) -> Self {
        let shared = Shared { synced: AtomicU64::new(0), groups: AtomicU64::new(0), applied: Mutex::default() };
        let shared = Arc::new(shared);
        let log = ModelLog { shared: Arc::clone(&shared), last_lsn: Lsn(0), fault };
        Self { commits: Arc::new(GroupCommit::new(log)), shared }
    }

    /// Commits, and checks what a return promises.
    fn commit(&self, sync: SyncMode) -> Result<Lsn> {
        let shared = Arc::clone(&self.shared);
        let lsn = self.commits.commit((), sync, move |lsn| shared.applied.lock().push(lsn.0))?;
        if sync == SyncMode::Sync {
            assert!(self.shared.synced.load(Ordering::Relaxed) >= lsn.0, "acknowledged before it was synced");
        }
        assert!(self.shared.applied.lock().contains(&lsn.0), "acknowledged before it was applied");
        Ok(lsn)
    }

    fn spawn(&self, sync: SyncMode) -> thread::JoinHandle<Result<Lsn>> {
        let model = self.clone();
        thread::spawn(move || model.commit(sync))
    }

    fn groups(&self) -> u64 {
        self.shared.groups.load(Ordering::Relaxed)
    }

    fn assert_applied(&self, count: u64) {
        assert_eq!(*self.shared.applied.lock(), (1..=count).collect::<Vec<_>>(), "closures run once, in order");
    }
}

fn is_poisoned(result: &Result<Lsn>) -> bool {
    matches!(result, Err(Error::WalPoisoned { .. }))
}

#[test]
fn loom_a_commit_returns_when_it_is_synced_and_applied_in_order() {
    check_model(2, || {
        let model = Model::new(Fault::None);
        let others = [model.spawn(SyncMode::Sync), model.spawn(SyncMode::Write)];
        let mut lsns = vec![model.commit(SyncMode::Sync).unwrap().0];
        lsns.extend(others.map(|other| other.join().unwrap().unwrap().0));
        lsns.sort_unstable();
        assert_eq!(lsns, [1, 2, 3]);
        model.assert_applied(3);
    });
}

#[test]
fn loom_the_lead_passes_on_between_groups() {
    check_model(2, || {
        let model = Model::new(Fault::None);
        let other = model.clone();
        let twice = |model: &Model| [(); 2].map(|()| model.commit(SyncMode::Sync).unwrap());
        let other = thread::spawn(move || twice(&other));
        let lsns = twice(&model);
        let others = other.join().unwrap();
        assert!(lsns.is_sorted() && others.is_sorted(), "a later commit has an earlier place");
        model.assert_applied(4);
        assert!((2..=4).contains(&model.groups()));
    });
}

#[test]
fn loom_every_writer_hears_of_a_failed_sync_and_the_log_is_left_alone() {
    for failing in [0, 1] {
        check_model(2, move || {
            let model = Model::new(Fault::Sync(failing));
            let others = [model.spawn(SyncMode::Sync), model.spawn(SyncMode::Write)];
            let mut results = vec![model.commit(SyncMode::Sync)];
            results.extend(others.map(|other| other.join().unwrap()));
            assert!(results.iter().all(|result| result.is_ok() || is_poisoned(result)));
            let succeeded = results.iter().filter(|result| result.is_ok()).count() as u64;
            model.assert_applied(succeeded);
            if model.groups() > failing {
                assert_eq!(model.groups(), failing + 1, "the log was touched after it failed");
                assert!(is_poisoned(&model.commit(SyncMode::Sync)));
                assert!(model.commits.exclusively(|_| Ok(())).is_err());
            } else {
                assert_eq!(succeeded, 3, "they shared the groups before");
            }
        });
    }
}

#[test]
fn loom_a_clean_failure_ends_its_group_alone() {
    check_model(2, || {
        let model = Model::new(Fault::Clean(0));
        let other = model.spawn(SyncMode::Sync);
        let results = [model.commit(SyncMode::Sync), other.join().unwrap()];
        let failed = results.iter().filter(|result| result.is_err()).count();
        assert!(failed > 0 && !results.iter().any(is_poisoned), "{results:?}");
        let before = (2 - failed) as u64;
        assert_eq!(model.commit(SyncMode::Sync).unwrap(), Lsn(before + 1));
        model.assert_applied(before + 1);
    });
}

#[test]
fn loom_exclusive_work_meets_no_commit_under_way() {
    check_model(2, || {
        let model = Model::new(Fault::None);
        let others = [model.spawn(SyncMode::Sync), model.spawn(SyncMode::Write)];
        let at = model.commits.exclusively(|log| {
            // As a rotation does: the memtable that is frozen here holds exactly the commits up to this LSN.
            model.assert_applied(log.last_lsn.0);
            Ok(log.last_lsn)
        });
        assert!(at.unwrap() <= Lsn(2));
        others.into_iter().for_each(|other| assert!(other.join().unwrap().is_ok()));
        model.assert_applied(2);
    });
}

#[test]
fn loom_writers_hear_of_exclusive_work_that_fails() {
    check_model(2, || {
        let model = Model::new(Fault::None);
        let others = [model.spawn(SyncMode::Sync), model.spawn(SyncMode::Sync)];
        let failed = model.commits.exclusively(|_| Err::<(), _>(Failure::Poisoning(Error::invalid("no sync"))));
        assert!(failed.is_err());
        let results = others.map(|other| other.join().unwrap());
        assert!(results.iter().all(|result| result.is_ok() || is_poisoned(result)));
        model.assert_applied(results.iter().filter(|result| result.is_ok()).count() as u64);
        assert!(is_poisoned(&model.commit(SyncMode::Sync)));
    });
}
