//! Tables of the namespace `system` that the program adds which runs statements, such as a server.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

/// Makes the rows of a table when a statement names it. Statements of several threads may ask at once.
pub trait SystemRows: Debug + Send + Sync {
    /// The rows as they are now; always of the same columns, also when there are none.
    ///
    /// # Errors
    /// Those of putting columns together.
    fn rows(&self) -> Result<RecordBatch, ArrowError>;
}

/// A table of the namespace `system`.
#[derive(Debug, Clone)]
pub struct SystemTable {
    /// Its name, in lower case; it hides a table of the database itself.
    pub name: &'static str,
    /// Its rows.
    pub rows: Arc<dyn SystemRows>,
}
