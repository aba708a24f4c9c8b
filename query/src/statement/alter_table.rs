//! `ALTER TABLE`.

use lynxstore_storage::Error as StorageError;

use super::query_engine::Run;
use crate::error::{Error, Result};
use crate::output::QueryOutput;
use crate::sql::{AlterTable, ColumnAddition, TableAction};

impl Run<'_> {
    /// Changes a table, one action after the other.
    pub(super) fn alter_table(&self, alter: &AlterTable) -> Result<QueryOutput> {
        let snapshot = self.snapshot();
        let table = match self.table(&snapshot, &alter.table) {
            Err(Error::Storage(StorageError::TableNotFound { .. })) if alter.if_exists => {
                return Ok(QueryOutput::done(None));
            }
            found => found?,
        };
        let schema = table.schema();
        for action in &alter.actions {
            match action {
                TableAction::Change(change) => {
                    self.shared.engine.alter_table(schema.id, change)?;
                }
                TableAction::Add { name, .. } if schema.column_exists(name) && !action.may_exist() => {
                    return Err(Error::plan(format!("table '{}' has a column '{name}' already", schema.name)));
                }
                TableAction::Add { name, .. } if schema.column_exists(name) => {}
                TableAction::Add { name, column: ColumnAddition::Tag, .. } => {
                    self.shared.engine.add_columns(schema.id, std::slice::from_ref(name), &[])?;
                }
                TableAction::Add { name, column: ColumnAddition::Field(field_type), .. } => {
                    self.shared.engine.add_columns(schema.id, &[], &[(name.clone(), *field_type)])?;
                }
            }
        }
        Ok(QueryOutput::done(None))
    }
}
