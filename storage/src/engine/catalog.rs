//! Tables: create, drop, add columns.
//!
//! A change is recorded in the manifest, synced, and then shown; the manifest lock makes changes one after the other.

use std::sync::Arc;

use super::store::Store;
use crate::error::{Error, Result};
use crate::manifest::ManifestEdit;
use crate::types::{FieldType, TableId, TableSchema, TableSpec};

/// What creating a table does when one of that name exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfExists {
    Fail,
    Keep,
}

impl Store {
    /// Creates tables in one manifest record; returns the table for each declaration.
    pub(super) fn create_tables(&self, specs: &[TableSpec], if_exists: IfExists) -> Result<Vec<Arc<TableSchema>>> {
        let mut manifest = self.manifest.lock();
        let version = self.memtables.version();
        let mut next_id = manifest.state().next_table_id;
        let mut created = Vec::with_capacity(specs.len());
        let mut edits = Vec::new();
        for spec in specs {
            let in_this_call =
                |schema: &&Arc<TableSchema>| schema.namespace == spec.namespace && schema.name == spec.name;
            let existing = match version.table(&spec.namespace, &spec.name) {
                Some(table) => Some(Arc::clone(&table.schema)),
                None => created.iter().find(in_this_call).cloned(),
            };
            if let Some(existing) = existing {
                if if_exists == IfExists::Fail {
                    return Err(Error::TableExists { name: spec.name.clone() });
                }
                created.push(existing);
                continue;
            }
            let schema = Arc::new(TableSchema::from_spec(next_id, spec)?);
            next_id = next_id.next();
            edits.push(ManifestEdit::CreateTable(schema.as_ref().clone()));
            created.push(schema);
        }
        if !edits.is_empty() {
            manifest.append(&edits)?;
            self.memtables.publish(self.next_version(&manifest, Vec::new()));
        }
        Ok(created)
    }

    /// Adds columns that the table does not have yet.
    pub(super) fn add_columns(
        &self,
        table: TableId,
        tags: &[String],
        fields: &[(String, FieldType)],
    ) -> Result<Arc<TableSchema>> {
        let mut manifest = self.manifest.lock();
        let version = self.memtables.version();
        let current = &version
            .tables
            .get(&table)
            .ok_or_else(|| Error::TableNotFound { name: format!("with id {table}") })?
            .schema;
        let mut changed = current.as_ref().clone();
        for tag in tags {
            if changed.tag_index(tag).is_none() {
                changed.add_tag(tag)?;
            }
        }
        for (name, field_type) in fields {
            match changed.field_index(name) {
                Some(field) if changed.fields[field].field_type == *field_type => {}
                Some(field) => {
                    return Err(Error::invalid(format!(
                        "field '{name}' of table '{}' is {}, not {}",
                        changed.name,
                        changed.fields[field].field_type.arrow_type(),
                        field_type.arrow_type()
                    )));
                }
                None => {
                    changed.add_field(name, *field_type)?;
                }
            }
        }
        if changed.version == current.version {
            return Ok(Arc::clone(current));
        }
        manifest.append(&[ManifestEdit::AlterTable(changed.clone())])?;
        self.memtables.publish(self.next_version(&manifest, Vec::new()));
        Ok(Arc::new(changed))
    }

    /// Drops a table; segments that hold rows of dropped tables only go with it.
    pub(super) fn drop_table(&self, namespace: &str, name: &str) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let version = self.memtables.version();
        let table = version.table(namespace, name).ok_or_else(|| Error::TableNotFound { name: name.to_owned() })?;
        manifest.append(&[ManifestEdit::DropTable(table.schema.id)])?;
        self.memtables.publish(self.next_version(&manifest, Vec::new()));
        Ok(())
    }

    /// Takes a schema that recovery made up, for a new table or for one that is there.
    pub(super) fn put_recovered_table(&self, schema: TableSchema) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let edit = match manifest.state().tables.contains_key(&schema.id) {
            true => ManifestEdit::AlterTable(schema),
            false => ManifestEdit::CreateTable(schema),
        };
        manifest.append(&[edit])?;
        self.memtables.publish(self.next_version(&manifest, Vec::new()));
        Ok(())
    }
}
