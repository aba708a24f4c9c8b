//! `ALTER TABLE`, and the defaults of namespaces and of the database.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, TimestampNanosecondArray, UInt64Array};
use arrow::record_batch::RecordBatch;
use lynxstore_storage::Error as StorageError;
use lynxstore_storage::engine::{MoveReceipt, TableChange};
use lynxstore_storage::types::{Setting, TableSchema};

use super::access::{check_cold_access, may_name};

use super::query_engine::Run;
use crate::error::{Error, Result};
use crate::options::{NamespaceAccess, StatementAccess};
use crate::output::QueryOutput;
use crate::sql::{AlterTable, AlterTiers, ColumnAddition, TableAction};

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
                TableAction::Move { time_ns, tier } => {
                    let moved = self.shared.engine.move_partition(schema.id, *time_ns, *tier)?;
                    return moved_partition(schema, &moved);
                }
                TableAction::Change(change) => {
                    if let TableChange::SetTiers { change } = change {
                        check_cold_access(&self.shared.options, change.cold.as_ref().unwrap_or(&Setting::Default))?;
                    }
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

    /// Changes the tier policy of a namespace, or of the database.
    pub(super) fn alter_tiers(&self, alter: &AlterTiers) -> Result<QueryOutput> {
        let options = &self.shared.options;
        let is_allowed = match &alter.namespace {
            Some(namespace) => may_name(options, namespace),
            None => options.namespace_access == NamespaceAccess::All,
        };
        if !is_allowed {
            let what = "ALTER NAMESPACE of another namespace, or ALTER DATABASE,".to_owned();
            return Err(Error::AccessDenied { what, needs: StatementAccess::Admin.name() });
        }
        check_cold_access(options, alter.change.cold.as_ref().unwrap_or(&Setting::Default))?;
        self.shared.engine.alter_tier_defaults(alter.namespace.as_deref(), &alter.change)?;
        Ok(QueryOutput::done(None))
    }
}

/// What a move did, as one row.
fn moved_partition(schema: &TableSchema, moved: &MoveReceipt) -> Result<QueryOutput> {
    let time = |time_ns: i64| -> ArrayRef { Arc::new(TimestampNanosecondArray::from(vec![time_ns])) };
    let count = |count: u64| -> ArrayRef { Arc::new(UInt64Array::from(vec![count])) };
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    let batch = RecordBatch::try_from_iter([
        ("table_name", text(&schema.name)),
        ("partition_start", time(moved.partition.start_ns)),
        ("tier", text(moved.tier.name())),
        ("rows", count(moved.rows)),
        ("bytes_in", count(moved.bytes_in)),
        ("bytes_out", count(moved.bytes_out)),
    ]);
    Ok(QueryOutput::listing(batch.map_err(Error::arrow)?))
}
