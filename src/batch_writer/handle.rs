//! What producers hold.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::options::{BatchWriterOptions, WhenFull};
use super::row::BatchRow;
use super::worker::{BatchReport, Commit, Message, Pacing, Worker};
use crate::database::Database;
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::rows::{RowLimits, RowWriter, SeriesName};

/// Bytes of the series that the writer remembers.
const SERIES_BYTES_MAX: usize = 32 << 20;

/// Queues rows and writes them in batches; see the [module](super). Cheap to clone, a clone per producer.
///
/// ```
/// use lynxstore::{Database, batch_writer::{BatchRow, BatchWriter, BatchWriterOptions}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path();
/// let database = Database::open(path)?;
/// let writer = BatchWriter::new(&database, BatchWriterOptions::default())?;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// // In an async task: waits while the queue is full.
/// writer.send(BatchRow::new("cpu", 0).tag("host", "a").field("usage", 10.0)).await?;
/// let report = writer.flush().await?;
/// assert_eq!(report.written, 1);
/// # Ok::<_, lynxstore::Error>(())
/// # })?;
///
/// // On a thread, without a runtime.
/// let producer = writer.clone();
/// std::thread::spawn(move || producer.send_blocking(BatchRow::new("cpu", 1).tag("host", "b").field("usage", 20.0)))
///     .join()
///     .expect("the producer does not panic")?;
///
/// let report = writer.close_blocking()?;
/// assert_eq!((report.written, report.rejected, report.failed), (2, 0, 0));
/// # Ok(())
/// # }
/// ```
///
/// [`BatchWriter::close`] ends it and says what was written. When the last handle is dropped without it, the drop waits
/// until the queue is written; rows that are lost then are only seen in the log.
#[derive(Debug, Clone)]
pub struct BatchWriter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// `None` only while the last handle is dropped.
    messages: Option<mpsc::Sender<Message>>,
    when_full: WhenFull,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.messages = None;
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of a batch writer ended by a bug: rows of its queue are lost");
        }
    }
}

