//! Runs a statement for what its operators count, and throws its rows away.

use std::time::{Duration, Instant};

use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use lynxstore_storage::snapshot::Snapshot;

use super::error::from_datafusion;
use super::run::{Planner, RunOptions, SqlInput, name_limit};
use super::runtime::drive;
use crate::cancellation::Cancellation;
use crate::error::Result;
use crate::scalar::Scalar;

/// What a run tells.
#[derive(Debug, Default)]
pub(crate) struct Analysis {
    /// The plan as indented text, each operator with its counts.
    pub(crate) plan: String,
    /// Rows of the result.
    pub(crate) rows_out: u64,
    /// From syntax to operators.
    pub(crate) plan_time: Duration,
    /// From operators to the last row.
    pub(crate) run_time: Duration,
}

/// Runs a statement.
///
/// # Errors
/// As [`run`](super::run::run), without the limit on rows of the result, which nobody gets.
pub(crate) fn analyze(
    snapshot: &Snapshot,
    input: SqlInput,
    params: &[Scalar],
    options: &RunOptions,
    cancellation: &Cancellation,
) -> Result<Analysis> {
    let planner = Planner::new(snapshot, input, params, options, cancellation)?;
    let mut found = Analysis::default();
    drive(
        async move |sender| {
            let start = Instant::now();
            let (state, physical) = planner.physical_plan().await?;
            let plan_time = start.elapsed();
            let start = Instant::now();
            let mut stream = execute_stream(physical.clone(), state.task_ctx()).map_err(from_datafusion)?;
            let mut rows_out = 0;
            while let Some(batch) = stream.next().await {
                rows_out += batch.map_err(from_datafusion)?.num_rows() as u64;
            }
            let run_time = start.elapsed();
            // Scans count until they are dropped.
            drop(stream);
            let plan = DisplayableExecutionPlan::with_metrics(physical.as_ref()).indent(false).to_string();
            sender.send(Analysis { plan, rows_out, plan_time, run_time }).await;
            Ok(())
        },
        cancellation,
        |analysis| {
            found = analysis;
            Ok(())
        },
    )
    .map_err(|error| name_limit(error, options))?;
    Ok(found)
}
