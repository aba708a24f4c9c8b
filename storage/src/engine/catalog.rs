//! Tables: create, drop, add columns.
//!
//! A change is recorded in the manifest, synced, and then shown; the manifest lock makes changes one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::store::Store;
use crate::error::{Error, Result};
use crate::manifest::ManifestEdit;
use crate::segment::Segment;
use crate::snapshot::Version;
use crate::types::{FieldType, SegmentId, TableId, TableSchema, TableSpec};

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
        let mut schemas: BTreeMap<TableId, Arc<TableSchema>> =
            version.tables.iter().map(|(id, table)| (*id, Arc::clone(&table.schema))).collect();
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
            schemas.insert(schema.id, Arc::clone(&schema));
            created.push(schema);
        }
        if !edits.is_empty() {
            manifest.append(&edits)?;
            self.publish_schemas(&version, schemas);
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
        let changed = Arc::new(changed);
        let mut schemas: BTreeMap<TableId, Arc<TableSchema>> =
            version.tables.iter().map(|(id, table)| (*id, Arc::clone(&table.schema))).collect();
        schemas.insert(table, Arc::clone(&changed));
        self.publish_schemas(&version, schemas);
        Ok(changed)
    }

    /// Drops a table; segments that hold rows of dropped tables only go with it.
    pub(super) fn drop_table(&self, namespace: &str, name: &str) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let version = self.memtables.version();
        let table = version.table(namespace, name).ok_or_else(|| Error::TableNotFound { name: name.to_owned() })?;
        let dropped = table.schema.id;
        let schemas: BTreeMap<TableId, Arc<TableSchema>> = version
            .tables
            .iter()
            .filter(|(id, _)| **id != dropped)
            .map(|(id, table)| (*id, Arc::clone(&table.schema)))
            .collect();
        let in_use =
            |segment: &Segment| segment.sections().iter().any(|section| schemas.contains_key(&section.table_id()));
        let (kept, obsolete): (BTreeMap<SegmentId, _>, BTreeMap<SegmentId, _>) = version
            .segments
            .iter()
            .map(|(id, segment)| (*id, Arc::clone(segment)))
            .partition(|(_, segment): &(SegmentId, Arc<Segment>)| in_use(segment));
        let mut edits = vec![ManifestEdit::DropTable(dropped)];
        edits.extend(obsolete.keys().map(|id| ManifestEdit::RemoveSegment(*id)));
        manifest.append(&edits)?;
        let next = Version::new(schemas.into_values(), kept, version.damaged.clone(), Some(&version));
        self.memtables.publish(next);
        for segment in obsolete.values() {
            // The file goes when the last snapshot that reads it goes.
            segment.mark_obsolete();
        }
        Ok(())
    }

    /// Takes a schema that recovery made up, for a new table or for one that is there.
    pub(super) fn put_recovered_table(&self, schema: TableSchema) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let version = self.memtables.version();
        let edit = match version.tables.contains_key(&schema.id) {
            true => ManifestEdit::AlterTable(schema.clone()),
            false => ManifestEdit::CreateTable(schema.clone()),
        };
        manifest.append(&[edit])?;
        let mut schemas: BTreeMap<TableId, Arc<TableSchema>> =
            version.tables.iter().map(|(id, table)| (*id, Arc::clone(&table.schema))).collect();
        schemas.insert(schema.id, Arc::new(schema));
        self.publish_schemas(&version, schemas);
        Ok(())
    }

    fn publish_schemas(&self, version: &Version, schemas: BTreeMap<TableId, Arc<TableSchema>>) {
        let next =
            Version::new(schemas.into_values(), version.segments.clone(), version.damaged.clone(), Some(version));
        self.memtables.publish(next);
    }
}
