//! Makes plain text of dictionaries that are compared with patterns of rows: `host LIKE pattern_column`.
//!
//! DataFusion 55 hands the dictionary of the left side to the kernel as it is, which takes no plain patterns beside it.
//! A literal pattern is decided once per distinct value, and stays.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, cast};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// The rule. It comes first, when types are known and no condition has moved into a scan.
#[derive(Debug)]
pub(super) struct TextBesidePatterns;

impl OptimizerRule for TextBesidePatterns {
    fn name(&self) -> &str {
        "text_beside_patterns"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| match expr {
                Expr::Like(mut like) if !matches!(*like.pattern, Expr::Literal(..)) => {
                    let DataType::Dictionary(_, text) = like.expr.get_type(&schema)? else {
                        return Ok(Transformed::no(Expr::Like(like)));
                    };
                    *like.expr = cast(*like.expr, *text);
                    Ok(Transformed::yes(Expr::Like(like)))
                }
                other => Ok(Transformed::no(other)),
            })?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })
    }
}