impl BatchWriter {
    /// Starts the thread that writes into the namespace of the handle.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a queue or batch without rows;
    /// [`ReadOnly`](ErrorKind::ReadOnly); [`Io`](ErrorKind::Io) when no thread can be started.
    pub fn new(database: &Database, options: BatchWriterOptions) -> Result<Self> {
        if database.is_read_only() {
            return Err(Error::new(ErrorKind::ReadOnly, "the database is open read-only: nothing can be written"));
        }
        let namespace = database.query_options().namespace.clone();
        let engine = Arc::clone(database.engine());
        let limits = RowLimits { rows_max: usize::MAX, ..RowLimits::default() };
        let writer = RowWriter::new(engine, namespace, limits, SERIES_BYTES_MAX);
        let row_options = options.rows.clone();
        let mut raw = Vec::new();
        let commit: Commit = Box::new(move |rows| {
            writer.write(&row_options, |request| {
                for (line, row) in (1..).zip(rows) {
                    spell(row, &mut raw);
                    let name = || {
                        let tags = row.tags.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into()));
                        Ok(SeriesName { table: row.table.as_str().into(), tags: tags.collect() })
                    };
                    let fields = row.fields.iter().map(|(name, value)| (name.as_str(), value.as_field()));
                    request.push(line, &raw, name, fields, row.time_ns)?;
                }
                Ok(())
            })
        });
        let pacing = Pacing {
            sleep: Box::new(std::thread::sleep),
            // Every `RandomState` has keys of its own, which is all the randomness that this needs.
            random: Box::new(|| RandomState::new().build_hasher().finish()),
        };
        Self::start(commit, pacing, options)
    }

    /// Starts the thread with a given way to commit.
    pub(super) fn start(commit: Commit, pacing: Pacing, options: BatchWriterOptions) -> Result<Self> {
        if options.queue_rows_max == 0 || options.flush_rows == 0 {
            return Err(Error::invalid("the queue and the batches of a batch writer need room for at least one row"));
        }
        let io = |error: std::io::Error| Error::new(ErrorKind::Io, format!("cannot start a batch writer: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(io)?;
        let (sender, messages) = mpsc::channel(options.queue_rows_max);
        let worker = Worker {
            messages,
            commit,
            pacing,
            flush_rows: options.flush_rows,
            linger: options.linger,
            retry: options.retry,
            rows: Vec::new(),
            report: BatchReport::default(),
        };
        let thread = std::thread::Builder::new()
            .name("lynxstore-batch".into())
            .spawn(move || runtime.block_on(worker.run()))
            .map_err(io)?;
        let (messages, thread) = (Some(sender), Mutex::new(Some(thread)));
        Ok(Self { shared: Arc::new(Shared { messages, when_full: options.when_full, thread }) })
    }

    fn messages(&self) -> &mpsc::Sender<Message> {
        self.shared.messages.as_ref().expect("it is taken only when no handle is left")
    }

    /// Queues a row. It is on disk when a later [`BatchWriter::flush`] or [`BatchWriter::close`] reports it written.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) when the queue is full and the options say so; [`Closed`](ErrorKind::Closed) after a
    /// close. The row was not queued then.
    pub async fn send(&self, row: BatchRow) -> Result<()> {
        match self.shared.when_full {
            WhenFull::Block => self.messages().send(Message::Row(row)).await.map_err(|_| closed()),
            WhenFull::Fail => self.try_send(row),
        }
    }

    /// As [`BatchWriter::send`], for a thread that is no async worker.
    ///
    /// # Errors
    /// As [`BatchWriter::send`].
    ///
    /// # Panics
    /// Within an async runtime.
    pub fn send_blocking(&self, row: BatchRow) -> Result<()> {
        match self.shared.when_full {
            WhenFull::Block => self.messages().blocking_send(Message::Row(row)).map_err(|_| closed()),
            WhenFull::Fail => self.try_send(row),
        }
    }

    fn try_send(&self, row: BatchRow) -> Result<()> {
        self.messages().try_send(Message::Row(row)).map_err(|error| match error {
            TrySendError::Full(_) => Error::new(ErrorKind::Busy, "the queue of the batch writer is full: send later"),
            TrySendError::Closed(_) => closed(),
        })
    }

    /// Writes everything that was sent before, by any producer, and says what became of all rows since the start.
    ///
    /// # Errors
    /// [`Closed`](ErrorKind::Closed) after a close. Rows that could not be written are no error but in the report.
    pub async fn flush(&self) -> Result<BatchReport> {
        let (reply, report) = oneshot::channel();
        self.messages().send(Message::Flush(reply)).await.map_err(|_| closed())?;
        report.await.map_err(|_| closed())
    }

    /// As [`BatchWriter::flush`], for a thread that is no async worker.
    ///
    /// # Errors
    /// As [`BatchWriter::flush`].
    ///
    /// # Panics
    /// Within an async runtime.
    pub fn flush_blocking(&self) -> Result<BatchReport> {
        let (reply, report) = oneshot::channel();
        self.messages().blocking_send(Message::Flush(reply)).map_err(|_| closed())?;
        report.blocking_recv().map_err(|_| closed())
    }

    /// Writes everything that was sent before and ends the writer for all its handles.
    ///
    /// # Errors
    /// As [`BatchWriter::flush`].
    pub async fn close(self) -> Result<BatchReport> {
        let (reply, report) = oneshot::channel();
        self.messages().send(Message::Close(reply)).await.map_err(|_| closed())?;
        report.await.map_err(|_| closed())
    }

    /// As [`BatchWriter::close`], for a thread that is no async worker.
    ///
    /// # Errors
    /// As [`BatchWriter::flush`].
    ///
    /// # Panics
    /// Within an async runtime.
    pub fn close_blocking(self) -> Result<BatchReport> {
        let (reply, report) = oneshot::channel();
        self.messages().blocking_send(Message::Close(reply)).map_err(|_| closed())?;
        report.blocking_recv().map_err(|_| closed())
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the batch writer was closed")
}

/// The bytes by which the series of a row is known: every part with its length.
fn spell(row: &BatchRow, raw: &mut Vec<u8>) {
    raw.clear();
    let tags = row.tags.iter().flat_map(|(name, value)| [name, value]);
    for part in std::iter::once(&row.table).chain(tags) {
        raw.extend_from_slice(&(part.len() as u64).to_le_bytes());
        raw.extend_from_slice(part.as_bytes());
    }
}
