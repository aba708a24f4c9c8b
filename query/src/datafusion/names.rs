//! What a statement means by its names, put into the form that DataFusion takes literally.
//!
//! A name without quotes is folded to lower case and, when there is no such table or column, tried as written; that is
//! also how the vectorized executor reads it. Calls of aggregates get the form of `aggregate_calls`.

use std::ops::ControlFlow;
use std::sync::Arc;

use lynxstore_storage::snapshot::Snapshot;
use lynxstore_storage::types::TableSchema;
use sqlparser::ast::{Expr, Ident, ObjectName, ObjectNamePart, Statement, visit_expressions_mut, visit_relations_mut};

use super::aggregate_calls::{SeriesColumns, rewrite_call};
use crate::error::Result;
use crate::sql::fold_ident;

/// Rewrites the names of a statement over the tables of a snapshot.
///
/// # Errors
/// `Plan` for the call of an aggregate that has no meaning.
pub(super) fn settle_names(
    statement: &mut Statement,
    snapshot: &Snapshot,
    default_namespace: &str,
    series_columns: SeriesColumns,
) -> Result<()> {
    let mut names = Names { tables: Vec::new(), kept_tables: Vec::new() };
    let _: ControlFlow<()> = visit_relations_mut(statement, |name| {
        names.settle_table(name, snapshot, default_namespace);
        ControlFlow::Continue(())
    });
    let flow = visit_expressions_mut(statement, |expr| {
        match expr {
            Expr::Identifier(column) => names.settle_column(column),
            Expr::CompoundIdentifier(parts) => names.settle_path(parts),
            Expr::Function(function) => {
                if let Err(error) = rewrite_call(function, &names.tables, series_columns) {
                    return ControlFlow::Break(error);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
    match flow {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The tables of the snapshot that a statement reads.
struct Names {
    tables: Vec<Arc<TableSchema>>,
    /// Names of tables that are found only as written.
    kept_tables: Vec<String>,
}

impl Names {
    fn settle_table(&mut self, name: &mut ObjectName, snapshot: &Snapshot, default_namespace: &str) {
        let (namespace, table) = match name.0.as_mut_slice() {
            [ObjectNamePart::Identifier(table)] => (default_namespace.to_owned(), table),
            [ObjectNamePart::Identifier(namespace), ObjectNamePart::Identifier(table)] => {
                (fold_ident(namespace), table)
            }
            _ => return,
        };
        if let Ok(found) = snapshot.table(&namespace, &fold_ident(table)) {
            self.tables.push(Arc::clone(found.schema()));
        } else if let Ok(found) = snapshot.table(&namespace, &table.value) {
            self.tables.push(Arc::clone(found.schema()));
            keep(table);
            self.kept_tables.push(table.value.clone());
        }
    }

    fn settle_column(&self, column: &mut Ident) {
        let exists = |name: &str| self.tables.iter().any(|table| table.column_exists(name));
        if !exists(&fold_ident(column)) && exists(&column.value) {
            keep(column);
        }
    }

    fn settle_path(&self, parts: &mut [Ident]) {
        let [qualifiers @ .., column] = parts else { return };
        self.settle_column(column);
        if let Some(table) = qualifiers.last_mut()
            && self.kept_tables.contains(&table.value)
        {
            keep(table);
        }
    }
}

/// Makes the planner take the name as written.
fn keep(ident: &mut Ident) {
    ident.quote_style.get_or_insert('"');
}
