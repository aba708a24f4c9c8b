//! Puts ASOF joins where DataFusion asks a relation planner: into parentheses of their own.
//!
//! `a JOIN b ... ASOF JOIN c ... JOIN d` becomes `((a JOIN b ...) ASOF JOIN c ...) JOIN d`, which is how joins associate.

use std::ops::ControlFlow;

use sqlparser::ast::{JoinOperator, Select, Statement, TableFactor, TableWithJoins, VisitMut, VisitorMut};

/// Nests the ASOF joins of a statement.
pub(in crate::datafusion) fn nest_asof_joins(statement: &mut Statement) {
    let _: ControlFlow<()> = VisitMut::visit(statement, &mut Nesting);
}

struct Nesting;

impl VisitorMut for Nesting {
    type Break = ();

    // After what is inside, so that the nests made here are not visited again.
    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        select.from.iter_mut().for_each(nest);
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            nest(table_with_joins);
        }
        ControlFlow::Continue(())
    }
}

fn nest(from: &mut TableWithJoins) {
    while let Some(at) = from.joins.iter().position(|join| matches!(join.join_operator, JoinOperator::AsOf { .. })) {
        let later = from.joins.split_off(at + 1);
        let asof = from.joins.split_off(at);
        let before = std::mem::replace(&mut from.joins, later);
        let relation = from.relation.clone();
        let left = if before.is_empty() { relation } else { nested(relation, before) };
        from.relation = nested(left, asof);
    }
}

fn nested(relation: TableFactor, joins: Vec<sqlparser::ast::Join>) -> TableFactor {
    TableFactor::NestedJoin { table_with_joins: Box::new(TableWithJoins { relation, joins }), alias: None }
}
