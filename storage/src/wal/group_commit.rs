//! Group commit without its disk work: who writes which records when, and when each writer returns.
//!
//! Invariants:
//! - A commit returns `Ok` only after [`GroupLog::write_group`] has returned `Ok` for its group.
//! - The closures of commits run in LSN order, each after its group is written, before `commit` returns.
//! - After a poisoning failure the log is not called any more; every writer that waits gets the error.
//! - Whoever waits is woken: each change of `State` that a waiter looks at is followed by a signal. A writer waits at a
//!   signal of its own, so that it is woken for its turn to lead and for its outcome, and for nothing that concerns others:
//!   each needless wake-up costs as much as twenty samples of a request.
//!
//! Steps of a group, done by one of its writers, the leader: take the queue; have it written; give up the lead, so that
//! the next group's disk work overlaps with the rest; wait until the closures of the group before have run; run those
//! of this group; wake its writers.
//!
//! Two locks: `state` is held for moments only, `log` by whoever leads, during disk work. The models in
//! `group_commit_models.rs` run this code in every order that its threads can take.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::error::{Error, Result};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard};
use crate::types::Lsn;

/// A group takes no further record beyond this, which bounds how long its first writer waits.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// When a commit returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// When its record is on the disk.
    Sync,
    /// When its record is in the file, so that it survives the end of the process, not that of the power.
    Write,
}

/// Where groups are written. One caller at a time.
pub(super) trait GroupLog {
    /// What a commit is written as.
    type Record;

    /// Bytes of a record in the log.
    fn byte_len(record: &Self::Record) -> usize;

    /// Writes the records of a group behind each other, synced when one of them asks for it; returns the first LSN.
    fn write_group(&mut self, group: &mut [Queued<Self::Record>]) -> Result<Lsn, Failure>;
}

/// How disk work failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Before anything was written; a later attempt may succeed, once there is space.
    Clean(Error),
    /// What is on the disk is unknown.
    Poisoning(Error),
}

/// The writers of a log, any number of threads.
#[derive(Debug)]
pub(super) struct GroupCommit<L: GroupLog> {
    state: Mutex<State<L::Record>>,
    /// For leaders and exclusive work: signalled when the lead is free and when closures have run.
    changed: Condvar,
    log: Mutex<L>,
}

#[derive(Debug)]
struct State<R> {
    queue: Vec<Queued<R>>,
    /// Commits that were ever queued; the queue holds the last of them.
    queued: u64,
    is_led: bool,
    /// Threads that want the log for themselves; groups wait for them, else they might never get it.
    exclusive_waiting: usize,
    groups_written: u64,
    groups_applied: u64,
    poison: Option<Poison>,
}

#[derive(Debug, Clone)]
struct Poison {
    operation: &'static str,
    reason: String,
}

/// Where a writer waits.
#[derive(Debug)]
struct Ticket {
    /// Set when the fate of the commit is known.
    outcome: Mutex<Option<Result<Lsn>>>,
    /// Signalled when the outcome is set, and when the lead is free and the commit the first of those that wait.
    turn: Condvar,
}

/// A commit on its way.
pub(super) struct Queued<R> {
    pub(super) record: R,
    pub(super) sync: SyncMode,
    apply: Box<dyn FnOnce(Lsn) + Send>,
    ticket: Arc<Ticket>,
}

impl<R> std::fmt::Debug for Queued<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queued").field("sync", &self.sync).finish_non_exhaustive()
    }
}

impl Poison {
    fn of(error: &Error) -> Self {
        let operation = match error {
            Error::Io { operation, .. } => operation,
            _ => "write",
        };
        Self { operation, reason: error.to_string() }
    }

    fn to_error(&self) -> Error {
        Error::WalPoisoned { operation: self.operation, reason: self.reason.clone() }
    }
}

