//! The async facade: the same operations on tokio's blocking threads.
//!
//! The engine is synchronous; a commit waits for the disk and a query computes, so neither may run on an async worker.
//! A future that is dropped does not stop its operation: a write that has begun is finished.

use arrow::record_batch::RecordBatch;
use lynxstore_query::QueryOutput;
use lynxstore_storage::engine::{Ack, WriteReceipt};

use crate::database::Database;
use crate::error::{Error, ErrorKind, Result};

impl Database {
    /// Runs one SQL statement as [`Database::query`] does. Needs a tokio runtime.
    ///
    /// # Errors
    /// As [`Database::query`].
    pub async fn query_async(&self, sql: impl Into<String>) -> Result<QueryOutput> {
        let (database, sql) = (self.clone(), sql.into());
        blocking(move || database.query(&sql)).await
    }

    /// Writes the rows of a batch as [`Database::write_with`] does. Needs a tokio runtime.
    ///
    /// # Errors
    /// As [`Database::write`].
    pub async fn write_async(&self, table: impl Into<String>, batch: RecordBatch, ack: Ack) -> Result<WriteReceipt> {
        let (database, table) = (self.clone(), table.into());
        blocking(move || database.write_with(&table, &batch, ack)).await
    }

    /// Writes all rows in memory to column segments as [`Database::flush`] does. Needs a tokio runtime.
    ///
    /// # Errors
    /// As [`Database::flush`].
    pub async fn flush_async(&self) -> Result<()> {
        let database = self.clone();
        blocking(move || database.flush()).await
    }

    /// Flushes and closes as [`Database::close`] does. Needs a tokio runtime.
    ///
    /// # Errors
    /// As [`Database::close`].
    pub async fn close_async(&self) -> Result<()> {
        let database = self.clone();
        blocking(move || database.close()).await
    }
}

async fn blocking<T: Send + 'static>(operation: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(operation).await {
        Ok(result) => result,
        Err(error) => Err(Error::new(ErrorKind::Closed, format!("the operation did not finish: {error}"))),
    }
}
