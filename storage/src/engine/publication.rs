//! What readers see, as it changes: the current version and memtables, and the last commit.
//!
//! Invariants, which the models in `publication_models.rs` check in every order that threads can take:
//! - A view shows every commit up to its number once and whole, and none above, whatever is flushed meanwhile.
//! - A version is seen whole: a view has all that one publication put in place, or nothing of it.
//!
//! Readers clone two pointers under a short read lock. A commit holds `apply` while its rows go into the memtable, and
//! becomes visible, whole, with one atomic store.

use std::sync::Arc;

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, RwLock};
use crate::types::CommitSeq;

/// The current version `V`, the memtables `M`, and the order of commits.
#[derive(Debug)]
pub(super) struct Publication<V, M> {
    state: RwLock<State<V, M>>,
    /// Held while a commit goes into the memtable, so that commits become visible one after the other.
    apply: Mutex<()>,
    /// The last commit that readers see.
    visible: AtomicU64,
}

#[derive(Debug)]
struct State<V, M> {
    version: Arc<V>,
    /// Oldest first; the last one takes commits, the others wait for their flush.
    memtables: Arc<[Arc<M>]>,
}

/// What a reader sees.
#[derive(Debug)]
pub(super) struct View<V, M> {
    pub(super) version: Arc<V>,
    /// Oldest first.
    pub(super) memtables: Arc<[Arc<M>]>,
    /// The last commit that is seen.
    pub(super) visible: CommitSeq,
}

impl<V, M: Default> Publication<V, M> {
    pub(super) fn new(version: V) -> Self {
        let memtables: Arc<[Arc<M>]> = vec![Arc::default()].into();
        Self {
            state: RwLock::new(State { version: Arc::new(version), memtables }),
            apply: Mutex::new(()),
            visible: AtomicU64::new(0),
        }
    }

    /// Puts the rows of the next commit into the memtable and shows them.
    pub(super) fn apply(&self, put: impl FnOnce(&M, CommitSeq)) -> CommitSeq {
        let _one_commit_at_a_time = self.apply.lock();
        let seq = CommitSeq(self.visible.load(Ordering::Relaxed)).next();
        put(&self.active(), seq);
        // Readers that see the number see the rows: a release here, an acquire in `view`.
        self.visible.store(seq.0, Ordering::Release);
        seq
    }

    pub(super) fn view(&self) -> View<V, M> {
        let state = self.state.read();
        // Under the lock: rows of a later commit may be in a later version, where nothing tells them apart.
        let visible = CommitSeq(self.visible.load(Ordering::Acquire));
        View { version: Arc::clone(&state.version), memtables: Arc::clone(&state.memtables), visible }
    }

    pub(super) fn version(&self) -> Arc<V> {
        Arc::clone(&self.state.read().version)
    }

    pub(super) fn memtables(&self) -> Arc<[Arc<M>]> {
        Arc::clone(&self.state.read().memtables)
    }

    /// The memtable that takes commits.
    pub(super) fn active(&self) -> Arc<M> {
        let state = self.state.read();
        Arc::clone(state.memtables.last().expect("a set starts with one memtable and freeze adds one"))
    }

    /// Begins a new memtable when the current one has rows; returns those that wait for a flush, oldest first.
    pub(super) fn freeze(&self, has_rows: impl FnOnce(&M) -> bool) -> Vec<Arc<M>> {
        let _no_commit_between = self.apply.lock();
        let mut state = self.state.write();
        let mut memtables = state.memtables.to_vec();
        if memtables.last().is_some_and(|active| has_rows(active)) {
            memtables.push(Arc::default());
            state.memtables = memtables.clone().into();
        }
        memtables.pop();
        memtables
    }

    /// Sets the version and takes away the memtables whose rows it holds now, in one step for readers.
    pub(super) fn publish(&self, version: V, flushed: &[Arc<M>]) {
        let mut state = self.state.write();
        // The last pin on obsolete files may go with the old version: they are not unlinked while readers wait.
        let _dropped_behind_the_lock = std::mem::replace(&mut state.version, Arc::new(version));
        if !flushed.is_empty() {
            let is_kept = |memtable: &&Arc<M>| !flushed.iter().any(|flushed| Arc::ptr_eq(flushed, memtable));
            state.memtables = state.memtables.iter().filter(is_kept).cloned().collect();
        }
        drop(state);
    }
}

#[cfg(all(loom, test))]
#[path = "publication_models.rs"]
mod models;
