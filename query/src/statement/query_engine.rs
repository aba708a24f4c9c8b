//! The entry point: SQL text in, Arrow batches out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lynxstore_storage::engine::Engine;
use lynxstore_storage::snapshot::{Snapshot, TableSnapshot};

use super::access::check_statement_access;
use super::prepared::PreparedStatement;
use crate::cancellation::Cancellation;
use crate::error::Result;
use crate::exec::{ExecContext, Workers};
use crate::memory::MemoryAccount;
use crate::options::{NamespaceAccess, QueryOptions};
use crate::output::QueryOutput;
use crate::scalar::Scalar;
use crate::sql::{self, Statement, TableName};

/// Runs SQL on an engine. Cheap to clone; may be used by many threads at once.
#[derive(Debug, Clone)]
pub struct QueryEngine {
    pub(super) shared: Arc<Shared>,
}

/// What statements of one engine share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) engine: Arc<Engine>,
    pub(super) options: QueryOptions,
    pub(super) workers: Arc<Workers>,
}

/// One run of a statement.
pub(super) struct Run<'a> {
    pub(super) shared: &'a Shared,
    /// Values of `$1`, `$2` and so on.
    pub(super) params: &'a [Scalar],
    pub(super) cancellation: Cancellation,
    pub(super) memory: Arc<MemoryAccount>,
    /// What parsing took.
    pub(super) parse_time: Duration,
}

impl QueryEngine {
    /// A query engine over a storage engine.
    pub fn new(engine: Arc<Engine>, options: QueryOptions) -> Self {
        Self { shared: Arc::new(Shared { engine, options, workers: Arc::default() }) }
    }

    /// The same engine with other options; both share the threads for large statements.
    #[must_use]
    pub fn with_options(&self, options: QueryOptions) -> Self {
        let Shared { engine, workers, .. } = &*self.shared;
        Self { shared: Arc::new(Shared { engine: Arc::clone(engine), options, workers: Arc::clone(workers) }) }
    }

    /// The options that statements run with.
    pub fn options(&self) -> &QueryOptions {
        &self.shared.options
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// `Parse` and `Plan` for text that makes no sense, `Unsupported` for SQL that this build does not run,
    /// `AccessDenied` for statements that the options do not allow, `LimitExceeded`, `FileAccessDenied`, `File`,
    /// `Execution` and `Storage` for what happens on the way.
    pub fn execute(&self, sql: &str) -> Result<QueryOutput> {
        self.execute_with(sql, &[], &Cancellation::new())
    }

    /// Runs one statement with values for `$1`, `$2` and so on; `cancellation` stops it from another thread.
    ///
    /// # Errors
    /// As [`QueryEngine::execute`], and `Cancelled`.
    pub fn execute_with(&self, sql: &str, params: &[Scalar], cancellation: &Cancellation) -> Result<QueryOutput> {
        let start = Instant::now();
        let statement = sql::parse_statement(sql, &self.shared.options.sql)?;
        let parse_time = start.elapsed();
        Run { parse_time, ..Run::new(&self.shared, params, cancellation) }.execute(&statement, sql)
    }

    /// Parses a statement once, to be run many times.
    ///
    /// # Errors
    /// `Parse` for text that is no statement. Names are looked up when it runs.
    pub fn prepare(&self, sql: &str) -> Result<PreparedStatement> {
        PreparedStatement::new(Arc::clone(&self.shared), sql)
    }

    /// Cuts a script into its statements at the semicolons outside strings, quoted names, comments and dollar quotes.
    ///
    /// # Errors
    /// `Parse` when one of these does not end; a shell then asks for more text.
    pub fn split_statements(sql: &str) -> Result<Vec<String>> {
        sql::split_statements(sql)
    }
}

impl<'a> Run<'a> {
    /// A run that begins now.
    pub(super) fn new(shared: &'a Shared, params: &'a [Scalar], cancellation: &Cancellation) -> Self {
        let cancellation = cancellation.within(shared.options.time_max);
        Self {
            shared,
            params,
            cancellation,
            memory: MemoryAccount::new(shared.options.memory_bytes_max),
            parse_time: Duration::ZERO,
        }
    }
}

impl Run<'_> {
    /// Runs a parsed statement; `sql` is its text, for DataFusion.
    pub(super) fn execute(&self, statement: &Statement, sql: &str) -> Result<QueryOutput> {
        check_statement_access(statement, self.shared.options.statement_access)?;
        match statement {
            Statement::Query(query) => self.select(query, None),
            Statement::Explain(query) => self.explain(query),
            Statement::Analyze(query) => self.analyze(query),
            Statement::CreateTable { spec, if_not_exists } => self.create_table(spec, *if_not_exists),
            Statement::DropTable { names, if_exists } => self.drop_tables(names, *if_exists),
            Statement::AlterTable(alter) => self.alter_table(alter),
            Statement::AlterTiers(alter) => self.alter_tiers(alter),
            Statement::Delete(delete) => self.delete(delete),
            Statement::Checkpoint => {
                self.shared.engine.flush()?;
                Ok(QueryOutput::done(None))
            }
            Statement::Optimize => {
                self.shared.engine.compact()?;
                Ok(QueryOutput::done(None))
            }
            Statement::Insert(insert) => self.insert(insert),
            Statement::ShowTables => self.show_tables(),
            Statement::Describe(table) => self.describe(table),
            #[cfg(feature = "files")]
            Statement::CopyFrom { table, path, options } => self.copy_from(table, path, options),
            #[cfg(feature = "files")]
            Statement::CopyTo { source, path, options } => self.copy_to(source, path, options),
            #[cfg(not(feature = "files"))]
            Statement::CopyFrom { .. } | Statement::CopyTo { .. } => Err(crate::Error::Unsupported {
                what: "COPY".into(),
                hint: "build with the feature `files` for CSV and Parquet".into(),
            }),
            Statement::Other { what } => self.other(what, sql),
        }
    }

    /// The database as it is now, and as much of it as the options show.
    pub(super) fn snapshot(&self) -> Snapshot {
        let snapshot = self.shared.engine.snapshot();
        match self.shared.options.namespace_access {
            NamespaceAccess::All => snapshot,
            NamespaceAccess::Own => snapshot.confined_to(self.shared.options.namespace.as_str().into()),
        }
    }

    /// The namespace of a table name.
    pub(super) fn namespace<'a>(&'a self, name: &'a TableName) -> &'a str {
        name.namespace.as_deref().unwrap_or(&self.shared.options.namespace)
    }

    /// A table of a snapshot: by its folded name, else as written.
    pub(super) fn table(&self, snapshot: &Snapshot, name: &TableName) -> Result<TableSnapshot> {
        let found = self.table_of(snapshot, name)?;
        Ok(found.on_damage(self.shared.options.on_damage))
    }

    fn table_of(&self, snapshot: &Snapshot, name: &TableName) -> Result<TableSnapshot> {
        let namespace = self.namespace(name);
        match snapshot.table(namespace, &name.name) {
            Err(error @ lynxstore_storage::Error::TableNotFound { .. }) => {
                if name.written == name.name {
                    return Err(error.into());
                }
                Ok(snapshot.table(namespace, &name.written)?)
            }
            found => Ok(found?),
        }
    }

    /// The surroundings of an execution.
    pub(super) fn context(&self) -> ExecContext<'_> {
        ExecContext {
            options: &self.shared.options,
            workers: &self.shared.workers,
            cancellation: &self.cancellation,
            memory: &self.memory,
            trace: None,
        }
    }
}
