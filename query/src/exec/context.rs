//! What an execution may use: threads, limits, cancellation.

use std::sync::OnceLock;

use rayon::ThreadPool;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::error::{Error, Result};
use crate::options::{Cancellation, QueryOptions};

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
}

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
