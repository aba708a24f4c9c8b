//! Runs one statement, synchronously for the caller.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::execution::context::{SQLOptions, SessionContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use datafusion::sql::parser::Statement as DataFusionStatement;
use futures::StreamExt;
use lynxstore_storage::engine::Engine;
use lynxstore_storage::snapshot::{DamagePolicy, Snapshot};
use sqlparser::ast::{Query, Statement as SqlStatement};

use super::aggregate_calls::SeriesColumns;
use super::asof_join::nest_asof_joins;
use super::error::{OUT_OF_MEMORY, OUT_OF_SPILL_SPACE, from_datafusion};
use super::json::unions_as_text;
use super::names::settle_names;
use super::patient_joins::patient_joins;
use super::runtime::drive;
use super::served_query::{ServedQueries, serve_subqueries};
use super::session::session;
use crate::cancellation::Cancellation;
use crate::error::{Error, Result};
use crate::exec::Workers;
use crate::memory::{self, MemoryAccount, batch_bytes};
use crate::options::{FileAccess, QueryOptions};
use crate::output::ResultPart;
use crate::scalar::Scalar;
use crate::system::SystemTables;

/// What a statement may use.
#[derive(Debug, Clone)]
pub(crate) struct RunOptions {
    /// Namespace of table names without one.
    pub(crate) namespace: Arc<str>,
    /// Partitions that run at the same time.
    pub(crate) threads: usize,
    /// Whether FROM may name files.
    pub(crate) file_access: FileAccess,
    /// A result with more rows fails.
    pub(crate) rows_out_max: u64,
    /// What hash tables, sorts and the result take.
    pub(crate) memory: Arc<MemoryAccount>,
    /// Where operators spill to; the temporary directory of the system when there is none.
    pub(crate) spill_dir: Option<PathBuf>,
    /// Bound of what they spill.
    pub(crate) spill_bytes_max: u64,
    /// What a scan does where rows cannot be read.
    pub(crate) on_damage: DamagePolicy,
    /// Makes the tables of the namespace `system`.
    pub(crate) system: SystemTables,
    /// What parts of the statement may use that the vectorized executor serves.
    pub(crate) query: QueryOptions,
    /// The threads of these parts.
    pub(crate) workers: Arc<Workers>,
    /// Rows that stand in the statement by a name.
    pub(crate) tables: Arc<[RowTable]>,
}

/// Rows that a statement reads as a table.
#[derive(Debug, Clone)]
pub(crate) struct RowTable {
    /// Its name, as it stands in the statement.
    pub(crate) name: String,
    /// Its columns.
    pub(crate) schema: SchemaRef,
    /// Its rows; none where the statement is planned and not run.
    pub(crate) batches: Option<Vec<RecordBatch>>,
}

impl RunOptions {
    /// What statements of an engine may use under these options.
    pub(crate) fn new(options: &QueryOptions, engine: &Arc<Engine>) -> Self {
        Self {
            namespace: options.namespace.as_str().into(),
            threads: options.threads,
            file_access: options.file_access,
            rows_out_max: options.rows_out_max,
            memory: MemoryAccount::new(options.memory_bytes_max),
            spill_dir: options.spill_dir.clone(),
            spill_bytes_max: options.spill_bytes_max,
            on_damage: options.on_damage,
            system: SystemTables {
                engine: Arc::clone(engine),
                added: Arc::clone(&options.system_tables),
                access: options.system_access,
            },
            query: options.clone(),
            workers: Arc::default(),
            tables: Arc::from([]),
        }
    }

    /// With rows that stand in the statement.
    pub(crate) fn with_tables(mut self, tables: impl IntoIterator<Item = RowTable>) -> Self {
        self.tables = tables.into_iter().collect();
        self
    }
}

/// The statement: as text, or a query that was parsed already.
#[derive(Debug, Clone)]
pub(crate) enum SqlInput {
    /// SQL text, such as a statement that only DataFusion's parser knows.
    Text(String),
    /// A query.
    Query(Box<Query>),
}

/// A whole result.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Columns of every batch.
    pub(crate) schema: SchemaRef,
    /// The rows, in order.
    pub(crate) batches: Vec<RecordBatch>,
}

