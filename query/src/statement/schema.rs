//! Tables: create, drop, list, describe.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::record_batch::RecordBatch;
use lynxstore_storage::Error as StorageError;
use lynxstore_storage::types::{FieldType, TableSpec};

use super::access::{check_cold_access, may_name};
use super::query_engine::Run;
use crate::error::{Error, Result};
use crate::output::QueryOutput;
use crate::sql::{SYSTEM_NAMESPACE, TableName};

impl Run<'_> {
    /// `CREATE TABLE`.
    pub(super) fn create_table(&self, spec: &TableSpec, if_not_exists: bool) -> Result<QueryOutput> {
        let mut spec = spec.clone();
        if spec.namespace.is_empty() {
            spec.namespace.clone_from(&self.shared.options.namespace);
        }
        if spec.namespace == SYSTEM_NAMESPACE {
            return Err(Error::plan("the namespace 'system' is that of the system tables: choose another one"));
        }
        if !may_name(&self.shared.options, &spec.namespace) {
            return Err(Error::plan(format!(
                "tables of the namespace '{}' cannot be created here: leave the namespace out",
                spec.namespace
            )));
        }
        check_cold_access(&self.shared.options, &spec.options.tiers.cold)?;
        match self.shared.engine.create_table(&spec) {
            Err(StorageError::TableExists { .. }) if if_not_exists => {}
            result => {
                result?;
            }
        }
        Ok(QueryOutput::done(None))
    }

    /// `DROP TABLE`.
    pub(super) fn drop_tables(&self, names: &[TableName], if_exists: bool) -> Result<QueryOutput> {
        for name in names {
            let table = match self.table(&self.snapshot(), name) {
                Ok(table) => table.schema().name.clone(),
                Err(Error::Storage(StorageError::TableNotFound { .. })) if if_exists => continue,
                // A table that lost a segment cannot be read, but it can go.
                Err(Error::Storage(StorageError::Corruption { .. })) => name.name.clone(),
                Err(error) => return Err(error),
            };
            match self.shared.engine.drop_table(self.namespace(name), &table) {
                Err(StorageError::TableNotFound { .. }) if if_exists => {}
                result => result?,
            }
        }
        Ok(QueryOutput::done(None))
    }

    /// `SHOW TABLES`: the tables of the namespace, by name.
    pub(super) fn show_tables(&self) -> Result<QueryOutput> {
        let mut tables = self.shared.engine.tables();
        tables.retain(|table| table.namespace == self.shared.options.namespace);
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        let list = |names: Vec<&str>| names.join(", ");
        listing([
            ("table_name", tables.iter().map(|table| table.name.clone()).collect()),
            ("time", tables.iter().map(|table| table.time.name.clone()).collect()),
            (
                "tags",
                tables.iter().map(|table| list(table.tags.iter().map(|tag| tag.name.as_str()).collect())).collect(),
            ),
            (
                "fields",
                tables
                    .iter()
                    .map(|table| list(table.fields.iter().map(|field| field.name.as_str()).collect()))
                    .collect(),
            ),
        ])
    }

    /// `DESCRIBE`: the columns of a table.
    pub(super) fn describe(&self, name: &TableName) -> Result<QueryOutput> {
        let table = self.table(&self.snapshot(), name)?;
        let schema = table.schema();
        let mut columns = vec![(schema.time.name.clone(), "TIMESTAMP", "time")];
        columns.extend(schema.tags.iter().map(|tag| (tag.name.clone(), "TEXT", "tag")));
        columns.extend(schema.fields.iter().map(|field| (field.name.clone(), sql_type(field.field_type), "field")));
        listing([
            ("column_name", columns.iter().map(|(name, ..)| name.clone()).collect()),
            ("data_type", columns.iter().map(|(_, data_type, _)| (*data_type).to_owned()).collect()),
            ("role", columns.iter().map(|(.., role)| (*role).to_owned()).collect()),
        ])
    }
}

/// The SQL name of a field type.
pub fn sql_type(field_type: FieldType) -> &'static str {
    match field_type {
        FieldType::F64 => "DOUBLE",
        FieldType::I64 => "BIGINT",
        FieldType::U64 => "BIGINT UNSIGNED",
        FieldType::Bool => "BOOLEAN",
        FieldType::String => "TEXT",
        FieldType::Binary => "BYTEA",
    }
}

/// A result of text columns.
pub(super) fn listing<const N: usize>(columns: [(&str, Vec<String>); N]) -> Result<QueryOutput> {
    let columns = columns.into_iter().map(|(name, values)| {
        let array: ArrayRef = Arc::new(StringArray::from(values));
        (name, array, false)
    });
    Ok(QueryOutput::listing(RecordBatch::try_from_iter_with_nullable(columns).map_err(Error::arrow)?))
}
