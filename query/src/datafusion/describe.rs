//! What a statement takes and gives, without running it.

use arrow::datatypes::{DataType, SchemaRef};
use lynxstore_storage::snapshot::Snapshot;

use super::error::from_datafusion;
use super::run::{Planner, RunOptions, SqlInput};
use super::runtime::drive;
use crate::cancellation::Cancellation;
use crate::error::{Error, Result};

/// The types of the parameters of a statement, by their numbers, and the columns of its result.
///
/// # Errors
/// As [`run`](super::run::run).
pub(crate) fn describe(
    snapshot: &Snapshot,
    input: SqlInput,
    options: &RunOptions,
    cancellation: &Cancellation,
) -> Result<(Vec<Option<DataType>>, SchemaRef)> {
    let planner = Planner::new(snapshot, input, &[], options, cancellation)?;
    let mut found = None;
    drive(
        async move |sender| {
            let (state, plan) = planner.plan().await?;
            // Some types are known only after comparisons were brought to one type.
            let plan = state.optimize(&plan).unwrap_or(plan);
            let mut parameters: Vec<Option<DataType>> = Vec::new();
            for (name, data_type) in plan.get_parameter_types().map_err(from_datafusion)? {
                let number = name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
                if let Some(index) = number.and_then(|number| number.checked_sub(1)).filter(|index| *index < 1 << 16) {
                    parameters.resize(parameters.len().max(index + 1), None);
                    parameters[index] = data_type;
                }
            }
            let columns: SchemaRef = plan.schema().inner().clone();
            sender.send((parameters, columns)).await;
            Ok(())
        },
        cancellation,
        |described| {
            found = Some(described);
            Ok(())
        },
    )?;
    found.ok_or_else(|| Error::execution("the statement was not planned"))
}
