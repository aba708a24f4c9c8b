//! The handle of an embedded database.

use std::path::Path;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use lynxstore_query::{Cancellation, PreparedStatement, QueryEngine, QueryOptions, QueryOutput};
use lynxstore_storage::engine::{Ack, BackupStats, Engine, Refresh, WriteReceipt};
use lynxstore_storage::ingest::group_rows;
use lynxstore_storage::types::{TableSchema, TableSpec};

use crate::appender::Appender;
use crate::error::Result;
use crate::options::Options;

/// One database directory, open in this process. Cheap to clone; all clones are the same database and may be used from
/// several threads.
#[derive(Debug, Clone)]
pub struct Database {
    engine: Arc<Engine>,
    query: Arc<QueryEngine>,
}

impl Database {
    /// Opens the database in a directory with default options; creates it when absent.
    ///
    /// # Errors
    /// [`Busy`](crate::ErrorKind::Busy) when another process has it open; [`Io`](crate::ErrorKind::Io). Damaged data is
    /// no error: what cannot be read is set aside, see [`Engine::recovery_report`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Options::default())
    }

    /// Opens the database in a directory.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let engine = Engine::open(path.as_ref(), options.engine)?;
        Ok(Self::from_engine(Arc::new(engine), options))
    }

    /// Opens the database in a directory read-only, also while another process writes it. Nothing is changed but a lease
    /// file that keeps the writer from removing what is read here.
    ///
    /// Statements see the newest state at that moment: whole commits in order, all of them durable.
    /// [`Database::refresh`] moves forward. Everything that writes fails with
    /// [`ReadOnly`](crate::ErrorKind::ReadOnly).
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when there is no database; [`Io`](crate::ErrorKind::Io);
    /// [`Busy`](crate::ErrorKind::Busy) when unflushed rows do not fit into the memory budget;
    /// [`Damaged`](crate::ErrorKind::Damaged).
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_read_only_with(path, Options::default())
    }

    /// Opens the database in a directory read-only, with options.
    ///
    /// # Errors
    /// As [`Database::open_read_only`].
    pub fn open_read_only_with(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let engine = Engine::open_read_only(path.as_ref(), options.engine)?;
        Ok(Self::from_engine(Arc::new(engine), options))
    }

    /// Whether this handle only reads.
    pub fn is_read_only(&self) -> bool {
        self.engine.is_read_only()
    }

    /// Moves a database that is open read-only, with all clones of the handle, to the newest state. Statements that run
    /// go on with the state that they began with. `None` for a database that is open for writing: it always shows it.
    ///
    /// # Errors
    /// As [`Database::open_read_only`]; the state shown is then the one before.
    pub fn refresh(&self) -> Result<Option<Refresh>> {
        Ok(self.engine.refresh()?)
    }

    /// Backs the database up while it is in use, as [`backup`](crate::backup()) does.
    ///
    /// # Errors
    /// As [`backup`](crate::backup()).
    pub fn backup(&self, destination: impl AsRef<Path>) -> Result<BackupStats> {
        Ok(self.engine.backup(destination.as_ref())?)
    }

    /// A database over an engine that is open already.
    pub fn from_engine(engine: Arc<Engine>, options: Options) -> Self {
        let query = Arc::new(QueryEngine::new(Arc::clone(&engine), options.query));
        Self { engine, query }
    }

    /// The same database with other query options, such as another namespace or no access to files.
    pub fn with_query_options(&self, options: QueryOptions) -> Self {
        let engine = Arc::clone(&self.engine);
        Self { query: Arc::new(QueryEngine::new(Arc::clone(&engine), options)), engine }
    }

    /// The options of its queries, to start from for [`Database::with_query_options`].
    pub fn query_options(&self) -> &QueryOptions {
        self.query.options()
    }

    /// The storage engine, for figures, recovery report and raw commits.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Creates a table.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists); [`InvalidInput`](crate::ErrorKind::InvalidInput).
    pub fn create_table(&self, spec: &TableSpec) -> Result<Arc<TableSchema>> {
        Ok(self.engine.create_table(spec)?)
    }

    /// Drops a table with its rows.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub fn drop_table(&self, name: &str) -> Result<()> {
        Ok(self.engine.drop_table(&self.query_options().namespace, name)?)
    }

    /// The tables of the namespace.
    pub fn tables(&self) -> Vec<Arc<TableSchema>> {
        self.engine.tables().into_iter().filter(|table| table.namespace == self.query_options().namespace).collect()
    }

    /// One table.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub fn table(&self, name: &str) -> Result<Arc<TableSchema>> {
        Ok(self.engine.table(&self.query_options().namespace, name)?)
    }

    /// Writes the rows of a batch as one commit and returns when they are on disk.
    ///
    /// Columns are matched by name. The time column may be a timestamp of any unit, tags any text or dictionary type;
    /// integers go into an F64 field, nothing else changes its type.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) names the column that does not fit;
    /// [`Busy`](crate::ErrorKind::Busy) when memory stays full; [`Io`](crate::ErrorKind::Io).
    pub fn write(&self, table: &str, batch: &RecordBatch) -> Result<WriteReceipt> {
        self.write_with(table, batch, Ack::Durable)
    }

    /// Writes the rows of a batch as one commit with a chosen safety.
    ///
    /// # Errors
    /// As [`Database::write`].
    pub fn write_with(&self, table: &str, batch: &RecordBatch, ack: Ack) -> Result<WriteReceipt> {
        let schema = self.engine.table(&self.query_options().namespace, table)?;
        Ok(self.engine.write(vec![group_rows(&schema, batch)?], ack)?)
    }

    /// Begins a batch that is built row by row.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub fn appender(&self, table: &str) -> Result<Appender> {
        Ok(Appender::new(self.clone(), self.table(table)?))
    }

    /// Runs one SQL statement.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for SQL that makes no sense, with the place;
    /// [`Unsupported`](crate::ErrorKind::Unsupported); [`LimitExceeded`](crate::ErrorKind::LimitExceeded);
    /// [`Damaged`](crate::ErrorKind::Damaged) when the statement needs data that cannot be read.
    pub fn query(&self, sql: &str) -> Result<QueryOutput> {
        Ok(self.query.execute(sql)?)
    }

    /// Runs one SQL statement that another thread may cancel.
    ///
    /// # Errors
    /// As [`Database::query`], and [`LimitExceeded`](crate::ErrorKind::LimitExceeded) when it was cancelled.
    pub fn query_cancellable(&self, sql: &str, cancellation: &Cancellation) -> Result<QueryOutput> {
        Ok(self.query.execute_with(sql, &[], cancellation)?)
    }

    /// Plans a statement once, to be run many times with parameters `$1`, `$2`, ...
    ///
    /// # Errors
    /// As [`Database::query`].
    pub fn prepare(&self, sql: &str) -> Result<PreparedStatement> {
        Ok(self.query.prepare(sql)?)
    }

    /// Writes all rows in memory to column segments. Nothing needs it for safety; it happens by itself.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io).
    pub fn flush(&self) -> Result<()> {
        Ok(self.engine.flush()?)
    }

    /// Flushes and gives the directory free; every clone of the handle is closed. Without it the last handle that is
    /// dropped does the same, but cannot report an error.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io); the log keeps the rows.
    pub fn close(&self) -> Result<()> {
        Ok(self.engine.close()?)
    }
}
