//! What a statement means by its names, put into the form that DataFusion takes literally.
//!
//! A name without quotes is folded to lower case and, when there is no such table or column, tried as written; that is
//! also how the vectorized executor reads it. `first(x)` and `last(x)` get the time column as their order,
//! `date_trunc` with a zone the name of the function that has one.

use std::ops::ControlFlow;
use std::sync::Arc;

use lynxstore_storage::snapshot::Snapshot;
use lynxstore_storage::types::TableSchema;
use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart, Statement,
    visit_expressions_mut, visit_relations_mut,
};

use super::time_bucket::TRUNC_IN_ZONE;
use crate::sql::fold_ident;

/// Rewrites the names of a statement over the tables of a snapshot.
pub(super) fn settle_names(statement: &mut Statement, snapshot: &Snapshot, default_namespace: &str) {
    let mut names = Names { tables: Vec::new(), kept_tables: Vec::new() };
    let _: ControlFlow<()> = visit_relations_mut(statement, |name| {
        names.settle_table(name, snapshot, default_namespace);
        ControlFlow::Continue(())
    });
    let _: ControlFlow<()> = visit_expressions_mut(statement, |expr| {
        match expr {
            Expr::Identifier(column) => names.settle_column(column),
            Expr::CompoundIdentifier(parts) => names.settle_path(parts),
            Expr::Function(function) => {
                names.order_by_time(function);
                name_trunc_in_zone(function);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
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

    fn order_by_time(&self, function: &mut Function) {
        let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice() else { return };
        if !matches!(fold_ident(name).as_str(), "first" | "last") {
            return;
        }
        let FunctionArguments::List(arguments) = &mut function.args else { return };
        // Tables that call their time differently make DataFusion ask for the second argument.
        let Some(first) = self.tables.first() else { return };
        let is_one_name = self.tables.iter().all(|table| table.time.name == first.time.name);
        if arguments.args.len() == 1 && is_one_name {
            let time = Expr::Identifier(Ident::with_quote('"', &first.time.name));
            arguments.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(time)));
        }
    }
}

/// Gives `date_trunc` with a zone the name under which it is known.
fn name_trunc_in_zone(function: &mut Function) {
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_mut_slice() else { return };
    if fold_ident(name) == "date_trunc"
        && matches!(&function.args, FunctionArguments::List(list) if list.args.len() == 3)
    {
        *name = Ident::new(TRUNC_IN_ZONE);
    }
}

/// Makes the planner take the name as written.
fn keep(ident: &mut Ident) {
    ident.quote_style.get_or_insert('"');
}