/// An error for each writer of a group.
fn duplicate(error: &Error) -> Error {
    match error {
        Error::Io { operation, path, source } => {
            let source = match source.raw_os_error() {
                Some(code) => std::io::Error::from_raw_os_error(code),
                None => std::io::Error::new(source.kind(), source.to_string()),
            };
            Error::io(operation, path, source)
        }
        other => Poison::of(other).to_error(),
    }
}

impl<L: GroupLog> GroupCommit<L> {
    pub(super) fn new(log: L) -> Self {
        let state = State {
            queue: Vec::new(),
            queued: 0,
            is_led: false,
            exclusive_waiting: 0,
            groups_written: 0,
            groups_applied: 0,
            poison: None,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), log: Mutex::new(log) }
    }

    /// Writes a record, and returns after it is written or synced and `apply` has run.
    ///
    /// # Errors
    /// That of a clean failure of its group; `WalPoisoned` after any other, now or before.
    pub(super) fn commit(
        &self,
        record: L::Record,
        sync: SyncMode,
        apply: impl FnOnce(Lsn) + Send + 'static,
    ) -> Result<Lsn> {
        let ticket = Arc::new(Ticket { outcome: Mutex::new(None), turn: Condvar::new() });
        let mut state = self.state.lock();
        state.check()?;
        let number = state.queued;
        state.queued += 1;
        state.queue.push(Queued { record, sync, apply: Box::new(apply), ticket: Arc::clone(&ticket) });
        loop {
            if let Some(outcome) = ticket.outcome.lock().take() {
                return outcome;
            }
            let is_queued = number >= state.queued - state.queue.len() as u64;
            if state.is_led || !is_queued || state.exclusive_waiting > 0 {
                ticket.turn.wait(&mut state);
            } else {
                self.lead(&mut state);
            }
        }
    }

    /// Whether commits are still taken.
    ///
    /// # Errors
    /// `WalPoisoned`.
    pub(super) fn check(&self) -> Result<()> {
        self.state.lock().check()
    }

    /// Runs `work` while no group is written or applied.
    ///
    /// # Errors
    /// That of `work`, which closes the log unless it is clean; `WalPoisoned` when it is closed.
    pub(super) fn exclusively<R>(&self, work: impl FnOnce(&mut L) -> Result<R, Failure>) -> Result<R> {
        let mut state = self.state.lock();
        state.exclusive_waiting += 1;
        while state.is_led {
            self.changed.wait(&mut state);
        }
        state.is_led = true;
        state.exclusive_waiting -= 1;
        while state.groups_applied != state.groups_written {
            self.changed.wait(&mut state);
        }
        let done = state.check().map_err(Failure::Clean).and_then(|()| {
            let work = || catch_unwind(AssertUnwindSafe(|| work(&mut self.log.lock())));
            match MutexGuard::unlocked(&mut state, work) {
                Ok(done) => done,
                Err(panic) => {
                    self.give_up_lead(&mut state);
                    resume_unwind(panic)
                }
            }
        });
        self.give_up_lead(&mut state);
        done.map_err(|failure| match failure {
            Failure::Clean(error) => error,
            Failure::Poisoning(error) => {
                let poison = Poison::of(&error);
                self.poison(&mut state, poison);
                error
            }
        })
    }

    /// Lets the next one lead: exclusive work that waits, else the writer that has waited for longest.
    fn give_up_lead(&self, state: &mut State<L::Record>) {
        state.is_led = false;
        self.changed.notify_all();
        if let Some(first) = state.queue.first().filter(|_| state.exclusive_waiting == 0) {
            first.ticket.turn.notify_all();
        }
    }

    /// Writes the queue as one group. The caller's commit is among them or was.
    fn lead(&self, state: &mut MutexGuard<'_, State<L::Record>>) {
        state.is_led = true;
        let mut group = state.take_group::<L>();
        let written = MutexGuard::unlocked(state, || self.log.lock().write_group(&mut group));
        let first = match written {
            Ok(first) => first,
            Err(failure) => {
                self.fail(state, group, failure);
                self.give_up_lead(state);
                return;
            }
        };
        let number = state.groups_written;
        state.groups_written += 1;
        self.give_up_lead(state);
        while state.groups_applied != number {
            self.changed.wait(state);
        }
        let tickets: Vec<_> = group.iter().map(|queued| Arc::clone(&queued.ticket)).collect();
        let applied = MutexGuard::unlocked(state, || catch_unwind(AssertUnwindSafe(|| apply_group(group, first))));
        state.groups_applied += 1;
        self.changed.notify_all();
        // With the lock: a writer that has just seen no outcome waits already, and none is between its look and its wait.
        for ticket in tickets {
            ticket.turn.notify_all();
        }
        if let Err(panic) = applied {
            // Rows of commits that are in the log are missing in memory now.
            let reason = "the rows of a commit could not be applied".to_owned();
            self.poison(state, Poison { operation: "apply", reason });
            resume_unwind(panic);
        }
    }

    fn fail(&self, state: &mut State<L::Record>, group: Vec<Queued<L::Record>>, failure: Failure) {
        match failure {
            Failure::Clean(error) => group.iter().for_each(|queued| queued.finish(Err(duplicate(&error)))),
            Failure::Poisoning(error) => {
                let poison = Poison::of(&error);
                group.iter().for_each(|queued| queued.finish(Err(poison.to_error())));
                self.poison(state, poison);
            }
        }
    }

    fn poison(&self, state: &mut State<L::Record>, poison: Poison) {
        tracing::error!(operation = poison.operation, reason = poison.reason, "the write-ahead log is closed");
        for queued in state.queue.drain(..) {
            queued.finish(Err(poison.to_error()));
        }
        state.poison.get_or_insert(poison);
    }

    /// Commits that wait for a leader.
    #[cfg(test)]
    pub(super) fn queue_len(&self) -> usize {
        self.state.lock().queue.len()
    }
}

