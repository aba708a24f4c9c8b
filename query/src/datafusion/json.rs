//! JSON in text: the functions and operators of `datafusion-functions-json`.
//!
//! Invariant: no result has a column of its union type, which has a value of JSON as whatever it is. Formats of results know no
//! unions, so such a column leaves as the text of its JSON.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, Result};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion_functions_json::functions::json_union_to_text;
use datafusion_functions_json::{JSON_UNION_DATA_TYPE, register_all};

/// Makes a session know functions and operators.
pub(super) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    register_all(registry)
}

/// The plan with columns of the union type as text.
pub(super) fn unions_as_text(plan: LogicalPlan) -> Result<LogicalPlan> {
    let is_union = |data_type: &DataType| *data_type == *JSON_UNION_DATA_TYPE;
    if !plan.schema().fields().iter().any(|field| is_union(field.data_type())) {
        return Ok(plan);
    }
    let column = |(qualifier, field): (Option<&_>, &Arc<Field>)| {
        let value = Expr::Column(Column::from((qualifier, field)));
        match is_union(field.data_type()) {
            true => cast(json_union_to_text(value), DataType::Utf8).alias(field.name()),
            false => value,
        }
    };
    let columns: Vec<Expr> = plan.schema().iter().map(column).collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}
