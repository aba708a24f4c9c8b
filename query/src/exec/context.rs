//! What an execution may use: threads, memory, limits, cancellation.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rayon::ThreadPool;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::trace::{Step, Trace};
use crate::cancellation::Cancellation;
use crate::error::{Error, Result};
use crate::memory::MemoryAccount;
use crate::options::QueryOptions;

/// The worker threads of an engine, started by the first statement that needs them.
#[derive(Debug, Default)]
pub(crate) struct Workers(OnceLock<Option<ThreadPool>>);

/// The surroundings of one execution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExecContext<'a> {
    /// Limits.
    pub(crate) options: &'a QueryOptions,
    /// Threads for large statements.
    pub(crate) workers: &'a Workers,
    /// The caller's wish to stop.
    pub(crate) cancellation: &'a Cancellation,
    /// What the statement uses of its memory.
    pub(crate) memory: &'a Arc<MemoryAccount>,
    /// Where it is noted what was done, when somebody asks.
    pub(crate) trace: Option<&'a Trace>,
}

/// How soon a statement that is busy in one long step notices that it was cancelled.
const CANCELLATION_PERIOD: Duration = Duration::from_millis(20);

impl ExecContext<'_> {
    /// Threads that a statement may use.
    pub(crate) fn threads(&self) -> usize {
        self.options.threads.max(1)
    }

    /// Runs `work` for every item, in parallel when there are several; results keep the order of the items.
    pub(crate) fn map<T: Send, R: Send>(
        &self,
        items: Vec<T>,
        work: impl Fn(T) -> Result<R> + Send + Sync,
    ) -> Result<Vec<R>> {
        if items.len() < 2 {
            return items.into_iter().map(work).collect();
        }
        let threads = self.threads();
        let pool = self.workers.0.get_or_init(|| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(|index| format!("query-{index}"))
                .build()
                .ok()
        });
        match pool {
            Some(pool) => pool.install(|| items.into_par_iter().map(work).collect()),
            // Without threads the work is done all the same.
            None => items.into_iter().map(work).collect(),
        }
    }

    /// Does a step and notes how long it took, when somebody asks.
    pub(crate) fn timed<T>(&self, step: Step, work: impl FnOnce() -> T) -> T {
        let Some(trace) = self.trace else { return work() };
        let start = Instant::now();
        let result = work();
        trace.end_step(step, start);
        result
    }

    /// Runs a step that looks at no token, apart when it is over so many rows that it takes long.
    pub(crate) fn long_step<T: Send + 'static>(
        &self,
        rows: usize,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        const ROWS_AT_ONCE_MAX: usize = if cfg!(test) { 1 << 8 } else { 1 << 17 };
        if rows <= ROWS_AT_ONCE_MAX { work() } else { self.abandonable(work) }
    }

    /// Runs one long step that looks at no token, on a thread of its own: a statement that is cancelled leaves it to
    /// itself, to end whenever it does.
    fn abandonable<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        self.cancellation.check()?;
        let (sender, result) = mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name("query-step".into())
            .spawn(move || {
                // Who went away does not want to know.
                let _ = sender.send(work());
            })
            .map_err(|error| Error::execution(format!("cannot start a thread for the query: {error}")))?;
        loop {
            match result.recv_timeout(CANCELLATION_PERIOD) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) => self.cancellation.check()?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::execution("the query stopped on an internal error; please report it"));
                }
            }
        }
    }

    /// Fails when a grouping has more groups than the options allow.
    pub(crate) fn check_groups(&self, groups: usize) -> Result<()> {
        if groups as u64 <= self.options.groups_max {
            return Ok(());
        }
        Err(Error::LimitExceeded {
            what: "the number of groups",
            limit: self.options.groups_max,
            hint: "group by fewer or wider keys, narrow the time range, or raise groups_max",
        })
    }

    /// Fails when a result has more rows than the options allow.
    pub(crate) fn check_rows_out(&self, rows: usize) -> Result<()> {
        if rows as u64 <= self.options.rows_out_max {
            return Ok(());
        }
        Err(Error::LimitExceeded {
            what: "the number of result rows",
            limit: self.options.rows_out_max,
            hint: "add a LIMIT, narrow the WHERE condition, or raise rows_out_max",
        })
    }
}