impl<R> State<R> {
    fn check(&self) -> Result<()> {
        self.poison.as_ref().map_or(Ok(()), |poison| Err(poison.to_error()))
    }

    fn take_group<L: GroupLog<Record = R>>(&mut self) -> Vec<Queued<R>> {
        let mut byte_len = 0;
        let fits = |queued: &Queued<R>| {
            byte_len += L::byte_len(&queued.record);
            byte_len <= GROUP_BYTES_MAX
        };
        let count = self.queue.iter().map(fits).take_while(|fits| *fits).count().max(1);
        let rest = self.queue.split_off(count.min(self.queue.len()));
        std::mem::replace(&mut self.queue, rest)
    }
}

impl<R> Queued<R> {
    /// Tells the writer, who waits with the lock that the caller holds.
    fn finish(&self, outcome: Result<Lsn>) {
        *self.ticket.outcome.lock() = Some(outcome);
        self.ticket.turn.notify_all();
    }
}

fn apply_group<R>(group: Vec<Queued<R>>, first: Lsn) {
    // All guards are made before the first closure runs, so that nobody waits for ever when one panics.
    let guarded = group.into_iter().map(|queued| {
        let guard = OutcomeGuard { ticket: queued.ticket, applied: None };
        (queued.apply, guard)
    });
    let mut lsn = first;
    for (apply, guard) in guarded.collect::<Vec<_>>() {
        apply(lsn);
        guard.succeed(lsn);
        lsn = lsn.next();
    }
}

/// Sets the outcome of a commit when dropped: success once its closure has run. The leader tells the writer.
struct OutcomeGuard {
    ticket: Arc<Ticket>,
    applied: Option<Lsn>,
}

impl OutcomeGuard {
    fn succeed(mut self, lsn: Lsn) {
        self.applied = Some(lsn);
    }
}

impl Drop for OutcomeGuard {
    fn drop(&mut self) {
        let not_applied = || Err(Error::WalPoisoned { operation: "apply", reason: "a commit panicked".into() });
        *self.ticket.outcome.lock() = Some(self.applied.map_or_else(not_applied, Ok));
    }
}

#[cfg(all(loom, test))]
#[path = "group_commit_models.rs"]
mod models;