/// Runs a statement and collects its rows. `params` stand for `$1`, `$2` and so on.
///
/// # Errors
/// `Parse`, `Plan` and `Unsupported` for the statement, `FileAccessDenied`, `LimitExceeded`, `Cancelled`, `Storage` from
/// the scan, `Execution` for everything that depends on the data.
pub(crate) fn run(
    snapshot: &Snapshot,
    input: SqlInput,
    params: &[Scalar],
    options: &RunOptions,
    cancellation: &Cancellation,
) -> Result<Rows> {
    let mut schema = None;
    let mut batches = Vec::new();
    let mut rows: u64 = 0;
    let mut memory = options.memory.holder();
    run_each(snapshot, input, params, options, cancellation, |part| {
        let batch = match part {
            ResultPart::Columns(found) => {
                schema = Some(found);
                return Ok(());
            }
            ResultPart::Rows(batch) => batch,
        };
        rows += batch.num_rows() as u64;
        if rows > options.rows_out_max {
            return Err(Error::LimitExceeded {
                what: "the number of result rows",
                limit: options.rows_out_max,
                hint: "add a LIMIT, write the result to a file with COPY, or raise rows_out_max",
            });
        }
        memory.add(batch_bytes(&batch))?;
        batches.push(batch);
        Ok(())
    })?;
    let schema = schema.expect("the schema comes before the end of a result");
    Ok(Rows { schema, batches })
}

/// Runs a statement and hands out its rows as they come.
///
/// # Errors
/// As [`run`] without its limit on rows, and what `sink` fails with.
pub(crate) fn run_each(
    snapshot: &Snapshot,
    input: SqlInput,
    params: &[Scalar],
    options: &RunOptions,
    cancellation: &Cancellation,
    sink: impl FnMut(ResultPart) -> Result<()>,
) -> Result<()> {
    let planner = Planner::new(snapshot, input, params, options, cancellation)?;
    drive(
        async move |sender| {
            let (state, physical) = planner.physical_plan().await?;
            let mut stream = execute_stream(physical, state.task_ctx()).map_err(from_datafusion)?;
            if !sender.send(ResultPart::Columns(stream.schema())).await {
                return Ok(());
            }
            while let Some(batch) = stream.next().await {
                let batch = batch.map_err(from_datafusion)?;
                if batch.num_rows() > 0 && !sender.send(ResultPart::Rows(batch)).await {
                    break;
                }
            }
            Ok(())
        },
        cancellation,
        sink,
    )
    .map_err(|error| name_limit(error, options))
}

/// Says which limit it was when an operator had to do with less than it needs.
pub(super) fn name_limit(error: Error, options: &RunOptions) -> Error {
    match error {
        Error::LimitExceeded { what: OUT_OF_MEMORY, .. } => memory::exceeded(options.memory.limit_bytes()),
        Error::LimitExceeded { what: what @ OUT_OF_SPILL_SPACE, hint, .. } => {
            Error::LimitExceeded { what, limit: options.spill_bytes_max, hint }
        }
        other => other,
    }
}

/// The plan of a statement as indented text, without running it.
///
/// # Errors
/// As [`run`].
pub(crate) fn explain(
    snapshot: &Snapshot,
    input: SqlInput,
    params: &[Scalar],
    options: &RunOptions,
    cancellation: &Cancellation,
) -> Result<String> {
    let planner = Planner::new(snapshot, input, params, options, cancellation)?;
    let mut text = String::new();
    drive(
        async move |sender| {
            let (_, physical) = planner.physical_plan().await?;
            sender.send(displayable(physical.as_ref()).indent(false).to_string()).await;
            Ok(())
        },
        cancellation,
        |plan| {
            text = plan;
            Ok(())
        },
    )?;
    Ok(text)
}

/// A statement on its way to operators.
pub(super) struct Planner {
    context: SessionContext,
    snapshot: Snapshot,
    input: SqlInput,
    params: Vec<Scalar>,
    options: RunOptions,
    cancellation: Cancellation,
    served: ServedQueries,
}

impl Planner {
    pub(super) fn new(
        snapshot: &Snapshot,
        input: SqlInput,
        params: &[Scalar],
        options: &RunOptions,
        cancellation: &Cancellation,
    ) -> Result<Self> {
        let served = ServedQueries::default();
        Ok(Self {
            context: session(snapshot.clone(), options, served.clone())?,
            snapshot: snapshot.clone(),
            input,
            params: params.to_vec(),
            options: options.clone(),
            cancellation: cancellation.clone(),
            served,
        })
    }

