//! What background work did lately, for `system.tasks`. Any thread may add and read.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Ended tasks that are remembered.
const RECORDS_MAX: usize = 256;

/// Kinds of background work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// Rows in memory to a segment.
    Flush,
    /// Runs of a partition to one.
    Compaction,
    /// Expired rows.
    Retention,
    /// A partition to another tier.
    Move,
}

impl TaskKind {
    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Compaction => "compaction",
            Self::Retention => "retention",
            Self::Move => "move",
        }
    }
}

/// One task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRecord {
    /// Number since the open.
    pub id: u64,
    /// What it does.
    pub kind: TaskKind,
    /// When it began, in nanoseconds since the epoch.
    pub started_ns: i64,
    /// When it ended; `None` while it runs.
    pub ended_ns: Option<i64>,
    /// Bytes that it read so far.
    pub bytes_in: u64,
    /// Bytes that it wrote.
    pub bytes_out: u64,
    /// Rows that it wrote so far, or dropped for retention.
    pub rows: u64,
    /// Why it failed.
    pub error: Option<String>,
}

impl TaskRecord {
    fn take(&mut self, done: TaskResult) {
        (self.bytes_in, self.bytes_out, self.rows) = (done.bytes_in, done.bytes_out, done.rows);
    }
}

/// What a task did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TaskResult {
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) rows: u64,
}

/// The tasks that run and those that ended lately.
#[derive(Debug)]
pub(super) struct TaskLog {
    clock: fn() -> i64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    running: Vec<TaskRecord>,
    ended: VecDeque<TaskRecord>,
}

impl TaskLog {
    pub(super) fn new(clock: fn() -> i64) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// Runs a task under the eyes of the log. One that returns `None` had nothing to do and is forgotten.
    pub(super) fn run<E: std::fmt::Display>(
        &self,
        kind: TaskKind,
        task: impl FnOnce() -> Result<Option<TaskResult>, E>,
    ) -> Result<Option<TaskResult>, E> {
        self.run_with_progress(kind, |_| task())
    }

    /// The same for a task that says now and then what it did so far.
    pub(super) fn run_with_progress<E: std::fmt::Display>(
        &self,
        kind: TaskKind,
        task: impl FnOnce(&dyn Fn(TaskResult)) -> Result<Option<TaskResult>, E>,
    ) -> Result<Option<TaskResult>, E> {
        let id = {
            let mut state = self.state.lock();
            state.next_id += 1;
            let id = state.next_id;
            let started_ns = (self.clock)();
            let (bytes_in, bytes_out, rows) = (0, 0, 0);
            state.running.push(TaskRecord {
                id,
                kind,
                started_ns,
                ended_ns: None,
                bytes_in,
                bytes_out,
                rows,
                error: None,
            });
            id
        };
        let result = task(&|so_far| {
            let mut state = self.state.lock();
            if let Some(record) = state.running.iter_mut().find(|record| record.id == id) {
                record.take(so_far);
            }
        });
        let mut state = self.state.lock();
        let Some(position) = state.running.iter().position(|record| record.id == id) else { return result };
        let mut record = state.running.swap_remove(position);
        match &result {
            Ok(None) => return result,
            Ok(Some(done)) => record.take(*done),
            Err(error) => record.error = Some(error.to_string()),
        }
        record.ended_ns = Some((self.clock)());
        if state.ended.len() == RECORDS_MAX {
            state.ended.pop_front();
        }
        state.ended.push_back(record);
        result
    }

    /// Ended tasks, oldest first, then those that run.
    pub(super) fn records(&self) -> Vec<TaskRecord> {
        let state = self.state.lock();
        state.ended.iter().chain(&state.running).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_seen_while_they_run_and_after_and_only_so_many_are_kept() {
        let log = TaskLog::new(|| 7);
        let run = |result: Result<Option<TaskResult>, String>| drop(log.run(TaskKind::Flush, || result));
        log.run(TaskKind::Compaction, || {
            assert_eq!(log.records()[0].ended_ns, None);
            Ok::<_, String>(Some(TaskResult { rows: 5, ..TaskResult::default() }))
        })
        .unwrap();
        log.run_with_progress(TaskKind::Move, |report| {
            report(TaskResult { rows: 3, ..TaskResult::default() });
            let moving = &log.records()[1];
            assert_eq!((moving.kind, moving.rows, moving.ended_ns), (TaskKind::Move, 3, None));
            Ok::<_, String>(None)
        })
        .unwrap();
        run(Ok(None));
        run(Err("no space".into()));
        let records = log.records();
        assert_eq!(records.len(), 2);
        assert_eq!((records[0].rows, records[0].ended_ns), (5, Some(7)));
        assert_eq!(records[1].error.as_deref(), Some("no space"));
        (0..RECORDS_MAX).for_each(|_| run(Ok(Some(TaskResult::default()))));
        assert_eq!(log.records().len(), RECORDS_MAX);
    }
}
