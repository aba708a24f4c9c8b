//! The thread that writes: gathers rows, commits them, and says what became of them.

use std::time::Duration;

use lynxstore_storage::Error as StorageError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::options::Retry;
use super::row::BatchRow;
use crate::ingest::rows::{RowOutcome, RowsError};

/// Faults that a report shows.
const SHOWN_MAX: usize = 100;

/// What became of the rows of a batch writer, since its start and of all producers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchReport {
    /// Rows that are on disk.
    pub written: u64,
    /// Rows that were there already, by their deduplication key.
    pub duplicates: u64,
    /// Rows that do not fit their table and never will.
    pub rejected: u64,
    /// Rows that were given up because the engine did not take them.
    pub failed: u64,
    /// The first faults, in words.
    pub faults: Vec<String>,
}

impl BatchReport {
    fn add_fault(&mut self, fault: impl FnOnce() -> String) {
        if self.faults.len() < SHOWN_MAX {
            self.faults.push(fault());
        }
    }
}

/// What a producer sends.
#[derive(Debug)]
pub(super) enum Message {
    Row(BatchRow),
    /// Asks for a report when everything before it is written.
    Flush(oneshot::Sender<BatchReport>),
    /// The same, and no more rows after it.
    Close(oneshot::Sender<BatchReport>),
}

/// Time and chance, so that tests need neither.
pub(super) struct Pacing {
    pub(super) sleep: Box<dyn FnMut(Duration) + Send>,
    pub(super) random: Box<dyn FnMut() -> u64 + Send>,
}

/// Writes a batch as one commit.
pub(super) type Commit = Box<dyn FnMut(&[BatchRow]) -> Result<RowOutcome, RowsError> + Send>;

/// The state of the thread.
pub(super) struct Worker {
    pub(super) messages: mpsc::Receiver<Message>,
    pub(super) commit: Commit,
    pub(super) pacing: Pacing,
    pub(super) flush_rows: usize,
    pub(super) linger: Duration,
    pub(super) retry: Retry,
    pub(super) rows: Vec<BatchRow>,
    pub(super) report: BatchReport,
}

impl Worker {
    /// Runs until the writer is closed or its last handle is gone, and then has written everything that was sent.
    pub(super) async fn run(mut self) {
        let mut due = None;
        loop {
            let message = match due {
                None => self.messages.recv().await,
                Some(due_at) => match timeout_at(due_at, self.messages.recv()).await {
                    Ok(message) => message,
                    Err(_) => {
                        self.write();
                        due = None;
                        continue;
                    }
                },
            };
            match message {
                Some(Message::Row(row)) => {
                    self.take(row);
                    due = match due {
                        _ if self.rows.is_empty() => None,
                        None => Some(Instant::now() + self.linger),
                        earlier => earlier,
                    };
                }
                Some(Message::Flush(reply)) => {
                    self.write();
                    due = None;
                    // Whoever asked may have gone.
                    let _ = reply.send(self.report.clone());
                }
                Some(Message::Close(reply)) => return self.finish(reply).await,
                None => {
                    if !self.rows.is_empty() {
                        let rows = self.rows.len();
                        tracing::warn!(rows, "a batch writer was dropped without close: its last rows are written now");
                        self.write();
                    }
                    return;
                }
            }
        }
    }

    /// Writes what was sent before the writer was closed.
    async fn finish(mut self, reply: oneshot::Sender<BatchReport>) {
        self.messages.close();
        let mut replies = vec![reply];
        while let Some(message) = self.messages.recv().await {
            match message {
                Message::Row(row) => self.take(row),
                Message::Flush(reply) | Message::Close(reply) => replies.push(reply),
            }
        }
        self.write();
        for reply in replies {
            let _ = reply.send(self.report.clone());
        }
    }

    fn take(&mut self, row: BatchRow) {
        self.rows.push(row);
        if self.rows.len() >= self.flush_rows {
            self.write();
        }
    }

    /// Writes the rows that were gathered; when it returns, each of them is counted.
    fn write(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return;
        }
        match self.commit_with_retries(&rows) {
            Ok(outcome) => {
                self.report.written += outcome.written;
                self.report.duplicates += outcome.duplicates;
                self.report.rejected += outcome.rejected.count();
                for rejected in outcome.rejected.shown() {
                    // Lines count from 1.
                    let row = rejected.line.checked_sub(1).and_then(|index| rows.get(index));
                    let (table, time_ns) = row.map_or(("", 0), |row| (row.table.as_str(), row.time_ns));
                    self.report.add_fault(|| format!("row of table {table:?} at {time_ns}: {}", rejected.fault.detail));
                }
                if !outcome.rejected.is_empty() {
                    tracing::debug!(rows = outcome.rejected.count(), "rows of a batch do not fit their tables");
                }
            }
            Err(error) => {
                tracing::warn!(%error, rows = rows.len(), "a batch was given up: its rows are lost");
                self.report.failed += rows.len() as u64;
                self.report.add_fault(|| format!("{} rows were not written: {error}", rows.len()));
            }
        }
        self.rows = rows;
        self.rows.clear();
    }

    fn commit_with_retries(&mut self, rows: &[BatchRow]) -> Result<RowOutcome, RowsError> {
        let mut attempt = 1;
        loop {
            match (self.commit)(rows) {
                Err(RowsError::Store(StorageError::Backpressure { .. })) if attempt < self.retry.attempts_max => {
                    let pause = self.retry.pause_after(attempt, (self.pacing.random)());
                    tracing::debug!(attempt, ?pause, "memory is full: a batch is tried again");
                    (self.pacing.sleep)(pause);
                    attempt += 1;
                }
                result => return result,
            }
        }
    }
}