    /// The operators of the statement, and the state of its session.
    pub(super) async fn physical_plan(self) -> Result<(SessionState, Arc<dyn ExecutionPlan>)> {
        let (state, plan) = self.plan().await?;
        let physical = state.create_physical_plan(&plan).await.map_err(from_datafusion)?;
        Ok((state, patient_joins(physical).map_err(from_datafusion)?))
    }

    /// The statement as relations.
    pub(super) async fn plan(self) -> Result<(SessionState, LogicalPlan)> {
        let state = self.context.state();
        let statement = match self.input.clone() {
            SqlInput::Text(text) => {
                let dialect = state.config_options().sql_parser.dialect;
                state.sql_to_statement(&text, &dialect).map_err(from_datafusion)?
            }
            SqlInput::Query(query) => DataFusionStatement::Statement(Box::new(SqlStatement::Query(query))),
        };
        let as_written = statement.clone();
        let settled = self.settled(statement, SeriesColumns::Added)?;
        let plan = match state.statement_to_plan(settled).await {
            Ok(plan) => plan,
            Err(error) => {
                // A CTE may hide the columns that were added to a call; without them the call itself says what it needs.
                let settled = self.settled(as_written, SeriesColumns::AsWritten)?;
                let clearer = state.statement_to_plan(settled).await.err();
                return Err(from_datafusion(clearer.unwrap_or(error)));
            }
        };
        // The statement was a query; this also refuses what may hide inside one.
        let rules = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        rules.verify_plan(&plan).map_err(from_datafusion)?;
        let plan = if self.params.is_empty() {
            plan
        } else {
            let values: Vec<ScalarValue> = self.params.iter().map(scalar_value).collect();
            plan.with_param_values(ParamValues::from(values)).map_err(from_datafusion)?
        };
        Ok((state, unions_as_text(plan).map_err(from_datafusion)?))
    }

    /// The statement with its names settled and its subqueries served.
    fn settled(&self, statement: DataFusionStatement, series_columns: SeriesColumns) -> Result<DataFusionStatement> {
        read_only(statement, &mut |query| {
            let (snapshot, options) = (&self.snapshot, &self.options);
            serve_subqueries(query, snapshot, &self.params, options, &self.cancellation, &self.served);
            settle_names(query, snapshot, &options.namespace, series_columns)
        })
    }
}

/// The statement, when it is a query or explains one, after `settle` has changed it. Changes of data go through the
/// storage engine or not at all.
fn read_only(
    statement: DataFusionStatement,
    settle: &mut dyn FnMut(&mut SqlStatement) -> Result<()>,
) -> Result<DataFusionStatement> {
    match statement {
        DataFusionStatement::Statement(mut inner) if matches!(*inner, SqlStatement::Query(_)) => {
            nest_asof_joins(&mut inner);
            settle(&mut inner)?;
            Ok(DataFusionStatement::Statement(inner))
        }
        DataFusionStatement::Explain(mut explain) => {
            explain.statement = Box::new(read_only(*explain.statement, settle)?);
            Ok(DataFusionStatement::Explain(explain))
        }
        other => {
            let text = other.to_string();
            let what = text.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            Err(Error::Unsupported {
                what: format!("the statement {what}"),
                hint: "general SQL is for queries; write with INSERT, COPY or the API".into(),
            })
        }
    }
}

fn scalar_value(scalar: &Scalar) -> ScalarValue {
    match scalar {
        Scalar::Null => ScalarValue::Null,
        Scalar::Bool(value) => ScalarValue::Boolean(Some(*value)),
        Scalar::I64(value) => ScalarValue::Int64(Some(*value)),
        Scalar::U64(value) => ScalarValue::UInt64(Some(*value)),
        Scalar::F64(value) => ScalarValue::Float64(Some(*value)),
        Scalar::Text(value) => ScalarValue::Utf8(Some(value.to_string())),
        Scalar::Binary(value) => ScalarValue::Binary(Some(value.to_vec())),
        Scalar::Time(ns) => ScalarValue::TimestampNanosecond(Some(*ns), None),
        Scalar::Interval(interval) => ScalarValue::new_interval_mdn(interval.months, interval.days, interval.nanos),
    }
}
